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

// Entries on the lower convex hull of loss over cost: all that any price chooses.
std::vector<std::size_t> hullOf(const RankCurve& curve) {
    std::vector<std::size_t> hull;
    const auto cost = [&](std::size_t i) { return static_cast<double>(curve.cost(i)); };
    for (std::size_t i = 0; i < curve.ranks.size(); ++i) {
        while (hull.size() > 1) {
            const std::size_t a = hull[hull.size() - 2], b = hull.back();
            if ((curve.loss[a] - curve.loss[b]) * (cost(i) - cost(a)) >
                (curve.loss[a] - curve.loss[i]) * (cost(b) - cost(a)))
                break;
            hull.pop_back();
        }
        hull.push_back(i);
    }
    return hull;
}

// The cheapest entry that minimises loss + price * cost.
std::size_t bestAt(const RankCurve& curve, const std::vector<std::size_t>& hull, double price) {
    std::size_t best = hull.front();
    for (std::size_t i : hull) {
        if (curve.loss[i] + price * static_cast<double>(curve.cost(i)) <
            curve.loss[best] + price * static_cast<double>(curve.cost(best)))
            best = i;
    }
    return best;
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

}  // namespace

std::vector<std::size_t> allocate(const std::vector<RankCurve>& curves, std::int64_t budget) {
    std::vector<std::size_t> smallest(curves.size(), 0);
    if (sizeOf(curves, smallest) > budget)
        fail("the smallest ranks exceed the budget: " + std::to_string(sizeOf(curves, smallest)) + " of " +
             std::to_string(budget));
    std::vector<std::vector<std::size_t>> hulls;
    for (const RankCurve& curve : curves)
        hulls.push_back(hullOf(curve));
    const auto choiceAt = [&](double price) {
        std::vector<std::size_t> best(curves.size());
        for (std::size_t c = 0; c < curves.size(); ++c)
            best[c] = bestAt(curves[c], hulls[c], price);
        return best;
    };
    const auto fits = [&](double price) { return sizeOf(curves, choiceAt(price)) <= budget; };
    std::vector<std::size_t> choice;
    if (fits(0.0)) {
        choice = choiceAt(0.0);
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
        choice = choiceAt(high);
    }
    fill(curves, budget, choice);
    return choice;
}

namespace {

// Codes are grouped as the table's were; every layer has bits.
void prepareBits(RankPlan& plan, const SensitivityTable& table) {
    if (!plan.mixed_bits)
        return;
    if (!table.quantised)
        fail("mixed bits: the sensitivity table of method " + plan.method + " holds no bits");
    const QuantisedGrid& grid = table.quantised->grid;
    if (plan.kv_bits.empty())
        plan.kv_bits = KvBits::uniform(plan.key_ranks.size(), kUnquantised, kUnquantised);
    plan.kv_bits.group = grid.group;
    plan.kv_bits.key_grouping = grid.keys;
    plan.kv_bits.recent = grid.recent;
}

// Costs are integers; the slack is for targets such as 0.6 that binary cannot hold.
std::int64_t budgetOf(double target, double full) {
    return static_cast<std::int64_t>(std::floor(target * full + 1e-6));
}

std::int64_t leastOf(const std::vector<RankCurve>& curves) {
    return sizeOf(curves, std::vector<std::size_t>(curves.size(), 0));
}

}  // namespace

void applySensitivity(RankPlan& plan, const Spectrum& spectrum, const SensitivityTable& table,
                      double target) {
    if (!(target > 0.0 && target <= 1.0))
        fail("KV ratio " + std::to_string(target) + ": expected a number above 0, at most 1");
    checkShape(plan, spectrum);
    checkTable(table, spectrum.layers(), spectrum.basisWidth());
    RankPlan made = plan;  // `plan` stays as it was when the target cannot be had
    prepareBits(made, table);
    const std::vector<RankCurve> curves = choicesOf(made, spectrum, table);
    const double full = fullCost(made, spectrum);
    const std::int64_t budget = budgetOf(target, full), least = leastOf(curves);
    if (least > budget) {
        char text[96];
        std::snprintf(text, sizeof text, "KV ratio %.4g cannot be had: the smallest ranks give %.4g", target,
                      static_cast<double>(least) / full);
        fail(text);
    }
    const std::vector<std::size_t> choice = allocate(curves, budget);
    for (std::size_t i = 0; i < curves.size(); ++i) {
        const Side side = i % 2 == 0 ? Side::Keys : Side::Values;
        ranksOf(made, side)[i / 2] = curves[i].ranks[choice[i]];
        if (made.mixed_bits)
            (side == Side::Keys ? made.kv_bits.keys : made.kv_bits.values)[i / 2] = curves[i].bits[choice[i]];
    }
    made.allocation = Allocation::Sensitivity;
    made.kv_target = target;
    plan = std::move(made);
}

double expectedDivergence(const RankPlan& plan, const SensitivityTable& table) {
    double sum = 0;
    for (std::size_t layer = 0; layer < plan.key_ranks.size(); ++layer) {
        for (Side side : {Side::Keys, Side::Values})
            sum += LayerLoss(table, layer, side).at(ranksOf(plan, side)[layer], bitsOf(plan, side, layer));
    }
    return sum;
}

std::vector<FrontPoint> expectedFront(const RankPlan& asked, const Spectrum& spectrum,
                                      const SensitivityTable& table, int points) {
    checkShape(asked, spectrum);
    checkTable(table, spectrum.layers(), spectrum.basisWidth());
    RankPlan plan = asked;
    prepareBits(plan, table);
    const std::vector<RankCurve> curves = choicesOf(plan, spectrum, table);
    const double full = fullCost(plan, spectrum);
    const double smallest = static_cast<double>(leastOf(curves)) / full;
    std::vector<FrontPoint> front;
    for (int i = 0; i < points; ++i) {
        const double target = std::pow(smallest, 1.0 - static_cast<double>(i) / std::max(1, points - 1));
        const auto choice = allocate(curves, std::max(leastOf(curves), budgetOf(target, full)));
        FrontPoint point{static_cast<double>(sizeOf(curves, choice)) / full, 0.0};
        for (std::size_t c = 0; c < curves.size(); ++c)
            point.divergence += curves[c].loss[choice[c]];
        if (front.empty() || point.kv_ratio > front.back().kv_ratio)
            front.push_back(point);
    }
    return front;
}

bool canMixBits(const RankPlan& plan, const MeasuredTables& tables) {
    const SensitivityTable* table = tables.findSensitivity(plan.method, plan.basisOptions());
    return table != nullptr && table->quantised && !table->quantised->grid.bits.empty();
}

bool canAllocate(Allocation allocation, const RankPlan& plan, const MeasuredTables& tables) {
    switch (allocation) {
        case Allocation::ErrorBudget:
            return tables.findLayerErrors(plan.method, plan.basisOptions(), nameOf(plan.criterion));
        case Allocation::Sensitivity:
            return plan.mixed_bits ? canMixBits(plan, tables)
                                   : tables.findSensitivity(plan.method, plan.basisOptions()) != nullptr;
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
        prepareBits(smallest, table);
        return static_cast<double>(leastOf(choicesOf(smallest, spectrum, table))) /
               fullCost(smallest, spectrum);
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
