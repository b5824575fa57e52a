// SPDX-License-Identifier: GPL-3.0-or-later
// bench MODEL [MODEL2 ...]: latency and memory over context and batch, beside what the device reaches at
// most.
#include "app/cli/commands.h"
#include "app/cli/model_facts.h"
#include "core/base/atomic_output.h"
#include "core/benchmark/benchmark.h"
#include "core/report/benchmark_csv.h"
#include "core/report/number_text.h"

#include <fmt/format.h>

#include <ctime>
#include <memory>

namespace eigenscope {

namespace {

struct Options {
    std::vector<std::string> models;
    BenchmarkOptions benchmark;
    bool no_prefill = false, skip_unfit = false;
    std::string csv;
};

const char* computeName(Compute compute) {
    return compute == Compute::F32 ? "f32" : compute == Compute::BF16 ? "bf16" : "f16";
}

void addSpread(ResultJson& json, const std::string& name, const Spread& seconds) {
    const auto milliseconds = [&](double value) {
        return seconds.samples > 0 ? ResultJson(value * 1e3) : ResultJson();
    };
    json[name] = milliseconds(seconds.median);
    json[name + "_min"] = milliseconds(seconds.least);
    json[name + "_max"] = milliseconds(seconds.most);
}

ResultJson rowJson(const BenchmarkRow& row, const ModelConfig& config) {
    const auto ifPrefilled = [&](double value) {
        return row.hasPrefill() ? ResultJson(value) : ResultJson();
    };
    ResultJson json = {{"model", row.model}, {"context", row.context}, {"batch", row.batch}};
    addSpread(json, "ttft_ms", row.ttft);
    addSpread(json, "tpot_ms", row.tpot);
    addSpread(json, "attention_ms", row.attention);
    json["kv_cache_bytes"] = row.kv_cache_bytes;
    json["peak_memory_bytes"] = row.peak_memory_bytes;
    json["attention_bandwidth_fraction"] = row.attentionBandwidthFraction();
    json["decode_bound_fraction"] = row.decodeBoundFraction();
    json["prefill_compute_fraction"] = ifPrefilled(row.prefillComputeFraction());
    json["tokens_per_second"] = row.tokensPerSecond();
    json["prefill_tokens_per_second"] = ifPrefilled(row.prefillTokensPerSecond());
    json["weight_bytes_read"] = row.weight_bytes_read;
    json["cache_bytes_read"] = row.cache_bytes_read;
    json["prefill_flops"] = row.prefill_flops;
    json["copy_bytes_per_second"] = row.ceilings.copy.bytes_per_second;
    json["matmul_flops_per_second"] = row.ceilings.product.flops_per_second;
    json["compute"] = computeName(row.compute);
    addKvFormat(json, row.kv_format, config);
    return json;
}

std::vector<std::string> tableRow(const BenchmarkRow& row) {
    const auto ms = [](const Spread& seconds) {
        return seconds.samples > 0 ? text::milliseconds(seconds.median * 1e3) : std::string("-");
    };
    const auto bytes = [](std::int64_t value) { return text::bytes(static_cast<double>(value)); };
    return {row.model,
            text::count(row.context),
            std::to_string(row.batch),
            ms(row.ttft),
            ms(row.tpot),
            ms(row.attention),
            text::significant(row.tokensPerSecond(), 3),
            bytes(row.kv_cache_bytes),
            bytes(row.peak_memory_bytes),
            text::percent(row.attentionBandwidthFraction()),
            text::percent(row.decodeBoundFraction()),
            row.hasPrefill() ? text::percent(row.prefillComputeFraction()) : std::string("-")};
}

constexpr const char* kExplanation =
    "TTFT: prefill of the context. TPOT: a decode step at its end; of that, time in attention, measured "
    "alone.\nAttention: cache bytes a second, of the copy. Decode: weights and cache read once at the copy's "
    "rate, of TPOT.\nPrefill: arithmetic a second, of the matrix product. Medians of ";

std::string ceilingText(const std::string& model, const BenchmarkCeilings& ceilings) {
    return fmt::format("{}: copy {:.1f} GB/s (read and written), matrix product {:.1f} GFLOP/s", model,
                       ceilings.copy.bytes_per_second * 1e-9, ceilings.product.flops_per_second * 1e-9);
}

std::string today() {
    const std::time_t now = std::time(nullptr);
    char text[32];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
    return text;
}

void bench(Run& run, Options options) {
    options.benchmark.prefill = !options.no_prefill;
    if (!options.csv.empty())
        checkWritableFile(options.csv);
    for (const std::string& model : options.models) {  // before any weights are read
        const ModelFacts facts = readModelFacts(model, run.loadFormat());
        checkBenchmark(options.benchmark, facts.config, facts.checkpoint->name());
    }
    ResultJson json;
    json["device"] = run.deviceJson();
    json["date"] = today();
    json["new_tokens"] = options.benchmark.new_tokens;
    json["repetitions"] = options.benchmark.repetitions;
    json["rows"] = ResultJson::array();
    json["skipped"] = ResultJson::array();
    std::vector<BenchmarkRow> rows;
    std::vector<std::vector<std::string>> table = {
        {"model", "context", "batch", "TTFT", "TPOT", "attention", "tokens/s", "KV cache", "peak memory",
         "attention of copy", "decode of bound", "prefill of product"}};
    std::string notes;
    for (const std::string& path : options.models) {
        const OpenModel model = run.open(path);
        options.benchmark.run = run.runOptions(model);
        const BenchmarkResult result =
            benchmark(run.job(), model, options.benchmark, options.skip_unfit, [&](const BenchmarkRow& row) {
                json["rows"].push_back(rowJson(row, model.model->config));
                table.push_back(tableRow(row));
                rows.push_back(row);
            });
        for (const BenchmarkSkip& skip : result.skipped) {
            json["skipped"].push_back({{"model", skip.model},
                                       {"context", skip.context},
                                       {"batch", skip.batch},
                                       {"reason", skip.reason}});
            notes += "skipped: " + skip.reason + "\n";
        }
        if (!result.rows.empty())
            notes += ceilingText(model.name, result.rows.front().ceilings) + "\n";
    }
    if (!options.csv.empty()) {
        writeTextFile(options.csv, benchmarkCsv(rows));
        json["csv"] = options.csv;
    }
    run.console().printResult(json);
    run.console().print(
        tableLines(table) + "\n" + notes + kExplanation +
        fmt::format("{} repetitions.\n{}\n", options.benchmark.repetitions, run.deviceText()));
}

}  // namespace

Command addBench(CLI::App& app, CommonOptions& common) {
    CLI::App* sub = app.add_subcommand(
        "bench", "Latency and memory over context and batch, beside what the device reaches at most");
    auto options = std::make_shared<Options>();
    BenchmarkOptions& benchmark = options->benchmark;
    sub->add_option("MODEL", options->models,
                    "Checkpoint directories, original or converted, or presets (see presets)")
        ->required();
    sub->add_option("--context", benchmark.contexts,
                    "Positions in the cache at the end, separated by commas: what prefill goes through, and "
                    "where decode ends")
        ->delimiter(',')
        ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40))
        ->capture_default_str();
    sub->add_option("--batch", benchmark.batches, "Sequences at a time, separated by commas")
        ->delimiter(',')
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str();
    sub->add_option("--new-tokens", benchmark.new_tokens, "Decode steps of a repetition")
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str();
    sub->add_option("--repetitions", benchmark.repetitions, "Repetitions, of which the median is taken")
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str();
    sub->add_option("--prefill-rows", benchmark.prefill_rows,
                    "Tokens of all sequences in one call of the prefill (0: 256 on a CPU, 2048 on a GPU)")
        ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 30))
        ->capture_default_str();
    sub->add_flag("--no-prefill", options->no_prefill, "Decode alone: no time to first token");
    sub->add_flag("--skip-unfit", options->skip_unfit,
                  "List what does not fit in memory instead of ending with an error");
    sub->add_option("--csv", options->csv, "Table to write");
    addModelOptions(*sub, common);
    addOutputOptions(*sub, common);
    return {sub, [options](Run& run) { bench(run, *options); }};
}

}  // namespace eigenscope
