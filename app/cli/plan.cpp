// SPDX-License-Identifier: GPL-3.0-or-later
// plan STATS: ranks for every layer, from thresholds, an error budget, a KV ratio or a memory size.
#include "app/cli/basis_arguments.h"
#include "app/cli/commands.h"
#include "app/cli/layer_settings.h"
#include "app/cli/model_facts.h"
#include "app/cli/results.h"
#include "core/base/fail.h"
#include "core/compression/context_fit.h"
#include "core/compression/converted_config.h"
#include "core/generation/generate.h"
#include "core/report/number_text.h"
#include "core/spectrum/allocation.h"
#include "core/spectrum/error_budget.h"
#include "core/spectrum/rank_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <utility>

namespace eigenscope {

namespace {

constexpr const char* kMixed = "mixed";

struct Options {
    std::string statistics, output, model, memory, criterion = "energy", allocation = "threshold";
    BasisArguments basis;
    LayerSettings layers;
    int rank_multiple = 8;
    double threshold = 0, key_threshold = 0, value_threshold = 0, kv_ratio = 0, rank_ratio = 0,
           error_budget = 0;
    std::int64_t fit_context = 0;
    int batch = 1, key_bits = kUnquantised, value_bits = kUnquantised;
    std::string kv_bits = "16";
    KvArguments* kv = nullptr;
    CLI::App* app = nullptr;

    bool mixed() const { return kv_bits == kMixed; }
    // Of --kv-bits when it is a number.
    int bothBits() const { return mixed() ? kUnquantised : std::stoi(kv_bits); }

