// SPDX-License-Identifier: GPL-3.0-or-later
// convert MODEL --stats STATS --plan PLAN.json --output DIR [--refit --text FILE]: a low-rank checkpoint.
#include "core/compression/convert.h"
#include "app/cli/commands.h"
#include "app/cli/results.h"
#include "core/calibration/corpus.h"
#include "core/calibration/statistics.h"
#include "core/compression/refit.h"
#include "core/evaluation/compare.h"
#include "core/model/kv_cache.h"
#include "core/report/number_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

namespace eigenscope {

namespace {

struct Options {
    std::string model, statistics, plan, output, text;
    bool refit = false;
    int windows = 16, sequence_length = 0;
    CLI::App* app = nullptr;
};

// The converted model with its output projections refitted on the text.
OpenModel refitted(Run& run, const Options& options, const OpenModel& original, const OpenModel& converted) {
    PerplexityOptions windows;
    windows.windows = options.windows;
    windows.sequence_length = options.sequence_length;
    const auto ids = evaluationWindows(run.job(), *original.tokenizer, original.model->config.max_positions,
                                       options.text, windows);
    RefitOptions refit;
    refit.run = run.runOptions(original);
    refit.text = std::filesystem::path(options.text).filename().string();
    refit.fingerprint = readCorpus(run.job(), *original.tokenizer, options.text).fingerprint;
    return refitOutputs(run.job(), original, converted, ids, refit);
}

void convertModel(Run& run, const Options& options) {
    const bool refit_options = options.app->count("--text") > 0 ||
                               options.app->count("--refit-windows") > 0 ||
                               options.app->count("--sequence-length") > 0;
    if (options.refit ? options.app->count("--text") == 0 : refit_options)
        throw UsageError("convert: --refit and --text FILE belong together");
    checkWritableDirectory(options.output);
    const RankPlan plan = loadPlan(options.plan);
    const Statistics statistics = loadStatistics(options.statistics);
    checkPlan(plan, static_cast<int>(statistics.layers.size()), statistics.head_dim * plan.head_group,
              options.plan);
    const OpenModel original = run.open(options.model);
    const RunOptions run_options = run.runOptions(original);
    const MemoryBound bound =
        conversionBound(original, statistics, plan, options.refit ? options.windows : 0,
                        options.sequence_length > 0 ? options.sequence_length
                                                    : std::min(2048, original.model->config.max_positions),
                        run_options);
    run.stateMemory(bound);
    const auto spectrum =
        computeSpectrum(run.job(), *run.backend(), statistics, plan.method, plan.basisOptions());
    OpenModel converted = convertInMemory(run.job(), original, statistics, *spectrum, plan);
    if (options.refit)
        converted = refitted(run, options, original, converted);
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
    json["refit"] = options.refit;
    addMemory(json, bound);
    json["device"] = run.deviceJson();
    run.console().printResult(json);
    run.console().print(
        rankTable(plan, statistics.head_dim * plan.head_group, errors) + "\n" +
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
    options->app = sub;
    sub->add_option("MODEL", options->model, "Checkpoint directory, not a converted one")->required();
    sub->add_option("--stats", options->statistics, "Statistics file that `calibrate` wrote")->required();
    sub->add_option("--plan", options->plan, "Plan that `plan` wrote")->required();
    sub->add_option("--output,-o", options->output, "Directory to write; must not exist or be empty")
        ->required();
    sub->add_flag("--refit", options->refit,
                  "Fit the output projections anew, layer by layer, so that each layer comes nearest to the "
                  "original's");
    sub->add_option("--text", options->text, "Text to refit on, best the calibration text");
    sub->add_option("--refit-windows", options->windows, "Windows from the start of the text")
        ->check(CLI::Range(1, 1 << 30))
        ->capture_default_str();
    sub->add_option("--sequence-length", options->sequence_length,
                    "Tokens of a window (default: the model's positions, at most 2048)")
        ->check(CLI::Range(2, 1 << 30));
    addModelOptions(*sub, common);
    addOutputOptions(*sub, common);
    return {sub, [options](Run& run) { convertModel(run, *options); }};
}

}  // namespace eigenscope
