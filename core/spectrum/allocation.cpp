// SPDX-License-Identifier: Apache-2.0
#include "core/spectrum/allocation.h"

#include "core/base/fail.h"
#include "core/spectrum/error_budget.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

namespace eigenscope {

namespace {

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorCode::InvalidInput, message); }

// The table's divergences of one layer and side, not increasing.
std::vector<double> monotone(const SensitivityTable& table, std::size_t layer, Side side) {
    std::vector<double> losses(table.ranks.size());
    double largest = 0;
    for (std::size_t i = losses.size(); i-- > 0;) {
        largest = std::max(largest, table.at(layer, static_cast<std::size_t>(side), i));
        losses[i] = largest;
    }
    return losses;
}

double interpolate(const std::vector<int>& ranks, const std::vector<double>& losses, int rank) {
    const auto above = std::lower_bound(ranks.begin(), ranks.end(), rank);
    if (above == ranks.end())
        return losses.back();
    const auto i = static_cast<std::size_t>(above - ranks.begin());
    if (*above == rank || i == 0)
        return losses[i];
    const double share = static_cast<double>(rank - ranks[i - 1]) / (ranks[i] - ranks[i - 1]);
    return losses[i - 1] + share * (losses[i] - losses[i - 1]);
}

// The smallest rank that minimises loss + price * cost.
std::size_t bestAt(const RankCurve& curve, double price) {
    std::size_t best = 0;
    for (std::size_t i = 1; i < curve.ranks.size(); ++i) {
        if (curve.loss[i] + price * static_cast<double>(curve.cost(i)) <
            curve.loss[best] + price * static_cast<double>(curve.cost(best)))
            best = i;
    }
    return best;
}

std::vector<std::size_t> choiceAt(const std::vector<RankCurve>& curves, double price) {
    std::vector<std::size_t> choice;
    for (const RankCurve& curve : curves)
        choice.push_back(bestAt(curve, price));
    return choice;
}

std::int64_t sizeOf(const std::vector<RankCurve>& curves, const std::vector<std::size_t>& choice) {
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < curves.size(); ++i)
        sum += curves[i].cost(choice[i]);
    return sum;
}

// Raises the rank whose loss falls most for what it costs, until none fits any more.
void fill(const std::vector<RankCurve>& curves, std::int64_t budget, std::vector<std::size_t>& choice) {
    std::int64_t left = budget - sizeOf(curves, choice);
    for (;;) {
        double best = 0;
        std::size_t curve_found = curves.size(), step_found = 0;
        for (std::size_t c = 0; c < curves.size(); ++c) {
            const RankCurve& curve = curves[c];
            for (std::size_t i = choice[c] + 1; i < curve.ranks.size(); ++i) {
                const std::int64_t cost = curve.cost(i) - curve.cost(choice[c]);
                if (cost > left)
                    break;
                // Codes fill bytes, so that a rank more may cost nothing.
                const double gain = (curve.loss[choice[c]] - curve.loss[i]) /
                                    static_cast<double>(std::max<std::int64_t>(cost, 1));
                if (gain > best) {
                    best = gain;
                    curve_found = c;
                    step_found = i;
                }
            }
        }
        if (curve_found == curves.size())
            return;
        left -= curves[curve_found].cost(step_found) - curves[curve_found].cost(choice[curve_found]);
        choice[curve_found] = step_found;
    }
}

void checkTable(const SensitivityTable& table, int layers, int head_dim) {
    const auto expected = static_cast<std::size_t>(layers) * 2 * table.ranks.size();
    if (table.ranks.empty() || table.ranks.back() != head_dim || table.kl.size() != expected)
        fail("the sensitivity table has other layers or ranks than the statistics");
}

}  // namespace

std::vector<std::size_t> allocate(const std::vector<RankCurve>& curves, std::int64_t budget) {
    std::vector<std::size_t> smallest(curves.size(), 0);
    if (sizeOf(curves, smallest) > budget)
        fail("the smallest ranks exceed the budget: " + std::to_string(sizeOf(curves, smallest)) + " of " +
             std::to_string(budget));
    const auto fits = [&](double price) { return sizeOf(curves, choiceAt(curves, price)) <= budget; };
    std::vector<std::size_t> choice = smallest;
    if (fits(0.0)) {
        choice = choiceAt(curves, 0.0);
    } else {
        double low = 0, high = 1;
        // Twice the greatest loss a rank: no price is worth paying any more.
        for (const RankCurve& curve : curves)
            high = std::max(high, 2 * curve.loss.front());
        // In the logarithm, once low is above 0: prices span many orders of magnitude.
        for (int step = 0; step < 200 && high - low > 1e-12 * high; ++step) {
            const double middle = low > 0 ? std::sqrt(low) * std::sqrt(high) : high / 1024;
            if (middle <= 1e-300)
                break;
            (fits(middle) ? high : low) = middle;
        }
        choice = choiceAt(curves, high);
    }
    fill(curves, budget, choice);
    return choice;
}

