// SPDX-License-Identifier: Apache-2.0
#include "core/spectrum/error_budget.h"

#include "core/base/fail.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

namespace eigenscope {

namespace {

using Path = std::vector<LayerErrorTable::Point>;

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorCode::InvalidInput, message); }

void checkTable(const LayerErrorTable& table, const Spectrum& spectrum) {
    bool fits = table.layers.size() == static_cast<std::size_t>(spectrum.layers());
    for (const Path& path : table.layers)
        fits = fits && !path.empty() && path.back().key_rank == spectrum.basisWidth() &&
               path.back().value_rank == spectrum.basisWidth();
    if (!fits)
        fail("the table of layer errors has other layers or ranks than the statistics");
}

// The first point from which on no error exceeds the budget. Full ranks are always within it: their error is
// rounding.
const LayerErrorTable::Point& firstWithin(const Path& path, double budget) {
    std::size_t i = path.size() - 1;
    while (i > 0 && path[i - 1].error <= budget)
        --i;
    return path[i];
}

int roundedUp(int rank, int multiple, int most) {
    const int step = std::max(1, multiple);
    return std::min(most, (rank + step - 1) / step * step);
}

// Smallest share kept by a rank over the layer's heads.
double layerShare(const Spectrum& spectrum, int layer, Side side, int rank, Criterion criterion) {
    double share = 1.0;
    for (int head = 0; head < spectrum.heads(); ++head)
        share = std::min(share, spectrum.kept(layer, side, head, rank, criterion));
    return share;
}

}  // namespace

std::vector<std::pair<int, int>> errorPath(const Spectrum& spectrum, int layer, Criterion criterion,
                                           int points) {
    const int width = spectrum.basisWidth();
    if (points < 1)
        fail("error table: expected 1 or more points, found " + std::to_string(points));
    // Thresholds at which a rank is just enough: between two of them nothing changes.
    std::vector<double> thresholds{1.0};
    for (Side side : {Side::Keys, Side::Values}) {
        for (int rank = 1; rank < width; ++rank)
            thresholds.push_back(layerShare(spectrum, layer, side, rank, criterion));
    }
    std::sort(thresholds.begin(), thresholds.end());
    std::vector<std::pair<int, int>> all;
    for (double threshold : thresholds)
        all.emplace_back(spectrum.rankOf(layer, Side::Keys, threshold, criterion, 1),
                         spectrum.rankOf(layer, Side::Values, threshold, criterion, 1));
    std::vector<std::pair<int, int>> path;
    std::size_t at = 0;
    for (int i = 1; i <= points; ++i) {
        const std::int64_t most = (std::int64_t{2} * width * i + points - 1) / points;
        while (at + 1 < all.size() && all[at + 1].first + all[at + 1].second <= most)
            ++at;
        path.push_back(all[at]);
    }
    return path;
}

void applyErrorBudget(RankPlan& plan, const Spectrum& spectrum, const LayerErrorTable& table, double budget) {
    if (!(budget >= 0.0))
        fail("error budget " + std::to_string(budget) + ": expected a number from 0");
    checkShape(plan, spectrum);
    checkTable(table, spectrum);
    for (int layer = 0; layer < spectrum.layers(); ++layer) {
        const auto i = static_cast<std::size_t>(layer);
        const LayerErrorTable::Point& point = firstWithin(table.layers[i], budget);
        for (Side side : {Side::Keys, Side::Values}) {
            const int rank = side == Side::Keys ? point.key_rank : point.value_rank;
            ranksOf(plan, side)[i] =
                fixedRank(plan, spectrum, side, layer)
                    .value_or(roundedUp(rank, plan.rank_multiple, spectrum.basisWidth()));
        }
    }
    plan.allocation = Allocation::ErrorBudget;
    plan.mixed_bits = false;
    plan.error_budget = budget;
    plan.kv_target.reset();
}

void applyErrorBudgetRatio(RankPlan& plan, const Spectrum& spectrum, const LayerErrorTable& table,
                           double target) {
    if (!(target > 0.0 && target <= 1.0))
        fail("KV ratio " + std::to_string(target) + ": expected a number above 0, at most 1");
    checkTable(table, spectrum);
    // Ranks change only where the budget passes a measured error.
    std::vector<double> budgets{0.0};
    for (const Path& path : table.layers) {
        for (const LayerErrorTable::Point& point : path)
            budgets.push_back(point.error);
    }
    std::sort(budgets.begin(), budgets.end());
    RankPlan trial = plan;
    const auto fits = [&](double budget) {
        applyErrorBudget(trial, spectrum, table, budget);
        // Ranks are integers; the slack is for targets such as 0.6 that binary cannot hold.
        return kvRatioOf(trial, spectrum.basisWidth()) <= target + 1e-10;
    };
    // The smallest budget that fits; ranks only fall with it.
    const auto found =
        std::partition_point(budgets.begin(), budgets.end(), [&](double budget) { return !fits(budget); });
    if (found == budgets.end()) {
        applyErrorBudget(trial, spectrum, table, budgets.back());
        char text[96];
        std::snprintf(text, sizeof text, "KV ratio %.4g cannot be had: the smallest ranks give %.4g", target,
                      kvRatioOf(trial, spectrum.basisWidth()));
        fail(text);
    }
    applyErrorBudget(plan, spectrum, table, *found);
    plan.kv_target = target;
}

std::vector<double> measuredErrors(const RankPlan& plan, const LayerErrorTable& table) {
    if (plan.key_ranks.size() != table.layers.size() || plan.value_ranks.size() != table.layers.size())
        fail("the table of layer errors has other layers than the plan");
    std::vector<double> errors;
    for (std::size_t layer = 0; layer < table.layers.size(); ++layer) {
        // Not increasing along the path: a point counts with the largest error at and above it.
        double largest = 0, found = std::numeric_limits<double>::quiet_NaN();
        const Path& path = table.layers[layer];
        for (std::size_t i = path.size(); i-- > 0;) {
            largest = std::max(largest, path[i].error);
            if (path[i].key_rank <= plan.key_ranks[layer] && path[i].value_rank <= plan.value_ranks[layer]) {
                found = largest;
                break;
            }
        }
        errors.push_back(found);
    }
    return errors;
}

}  // namespace eigenscope
