// SPDX-License-Identifier: GPL-3.0-or-later
// calibrate MODEL --text FILE --output X.stats.safetensors: the streamed statistics of a calibration text.
#include "core/calibration/calibrate.h"
#include "app/cli/commands.h"
#include "core/evaluation/error_table.h"
#include "core/report/number_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>

namespace eigenscope {

namespace {

struct Options {
    std::string model, text, output;
    int samples = 128;
    int sequence_length = 0;  // 0: 2048, or the model's positions when it has fewer
    std::uint64_t seed = 0;
    int attention_queries = CalibrationOptions().attention_queries;
    int average_samples = 1;
    int error_points = kCalibrationErrorPoints;
    CLI::Option* attention_option = nullptr;
};

void runCalibration(Run& run, const Options& options) {
    if (options.average_samples > 1 && options.attention_option->count() > 0 && options.attention_queries > 0)
        throw UsageError(
            "calibrate: --average-samples leaves no attention to weigh by; give "
            "--attention-queries 0, or neither");
    checkWritableFile(options.output);
    const OpenModel model = run.open(options.model);
    CalibrationOptions calibration;
    calibration.samples = options.samples;
    calibration.sequence_length = options.sequence_length > 0
                                      ? options.sequence_length
                                      : std::min(2048, model.model->config.max_positions);
    calibration.seed = options.seed;
    calibration.attention_queries = options.average_samples > 1 ? 0 : options.attention_queries;
    calibration.average_samples = options.average_samples;
    calibration.run = run.runOptions(model);
    Statistics statistics = calibrate(run.job(), model, options.text, calibration);
    if (options.error_points > 0)
        measureErrorTables(run.job(), model, statistics, options.error_points, calibration.run);
    saveStatistics(statistics, options.output);

    ResultJson json;
    json["output"] = options.output;
    json["samples"] = options.samples;
    json["sequence_length"] = calibration.sequence_length;
    json["seed"] = options.seed;
    json["attention_queries"] = calibration.attention_queries;
    json["average_samples"] = options.average_samples;
    json["error_points"] = options.error_points;
    json["tokens"] = statistics.tokens;
    json["layers"] = statistics.layers.size();
    json["kv_heads"] = statistics.kv_heads;
    json["head_dim"] = statistics.head_dim;
    json["device"] = run.deviceJson();
    run.console().printResult(json);
    run.console().print(
        factLines({{"Statistics", options.output},
                   {"Calibration", fmt::format("{} windows of {} tokens, seed {}", options.samples,
                                               calibration.sequence_length, options.seed)},
                   {"Model", fmt::format("{}: {} layers, {} key/value heads of {}", statistics.model_name,
                                         statistics.layers.size(), statistics.kv_heads, statistics.head_dim)},
                   {"Device", run.deviceText()}}));
}

}  // namespace

Command addCalibrate(CLI::App& app, CommonOptions& common) {
    CLI::App* sub =
        app.add_subcommand("calibrate", "Run a calibration text through a model and keep its statistics");
    auto options = std::make_shared<Options>();
    constexpr int kMost = std::numeric_limits<int>::max();
    sub->add_option("MODEL", options->model, "Checkpoint directory, not a converted one")->required();
    sub->add_option("--text", options->text, "Calibration text file")->required();
    sub->add_option("--samples", options->samples, "Windows taken at random places")
        ->check(CLI::Range(1, kMost))
        ->capture_default_str();
    sub->add_option("--sequence-length", options->sequence_length,
                    "Tokens of a window (default: 2048, or the model's positions when it has fewer)")
        ->check(CLI::Range(1, kMost));
    sub->add_option("--seed", options->seed, "Seed of the places")->capture_default_str();
    options->attention_option =
        sub->add_option("--attention-queries", options->attention_queries,
                        "Query positions sampled in each window for method attention-aware (0: leave it out)")
            ->check(CLI::Range(0, kMost))
            ->capture_default_str();
    sub->add_option("--average-samples", options->average_samples,
                    "Windows whose queries, keys and values are averaged, position by position, before they "
                    "count (the published code; leaves method attention-aware out)")
        ->check(CLI::Range(1, kMost))
        ->capture_default_str();
    sub->add_option("--error-points", options->error_points,
                    "Ranks of each layer whose output error is measured for plan --error-budget (0: none)")
        ->check(CLI::Range(0, 1 << 16))
        ->capture_default_str();
    sub->add_option("--output,-o", options->output, "Statistics file to write (*.stats.safetensors)")
        ->required();
    addModelOptions(*sub, common);
    addOutputOptions(*sub, common);
    return {sub, [options](Run& run) { runCalibration(run, *options); }};
}

}  // namespace eigenscope
