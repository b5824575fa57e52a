// SPDX-License-Identifier: GPL-3.0-or-later
// sensitivity MODEL --stats STATS --text FILE: what each layer's keys and values cost at each rank, kept in
// STATS.
#include "core/evaluation/sensitivity.h"
#include "app/cli/basis_arguments.h"
#include "app/cli/commands.h"
#include "app/cli/results.h"
#include "core/calibration/corpus.h"
#include "core/evaluation/error_table.h"
#include "core/evaluation/perplexity.h"
#include "core/report/number_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <memory>

namespace eigenscope {

namespace {

struct Options {
    std::string model, statistics, text;
    BasisArguments basis;
    std::string criterion = "energy";
    int windows = 16, sequence_length = 0, grid = 16, error_points = 16;
    std::vector<int> bits;
    KvArguments* kv = nullptr;
    bool errors_only = false;
    CLI::App* app = nullptr;
};

// [layers] of [bits] of [ranks], for keys or values.
ResultJson quantisedCurves(const QuantisedSensitivity& table, std::size_t layers, std::size_t side) {
    ResultJson result = ResultJson::array();
    for (std::size_t layer = 0; layer < layers; ++layer) {
        ResultJson of_layer = ResultJson::array();
        for (std::size_t bits = 0; bits < table.grid.bits.size(); ++bits) {
            ResultJson curve = ResultJson::array();
            for (std::size_t rank = 0; rank < table.grid.ranks.size(); ++rank)
                curve.push_back(table.at(layer, side, bits, rank));
            of_layer.push_back(std::move(curve));
        }
        result.push_back(std::move(of_layer));
    }
    return result;
}

ResultJson quantisedJson(const QuantisedSensitivity& table, std::size_t layers) {
    return {{"bits", table.grid.bits},
            {"ranks", table.grid.ranks},
            {"kv_group", table.grid.group},
            {"kv_keys", nameOf(table.grid.keys)},
            {"kv_recent", table.grid.recent},
            {"keys", quantisedCurves(table, layers, 0)},
            {"values", quantisedCurves(table, layers, 1)}};
}

// What `--bits` and its companions ask for; no bits when it was not given.
QuantisedGrid quantisedGrid(const Options& options, const std::vector<int>& ranks) {
    QuantisedGrid grid;
    grid.bits = options.bits;
    std::ranges::sort(grid.bits, std::greater<>());
    const auto [first, last] = std::ranges::unique(grid.bits);
    grid.bits.erase(first, last);
    grid.ranks = quantisedRanks(ranks);
    grid.group = options.kv->group;
    grid.keys = *kvGroupingFromName(options.kv->keys);
    grid.recent = options.kv->recent;
    return grid;
}

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

// [layers] of {key_ranks, value_ranks, errors}.
ResultJson paths(const LayerErrorTable& table) {
    ResultJson result = ResultJson::array();
    for (const auto& path : table.layers) {
        ResultJson key_ranks = ResultJson::array(), value_ranks = key_ranks, errors = key_ranks;
        for (const LayerErrorTable::Point& point : path) {
            key_ranks.push_back(point.key_rank);
            value_ranks.push_back(point.value_rank);
            errors.push_back(point.error);
        }
        result.push_back({{"key_ranks", key_ranks}, {"value_ranks", value_ranks}, {"errors", errors}});
    }
    return result;
}

using Windows = std::vector<std::vector<TokenId>>;

// Empty with --errors-only.
Windows windowsOf(Run& run, const Options& options, const OpenModel& model) {
    if (options.errors_only)
        return {};
    PerplexityOptions windows;
    windows.windows = options.windows;
    windows.sequence_length = options.sequence_length;
    return evaluationWindows(run.job(), *model.tokenizer, model.model->config.max_positions, options.text,
                             windows);
}

MemoryBound boundOf(Run& run, const Options& options, const OpenModel& model, const Statistics& statistics,
                    const Windows& windows) {
    const int head_group = options.basis.resolved(statistics).head_group;
    const std::vector<int> ranks = rankGrid(statistics.head_dim * head_group, options.grid);
    const QuantisedGrid quantised = quantisedGrid(options, ranks);
    const std::size_t candidates = 2 * (ranks.size() + quantised.bits.size() * quantised.ranks.size());
    const std::int64_t length = windows.empty() ? 0 : static_cast<std::int64_t>(windows.front().size()) - 1;
    return sensitivityBound(model, statistics, static_cast<std::int64_t>(windows.size()), length,
                            static_cast<std::int64_t>(candidates), head_group, run.runOptions(model));
}

SensitivityTable measureDivergence(Run& run, const Options& options, const OpenModel& model,
                                   const Statistics& statistics, const Spectrum& spectrum,
                                   const Windows& ids) {
    const std::vector<int> ranks = rankGrid(spectrum.basisWidth(), options.grid);
    SensitivityTable table = measureSensitivity(run.job(), model, statistics, spectrum, ids, ranks,
                                                run.runOptions(model), quantisedGrid(options, ranks));
    table.text = std::filesystem::path(options.text).filename().string();
    table.fingerprint = readCorpus(run.job(), *model.tokenizer, options.text).fingerprint;
    return table;
}

void addDivergence(const SensitivityTable& table, std::size_t layers, ResultJson& json, std::string& text) {
    json["windows"] = table.windows;
    json["sequence_length"] = table.sequence_length;
    json["ranks"] = table.ranks;
    json["keys"] = curves(table, layers, 0);
    json["values"] = curves(table, layers, 1);
    if (table.quantised)
        json["quantised"] = quantisedJson(*table.quantised, layers);
    const std::size_t middle = (table.ranks.size() - 1) / 2;
    std::vector<std::vector<std::string>> rows{{"Layer", fmt::format("Keys at rank {}", table.ranks[middle]),
                                                fmt::format("Values at rank {}", table.ranks[middle])}};
    for (std::size_t layer = 0; layer < layers; ++layer)
        rows.push_back({std::to_string(layer), text::significant(table.at(layer, 0, middle), 4),
                        text::significant(table.at(layer, 1, middle), 4)});
    text +=
        tableLines(rows) + "\n" +
        factLines({{"Divergence", fmt::format("KL in nats a token, {} windows of {} tokens, {} ranks",
                                              table.windows, table.sequence_length, table.ranks.size())}});
    if (table.quantised)
        text += factLines(
            {{"Bits",
              fmt::format("{}, {} ranks each, groups of {}", fmt::join(table.quantised->grid.bits, ", "),
                          table.quantised->grid.ranks.size(), table.quantised->grid.group)}});
}

void addErrors(const LayerErrorTable& table, ResultJson& json, std::string& text) {
    json["criterion"] = table.criterion;
    json["error_windows"] = table.windows;
    json["error_sequence_length"] = table.sequence_length;
    json["layer_errors"] = paths(table);
    text += factLines(
        {{"Layer errors", fmt::format("{} windows of {} tokens, {} ranks of each layer", table.windows,
                                      table.sequence_length, table.layers.front().size())}});
}

void runSensitivity(Run& run, const Options& options) {
    if (options.errors_only == (options.app->count("--text") > 0))
        throw UsageError("sensitivity: give --text FILE, or --errors-only");
    if (options.errors_only && !options.bits.empty())
        throw UsageError("sensitivity: --bits belongs to --text FILE, not to --errors-only");
    options.kv->quantised = !options.bits.empty();
    checkWritableFile(options.statistics);
    Statistics statistics = loadStatistics(options.statistics);
    const OpenModel model = run.open(options.model);
    const Windows windows = windowsOf(run, options, model);
    const MemoryBound bound = boundOf(run, options, model, statistics, windows);
    run.stateMemory(bound);
    const auto spectrum = options.basis.compute(run, statistics);
    ResultJson json;
    std::string text;
    json["output"] = options.statistics;
    json["method"] = options.basis.method;
    json["share_key_basis"] = options.basis.options.share_key_basis;
    json["center"] = options.basis.options.center;
    json["head_group"] = spectrum->options().head_group;
    if (!options.errors_only) {
        const SensitivityTable table = measureDivergence(run, options, model, statistics, *spectrum, windows);
        statistics.tables.set(table);
        addDivergence(table, statistics.layers.size(), json, text);
    }
    const LayerErrorTable errors =
        measureErrorTable(run.job(), model, statistics, *spectrum, criterionFromName(options.criterion),
                          statistics.probe_windows, options.error_points, run.runOptions(model));
    statistics.tables.set(errors);
    addErrors(errors, json, text);
    saveStatistics(statistics, options.statistics);
    addMemory(json, bound);
    json["device"] = run.deviceJson();
    run.console().printResult(json);
    run.console().print(text + factLines({{"Method", options.basis.method},
                                          {"Statistics", options.statistics},
                                          {"Device", run.deviceText()}}));
}

}  // namespace

Command addSensitivity(CLI::App& app, CommonOptions& common) {
    CLI::App* sub = app.add_subcommand(
        "sensitivity",
        "Measure what each layer's ranks cost, for plan --allocation sensitivity and --error-budget");
    auto options = std::make_shared<Options>();
    options->app = sub;
    constexpr int kMost = std::numeric_limits<int>::max();
    sub->add_option("MODEL", options->model, "Checkpoint directory, not a converted one")->required();
    sub->add_option("--stats", options->statistics,
                    "Statistics file that `calibrate` wrote; keeps the tables")
        ->required();
    sub->add_option("--text", options->text, "Text file to measure on, best the calibration text");
    sub->add_flag("--errors-only", options->errors_only,
                  "Measure the layers' output errors alone, on windows kept in the statistics: no text");
    sub->add_option("--windows", options->windows, "Windows from the start of the text")
        ->check(CLI::Range(1, kMost))
        ->capture_default_str();
    sub->add_option("--sequence-length", options->sequence_length,
                    "Tokens of a window (default: 2048, or the model's positions when it has fewer)")
        ->check(CLI::Range(2, kMost));
    sub->add_option("--grid", options->grid, "Ranks measured, spread evenly up to the full rank")
        ->check(CLI::Range(1, 1 << 16))
        ->capture_default_str();
    sub->add_option(
           "--bits", options->bits,
           "Bits of a quantised cache to measure too, such as 8,4,3,2, at every second rank: for plan "
           "--kv-bits mixed; --kv-group, --kv-keys and --kv-recent say how")
        ->delimiter(',')
        ->check(CLI::IsMember({8, 4, 3, 2}));
    sub->add_option("--error-points", options->error_points,
                    "Ranks of each layer whose output error is measured, spread evenly over its cache size")
        ->check(CLI::Range(1, 1 << 16))
        ->capture_default_str();
    sub->add_option("--criterion", options->criterion,
                    "What the threshold that gives those ranks is a share of: eigenvalues (energy) or their "
                    "roots")
        ->check(CLI::IsMember({"energy", "singular-values"}))
        ->capture_default_str();
    addBasisOptions(*sub, options->basis, true);
    options->kv = &common.kv;
    addModelOptions(*sub, common);
    addOutputOptions(*sub, common);
    return {sub, [options](Run& run) { runSensitivity(run, *options); }};
}

}  // namespace eigenscope
