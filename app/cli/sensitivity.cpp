// SPDX-License-Identifier: GPL-3.0-or-later
// sensitivity MODEL --stats STATS --text FILE: what each layer's keys and values cost at each rank, kept in
// STATS.
#include "core/evaluation/sensitivity.h"
#include "app/cli/basis_arguments.h"
#include "app/cli/commands.h"
#include "app/cli/results.h"
#include "core/calibration/corpus.h"
#include "core/evaluation/perplexity.h"
#include "core/report/number_text.h"

#include <fmt/format.h>

#include <limits>
#include <memory>

namespace eigenscope {

namespace {

struct Options {
    std::string model, statistics, text;
    BasisArguments basis;
    int windows = 16, sequence_length = 0, grid = 16;
};

// [layers] of [ranks], for keys or values.
ResultJson curves(const SensitivityTable& table, std::size_t layers, std::size_t side) {
    ResultJson result = ResultJson::array();
    for (std::size_t layer = 0; layer < layers; ++layer) {
        ResultJson curve = ResultJson::array();
        for (std::size_t rank = 0; rank < table.ranks.size(); ++rank)
            curve.push_back(table.at(layer, side, rank));
        result.push_back(std::move(curve));
    }
    return result;
}

void runSensitivity(Run& run, const Options& options) {
    checkWritableFile(options.statistics);
    Statistics statistics = loadStatistics(options.statistics);
    const OpenModel model = run.open(options.model);
    const auto spectrum = options.basis.compute(run, statistics);
    PerplexityOptions windows;
    windows.windows = options.windows;
    windows.sequence_length = options.sequence_length;
    windows.run = run.runOptions(model);
    const auto ids = evaluationWindows(run.job(), *model.tokenizer, model.model->config.max_positions,
                                       options.text, windows);
    SensitivityTable table = measureSensitivity(run.job(), model, statistics, *spectrum, ids,
                                                rankGrid(statistics.head_dim, options.grid), windows.run);
    table.text = std::filesystem::path(options.text).filename().string();
    table.fingerprint = readCorpus(run.job(), *model.tokenizer, options.text).fingerprint;
    statistics.setSensitivity(table);
    saveStatistics(statistics, options.statistics);

    const std::size_t layers = statistics.layers.size();
    ResultJson json;
    json["output"] = options.statistics;
    json["method"] = table.method;
    json["share_key_basis"] = table.share_key_basis;
    json["windows"] = table.windows;
    json["sequence_length"] = table.sequence_length;
    json["ranks"] = table.ranks;
    json["keys"] = curves(table, layers, 0);
    json["values"] = curves(table, layers, 1);
    json["device"] = run.deviceJson();
    run.console().printResult(json);
    const std::size_t middle = (table.ranks.size() - 1) / 2;
    std::vector<std::vector<std::string>> rows{{"Layer", fmt::format("Keys at rank {}", table.ranks[middle]),
                                                fmt::format("Values at rank {}", table.ranks[middle])}};
    for (std::size_t layer = 0; layer < layers; ++layer)
        rows.push_back({std::to_string(layer), text::significant(table.at(layer, 0, middle), 4),
                        text::significant(table.at(layer, 1, middle), 4)});
    run.console().print(
        tableLines(rows) + "\n" +
        factLines(
            {{"Measured", fmt::format("KL divergence in nats a token, {} windows of {} tokens, {} ranks",
                                      table.windows, table.sequence_length, table.ranks.size())},
             {"Method", table.method},
             {"Statistics", options.statistics},
             {"Device", run.deviceText()}}));
}

}  // namespace

Command addSensitivity(CLI::App& app, CommonOptions& common) {
    CLI::App* sub = app.add_subcommand(
        "sensitivity", "Measure what each layer's ranks cost, for plan --allocation sensitivity");
    auto options = std::make_shared<Options>();
    constexpr int kMost = std::numeric_limits<int>::max();
    sub->add_option("MODEL", options->model, "Checkpoint directory, not a converted one")->required();
    sub->add_option("--stats", options->statistics,
                    "Statistics file that `calibrate` wrote; keeps the tables")
        ->required();
    sub->add_option("--text", options->text, "Text file to measure on, best the calibration text")
        ->required();
    sub->add_option("--windows", options->windows, "Windows from the start of the text")
        ->check(CLI::Range(1, kMost))
        ->capture_default_str();
    sub->add_option("--sequence-length", options->sequence_length,
                    "Tokens of a window (default: 2048, or the model's positions when it has fewer)")
        ->check(CLI::Range(2, kMost));
    sub->add_option("--grid", options->grid, "Ranks measured, spread evenly up to the head dimension")
        ->check(CLI::Range(1, 1 << 16))
        ->capture_default_str();
    addBasisOptions(*sub, options->basis);
    addModelOptions(*sub, common);
    addOutputOptions(*sub, common);
    return {sub, [options](Run& run) { runSensitivity(run, *options); }};
}

}  // namespace eigenscope
