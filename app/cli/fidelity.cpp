// SPDX-License-Identifier: GPL-3.0-or-later
// fidelity MODEL MODEL2 --text FILE: how far a conversion is from its original, by layer and head.
#include "core/evaluation/fidelity.h"
#include "app/cli/commands.h"
#include "app/cli/results.h"
#include "core/base/atomic_output.h"
#include "core/report/fidelity_csv.h"
#include "core/report/number_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

namespace eigenscope {

namespace {

struct Options {
    std::string first, second, text, csv;
    PerplexityArguments perplexity;
};

void put(ResultJson& json, const char* name, const MeanAndError& value) {
    json[name] = value.mean;
    json[fmt::format("{}_standard_error", name)] = value.error;
}

ResultJson layerJson(std::size_t index, const LayerFidelity& layer) {
    ResultJson json;
    json["layer"] = index;
    put(json, "output_error", layer.output_error);
    put(json, "propagated_error", layer.propagated_error);
    json["heads"] = ResultJson::array();
    for (const HeadFidelity& head : layer.heads) {
        ResultJson entry;
        put(entry, "score_error", head.score_error);
        put(entry, "weight_distance", head.weight_distance);
        put(entry, "output_error", head.output_error);
        json["heads"].push_back(entry);
    }
    return json;
}

std::string layerTable(const FidelityResult& result) {
    std::vector<std::vector<std::string>> rows = {
        {"layer", "output error", "propagated", "worst head's scores", "weights", "output"}};
    for (std::size_t i = 0; i < result.layers.size(); ++i) {
        const LayerFidelity& layer = result.layers[i];
        HeadFidelity worst;
        for (const HeadFidelity& head : layer.heads) {
            worst.score_error.mean = std::max(worst.score_error.mean, head.score_error.mean);
            worst.weight_distance.mean = std::max(worst.weight_distance.mean, head.weight_distance.mean);
            worst.output_error.mean = std::max(worst.output_error.mean, head.output_error.mean);
        }
        rows.push_back({std::to_string(i), withError(layer.output_error), withError(layer.propagated_error),
                        text::significant(worst.score_error.mean, 3),
                        text::significant(worst.weight_distance.mean, 3),
                        text::significant(worst.output_error.mean, 3)});
    }
    return tableLines(rows);
}

void runFidelity(Run& run, const Options& options) {
    if (!options.csv.empty())
        checkWritableFile(options.csv);
    const OpenModel first = run.open(options.first);
    const OpenModel second = run.open(options.second);
    const RunOptions second_run = run.secondRunOptions(second);
    const PerplexityOptions perplexity = options.perplexity.options(run.runOptions(first));
    const auto windows = commonWindows(run.job(), first, second, options.text, perplexity);
    const MemoryBound bound =
        fidelityBound(first, second, static_cast<std::int64_t>(windows.size()),
                      static_cast<std::int64_t>(windows.front().size()) - 1, perplexity, second_run);
    run.stateMemory(bound);
    const FidelityResult result =
        fidelityOfWindows(run.job(), first, second, windows, perplexity, second_run);
    ResultJson json = toJson(result.quality);
    addMemory(json, bound);
    json["layers"] = ResultJson::array();
    for (std::size_t i = 0; i < result.layers.size(); ++i)
        json["layers"].push_back(layerJson(i, result.layers[i]));
    if (!options.csv.empty()) {
        writeTextFile(options.csv, fidelityCsv(result));
        json["csv"] = options.csv;
        run.console().message("measures written to " + options.csv);
    }
    json["device"] = run.deviceJson();
    run.console().printResult(json);
    run.console().print(layerTable(result) + "\n" +
                        qualityLines(first.name, second.name, result.quality, run.deviceText()));
}

}  // namespace

Command addFidelity(CLI::App& app, CommonOptions& common) {
    CLI::App* sub =
        app.add_subcommand("fidelity", "How far a conversion is from its original, by layer and head");
    auto options = std::make_shared<Options>();
    sub->add_option("MODEL", options->first, "Checkpoint directory of the original")->required();
    sub->add_option("MODEL2", options->second, "Checkpoint directory of the conversion")->required();
    sub->add_option("--text", options->text, "Text file")->required();
    sub->add_option("--csv", options->csv, "Write layer, head, measure, value and standard error to a file");
    addPerplexityOptions(*sub, options->perplexity);
    addModelOptions(*sub, common);
    addKvFormat2Option(*sub, common);
    addOutputOptions(*sub, common);
    return {sub, [options](Run& run) { runFidelity(run, *options); }};
}

}  // namespace eigenscope
