// SPDX-License-Identifier: Apache-2.0
// Prefill attention: the tiles that a block works on and how they lie in its shared memory. Pure functions of
// the call and the device; no CUDA headers.
#pragma once

#include "kernels/cuda/attention_plan.h"

namespace eigenscope::cuda {

// Rows are the queries of all query heads of a key/value head side by side, row = query * (query_heads /
// kv_heads) + head: short prompts fill tiles sooner, and few key tiles are cut by the diagonal. With 64
// positions a warp has 32 rows, so that what it reads of a key or value tile is multiplied twice (at 16 rows
// shared memory would be the limit); their sums fill the registers up to a value width of 128. Beyond that,
// and where 64 positions do not fit into shared memory, tiles have 32 positions and warps 16 rows.
struct PrefillTiles {
    int rows = 128, positions = 64;
    int warpRows() const { return positions == 64 ? 32 : 16; }
    int threads() const { return rows / warpRows() * 32; }
};

// Bytes from the start of a block's shared memory, multiples of 16. A pitch is what lies between the starts
// of two rows, in elements of 16 bits: the width padded to 16 and 8 more, so that the eight rows of an
// ldmatrix lie in different banks. Keys, values and latents have two buffers one behind the other.
struct PrefillShared {
    int rows = 0;     // what the kernel knows of each row
    int queries = 0;  // [rows, query_pitch]
    int keys = 0;     // [2, positions, query_pitch]
    int values = 0;   // [2, positions, value_pitch]
    int latents = 0;  // with a lift [2, positions, latent_pitch]
    int basis = 0;    // with a lift [head dimension padded to 16, latent_pitch]
    int mean = 0;     // with a lift [head dimension padded to 16], float32
    int bytes = 0;
    int query_pitch = 0, value_pitch = 0, latent_pitch = 0;
};
inline constexpr int kPrefillHeaderBytes = 128;  // parts of the sequence that the block goes through
inline constexpr int kPrefillRowBytes = 8;

constexpr int paddedWidth(int width) { return (width + 15) / 16 * 16; }

PrefillShared prefillShared(const AttentionParams& p, const PrefillTiles& tiles);

// The best tiles that fit; nothing when none do.
std::optional<PrefillTiles> prefillTiles(const AttentionParams& p, const DeviceLimits& limits);

// Where the first part of a split sequence begins: before it no query sees anything.
inline std::int64_t prefillOrigin(const AttentionParams& p, const PrefillTiles& tiles) {
    const std::int64_t first = p.window > 0 ? p.query_position + 1 - p.window : 0;
    return first <= 0 ? 0 : first / tiles.positions * tiles.positions;
}

}  // namespace eigenscope::cuda
