// SPDX-License-Identifier: Apache-2.0
// Latency of a model over context and batch, beside what the device reaches at most in the same run.
//
// A context counts every position in the cache at the end: prefill (time to first token) goes through all of
// them; decode (time per output token) produces the last `new_tokens` of them one at a time. For decode the
// positions before are not computed but filled with random rows through the append op, which takes the same
// time at every length that matters to it, so that long contexts are measured quickly. What generation does
// beside (choosing a token, its text) is not part of the times.
//
// The attention op is measured alone: the calls of one decode step at the last position are noted with their
// arrays and made again, layer after layer, nothing between. So it reads the caches as the step does.
#pragma once

#include "core/base/job_context.h"
#include "core/benchmark/ceilings.h"
#include "core/benchmark/spread.h"
#include "core/generation/generate.h"
#include "core/model/model.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace eigenscope {

struct BenchmarkCeilings {
    CopyCeiling copy;
    ProductCeiling product;
};

struct BenchmarkOptions {
    std::vector<std::int64_t> contexts = {512, 2048};
    std::vector<int> batches = {1};
    int new_tokens = 32;
    int repetitions = 3;
    bool prefill = true;  // otherwise decode alone: no time to first token
    // Tokens of all sequences in one call; 0: as generation does (resolveRows()).
    std::int64_t prefill_rows = 0;
    std::optional<BenchmarkCeilings> ceilings;  // empty: measured when the run begins
    RunOptions run;
};

struct BenchmarkRow {
    std::string model;
    std::int64_t context = 0;
    int batch = 1, new_tokens = 0;
    KvFormat kv_format;
    Compute compute = Compute::F32;

    Spread ttft;       // seconds; no samples without prefill
    Spread tpot;       // seconds a step, which gives each sequence a token
    Spread attention;  // of these, in the attention op

    std::int64_t kv_cache_bytes = 0;     // allocated
    std::int64_t peak_memory_bytes = 0;  // weights, cache, activations and the ops' scratch on the device
    std::int64_t weight_bytes_read = 0;  // by a decode step, each once
    std::int64_t cache_bytes_read = 0;   // by the step at the last position
    double prefill_flops = 0.0;
    BenchmarkCeilings ceilings;

    bool hasPrefill() const { return ttft.samples > 0; }
    double tokensPerSecond() const { return batch / tpot.median; }
    double prefillTokensPerSecond() const;  // 0 without prefill
    // Seconds that the ceilings leave at least: the cache once at the copy's rate, weights and cache once,
    // the prefill's arithmetic at the matrix product's rate.
    double attentionBoundSeconds() const;
    double decodeBoundSeconds() const;
    double prefillBoundSeconds() const;
    // Bytes of the cache over the attention op's time, as a fraction of the copy.
    double attentionBandwidthFraction() const;
    // The time that weights and cache take at the copy's rate / the time of a step.
    double decodeBoundFraction() const;
    // Arithmetic of the prefill over its time, as a fraction of the matrix product; 0 without prefill.
    double prefillComputeFraction() const;
};

// Throws InvalidInput unless every context fits in the model's positions, has room for the new tokens, and
// all numbers are at least 1.
void checkBenchmark(const BenchmarkOptions& options, const ModelConfig& config, const std::string& name);

// Why one combination does not fit in what the device has free now: what it takes, what is free, the longest
// context that would fit. Empty when it fits.
std::string memoryProblem(const OpenModel& model, const BenchmarkOptions& options, std::int64_t context,
                          int batch);

struct BenchmarkSkip {
    std::string model;
    std::int64_t context = 0;
    int batch = 1;
    std::string reason;
};

struct BenchmarkResult {
    std::vector<BenchmarkRow> rows;      // by batch, then context, as asked
    std::vector<BenchmarkSkip> skipped;  // what did not fit
};

using BenchmarkSink = std::function<void(const BenchmarkRow&)>;  // on the measuring thread

// Measures the ceilings, then every context and batch. What does not fit in memory is an error before
// anything is measured, or, when `skip_unfit`, listed.
BenchmarkResult benchmark(JobContext& job, const OpenModel& model, const BenchmarkOptions& options,
                          bool skip_unfit = false, const BenchmarkSink& sink = {});

}  // namespace eigenscope