    bool given(const char* name) const { return app->count(name) > 0; }
};

void checkGoal(const Options& options) {
    const bool apart = options.given("--key-threshold") || options.given("--value-threshold");
    const bool thresholds = apart || options.given("--threshold"), budget = options.given("--error-budget");
    const int goals = (options.given("--threshold") ? 1 : 0) + (apart ? 1 : 0) + (budget ? 1 : 0) +
                      (options.given("--kv-ratio") ? 1 : 0) + (options.given("--rank-ratio") ? 1 : 0) +
                      (options.given("--fit-context") ? 1 : 0);
    if (goals != 1) {
        throw UsageError(
            "plan: give one of --threshold E, --key-threshold E with --value-threshold E, --error-budget B, "
            "--kv-ratio X, --rank-ratio X, --fit-context N with --memory BYTES");
    }
    if (apart && options.given("--key-threshold") != options.given("--value-threshold"))
        throw UsageError("plan: --key-threshold and --value-threshold belong together");
    if (options.given("--fit-context") != options.given("--memory"))
        throw UsageError("plan: --fit-context and --memory belong together");
    if (thresholds && options.allocation != "threshold")
        throw UsageError("plan: --allocation " + options.allocation +
                         " shares out --kv-ratio X, --rank-ratio X, or --fit-context N with --memory" +
                         (options.allocation == "error-budget" ? ", or takes --error-budget B" : ""));
    if (budget && options.given("--allocation") && options.allocation != "error-budget")
        throw UsageError("plan: --error-budget belongs to --allocation error-budget");
    if (options.given("--kv-bits") && (options.given("--key-bits") || options.given("--value-bits")))
        throw UsageError("plan: --kv-bits sets both --key-bits and --value-bits: give one or the others");
    if (options.mixed() && options.allocation != "sensitivity")
        throw UsageError("plan: --kv-bits mixed belongs to --allocation sensitivity");
    if (options.mixed() && options.given("--rank-ratio"))
        throw UsageError("plan: --kv-bits mixed shares out bytes: give --kv-ratio X, not --rank-ratio");
    options.kv->quantised = options.mixed() || std::min({options.bothBits(), options.key_bits,
                                                         options.value_bits}) < kUnquantised;
    const auto format = kvFormatFromName(options.kv->format);
    checkKvArguments(*options.kv, options.kv->quantised || (format && format->hasCodes()));
    if (!options.given("--fit-context") && (options.given("--model") || options.given("--batch")))
        throw UsageError("plan: --model and --batch belong to --fit-context");
}

// What --fit-context asks for: with the model's headers its weights and scratch count too, without them the
// cache alone.
ContextGoal contextGoal(Run& run, const Options& options, const Statistics& statistics) {
    ContextGoal goal;
    goal.context = options.fit_context;
    goal.memory_bytes = *parseByteSize(options.memory);
    goal.batch = options.batch;
    ModelConfig& config = goal.original;
    config.layers = static_cast<int>(statistics.layers.size());
    config.query_heads = statistics.query_heads;
    config.kv_heads = statistics.kv_heads;
    config.head_dim = statistics.head_dim;
    DType weights = DType::F32;
    if (!options.model.empty()) {
        const ModelFacts facts = readModelFacts(options.model, LoadFormat::Auto);
        if (facts.config.layers != config.layers || facts.config.kv_heads != config.kv_heads ||
            facts.config.head_dim != config.head_dim || facts.config.low_rank) {
            failInput(options.model,
                      fmt::format("is not the model of {}: expected {} layers of {} key/value heads, "
                                  "{} wide, not converted",
                                  options.statistics, config.layers, config.kv_heads, config.head_dim));
        }
        config = facts.config;
        goal.weight_bytes = facts.checkpoint->weightBytes();
        weights = facts.dtype;
    }
    // The plan's bits unless --kv-format says otherwise.
    goal.format = [asked = run.kvFormat(), original = config, weights](const RankPlan& plan) {
        return resolveKvFormat(asked, convertedConfig(original, plan), weights);
    };
    return goal;
}

// Codes are planned as they were measured; what was asked for otherwise is refused.
void checkMeasuredGroups(const QuantisedSensitivity& quantised, const Options& options) {
    const QuantisedGrid& grid = quantised.grid;
    const auto check = [&](const char* option, const std::string& asked, const std::string& measured) {
        if (options.given(option) && asked != measured)
            failInput(options.statistics,
                      fmt::format("its tables over bits were measured with {0} {1}, not {2}; measure them "
                                  "anew: eigenscope-cli sensitivity MODEL --bits 8,4,3,2 {0} {2}",
                                  option, measured, asked));
    };
    check("--kv-group", std::to_string(options.kv->group), std::to_string(grid.group));
    check("--kv-keys", options.kv->keys, std::string(nameOf(grid.keys)));
    check("--kv-recent", std::to_string(options.kv->recent), std::to_string(grid.recent));
}

// Fails, naming the command that measures them, when the statistics lack the allocation's tables.
void checkTables(const RankPlan& plan, const Statistics& statistics, const Options& options) {
    const MeasuredTables& tables = statistics.tables;
    if (canAllocate(plan.allocation, plan, tables)) {
        if (plan.mixed_bits)
            checkMeasuredGroups(*tables.findSensitivity(plan.method, plan.basisOptions())->quantised,
                                options);
        return;
    }
    const bool errors = plan.allocation == Allocation::ErrorBudget;
    failInput(
        options.statistics,
        fmt::format(
            "holds no {0} tables for {1}; measure them: eigenscope-cli sensitivity MODEL --stats "
            "{2} {3} {1}{4}",
            errors            ? "layer-error"
            : plan.mixed_bits ? "sensitivity-over-bits"
                              : "sensitivity",
            options.basis.text(statistics) + (errors && plan.criterion != Criterion::Energy
                                                  ? " --criterion " + std::string(nameOf(plan.criterion))
                                                  : ""),
            options.statistics, errors ? "--errors-only" : "--text FILE",
            plan.mixed_bits ? " --bits 8,4,3,2" : ""));
}

// Where no plan fits: what is needed, and what would fit.
[[noreturn]] void failContext(const ContextFit& fit, const Options& options) {
    std::string text =
        fmt::format("--memory {}: a context of {} needs at least {}, at the smallest ranks", options.memory,
                    options.fit_context, text::bytes(static_cast<double>(fit.bytes)));
    if (fit.longest > 0)
        text += fmt::format("; {} tokens fit at most", fit.longest);
    if (fit.unpinned)
        text += "; without --pin and --layer-threshold it fits";
    if (fit.bits > 0)
        text += fmt::format("; with --kv-bits {} it fits", fit.bits);
    throw Error(ErrorCode::InvalidInput, text);
}

RankPlan fitMemory(Run& run, const RankPlan& plan, const Spectrum& spectrum, const Statistics& statistics,
                   const Options& options, ResultJson& json) {
    const ContextGoal goal = contextGoal(run, options, statistics);
    ContextFit fit = fitContext(run.job(), plan, spectrum, statistics.tables, goal);
    if (!fit.plan)
        failContext(fit, options);
    const KvFormat format = goal.format(*fit.plan);
    json["memory_bytes"] = fit.bytes;
    json["kv_format"] = nameOf(format);
    json["memory_counts"] = goal.weight_bytes ? "weights, kv_cache, scratch" : "kv_cache";
    if (!goal.weight_bytes) {
        const KvBits& bits = fit.plan->kv_bits;
        run.console().message(
            fmt::format("the memory is taken for the KV cache alone, at {}; --model MODEL counts "
                        "weights and scratch too",
                        bits.empty() || format.bits != 0 ? textOf(format) : bits.text()));
    }
    return *std::move(fit.plan);
}

// The bits the options ask for; empty when they ask for none.
KvBits bitsOf(const Options& options, std::size_t layers) {
    const bool both = options.given("--kv-bits") && !options.mixed();
    if (!both && !options.given("--key-bits") && !options.given("--value-bits"))
        return {};
    KvBits bits = KvBits::uniform(layers, both ? options.bothBits() : options.key_bits,
                                  both ? options.bothBits() : options.value_bits);
    bits.group = options.kv->group;
    bits.key_grouping = *kvGroupingFromName(options.kv->keys);
    bits.recent = options.kv->recent;
    return bits;
}

// Ranks that meet a KV ratio, as a function of it.
using MeetRatio = std::function<void(RankPlan&, double)>;

// As `meet` on ranks alone, whatever the plan's bits.
void meetRankRatio(RankPlan& plan, const MeetRatio& meet, double ratio, int basis_width) {
    KvBits bits = std::exchange(plan.kv_bits, {});
    meet(plan, ratio);
    plan.kv_bits = std::move(bits);
    if (plan.kv_target)  // in bytes, as every reader takes it
        plan.kv_target = kvRatioOf(plan, basis_width);
}

RankPlan planOf(Run& run, const Options& options, const Statistics& statistics, const Spectrum& spectrum,
                ResultJson& json) {
    RankPlan plan = fullPlan(spectrum, options.rank_multiple);
    plan.criterion = criterionFromName(options.criterion);
    plan.allocation =
        options.given("--error-budget") ? Allocation::ErrorBudget : allocationFromName(options.allocation);
    plan.kv_bits = bitsOf(options, plan.key_ranks.size());
    plan.mixed_bits = options.mixed();
    checkTables(plan, statistics, options);
    options.layers.apply(plan, spectrum);
    const MeetRatio meet = [&](RankPlan& p, double ratio) {
        applyTarget(p, spectrum, statistics.tables, ratio);
    };
    if (options.given("--threshold")) {
        applyThresholds(plan, spectrum, options.threshold, options.threshold);
    } else if (options.given("--key-threshold")) {
        applyThresholds(plan, spectrum, options.key_threshold, options.value_threshold);
    } else if (options.given("--error-budget")) {
        plan.error_budget = options.error_budget;
        reallocate(plan, spectrum, statistics.tables);
    } else if (options.given("--kv-ratio")) {
        meet(plan, options.kv_ratio);
    } else if (options.given("--rank-ratio")) {
        meetRankRatio(plan, meet, options.rank_ratio, spectrum.basisWidth());
    } else {
        plan = fitMemory(run, plan, spectrum, statistics, options, json);
    }
    return plan;
}

// What the statistics' tables say about the plan, whatever allocation made it.
void addMeasured(const RankPlan& plan, const MeasuredTables& tables, ResultJson& json,
                 std::vector<std::pair<std::string, std::string>>& facts, std::vector<double>& errors) {
    if (const auto* table =
            tables.findLayerErrors(plan.method, plan.basisOptions(), nameOf(plan.criterion))) {
        errors = measuredErrors(plan, *table);
        json["layer_errors"] = errors;  // null below the ranks that were measured
        if (plan.allocation == Allocation::ErrorBudget)
            json["error_budget"] = plan.error_budget;
        const bool known = std::none_of(errors.begin(), errors.end(), [](double e) { return std::isnan(e); });
        facts.emplace_back("Largest layer error",
                           known ? text::percent(*std::max_element(errors.begin(), errors.end()))
                                 : "not measured at ranks this low");
    }
    if (const auto* table = tables.findSensitivity(plan.method, plan.basisOptions())) {
        const double divergence = expectedDivergence(plan, *table);
        json["expected_divergence"] = divergence;
        facts.emplace_back("Expected KL divergence",
                           fmt::format("{} nats a token", text::significant(divergence, 4)));
    }
}

void makePlan(Run& run, const Options& options) {
    checkWritableFile(options.output);
    const Statistics statistics = loadStatistics(options.statistics);
    const auto spectrum = options.basis.compute(run, statistics);
    ResultJson json = ResultJson::object();
    const RankPlan plan = planOf(run, options, statistics, *spectrum, json);
    savePlan(plan, options.output);
    std::vector<std::pair<std::string, std::string>> facts;
    std::vector<double> errors;
    addMeasured(plan, statistics.tables, json, facts, errors);
    if (plan.allocation == Allocation::Threshold)
        facts.emplace_back("Thresholds", fmt::format("keys {:.5f}, values {:.5f} ({})", plan.key_threshold,
                                                     plan.value_threshold, nameOf(plan.criterion)));

    const double ratio = kvRatioOf(plan, spectrum->basisWidth());
    const double error = expectedErrorOf(plan, *spectrum);
    ResultJson result = {{"key_ranks", plan.key_ranks},
                         {"value_ranks", plan.value_ranks},
                         {"kv_ratio", ratio},
                         {"rank_ratio", rankRatioOf(plan, spectrum->basisWidth())},
                         {"expected_error", error},
                         {"key_threshold", plan.key_threshold},
                         {"value_threshold", plan.value_threshold},
                         {"method", plan.method},
                         {"head_group", plan.head_group},
                         {"criterion", nameOf(plan.criterion)},
                         {"allocation", nameOf(plan.allocation)},
                         {"output", options.output}};
    if (plan.mixed_bits)
        result["mixed_bits"] = true;
    if (!plan.kv_bits.empty()) {
        Json bits = Json::object();
        writeKvBits(plan.kv_bits, bits);
        for (const auto& [key, value] : bits.items())
            result[key] = value;
    }
    result.update(json);
    run.console().printResult(result);
    facts.insert(
        facts.begin(),
        {{"KV ratio", plan.kv_bits.empty()
                          ? fmt::format("{:.4f}", ratio)
                          : fmt::format("{:.4f} of f16: {:.4f} of the ranks, {}", ratio,
                                        rankRatioOf(plan, spectrum->basisWidth()), plan.kv_bits.text())},
         {"Expected error", text::percent(error)}});
    if (plan.head_group > 1)
        facts.emplace_back("Latents",
                           fmt::format("one for {} heads (--head-group 1 for one a head)", plan.head_group));
    facts.emplace_back("Plan", options.output);
    run.console().print(rankTable(plan, spectrum->basisWidth(), errors) + "\n" + factLines(facts));
}

void addGoalOptions(CLI::App& sub, Options& options) {
    const CLI::Range share(0.0, 1.0);
    sub.add_option("--threshold", options.threshold, "Share to keep of keys and of values, 0 to 1")
        ->check(share);
    sub.add_option("--key-threshold", options.key_threshold, "Share of the keys to keep")->check(share);
    sub.add_option("--value-threshold", options.value_threshold, "Share of the values to keep")->check(share);
    sub.add_option("--error-budget", options.error_budget,
                   "Relative error of each layer's output, as measured, at most")
        ->check(CLI::Range(0.0, 1e6));
    sub.add_option("--kv-ratio", options.kv_ratio,
                   "Converted KV-cache bytes / original KV-cache bytes in f16, at most; --kv-bits count")
        ->check(share);
    sub.add_option("--rank-ratio", options.rank_ratio,
                   "Ranks / full ranks, at most, whatever --kv-bits: 0.6 with --kv-bits 4 is the published "
                   "combination")
        ->check(share);
    sub.add_option("--fit-context", options.fit_context, "Tokens that shall fit in --memory")
        ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40));
    sub.add_option("--memory", options.memory, "Bytes, with K, M, G or T for units of 1024: 24G")
        ->check([](const std::string& text) {
            return parseByteSize(text) ? std::string()
                                       : "--memory: expected bytes such as 24G, found " + text;
        });
    sub.add_option("--model", options.model, "Checkpoint whose weights and scratch --memory must hold too");
    sub.add_option("--batch", options.batch, "Sequences at a time, for --fit-context")
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str();
}

}  // namespace

