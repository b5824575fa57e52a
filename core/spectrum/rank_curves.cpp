// SPDX-License-Identifier: Apache-2.0
#include "core/spectrum/rank_curves.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace eigenscope {

namespace {

// Straight lines between values at ascending ranks, level beyond the first and the last.
template <typename At>
double interpolate(const std::vector<int>& ranks, int rank, At at) {
    const auto above = std::lower_bound(ranks.begin(), ranks.end(), rank);
    if (above == ranks.end())
        return at(ranks.size() - 1);
    const auto i = static_cast<std::size_t>(above - ranks.begin());
    if (*above == rank || i == 0)
        return at(i);
    const double share = static_cast<double>(rank - ranks[i - 1]) / (ranks[i] - ranks[i - 1]);
    return at(i - 1) + share * (at(i) - at(i - 1));
}

std::vector<int> ranksFrom(int smallest, int last, int multiple) {
    const int step = std::max(1, multiple);
    std::vector<int> ranks;
    for (int rank = (smallest + step - 1) / step * step; rank < last; rank += step)
        ranks.push_back(rank);
    ranks.push_back(last);
    return ranks;
}

// A fixed rank makes loss and cost by bits alone.
std::vector<int> openRanks(const RankPlan& plan, const Spectrum& spectrum, const SensitivityTable& table,
                           Side side, int layer) {
    if (const std::optional<int> fixed = fixedRank(plan, spectrum, side, layer))
        return {*fixed};
    return ranksFrom(table.ranks.front(), table.ranks.back(), plan.rank_multiple);
}

std::vector<int> openBits(const RankPlan& plan, const SensitivityTable& table, Side side, std::size_t layer) {
    if (!plan.mixed_bits || !table.quantised)
        return {bitsOf(plan, side, layer)};
    std::vector<int> bits{kUnquantised};
    bits.insert(bits.end(), table.quantised->grid.bits.begin(), table.quantised->grid.bits.end());
    return bits;
}

std::int64_t costOf(const RankPlan& plan, Side side, int rank, int bits) {
    KvSideFormat format{.dtype = DType::F16};
    if (bits != kUnquantised) {
        format.bits = bits;
        format.group = plan.kv_bits.group;
        format.grouping = side == Side::Keys ? plan.kv_bits.key_grouping : KvGrouping::Token;
    }
    return std::llround(format.bytesPerRow(rank) * plan.kv_bits.group);
}

// Cheapest first, and only what loses less than everything as cheap.
RankCurve frontOf(const RankCurve& all) {
    std::vector<std::size_t> order(all.ranks.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return all.costs[a] != all.costs[b] ? all.costs[a] < all.costs[b] : all.loss[a] < all.loss[b];
    });
    RankCurve front;
    for (std::size_t i : order) {
        if (!front.loss.empty() && all.loss[i] >= front.loss.back())
            continue;
        front.ranks.push_back(all.ranks[i]);
        front.loss.push_back(all.loss[i]);
        front.costs.push_back(all.costs[i]);
        front.bits.push_back(all.bits[i]);
    }
    return front;
}

}  // namespace

LayerLoss::LayerLoss(const SensitivityTable& table, std::size_t layer, Side side)
    : m_table(table), m_layer(layer), m_side(static_cast<std::size_t>(side)), m_exact(table.ranks.size()) {
    double largest = 0;
    for (std::size_t i = m_exact.size(); i-- > 0;) {
        largest = std::max(largest, table.at(layer, m_side, i));
        m_exact[i] = largest;
    }
}

double LayerLoss::at(int rank, int bits) const {
    const double exact = interpolate(m_table.ranks, rank, [&](std::size_t i) { return m_exact[i]; });
    if (bits == kUnquantised || !m_table.quantised)
        return exact;
    const QuantisedSensitivity& quantised = *m_table.quantised;
    const auto found = std::ranges::find(quantised.grid.bits, bits);
    if (found == quantised.grid.bits.end())
        return exact;
    const auto b = static_cast<std::size_t>(found - quantised.grid.bits.begin());
    return std::max(exact, interpolate(quantised.grid.ranks, rank,
                                       [&](std::size_t i) { return quantised.at(m_layer, m_side, b, i); }));
}

RankCurve curveOf(const SensitivityTable& table, std::size_t layer, Side side, int multiple) {
    const LayerLoss loss(table, layer, side);
    RankCurve curve;
    for (int rank : ranksFrom(table.ranks.front(), table.ranks.back(), multiple)) {
        curve.ranks.push_back(rank);
        curve.loss.push_back(loss.at(rank));
    }
    return curve;
}

std::vector<RankCurve> choicesOf(const RankPlan& plan, const Spectrum& spectrum,
                                 const SensitivityTable& table) {
    std::vector<RankCurve> curves;
    for (int layer = 0; layer < spectrum.layers(); ++layer) {
        const auto i = static_cast<std::size_t>(layer);
        for (Side side : {Side::Keys, Side::Values}) {
            const LayerLoss loss(table, i, side);
            RankCurve all;
            for (int bits : openBits(plan, table, side, i)) {
                for (int rank : openRanks(plan, spectrum, table, side, layer)) {
                    all.ranks.push_back(rank);
                    all.bits.push_back(bits);
                    all.loss.push_back(loss.at(rank, bits));
                    all.costs.push_back(costOf(plan, side, rank, bits));
                }
            }
            curves.push_back(frontOf(all));
        }
    }
    return curves;
}

double fullCost(const RankPlan& plan, const Spectrum& spectrum) {
    return 4.0 * spectrum.layers() * spectrum.basisWidth() * plan.kv_bits.group;
}

void checkTable(const SensitivityTable& table, int layers, int basis_width) {
    const auto sides = static_cast<std::size_t>(layers) * 2;
    bool fits = !table.ranks.empty() && table.ranks.back() == basis_width &&
                table.kl.size() == sides * table.ranks.size();
    if (table.quantised) {
        const QuantisedGrid& grid = table.quantised->grid;
        fits = fits && !grid.ranks.empty() && grid.ranks.back() == basis_width &&
               table.quantised->kl.size() == sides * grid.bits.size() * grid.ranks.size();
    }
    if (!fits)
        throw Error(ErrorCode::InvalidInput,
                    "the sensitivity table has other layers or ranks than the statistics");
}

}  // namespace eigenscope
