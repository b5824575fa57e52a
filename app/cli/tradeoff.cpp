// SPDX-License-Identifier: GPL-3.0-or-later
// tradeoff MODEL --stats STATS --text FILE: what held-out text loses over KV ratio, a curve a method and
// allocation.
#include "core/evaluation/tradeoff.h"
#include "app/cli/commands.h"
#include "app/cli/results.h"
#include "core/base/atomic_output.h"
#include "core/base/fail.h"
#include "core/report/number_text.h"
#include "core/report/tradeoff_report.h"
#include "core/spectrum/allocation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

namespace eigenscope {

namespace {

struct Options {
    std::string model, statistics, text, refit_text, criterion = "energy", csv, svg;
    std::vector<double> ratios = TradeoffOptions().ratios, mixed_ratios = TradeoffOptions().mixed_ratios;
    std::vector<std::string> methods, allocations;
    int rank_multiple = 8, refit_windows = 16, head_group = 0;
    PerplexityArguments windows;
    KvArguments* kv = nullptr;
};

// A curve asked for by name needs its tables; the error names the command that measures them.
void checkTables(const Statistics& statistics, const TradeoffCurve& curve, const Options& options) {
    RankPlan plan;
    plan.method = curve.method;
    plan.setBasisOptions(curve.options);
    plan.criterion = criterionFromName(options.criterion);
    if (canAllocate(curve.allocation, plan, statistics.tables))
        return;
    failInput(options.statistics,
              fmt::format("holds no tables for {0} with allocation {1}; measure them: eigenscope-cli "
                          "sensitivity MODEL --stats {2} {3} --method {0}{4}{5}",
                          curve.method, nameOf(curve.allocation), options.statistics,
                          curve.allocation == Allocation::ErrorBudget ? "--errors-only" : "--text FILE",
                          curve.options.head_group == usualHeadGroup(curve.method, false, statistics)
                              ? std::string()
                              : fmt::format(" --head-group {}", curve.options.head_group),
                          options.criterion == "energy" ? "" : " --criterion " + options.criterion));
}

bool canMixBits(const Statistics& statistics, const TradeoffCurve& curve) {
    RankPlan plan;
    plan.method = curve.method;
    plan.setBasisOptions(curve.options);
    return eigenscope::canMixBits(plan, statistics.tables);
}

// The published curve and the plain caches; then what was asked for, or all that the statistics have tables
// for.
std::vector<TradeoffCurve> curvesOf(const Statistics& statistics, const Options& options) {
    std::vector<TradeoffCurve> curves;
    if (options.methods.empty() && options.allocations.empty() && options.head_group == 0) {
        curves = availableCurves(statistics, criterionFromName(options.criterion));
    } else {
        std::vector<std::string> methods = options.methods, allocations = options.allocations;
        for (const BasisMethod& method : basisMethods()) {
            if (options.methods.empty())
                methods.emplace_back(method.name);
        }
        if (allocations.empty())
            allocations = {"threshold", "error-budget", "sensitivity"};
        curves = {publishedCurve(statistics), plainCurve()};
        for (const std::string& method : methods) {
            const BasisOptions basis{.head_group = options.head_group > 0
                                                       ? options.head_group
                                                       : usualHeadGroup(method, false, statistics)};
            for (const std::string& allocation : allocations) {
                curves.push_back(tradeoffCurve(method, allocationFromName(allocation), false, basis));
                checkTables(statistics, curves.back(), options);
                if (const TradeoffCurve mixed = mixedCurve(method, basis);
                    allocation == "sensitivity" && canMixBits(statistics, mixed))
                    curves.push_back(mixed);
            }
        }
    }
    if (!options.refit_text.empty()) {
        const std::size_t without = curves.size();
        for (std::size_t i = 1; i < without; ++i) {  // the published one stays as it is
            const TradeoffCurve& curve = curves[i];
            if (!curve.plain())
                curves.push_back(curve.mixed_bits
                                     ? mixedCurve(curve.method, curve.options, true)
                                     : tradeoffCurve(curve.method, curve.allocation, true, curve.options));
        }
    }
    return curves;
}

ResultJson rowOf(const TradeoffPoint& point, const TradeoffCurve& curve) {
    return {
        {"name", curve.name},
        {"method", curve.plain() ? "plain" : curve.method},
        {"head_group", curve.options.head_group},
        {"allocation", curve.plain() ? std::string_view() : nameOf(curve.allocation)},
        {"refit", curve.refit},
        {"target", point.target},
        {"kv_ratio", point.kv_ratio},
        {"bytes_per_token", point.bytes_per_token},
        {"perplexity", point.perplexity},
        {"nats_lost", point.nats_lost},
        {"standard_error", point.standard_error},  // null for a single window
        {"bits", point.bits.empty() ? ResultJson()
                                    : ResultJson{{"keys", point.bits.keys}, {"values", point.bits.values}}},
        {"expected_divergence", point.expected_divergence}};  // null without tables
}

void printTradeoff(Run& run, const Options& options, const TradeoffResult& result,
                   const std::vector<TradeoffCurve>& curves, const MemoryBound& bound) {
    ResultJson json;
    json["original"] = {{"perplexity", result.original.perplexity},
                        {"standard_error", result.original.standard_error},
                        {"bytes_per_token", result.original_bytes_per_token}};
    json["windows"] = result.original.windows;
    json["tokens"] = result.original.tokens;
    json["rows"] = ResultJson::array();
    std::vector<std::vector<std::string>> table{
        {"method + allocation", "KV ratio", "bits", "bytes a token", "perplexity", "nats lost", "+-"}};
    table.push_back({"original", "1.0000", "", std::to_string(result.original_bytes_per_token),
                     text::fixed(result.original.perplexity, 4), "0", ""});
    for (const TradeoffPoint& point : result.points) {
        const TradeoffCurve& curve = curves[point.curve];
        json["rows"].push_back(rowOf(point, curve));
        table.push_back({curve.name, fmt::format("{:.4f}", point.kv_ratio),
                         point.bits.empty() ? std::string() : point.bits.text(),
                         std::to_string(point.bytes_per_token), text::fixed(point.perplexity, 4),
                         fmt::format("{:.5f}", point.nats_lost),
                         std::isfinite(point.standard_error) ? fmt::format("{:.5f}", point.standard_error)
                                                             : std::string("?")});
    }
    if (!options.csv.empty())
        json["csv"] = options.csv;
    if (!options.svg.empty())
        json["svg"] = options.svg;
    addMemory(json, bound);
    json["device"] = run.deviceJson();
    run.console().printResult(json);
    run.console().print(
        tableLines(table) + "\n" +
        factLines({{"Text", fmt::format("{}, {} windows", options.text, result.original.windows)},
                   {"Device", run.deviceText()}}));
}

MemoryBound boundOf(const OpenModel& model, const Statistics& statistics,
                    const std::vector<TradeoffCurve>& curves, const TradeoffOptions& options) {
    int head_group = 1;
    for (const TradeoffCurve& curve : curves)
        head_group = std::max(head_group, curve.options.head_group);
    const int refit_length =
        options.refit_windows.empty() ? 0 : static_cast<int>(options.refit_windows.front().size());
    return tradeoffBound(model, statistics, head_group, static_cast<std::int64_t>(options.windows.size()),
                         static_cast<std::int64_t>(options.windows.front().size()) - 1,
                         static_cast<int>(options.refit_windows.size()), refit_length, options.run);
}

void runTradeoff(Run& run, const Options& options) {
    options.kv->quantised = true;  // the plain caches are
    for (const std::string& file : {options.csv, options.svg}) {
        if (!file.empty())
            checkWritableFile(file);
    }
    const Statistics statistics = loadStatistics(options.statistics);
    const std::vector<TradeoffCurve> curves = curvesOf(statistics, options);
    const OpenModel model = run.open(options.model);
    TradeoffOptions tradeoff;
    tradeoff.run = run.runOptions(model);
    tradeoff.ratios = options.ratios;
    std::sort(tradeoff.ratios.begin(), tradeoff.ratios.end(), std::greater<>());
    tradeoff.mixed_ratios = options.mixed_ratios;
    std::sort(tradeoff.mixed_ratios.begin(), tradeoff.mixed_ratios.end(), std::greater<>());
    tradeoff.plain.group = options.kv->group;
    tradeoff.plain.keys = *kvGroupingFromName(options.kv->keys);
    tradeoff.plain.recent = options.kv->recent;
    tradeoff.criterion = criterionFromName(options.criterion);
    tradeoff.rank_multiple = options.rank_multiple;
    PerplexityOptions windows = options.windows.options(tradeoff.run);
    const int positions = model.model->config.max_positions;
    tradeoff.windows = evaluationWindows(run.job(), *model.tokenizer, positions, options.text, windows);
    if (!options.refit_text.empty()) {
        windows.windows = options.refit_windows;
        tradeoff.refit_windows =
            evaluationWindows(run.job(), *model.tokenizer, positions, options.refit_text, windows);
    }
    const MemoryBound bound = boundOf(model, statistics, curves, tradeoff);
    run.stateMemory(bound);
    const TradeoffResult result = measureTradeoff(run.job(), model, statistics, curves, tradeoff);
    if (!options.csv.empty())
        writeTextFile(options.csv, tradeoffCsv(result, curves));
    if (!options.svg.empty())
        writeTextFile(options.svg, tradeoffSvg(result, curves));
    printTradeoff(run, options, result, curves, bound);
}

}  // namespace

Command addTradeoff(CLI::App& app, CommonOptions& common) {
    CLI::App* sub = app.add_subcommand("tradeoff",
                                       "Perplexity and nats lost over KV ratio, for every method and "
                                       "allocation, beside plain quantised caches");
    auto options = std::make_shared<Options>();
    std::vector<std::string> methods;
    for (const BasisMethod& method : basisMethods())
        methods.emplace_back(method.name);
    sub->add_option("MODEL", options->model, "Checkpoint directory, not a converted one")->required();
    sub->add_option("--stats", options->statistics, "Statistics file that `calibrate` wrote")->required();
    sub->add_option("--text", options->text, "Held-out text to measure on")->required();
    sub->add_option("--ratios", options->ratios, "KV ratios, separated by commas")
        ->delimiter(',')
        ->check(CLI::Range(1e-6, 1.0))
        ->capture_default_str();
    sub->add_option("--mixed-ratios", options->mixed_ratios,
                    "KV ratios of curves that share out ranks and bits together (`sensitivity --bits`)")
        ->delimiter(',')
        ->check(CLI::Range(1e-6, 1.0))
        ->capture_default_str();
    sub->add_option("--methods", options->methods,
                    "Methods beside the published one, separated by commas (default: all that the statistics "
                    "have moments for)")
        ->delimiter(',')
        ->check(CLI::IsMember(methods));
    sub->add_option(
           "--head-group", options->head_group,
           "With --methods or --allocations: key/value heads that share one latent (default: as many "
           "as `calibrate` took together for attention-aware, 1 for eigen)")
        ->check(CLI::Range(1, 1 << 16));
    sub->add_option("--allocations", options->allocations,
                    "threshold, error-budget, sensitivity (default: all that the statistics have tables for)")
        ->delimiter(',')
        ->check(CLI::IsMember({"threshold", "error-budget", "sensitivity"}));
    sub->add_option("--refit-text", options->refit_text,
                    "Also each curve with output projections refitted on this text");
    sub->add_option("--refit-windows", options->refit_windows, "Windows from the start of that text")
        ->check(CLI::Range(1, 1 << 30))
        ->capture_default_str();
    sub->add_option("--criterion", options->criterion, "What thresholds are a share of")
        ->check(CLI::IsMember({"energy", "singular-values"}))
        ->capture_default_str();
    sub->add_option("--rank-multiple", options->rank_multiple, "Ranks are multiples of this")
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
    sub->add_option("--csv", options->csv, "Table to write");
    sub->add_option("--svg", options->svg, "Picture to write");
    addPerplexityOptions(*sub, options->windows);
    addModelOptions(*sub, common);
    options->kv = &common.kv;
    addOutputOptions(*sub, common);
    return {sub, [options](Run& run) { runTradeoff(run, *options); }};
}

}  // namespace eigenscope
