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

// How a target is shared out among layers: one threshold, or measured sensitivities
// (core/spectrum/allocation.h).
enum class Allocation : std::uint8_t { Threshold, Sensitivity };
std::string_view nameOf(Allocation allocation);  // "threshold", "sensitivity"
Allocation allocationFromName(std::string_view name);

struct RankPlan {
    static constexpr int kVersion = 1;
    std::string method = "eigen";
    Criterion criterion = Criterion::Energy;
    bool share_key_basis = false;
    Allocation allocation =
        Allocation::Threshold;  // of the last target; thresholds mean nothing for Sensitivity
    int rank_multiple = 8;
    double key_threshold = 1.0, value_threshold = 1.0;
    std::vector<int> key_ranks, value_ranks;     // [layers]
    std::vector<bool> key_pinned, value_pinned;  // [layers]: set by hand, kept whatever else changes
    KvBits kv_bits;  // what the converted checkpoint's cache uses by default; empty: its dtype
    bool operator==(const RankPlan&) const = default;
};

// Every rank full, nothing pinned.
RankPlan fullPlan(const Spectrum& spectrum, int rank_multiple = 8);
// Sets both thresholds, every rank that is not pinned, and allocation Threshold.
void applyThresholds(RankPlan& plan, const Spectrum& spectrum, double key_threshold, double value_threshold);
// One threshold for keys and values, by bisection: the largest plan whose KV ratio does not exceed the target
// (pinned ranks stay). Throws InvalidInput when even the smallest ranks exceed it, naming the smallest ratio
// that can be had.
void applyKvRatio(RankPlan& plan, const Spectrum& spectrum, double target);
void pinRank(RankPlan& plan, const Spectrum& spectrum, Side side, int layer, int rank);
void unpin(RankPlan& plan, const Spectrum& spectrum, Side side, int layer);

// Converted KV-cache bytes / original KV-cache bytes in f16: ranks and bits.
double kvRatioOf(const RankPlan& plan, int head_dim);
// The share of ranks kept, whatever the bits.
double rankRatioOf(const RankPlan& plan, int head_dim);
// Root mean square over layers and sides of Spectrum::expectedError.
double expectedErrorOf(const RankPlan& plan, const Spectrum& spectrum);

void savePlan(const RankPlan& plan, const std::filesystem::path& file);
RankPlan loadPlan(const std::filesystem::path& file);
// Throws when the plan's layers or ranks do not fit.
void checkPlan(const RankPlan& plan, int layers, int head_dim, const std::filesystem::path& file);

}  // namespace eigenscope