RankCurve curveOf(const SensitivityTable& table, std::size_t layer, Side side, int multiple) {
    const std::vector<double> losses = monotone(table, layer, side);
    const int step = std::max(1, multiple), last = table.ranks.back();
    RankCurve curve;
    for (int rank = (table.ranks.front() + step - 1) / step * step; rank < last; rank += step) {
        curve.ranks.push_back(rank);
        curve.loss.push_back(interpolate(table.ranks, losses, rank));
    }
    curve.ranks.push_back(last);
    curve.loss.push_back(losses.back());
    return curve;
}

namespace {

// Bytes of a row of rank `rank` times the plan's group, which makes them whole numbers whatever shares its
// scale with other positions.
std::int64_t costOf(const RankPlan& plan, int layer, Side side, int rank) {
    const auto i = static_cast<std::size_t>(layer);
    const KvSideFormat format =
        side == Side::Keys ? plan.kv_bits.keysOf(i, DType::F16) : plan.kv_bits.valuesOf(i, DType::F16);
    return std::llround(format.bytesPerRow(rank) * plan.kv_bits.group);
}

// The cost of full ranks in f16 in the same units.
double fullCost(const RankPlan& plan, const Spectrum& spectrum) {
    return 4.0 * spectrum.layers() * spectrum.basisWidth() * plan.kv_bits.group;
}

// [layers, keys then values]: a fixed rank is a curve of one point. Costs are bytes.
std::vector<RankCurve> curvesOf(const RankPlan& plan, const Spectrum& spectrum,
                                const SensitivityTable& table) {
    std::vector<RankCurve> curves;
    for (int layer = 0; layer < spectrum.layers(); ++layer) {
        for (Side side : {Side::Keys, Side::Values}) {
            if (const std::optional<int> fixed = fixedRank(plan, spectrum, side, layer))
                curves.push_back({{*fixed}, {0.0}});
            else
                curves.push_back(curveOf(table, static_cast<std::size_t>(layer), side, plan.rank_multiple));
            for (int rank : curves.back().ranks)
                curves.back().costs.push_back(costOf(plan, layer, side, rank));
        }
    }
    return curves;
}

}  // namespace

void applySensitivity(RankPlan& plan, const Spectrum& spectrum, const SensitivityTable& table,
                      double target) {
    if (!(target > 0.0 && target <= 1.0))
        fail("KV ratio " + std::to_string(target) + ": expected a number above 0, at most 1");
    checkShape(plan, spectrum);
    checkTable(table, spectrum.layers(), spectrum.basisWidth());
    const auto layers = static_cast<std::size_t>(spectrum.layers());
    const std::vector<RankCurve> curves = curvesOf(plan, spectrum, table);
    const double full = fullCost(plan, spectrum);
    // Costs are integers; the slack is for targets such as 0.6 that binary cannot hold.
    const auto budget = static_cast<std::int64_t>(std::floor(target * full + 1e-6));
    const std::int64_t least = sizeOf(curves, std::vector<std::size_t>(curves.size(), 0));
    if (least > budget) {
        char text[96];
        std::snprintf(text, sizeof text, "KV ratio %.4g cannot be had: the smallest ranks give %.4g", target,
                      static_cast<double>(least) / full);
        fail(text);
    }
    const std::vector<std::size_t> choice = allocate(curves, budget);
    for (std::size_t layer = 0; layer < layers; ++layer) {
        plan.key_ranks[layer] = curves[2 * layer].ranks[choice[2 * layer]];
        plan.value_ranks[layer] = curves[2 * layer + 1].ranks[choice[2 * layer + 1]];
    }
    plan.allocation = Allocation::Sensitivity;
    plan.kv_target = target;
}

