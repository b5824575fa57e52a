// SPDX-License-Identifier: GPL-3.0-or-later
// calibrate MODEL --text FILE --output X.stats.safetensors: the streamed statistics of calibration texts.
#include "core/calibration/calibrate.h"
#include "app/cli/commands.h"
#include "app/cli/corpus_arguments.h"
#include "core/evaluation/error_table.h"
#include "core/report/number_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <memory>

namespace eigenscope {

namespace {

struct Options {
    std::string model, output;
    CorpusArguments corpus;
    int samples = 128;
    int sequence_length = 0;  // 0: 2048, or the model's positions when it has fewer
    std::uint64_t seed = 0;
    int attention_queries = CalibrationOptions().attention_queries;
    int head_group = 0;
    int average_samples = 1;
    int error_points = kCalibrationErrorPoints;
    CLI::Option* attention_option = nullptr;
    bool resume = false, again = false;
    double interval = CalibrationKeeper().interval_seconds;
};

// Statistics of the same run that the output holds already, or nothing.
std::optional<Statistics> sameAlready(const Options& options, const CalibrationPlan& plan) {
    std::error_code error;
    if (options.again || !std::filesystem::exists(options.output, error))
        return std::nullopt;
    try {
        Statistics statistics = loadStatistics(options.output);
        if (sameCalibration(statistics, plan))
            return statistics;
    } catch (const Error&) {
        // Whatever it is, it is replaced, as it always was.
    }
    return std::nullopt;
}

// What a run kept that ended between writing its statistics and removing this.
void removeKept(const Options& options, const CalibrationPlan& plan) {
    const auto partial = partialFileOf(options.output);
    std::error_code error;
    if (!std::filesystem::exists(partial, error))
        return;
    try {
        checkSameRun(loadPartialCalibration(partial), plan.description.identity, partial);
        std::filesystem::remove(partial, error);
    } catch (const Error&) {
        // Of another run, or nothing that this program wrote: not ours to remove.
    }
}

Statistics runPlan(Run& run, const OpenModel& model, const CalibrationPlan& plan, const Options& options,
                   std::int64_t& resumed) {
    CalibrationKeeper keeper;
    const auto partial = partialFileOf(options.output);
    std::error_code error;
    if (options.resume) {
        if (std::filesystem::exists(partial, error)) {
            keeper.start = loadPartialCalibration(partial, plan.options.run.states);
            checkSameRun(*keeper.start, plan.description.identity, partial);
            resumed = keeper.start->windows;
            const std::string layer = keeper.start->states
                                          ? fmt::format("in layer {} of {}, ", keeper.start->layers.size(),
                                                        model.model->config.layers)
                                          : "";
            run.console().message(
                fmt::format("continuing {}behind window {} of {}", layer, resumed, plan.windows.size()));
        }
        keeper.keep = [&](const PartialCalibration& sums) { savePartialCalibration(sums, partial); };
        keeper.interval_seconds = options.interval;
    }
    Statistics statistics = runCalibration(run.job(), model, plan, keeper);
    if (options.error_points > 0)
        measureErrorTables(run.job(), model, statistics, options.error_points, plan.options.run);
    saveStatistics(statistics, options.output);
    if (options.resume)
        std::filesystem::remove(partial, error);
    return statistics;
}

ResultJson textsJson(const Statistics& statistics) {
    ResultJson texts = ResultJson::array();
    for (const CorpusFileSummary& file : statistics.corpus.files) {
        ResultJson entry;
        entry["file"] = file.name;
        entry["fingerprint"] = file.fingerprint;
        entry["format"] = file.format;
        entry["sampling"] = file.sampling;
        entry["weight"] = file.weight;
        entry["documents"] = file.documents;
        entry["windows"] = file.windows;
        texts.push_back(std::move(entry));
    }
    return texts;
}

std::string textLine(const CorpusFileSummary& file) {
    const std::string windows = fmt::format("{}: {} windows", file.name, text::count(file.windows));
    return file.sampling == "whole"
               ? windows
               : fmt::format("{} of {} documents, {}", windows, text::count(file.documents), file.sampling);
}

void runCalibration(Run& run, const Options& options) {
    if (options.average_samples > 1 && options.attention_option->count() > 0 && options.attention_queries > 0)
        throw UsageError(
            "calibrate: --average-samples leaves no attention to weigh by; give "
            "--attention-queries 0, or neither");
    checkWritableFile(options.output);
    const CorpusSpec corpus = options.corpus.spec();
    const OpenModel model = run.open(options.model);
    CalibrationOptions calibration;
    calibration.samples = options.samples;
    calibration.sequence_length = options.sequence_length > 0
                                      ? options.sequence_length
                                      : std::min(2048, model.model->config.max_positions);
    calibration.seed = options.seed;
    calibration.attention_queries = options.average_samples > 1 ? 0 : options.attention_queries;
    calibration.head_group = options.head_group;
    calibration.average_samples = options.average_samples;
    calibration.run = run.runOptions(model);
    const CalibrationPlan plan = planCalibration(run.job(), model, corpus, calibration);
    std::optional<Statistics> same = sameAlready(options, plan);
    const MemoryBound bound = calibrationBound(model, calibration, options.error_points, options.resume);
    if (!same)
        run.stateMemory(bound);
    if (same && options.resume)
        removeKept(options, plan);
    std::int64_t resumed = 0;
    const Statistics statistics = same ? *std::move(same) : runPlan(run, model, plan, options, resumed);

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
    json["corpus_fingerprint"] = statistics.calibration.fingerprint;
    json["texts"] = textsJson(statistics);
    json["reused"] = same.has_value();
    json["resumed_windows"] = resumed;
    addMemory(json, bound);
    json["device"] = run.deviceJson();
    run.console().printResult(json);
    std::vector<std::pair<std::string, std::string>> facts{{"Statistics", options.output}};
    if (same)
        facts.emplace_back(
            "", "were there already, of the same model, texts and options; --again makes them anew");
    facts.emplace_back("Calibration", fmt::format("{} windows of {} tokens, seed {}", options.samples,
                                                  calibration.sequence_length, options.seed));
    for (const CorpusFileSummary& file : statistics.corpus.files)
        facts.emplace_back(&file == &statistics.corpus.files.front() ? "Text" : "", textLine(file));
    facts.emplace_back("Model",
                       fmt::format("{}: {} layers, {} key/value heads of {}", statistics.model_name,
                                   statistics.layers.size(), statistics.kv_heads, statistics.head_dim));
    facts.emplace_back("Device", run.deviceText());
    run.console().print(factLines(facts));
}

}  // namespace

Command addCalibrate(CLI::App& app, CommonOptions& common) {
    CLI::App* sub =
        app.add_subcommand("calibrate", "Run calibration texts through a model and keep its statistics");
    auto options = std::make_shared<Options>();
    constexpr int kMost = std::numeric_limits<int>::max();
    sub->add_option("MODEL", options->model, "Checkpoint directory, not a converted one")->required();
    addCorpusOptions(*sub, options->corpus);
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
    sub->add_option(
           "--head-group", options->head_group,
           "Key/value heads whose moments are also taken together, for latents that they share (0: the "
           "most that fit a width of 256; 1: none)")
        ->check(CLI::Range(0, 1 << 16))
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
    sub->add_flag(
        "--resume", options->resume,
        "Keep what is done in OUTPUT.partial, at intervals and when interrupted, and go on from it");
    sub->add_option("--keep-every", options->interval, "Seconds between two such files")
        ->check(CLI::Range(0.0, 1e6))
        ->capture_default_str();
    sub->add_flag("--again", options->again,
                  "Calibrate even when OUTPUT is of the same model, texts and options already");
    addModelOptions(*sub, common);
    addOutputOptions(*sub, common);
    return {sub, [options](Run& run) { runCalibration(run, *options); }};
}

}  // namespace eigenscope
