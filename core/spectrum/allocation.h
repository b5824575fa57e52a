// SPDX-License-Identifier: Apache-2.0
// Sharing a target KV ratio out among layers, keys and values, by measured curves of what each rank costs;
// and a plan's ranks by whichever allocation it names.
// Pure functions; fast enough to follow a slider (curves and ranks are small tables).
#pragma once

#include "core/spectrum/rank_curves.h"

#include <cstdint>
#include <vector>

namespace eigenscope {

// The choice of one entry a curve whose losses have the least sum, costs summing to at most `budget`: the
// Lagrange multiplier by bisection (the least of all on the curves' convex hulls), then what is left of the
// budget by best gain for what it costs. Indices into the curves' ranks. Throws InvalidInput when the
// smallest ranks exceed the budget.
std::vector<std::size_t> allocate(const std::vector<RankCurve>& curves, std::int64_t budget);

// Ranks that lose least by the table's curves, KV ratio at most `target`; fixed ranks stay. Where the plan
// has mixed_bits, bits too: the best mixture of both, with codes as the table's were grouped. Sets
// `allocation` and `kv_target`. Throws InvalidInput when the table has other layers or when even the smallest
// ranks exceed the target.
void applySensitivity(RankPlan& plan, const Spectrum& spectrum, const SensitivityTable& table, double target);

// Sum of the curves at the plan's ranks and bits (bits that were not measured count as exact): the divergence
// to expect, nats a token, as far as layers add up.
double expectedDivergence(const RankPlan& plan, const SensitivityTable& table);

// The least divergence to expect over the KV ratio, from the smallest ratio to 1: what applySensitivity()
// reaches at each. `points` ratios in geometric steps. The plan's ranks say nothing, its fixed ones do.
struct FrontPoint {
    double kv_ratio = 1, divergence = 0;
};
std::vector<FrontPoint> expectedFront(const RankPlan& plan, const Spectrum& spectrum,
                                      const SensitivityTable& table, int points = 48);

// Whether the tables over bits are there that mixed_bits needs.
bool canMixBits(const RankPlan& plan, const MeasuredTables& tables);

// Whether the tables hold what this allocation needs for the plan's bases.
bool canAllocate(Allocation allocation, const RankPlan& plan, const MeasuredTables& tables);

// A KV ratio met by the plan's own allocation. Throws InvalidInput when its tables are missing or the ratio
// cannot be had.
void applyTarget(RankPlan& plan, const Spectrum& spectrum, const MeasuredTables& tables, double target);

// The smallest KV ratio that the plan's allocation can reach beside its fixed ranks.
double smallestRatio(const RankPlan& plan, const Spectrum& spectrum, const MeasuredTables& tables);

// Ranks anew by the plan's own allocation and what was asked of it (thresholds, budget or KV ratio): after
// pins, criterion, rank multiple or bases have changed. Thresholds that met a ratio are kept. A ratio that
// cannot be had any more is met as nearly as can be. Where tables are missing, ranks that are not fixed stay
// as they are.
void reallocate(RankPlan& plan, const Spectrum& spectrum, const MeasuredTables& tables);

// Gives a pinned rank back to the plan's allocation.
void unpin(RankPlan& plan, const Spectrum& spectrum, const MeasuredTables& tables, Side side, int layer);

}  // namespace eigenscope