double expectedDivergence(const RankPlan& plan, const SensitivityTable& table) {
    double sum = 0;
    for (std::size_t layer = 0; layer < plan.key_ranks.size(); ++layer) {
        sum += interpolate(table.ranks, monotone(table, layer, Side::Keys), plan.key_ranks[layer]);
        sum += interpolate(table.ranks, monotone(table, layer, Side::Values), plan.value_ranks[layer]);
    }
    return sum;
}

bool canAllocate(Allocation allocation, const RankPlan& plan, const MeasuredTables& tables) {
    switch (allocation) {
        case Allocation::ErrorBudget:
            return tables.findLayerErrors(plan.method, plan.basisOptions(), nameOf(plan.criterion));
        case Allocation::Sensitivity:
            return tables.findSensitivity(plan.method, plan.basisOptions());
        case Allocation::Threshold:
            break;
    }
    return true;
}

void applyTarget(RankPlan& plan, const Spectrum& spectrum, const MeasuredTables& tables, double target) {
    if (!canAllocate(plan.allocation, plan, tables))
        fail("allocation " + std::string(nameOf(plan.allocation)) +
             ": its tables were not measured for method " + plan.method);
    switch (plan.allocation) {
        case Allocation::ErrorBudget:
            applyErrorBudgetRatio(
                plan, spectrum,
                *tables.findLayerErrors(plan.method, plan.basisOptions(), nameOf(plan.criterion)), target);
            return;
        case Allocation::Sensitivity:
            applySensitivity(plan, spectrum, *tables.findSensitivity(plan.method, plan.basisOptions()),
                             target);
            return;
        case Allocation::Threshold:
            applyKvRatio(plan, spectrum, target);
            return;
    }
}

double smallestRatio(const RankPlan& plan, const Spectrum& spectrum, const MeasuredTables& tables) {
    checkShape(plan, spectrum);
    RankPlan smallest = plan;
    if (plan.allocation == Allocation::ErrorBudget && canAllocate(plan.allocation, plan, tables)) {
        applyErrorBudget(smallest, spectrum,
                         *tables.findLayerErrors(plan.method, plan.basisOptions(), nameOf(plan.criterion)),
                         std::numeric_limits<double>::infinity());
    } else if (plan.allocation == Allocation::Sensitivity && canAllocate(plan.allocation, plan, tables)) {
        const SensitivityTable& table = *tables.findSensitivity(plan.method, plan.basisOptions());
        checkTable(table, spectrum.layers(), spectrum.basisWidth());
        std::int64_t sum = 0;
        for (const RankCurve& curve : curvesOf(plan, spectrum, table))
            sum += curve.cost(0);
        return static_cast<double>(sum) / fullCost(plan, spectrum);
    } else {
        applyThresholds(smallest, spectrum, 0.0, 0.0);
    }
    return kvRatioOf(smallest, spectrum.basisWidth());
}

void reallocate(RankPlan& plan, const Spectrum& spectrum, const MeasuredTables& tables) {
    checkShape(plan, spectrum);
    const std::optional<double> target = plan.kv_target;
    if (plan.allocation == Allocation::Threshold) {
        applyThresholds(plan, spectrum, plan.key_threshold, plan.value_threshold);
        plan.kv_target = target;
        return;
    }
    if (!canAllocate(plan.allocation, plan, tables)) {
        for (Side side : {Side::Keys, Side::Values}) {
            for (int layer = 0; layer < spectrum.layers(); ++layer) {
                if (const std::optional<int> fixed = fixedRank(plan, spectrum, side, layer))
                    ranksOf(plan, side)[static_cast<std::size_t>(layer)] = *fixed;
            }
        }
        return;
    }
    if (target || plan.allocation == Allocation::Sensitivity) {
        // A plan of an older file does not say what was asked for: what it has.
        const double asked = target.value_or(kvRatioOf(plan, spectrum.basisWidth()));
        applyTarget(plan, spectrum, tables, std::max(asked, smallestRatio(plan, spectrum, tables)));
        plan.kv_target = asked;
    } else {
        applyErrorBudget(plan, spectrum,
                         *tables.findLayerErrors(plan.method, plan.basisOptions(), nameOf(plan.criterion)),
                         plan.error_budget);
    }
}

void unpin(RankPlan& plan, const Spectrum& spectrum, const MeasuredTables& tables, Side side, int layer) {
    checkShape(plan, spectrum);
    (side == Side::Keys ? plan.key_pinned : plan.value_pinned).at(static_cast<std::size_t>(layer)) = false;
    reallocate(plan, spectrum, tables);
}

}  // namespace eigenscope
