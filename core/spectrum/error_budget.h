// SPDX-License-Identifier: Apache-2.0
// Allocation `error-budget`: for each layer the smallest ranks whose measured relative output error stays
// within a budget (Eigen Attention, arXiv 2408.05646, Algorithm 1), read from measured paths of ranks instead
// of walking along them in fixed steps. Pure functions; fast enough to follow a slider.
#pragma once

#include "core/spectrum/rank_plan.h"

#include <utility>
#include <vector>

namespace eigenscope {

// The ranks of keys and values that one threshold gives a layer, from the smallest to full, both rising:
// `points` of them, spread evenly over the layer's cache size, the last full. Where fewer can be told apart,
// neighbours are equal.
std::vector<std::pair<int, int>> errorPath(const Spectrum& spectrum, int layer, Criterion criterion,
                                           int points);

// Each layer gets the first point of its path from which on no measured error exceeds the budget, rounded up
// to the rank multiple, so no error is promised that was not measured at these ranks or fewer. Fixed ranks
// stay. Sets `allocation` and `error_budget`. Throws InvalidInput for a negative budget, or a table of other
// layers.
void applyErrorBudget(RankPlan& plan, const Spectrum& spectrum, const LayerErrorTable& table, double budget);

// The largest such plan whose KV ratio does not exceed the target: the budget by bisection over the measured
// errors. Throws InvalidInput when even the smallest ranks exceed it.
void applyErrorBudgetRatio(RankPlan& plan, const Spectrum& spectrum, const LayerErrorTable& table,
                           double target);

// [layers] the error measured at the largest point of the path that the plan's ranks reach; not a number
// where they are below all that were measured.
std::vector<double> measuredErrors(const RankPlan& plan, const LayerErrorTable& table);

}  // namespace eigenscope
