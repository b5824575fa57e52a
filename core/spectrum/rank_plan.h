// SPDX-License-Identifier: Apache-2.0
// Ranks for every layer, and how they were chosen. Plain values; O(layers) to change, so the window edits it
// live.
#pragma once

#include "core/model/kv_format.h"
#include "core/spectrum/spectrum.h"

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace eigenscope {

// How a target is shared out among layers: one threshold, one bound on every layer's measured output error,
// or measured sensitivities (core/spectrum/allocation.h).
enum class Allocation : std::uint8_t { Threshold, ErrorBudget, Sensitivity };
std::string_view nameOf(Allocation allocation);  // "threshold", "error-budget", "sensitivity"
Allocation allocationFromName(std::string_view name);

struct RankPlan {
    static constexpr int kVersion = 1;
    std::string method = "eigen";
    Criterion criterion = Criterion::Energy;
    bool share_key_basis = false, center = false;
    int head_group = 1;
    // How the ranks came about: what is needed to find them again when something else changes.
    Allocation allocation = Allocation::Threshold;
    double key_threshold = 1.0, value_threshold = 1.0;  // Threshold
    double error_budget = 0.0;                          // ErrorBudget
    std::optional<double> kv_target;                    // the KV ratio asked for; Sensitivity has one always
    int rank_multiple = 8;
    std::vector<int> key_ranks, value_ranks;     // [layers], of each basis: a head, or a group of them
    std::vector<bool> key_pinned, value_pinned;  // [layers]: set by hand, kept whatever else changes
    KvBits kv_bits;           // what the converted checkpoint's cache uses by default; empty: its dtype
    bool mixed_bits = false;  // Sensitivity: bits are shared out with the ranks, a layer's and side's own
    // [layers]: a layer's own threshold stands in for everything but a pin.
    std::vector<std::optional<double>> key_layer_thresholds, value_layer_thresholds;

    BasisOptions basisOptions() const { return {share_key_basis, center, head_group}; }
    void setBasisOptions(const BasisOptions& options) {
        share_key_basis = options.share_key_basis;
        center = options.center;
        head_group = options.head_group;
    }
    bool operator==(const RankPlan&) const = default;
};

// Every rank full, nothing pinned.
RankPlan fullPlan(const Spectrum& spectrum, int rank_multiple = 8);
// Sets both thresholds, every rank that is not pinned, and allocation Threshold; bits stay as they are.
void applyThresholds(RankPlan& plan, const Spectrum& spectrum, double key_threshold, double value_threshold);
// One threshold for keys and values, by bisection: the largest plan whose KV ratio does not exceed the target
// (fixed ranks stay). Throws InvalidInput when even the smallest ranks exceed it, naming the smallest ratio
// that can be had.
void applyKvRatio(RankPlan& plan, const Spectrum& spectrum, double target);
void pinRank(RankPlan& plan, const Spectrum& spectrum, Side side, int layer, int rank);
// A threshold for one layer's keys or values; empty: none of its own. Sets that rank when there is one, else
// leaves it (core/spectrum/allocation.h: reallocate()).
void setLayerThreshold(RankPlan& plan, const Spectrum& spectrum, Side side, int layer,
                       std::optional<double> threshold);
// The rank that no allocation may change: pinned, or of the layer's own threshold.
std::optional<int> fixedRank(const RankPlan& plan, const Spectrum& spectrum, Side side, int layer);
// Throws InvalidInput when the plan has other layers than the spectrum.
void checkShape(const RankPlan& plan, const Spectrum& spectrum);

std::vector<int>& ranksOf(RankPlan& plan, Side side);
const std::vector<int>& ranksOf(const RankPlan& plan, Side side);
// Of one layer's keys or values; kUnquantised when the plan says nothing.
int bitsOf(const RankPlan& plan, Side side, std::size_t layer);
std::int64_t rankSum(const RankPlan& plan);
// Converted KV-cache bytes / original KV-cache bytes in f16: ranks and bits.
double kvRatioOf(const RankPlan& plan, int basis_width);
// The share of ranks kept, whatever the bits.
double rankRatioOf(const RankPlan& plan, int basis_width);
// Root mean square over layers and sides of Spectrum::expectedError.
double expectedErrorOf(const RankPlan& plan, const Spectrum& spectrum);

void savePlan(const RankPlan& plan, const std::filesystem::path& file);
RankPlan loadPlan(const std::filesystem::path& file);
// Throws when the plan's layers or ranks do not fit.
void checkPlan(const RankPlan& plan, int layers, int basis_width, const std::filesystem::path& file);

}  // namespace eigenscope
