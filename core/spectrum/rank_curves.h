// SPDX-License-Identifier: Apache-2.0
// Measured losses of single layers (SensitivityTable) as curves over ranks and bits, with what each choice
// takes of the cache: what allocation `sensitivity` shares a budget by. Pure functions.
#pragma once

#include "core/spectrum/rank_plan.h"

#include <cstdint>
#include <vector>

namespace eigenscope {

// What one layer's keys or values cost at each choice that may be made: ranks, and bits where these are
// chosen too.
struct RankCurve {
    std::vector<int> ranks;
    std::vector<double> loss;  // [ranks], not increasing
    // [ranks], not decreasing: what a choice takes of the budget; empty: the rank itself.
    std::vector<std::int64_t> costs = {};
    std::vector<int> bits = {};  // [ranks], kUnquantised among them; empty: bits are not chosen
    std::int64_t cost(std::size_t i) const { return costs.empty() ? ranks[i] : costs[i]; }
};

// The losses of one layer and side at any rank and bits: straight lines between the table's ranks. Exact
// latents are made monotone (a rank counts with the largest divergence of those at and above it), and codes
// cost at least what exact latents of that rank do. Bits that were not measured count as exact.
class LayerLoss {
public:
    LayerLoss(const SensitivityTable& table, std::size_t layer, Side side);
    double at(int rank, int bits = kUnquantised) const;

private:
    const SensitivityTable& m_table;
    std::size_t m_layer, m_side;
    std::vector<double> m_exact;  // [ranks]
};

// The curve of exact latents at multiples of `multiple` and the full rank, from the table's smallest rank on.
RankCurve curveOf(const SensitivityTable& table, std::size_t layer, Side side, int multiple);

// [layers, keys then values]: every choice the plan leaves open, cheapest first, without those that cost more
// and lose no less. Where RankPlan::mixed_bits, bits are chosen among the table's and kUnquantised; else they
// are the plan's. A fixed rank has its bits alone to choose. Costs are bytes of a position, times the plan's
// KV group, which makes them whole numbers.
std::vector<RankCurve> choicesOf(const RankPlan& plan, const Spectrum& spectrum,
                                 const SensitivityTable& table);
// The cost of full ranks in f16, in the same units.
double fullCost(const RankPlan& plan, const Spectrum& spectrum);

// Throws InvalidInput when the table is not of these layers and this width.
void checkTable(const SensitivityTable& table, int layers, int basis_width);

}  // namespace eigenscope
