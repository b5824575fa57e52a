// SPDX-License-Identifier: Apache-2.0
#include "core/spectrum/rank_plan.h"

#include "core/base/fail.h"

#include <cmath>
#include <cstdio>
#include <utility>

namespace eigenscope {

namespace {

std::string numberText(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.4g", value);
    return text;
}

void checkThreshold(double threshold) {
    if (!(threshold >= 0.0 && threshold <= 1.0))
        throw Error(ErrorCode::InvalidInput,
                    "threshold " + numberText(threshold) + ": expected a number from 0 to 1");
}

std::vector<bool>& pinnedOf(RankPlan& plan, Side side) {
    return side == Side::Keys ? plan.key_pinned : plan.value_pinned;
}

const std::vector<bool>& pinnedOf(const RankPlan& plan, Side side) {
    return side == Side::Keys ? plan.key_pinned : plan.value_pinned;
}
const std::vector<std::optional<double>>& layerThresholdsOf(const RankPlan& plan, Side side) {
    return side == Side::Keys ? plan.key_layer_thresholds : plan.value_layer_thresholds;
}

void checkLayer(const Spectrum& spectrum, int layer) {
    if (layer < 0 || layer >= spectrum.layers())
        throw Error(ErrorCode::InvalidInput, "layer " + std::to_string(layer) + ": expected 0 to " +
                                                 std::to_string(spectrum.layers() - 1));
}

// More than any head's width.
constexpr int kMaxMultiple = 1 << 16;

}  // namespace

std::string_view nameOf(Allocation allocation) {
    switch (allocation) {
        case Allocation::ErrorBudget:
            return "error-budget";
        case Allocation::Sensitivity:
            return "sensitivity";
        case Allocation::Threshold:
            break;
    }
    return "threshold";
}

Allocation allocationFromName(std::string_view name) {
    for (Allocation allocation : {Allocation::Threshold, Allocation::ErrorBudget, Allocation::Sensitivity}) {
        if (name == nameOf(allocation))
            return allocation;
    }
    throw Error(ErrorCode::InvalidInput, "unknown allocation '" + std::string(name) +
                                             "', expected threshold, error-budget or sensitivity");
}

std::vector<int>& ranksOf(RankPlan& plan, Side side) {
    return side == Side::Keys ? plan.key_ranks : plan.value_ranks;
}
const std::vector<int>& ranksOf(const RankPlan& plan, Side side) {
    return side == Side::Keys ? plan.key_ranks : plan.value_ranks;
}

int bitsOf(const RankPlan& plan, Side side, std::size_t layer) {
    const std::vector<int>& bits = side == Side::Keys ? plan.kv_bits.keys : plan.kv_bits.values;
    return bits.empty() ? kUnquantised : bits.at(layer);
}

std::int64_t rankSum(const RankPlan& plan) {
    std::int64_t sum = 0;
    for (const auto* ranks : {&plan.key_ranks, &plan.value_ranks}) {
        for (int rank : *ranks)
            sum += rank;
    }
    return sum;
}

void checkShape(const RankPlan& plan, const Spectrum& spectrum) {
    const auto layers = static_cast<std::size_t>(spectrum.layers());
    if (plan.key_ranks.size() != layers || plan.value_ranks.size() != layers ||
        plan.key_pinned.size() != layers || plan.value_pinned.size() != layers ||
        plan.key_layer_thresholds.size() != layers || plan.value_layer_thresholds.size() != layers)
        throw Error(ErrorCode::InvalidInput, "the plan has " + std::to_string(plan.key_ranks.size()) +
                                                 " layers, the statistics have " + std::to_string(layers));
}

RankPlan fullPlan(const Spectrum& spectrum, int rank_multiple) {
    if (rank_multiple < 1 || rank_multiple > kMaxMultiple)
        throw Error(ErrorCode::InvalidInput,
                    "rank multiple " + std::to_string(rank_multiple) + ": expected 1 or more");
    RankPlan plan;
    plan.method = spectrum.method();
    plan.setBasisOptions(spectrum.options());
    plan.rank_multiple = rank_multiple;
    const auto layers = static_cast<std::size_t>(spectrum.layers());
    plan.key_ranks.assign(layers, spectrum.basisWidth());
    plan.value_ranks.assign(layers, spectrum.basisWidth());
    plan.key_pinned.assign(layers, false);
    plan.value_pinned.assign(layers, false);
    plan.key_layer_thresholds.assign(layers, std::nullopt);
    plan.value_layer_thresholds.assign(layers, std::nullopt);
    return plan;
}

void applyThresholds(RankPlan& plan, const Spectrum& spectrum, double key_threshold, double value_threshold) {
    checkThreshold(key_threshold);
    checkThreshold(value_threshold);
    checkShape(plan, spectrum);
    plan.key_threshold = key_threshold;
    plan.value_threshold = value_threshold;
    plan.allocation = Allocation::Threshold;
    plan.mixed_bits = false;
    plan.kv_target.reset();
    for (Side side : {Side::Keys, Side::Values}) {
        const double threshold = side == Side::Keys ? key_threshold : value_threshold;
        for (int layer = 0; layer < spectrum.layers(); ++layer) {
            const auto i = static_cast<std::size_t>(layer);
            const std::optional<int> fixed = fixedRank(plan, spectrum, side, layer);
            ranksOf(plan, side)[i] =
                fixed ? *fixed : spectrum.rankOf(layer, side, threshold, plan.criterion, plan.rank_multiple);
        }
    }
}

void applyKvRatio(RankPlan& plan, const Spectrum& spectrum, double target) {
    if (!(target > 0.0 && target <= 1.0))
        throw Error(ErrorCode::InvalidInput,
                    "KV ratio " + numberText(target) + ": expected a number above 0, at most 1");
    RankPlan trial = plan;
    const auto fits = [&](double threshold) {
        applyThresholds(trial, spectrum, threshold, threshold);
        // Ranks are integers, so the ratio is a count; the slack is for targets such as 0.6 that binary
        // cannot hold.
        return kvRatioOf(trial, spectrum.basisWidth()) <= target + 1e-10;
    };
    if (fits(1.0)) {
        plan = std::move(trial);
        plan.kv_target = target;
        return;
    }
    if (!fits(0.0))
        throw Error(ErrorCode::InvalidInput, "KV ratio " + numberText(target) +
                                                 " cannot be had: the smallest ranks give " +
                                                 numberText(kvRatioOf(trial, spectrum.basisWidth())));
    // Ranks only grow with the threshold, so bisection finds the step; 60 halvings reach the spacing of
    // doubles.
    double low = 0.0, high = 1.0;
    for (int i = 0; i < 60; ++i) {
        const double middle = low + (high - low) / 2;
        if (middle <= low || middle >= high)
            break;
        (fits(middle) ? low : high) = middle;
    }
    applyThresholds(plan, spectrum, low, low);
    plan.kv_target = target;
}

void pinRank(RankPlan& plan, const Spectrum& spectrum, Side side, int layer, int rank) {
    checkShape(plan, spectrum);
    checkLayer(spectrum, layer);
    if (rank < 1 || rank > spectrum.basisWidth())
        throw Error(ErrorCode::InvalidInput, "rank " + std::to_string(rank) + ": expected 1 to " +
                                                 std::to_string(spectrum.basisWidth()));
    ranksOf(plan, side)[static_cast<std::size_t>(layer)] = rank;
    pinnedOf(plan, side)[static_cast<std::size_t>(layer)] = true;
}

void setLayerThreshold(RankPlan& plan, const Spectrum& spectrum, Side side, int layer,
                       std::optional<double> threshold) {
    checkShape(plan, spectrum);
    checkLayer(spectrum, layer);
    if (threshold)
        checkThreshold(*threshold);
    const auto i = static_cast<std::size_t>(layer);
    (side == Side::Keys ? plan.key_layer_thresholds : plan.value_layer_thresholds)[i] = threshold;
    if (const std::optional<int> fixed = fixedRank(plan, spectrum, side, layer))
        ranksOf(plan, side)[i] = *fixed;
}

std::optional<int> fixedRank(const RankPlan& plan, const Spectrum& spectrum, Side side, int layer) {
    const auto i = static_cast<std::size_t>(layer);
    if (pinnedOf(plan, side).at(i))
        return ranksOf(plan, side).at(i);
    if (const std::optional<double>& threshold = layerThresholdsOf(plan, side).at(i))
        return spectrum.rankOf(layer, side, *threshold, plan.criterion, plan.rank_multiple);
    return std::nullopt;
}

double kvRatioOf(const RankPlan& plan, int basis_width) {
    return kvRatioOf(plan.key_ranks, plan.value_ranks, plan.kv_bits, basis_width);
}

double rankRatioOf(const RankPlan& plan, int basis_width) {
    return kvRatioOf(plan.key_ranks, plan.value_ranks, {}, basis_width);
}

double expectedErrorOf(const RankPlan& plan, const Spectrum& spectrum) {
    checkShape(plan, spectrum);
    double sum = 0;
    for (int layer = 0; layer < spectrum.layers(); ++layer) {
        const auto i = static_cast<std::size_t>(layer);
        const double keys = spectrum.expectedError(layer, Side::Keys, plan.key_ranks[i]);
        const double values = spectrum.expectedError(layer, Side::Values, plan.value_ranks[i]);
        sum += keys * keys + values * values;
    }
    return spectrum.layers() > 0 ? std::sqrt(sum / (2.0 * spectrum.layers())) : 0.0;
}

void checkPlan(const RankPlan& plan, int layers, int basis_width, const std::filesystem::path& file) {
    for (Side side : {Side::Keys, Side::Values}) {
        const std::string field = side == Side::Keys ? "key_ranks" : "value_ranks";
        const std::vector<int>& ranks = side == Side::Keys ? plan.key_ranks : plan.value_ranks;
        if (ranks.size() != static_cast<std::size_t>(layers))
            failField(
                file, field,
                "has " + std::to_string(ranks.size()) + " layers, the model has " + std::to_string(layers));
        for (std::size_t i = 0; i < ranks.size(); ++i) {
            if (ranks[i] < 1 || ranks[i] > basis_width)
                failField(file, field + "[" + std::to_string(i) + "]",
                          "rank " + std::to_string(ranks[i]) + ": expected 1 to the full rank, " +
                              std::to_string(basis_width));
        }
        const std::vector<int>& bits = side == Side::Keys ? plan.kv_bits.keys : plan.kv_bits.values;
        if (!plan.kv_bits.empty() && bits.size() != static_cast<std::size_t>(layers))
            failField(
                file, side == Side::Keys ? "key_bits" : "value_bits",
                "has " + std::to_string(bits.size()) + " layers, the model has " + std::to_string(layers));
    }
}

}  // namespace eigenscope
