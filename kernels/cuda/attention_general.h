// SPDX-License-Identifier: Apache-2.0
// The tiles of the general attention kernel and the shared memory they take. Pure functions.
#pragma once

#include "kernels/cuda/attention_plan.h"

namespace eigenscope::cuda {

// Rows (queries of the heads of a group) and positions that a block works on at a time.
struct GeneralTiles {
    int rows = 16, positions = 32;
};

// Blocks that registers let a multiprocessor run at a time: a fourth would have them spilled.
inline constexpr int kGeneralBlocksPerProcessor = 3;

// Floats of shared memory in order: queries [rows, query_width], keys [positions, pitch], values [positions,
// values.width], latents [positions, keys.width] with a lift, weights [rows, positions], sums [rows,
// values.width], and three numbers a row.
// Rows begin in different banks.
constexpr int oddPitch(int width) { return width | 1; }
inline std::size_t generalSharedBytes(const AttentionParams& p, const GeneralTiles& t) {
    const std::int64_t q = p.query_width, v = p.values.width;
    const std::int64_t floats = t.rows * (q + v + t.positions + 3) +
                                t.positions * (oddPitch(p.query_width) + v + (p.lift ? p.keys.width : 0));
    return static_cast<std::size_t>(floats) * sizeof(float);
}

// Query positions that share a tile: one only where the rows that are read exactly depend on it.
int generalQueriesPerTile(const AttentionParams& p, const GeneralTiles& tiles);

// The largest tiles that fit; nothing when even the smallest do not.
std::optional<GeneralTiles> generalTiles(const AttentionParams& p, const DeviceLimits& limits);

}  // namespace eigenscope::cuda
