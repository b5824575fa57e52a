// SPDX-License-Identifier: GPL-3.0-or-later
// convert MODEL --stats STATS --plan PLAN.json --output DIR: a low-rank checkpoint.
#include "core/compression/convert.h"
#include "app/cli/commands.h"
#include "app/cli/results.h"
#include "core/calibration/statistics.h"
#include "core/model/kv_cache.h"
#include "core/report/number_text.h"

#include <fmt/format.h>

#include <memory>

namespace eigenscope {

namespace {

struct Options {
    std::string model, statistics, plan, output;
};

void convertModel(Run& run, const Options& options) {
    checkWritableDirectory(options.output);
    const RankPlan plan = loadPlan(options.plan);
    const Statistics statistics = loadStatistics(options.statistics);
    checkPlan(plan, static_cast<int>(statistics.layers.size()), statistics.head_dim, options.plan);
    const OpenModel original = run.open(options.model);
    const RunOptions run_options = run.runOptions(original);
    const auto spectrum = computeSpectrum(run.job(), *run.backend(), statistics, plan.method,
                                          {.share_key_basis = plan.share_key_basis});
    const OpenModel converted = convertInMemory(run.job(), original, statistics, *spectrum, plan);
    const std::vector<double> errors =
        layerErrors(run.job(), original, converted, statistics.probe_windows, run_options);
    writeConverted(run.job(), original, converted, options.output);

    const double ratio = kvRatio(converted.model->config);
    ResultJson json;
    json["output"] = options.output;
    json["kv_ratio"] = ratio;
    json["weight_bytes"] = converted.model->weightBytes();
    json["layer_errors"] = errors;
    json["key_ranks"] = plan.key_ranks;
    json["value_ranks"] = plan.value_ranks;
    json["device"] = run.deviceJson();
    run.console().printResult(json);
    run.console().print(
        rankTable(plan.key_ranks, plan.value_ranks, statistics.head_dim, errors) + "\n" +
        factLines({{"KV ratio", fmt::format("{:.4f}", ratio)},
                   {"Weights",
                    fmt::format("{} -> {}", text::bytes(static_cast<double>(original.model->weightBytes())),
                                text::bytes(static_cast<double>(converted.model->weightBytes())))},
                   {"Checkpoint", options.output}}));
}

}  // namespace

Command addConvert(CLI::App& app, CommonOptions& common) {
    CLI::App* sub = app.add_subcommand("convert", "Write a checkpoint with low-rank attention");
    auto options = std::make_shared<Options>();
    sub->add_option("MODEL", options->model, "Checkpoint directory, not a converted one")->required();
    sub->add_option("--stats", options->statistics, "Statistics file that `calibrate` wrote")->required();
    sub->add_option("--plan", options->plan, "Plan that `plan` wrote")->required();
    sub->add_option("--output,-o", options->output, "Directory to write; must not exist or be empty")
        ->required();
    addModelOptions(*sub, common);
    addOutputOptions(*sub, common);
    return {sub, [options](Run& run) { convertModel(run, *options); }};
}

}  // namespace eigenscope