Command addPlan(CLI::App& app, CommonOptions& common) {
    CLI::App* sub = app.add_subcommand("plan", "Choose ranks for every layer");
    auto options = std::make_shared<Options>();
    options->app = sub;
    sub->add_option("STATS", options->statistics, "Statistics file that `calibrate` wrote")->required();
    addGoalOptions(*sub, *options);
    addBasisOptions(*sub, options->basis, true);
    addLayerSettings(*sub, options->layers);
    sub->add_option(
           "--criterion", options->criterion,
           "What a threshold is a share of: eigenvalues (energy) or their roots (the published code)")
        ->check(CLI::IsMember({"energy", "singular-values"}))
        ->capture_default_str();
    sub->add_option("--allocation", options->allocation,
                    "How a target is shared out among layers: one threshold, one bound on each layer's "
                    "measured output error, or what `sensitivity` measured")
        ->check(CLI::IsMember({"threshold", "error-budget", "sensitivity"}))
        ->capture_default_str();
    sub->add_option("--rank-multiple", options->rank_multiple, "Ranks are multiples of this")
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
    sub->add_option("--output,-o", options->output, "Plan to write (JSON)")->required();
    const CLI::IsMember bits({2, 3, 4, 8, kUnquantised});
    sub->add_option(
           "--kv-bits", options->kv_bits,
           "Bits of the converted model's cache, for --kv-format auto (16: not quantised); mixed: the "
           "best mixture of ranks and bits for --kv-ratio, by what `sensitivity --bits` measured")
        ->check(CLI::IsMember({"2", "3", "4", "8", "16", kMixed}));
    sub->add_option("--key-bits", options->key_bits, "The same for keys alone")->check(bits);
    sub->add_option("--value-bits", options->value_bits, "The same for values alone")->check(bits);
    options->kv = &common.kv;
    addKvFormatOption(*sub, common);
    addDeviceOptions(*sub, common);
    addOutputOptions(*sub, common);
    return {sub, [options](Run& run) {
                checkGoal(*options);
                makePlan(run, *options);
            }};
}

}  // namespace eigenscope
