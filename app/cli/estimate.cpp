// SPDX-License-Identifier: GPL-3.0-or-later
// estimate MODEL: how much memory a run takes, and the longest context that fits.
#include "app/cli/commands.h"
#include "app/cli/model_facts.h"
#include "core/benchmark/memory_estimate.h"
#include "core/report/number_text.h"

#include <fmt/format.h>

#include <array>
#include <limits>
#include <memory>

namespace eigenscope {

namespace {

constexpr std::int64_t kGiB = std::int64_t{1} << 30;
constexpr std::array<std::int64_t, 5> kMemorySizes = {8, 16, 24, 40, 80};  // GiB of common devices

struct Options {
    std::string model;
    std::int64_t context = 0;  // 0: the model's positions
    int batch = 1;
};

void estimate(Run& run, const Options& options) {
    const ModelFacts facts = readModelFacts(options.model, run.loadFormat());
    const ModelConfig& config = facts.config;
    const KvFormat format = resolveKvFormat(run.kvFormat(), config, facts.dtype);
    const std::int64_t context = options.context > 0 ? options.context : config.max_positions;
    const std::int64_t weights = facts.checkpoint->weightBytes();
    const MemoryEstimate memory = estimateMemory(config, weights, context, options.batch, format);

    ResultJson json;
    json["context"] = context;
    json["batch"] = options.batch;
    addKvFormat(json, format, config);
    json["kv_bytes_per_token"] = kvBytesPerToken(config, format);
    json["weight_bytes"] = memory.weight_bytes;
    json["kv_bytes"] = memory.kv_bytes;
    json["scratch_bytes"] = memory.scratch_bytes;
    json["total_bytes"] = memory.total();
    json["longest_context"] = ResultJson::object();
    std::vector<std::vector<std::string>> rows = {{"memory", "longest context"}};
    const auto add = [&](const std::string& name, const std::string& label, std::int64_t bytes) {
        const std::int64_t tokens = longestContext(config, weights, bytes, options.batch, format);
        json["longest_context"][name] = tokens;
        rows.push_back({label, tokens > 0 ? text::count(tokens) : "does not fit"});
    };
    for (const std::int64_t size : kMemorySizes)
        add(fmt::format("{}GiB", size), fmt::format("{} GiB", size), size * kGiB);
    const auto available = static_cast<std::int64_t>(run.backend()->memory().available_bytes);
    add("available", text::bytes(static_cast<double>(available)) + ", free here now", available);
    json["available_bytes"] = available;
    json["device"] = run.deviceJson();
    run.console().printResult(json);

    const auto bytes = [](std::int64_t value) { return text::bytes(static_cast<double>(value)); };
    run.console().print(
        factLines(
            {{"Weights", bytes(memory.weight_bytes)},
             {"KV cache", fmt::format("{} at {}, context {}, batch {}", bytes(memory.kv_bytes),
                                      kvFormatText(format, config), text::count(context), options.batch)},
             {"Scratch", bytes(memory.scratch_bytes)},
             {"Total", bytes(memory.total())}}) +
        "\n" + tableLines(rows));
    if (context > config.max_positions)
        run.console().message(
            fmt::format("the model was made for at most {} positions", config.max_positions));
}

}  // namespace

Command addEstimate(CLI::App& app, CommonOptions& common) {
    CLI::App* sub = app.add_subcommand("estimate", "Memory of a run, and the longest context that fits");
    auto options = std::make_shared<Options>();
    sub->add_option("MODEL", options->model,
                    "Checkpoint directory, original or converted, or a preset (see presets)")
        ->required();
    sub->add_option("--context", options->context, "Tokens in the cache (default: the model's positions)")
        ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40));
    sub->add_option("--batch", options->batch, "Sequences at a time")
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str();
    addDeviceOptions(*sub, common);
    addKvFormatOption(*sub, common);
    addLoadFormatOption(*sub, common);
    addOutputOptions(*sub, common);
    return {sub, [options](Run& run) { estimate(run, *options); }};
}

}  // namespace eigenscope
