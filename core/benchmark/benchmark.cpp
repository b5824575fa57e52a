// SPDX-License-Identifier: Apache-2.0
#include "core/benchmark/benchmark.h"

#include "core/benchmark/latency.h"
#include "core/benchmark/memory_estimate.h"

#include <algorithm>
#include <cstdio>

namespace eigenscope {

namespace {

// Of what is free: the rest is for the ops' scratch, which no formula gives.
constexpr double kUsable = 0.95;

[[noreturn]] void failArgument(const std::string& message) { throw Error(ErrorCode::InvalidInput, message); }

void atLeastOne(const char* what, std::int64_t value) {
    if (value < 1) {
        failArgument(std::string(what) + ": expected at least 1, found " + std::to_string(value));
    }
}

std::string gibibytes(std::int64_t bytes) {
    char text[32];
    std::snprintf(text, sizeof text, "%.2f GiB", static_cast<double>(bytes) / (1 << 30));
    return text;
}

// Bytes of weights that must be held beside the cache but are not yet: mapped files are read as they are
// used, and dummy weights are in memory once they are made.
std::int64_t mappedWeightBytes(const OpenModel& model) {
    const bool mapped = model.backend->info().host_accessible && model.checkpoint != nullptr &&
                        !model.checkpoint->hasDummyWeights();
    return mapped ? model.model->heldBytes() : 0;
}

std::int64_t rowsOf(const BenchmarkOptions& options, const OpenModel& model) {
    return resolveRows(options.run, model, options.prefill_rows);
}

BenchmarkCeilings measureCeilings(JobContext& job, const OpenModel& model, int threads, Compute compute) {
    return {measureCopy(job, *model.backend, threads),
            measureProduct(job, *model.backend, threads, weightDType(*model.model), compute)};
}

}  // namespace

double BenchmarkRow::prefillTokensPerSecond() const {
    return hasPrefill() ? static_cast<double>(context) * batch / ttft.median : 0.0;
}

double BenchmarkRow::attentionBoundSeconds() const {
    return static_cast<double>(cache_bytes_read) / ceilings.copy.bytes_per_second;
}

double BenchmarkRow::decodeBoundSeconds() const {
    return static_cast<double>(weight_bytes_read + cache_bytes_read) / ceilings.copy.bytes_per_second;
}

double BenchmarkRow::prefillBoundSeconds() const { return prefill_flops / ceilings.product.flops_per_second; }

double BenchmarkRow::attentionBandwidthFraction() const { return attentionBoundSeconds() / attention.median; }

double BenchmarkRow::decodeBoundFraction() const { return decodeBoundSeconds() / tpot.median; }

double BenchmarkRow::prefillComputeFraction() const {
    return hasPrefill() ? prefillBoundSeconds() / ttft.median : 0.0;
}

void checkBenchmark(const BenchmarkOptions& options, const ModelConfig& config, const std::string& name) {
    atLeastOne("new tokens", options.new_tokens);
    atLeastOne("repetitions", options.repetitions);
    if (options.prefill_rows < 0) {
        failArgument("prefill rows: expected at least 1, found " + std::to_string(options.prefill_rows));
    }
    if (options.contexts.empty() || options.batches.empty()) {
        failArgument("a benchmark needs at least one context and one batch");
    }
    for (const int batch : options.batches) {
        atLeastOne("batch", batch);
    }
    for (const std::int64_t context : options.contexts) {
        if (context > config.max_positions) {
            failArgument("context " + std::to_string(context) + " is beyond the " +
                         std::to_string(config.max_positions) + " positions of " + name);
        }
        if (context <= options.new_tokens) {
            failArgument("context " + std::to_string(context) + " has no room for " +
                         std::to_string(options.new_tokens) +
                         " new tokens behind others: it counts every position in the cache");
        }
    }
}

std::string memoryProblem(const OpenModel& model, const BenchmarkOptions& options, std::int64_t context,
                          int batch) {
    const ModelConfig& config = model.model->config;
    const KvFormat format = resolveKvFormat(options.run, model);
    const std::int64_t rows = rowsOf(options, model), weights = mappedWeightBytes(model);
    const auto free = static_cast<std::int64_t>(model.backend->memory().available_bytes);
    const auto usable = static_cast<std::int64_t>(static_cast<double>(free) * kUsable);
    const bool streamed = model.model->streamed() && options.prefill;
    const MemoryEstimate needed = estimateMemory(config, weights, context, batch, format, rows, streamed);
    if (needed.total() <= usable) {
        return {};
    }
    const std::int64_t longest = std::min<std::int64_t>(
        longestContext(config, weights, usable, batch, format, rows, streamed), context);
    std::string text = "context " + std::to_string(context) + " at batch " + std::to_string(batch) + " of " +
                       model.name + " takes " + gibibytes(needed.total()) + " (KV cache " +
                       gibibytes(needed.kv_bytes) + ", activations " + gibibytes(needed.scratch_bytes);
    if (weights > 0) {
        text += ", weights " + gibibytes(weights);
    }
    text += "), " + gibibytes(free) + " are free; ";
    return text + (longest > 0 ? "a context of " + std::to_string(longest) + " would fit"
                               : std::string("no context fits at this batch"));
}

BenchmarkResult benchmark(JobContext& job, const OpenModel& model, const BenchmarkOptions& options,
                          bool skip_unfit, const BenchmarkSink& sink) {
    checkBenchmark(options, model.model->config, model.name);
    BenchmarkResult result;
    std::vector<std::pair<std::int64_t, int>> combinations;
    for (const int batch : options.batches) {
        for (const std::int64_t context : options.contexts) {
            const std::string problem = memoryProblem(model, options, context, batch);
            if (problem.empty()) {
                combinations.emplace_back(context, batch);
            } else if (skip_unfit) {
                result.skipped.push_back({model.name, context, batch, problem});
            } else {
                throw Error(ErrorCode::OutOfMemory, problem);
            }
        }
    }
    if (combinations.empty()) {
        return result;
    }
    const Compute compute = resolveCompute(options.run, model);
    const BenchmarkCeilings ceilings =
        options.ceilings ? *options.ceilings : measureCeilings(job, model, options.run.threads, compute);
    for (const auto& [context, batch] : combinations) {
        BenchmarkRow row;
        row.model = model.name;
        row.context = context, row.batch = batch, row.new_tokens = options.new_tokens;
        row.kv_format = resolveKvFormat(options.run, model);
        row.compute = compute;
        row.ceilings = ceilings;
        LatencyRun(job, model, options, rowsOf(options, model), row).measure();
        result.rows.push_back(row);
        if (sink) {
            sink(result.rows.back());
        }
    }
    return result;
}

}  // namespace eigenscope
