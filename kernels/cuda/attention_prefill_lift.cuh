// SPDX-License-Identifier: Apache-2.0
// Prefill attention: rebuilds a tile of keys from its latents in shared memory, by tensor cores (KeyLift in
// kernels/api/ops.h): keys = latents basis^T + mean, rotated to their positions, rounded to T.
#pragma once

#include "kernels/cuda/attention_prefill_tiles.cuh"

namespace eigenscope::cuda {

// The basis of a key/value head, rounded to T, and its mean; zero behind their sizes.
template <typename T>
__device__ inline void loadBasis(const PrefillCall& call, int kv_head, T* basis, float* mean) {
    const int pitch = call.shared.latent_pitch, rank = call.keys.width, width = call.query_width;
    const int columns = pitch - 8, rows = call.shared.query_pitch - 8;
    const float* from = call.basis + static_cast<std::int64_t>(kv_head) * width * rank;
    for (int row = threadIdx.x / 8; row < rows; row += blockDim.x / 8)
        for (int i = threadIdx.x % 8 * 4; i < columns; i += 32) {
            float4 x = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            if (row < width && i < rank)
                x = *reinterpret_cast<const float4*>(from + static_cast<std::int64_t>(row) * rank + i);
            *reinterpret_cast<uint2*>(basis + row * pitch + i) =
                make_uint2(packPair<T>(x.x, x.y), packPair<T>(x.z, x.w));
        }
    for (int i = threadIdx.x; i < rows; i += blockDim.x)
        mean[i] = i < width && call.mean ? call.mean[static_cast<std::int64_t>(kv_head) * width + i] : 0.0f;
}

// Columns are made in pairs of eight: those that a rotation mixes, then the others.
struct ColumnPair {
    int low, high;  // first column of each eight
    bool rotated;
};
__device__ inline ColumnPair columnPair(int rotary_half, int pair) {
    const int rotated = rotary_half / 8;
    if (pair < rotated)
        return {pair * 8, pair * 8 + rotary_half, true};
    return {(2 * rotated + 2 * (pair - rotated)) * 8, (2 * rotated + 2 * (pair - rotated) + 1) * 8, false};
}

// Two neighbouring elements of a key row of each eight, from the products' sums.
template <typename T>
__device__ inline void storeLifted(const PrefillCall& call, const ColumnPair& pair, const float* mean, int t,
                                   int column, float2 low, float2 high, T* key) {
    const float2 mean_low = *reinterpret_cast<const float2*>(mean + pair.low + column);
    const float2 mean_high = *reinterpret_cast<const float2*>(mean + pair.high + column);
    low = make_float2(low.x + mean_low.x, low.y + mean_low.y);
    high = make_float2(high.x + mean_high.x, high.y + mean_high.y);
    if (pair.rotated) {
        const std::int64_t at = static_cast<std::int64_t>(t) * call.rotary_half + pair.low + column;
        const float2 c = *reinterpret_cast<const float2*>(call.cos + at);
        const float2 s = *reinterpret_cast<const float2*>(call.sin + at);
        const float2 before = low;
        low = make_float2(low.x * c.x - high.x * s.x, low.y * c.y - high.y * s.y);
        high = make_float2(high.x * c.x + before.x * s.x, high.y * c.y + before.y * s.y);
    }
    *reinterpret_cast<unsigned*>(key + pair.low + column) = packPair<T>(low.x, low.y);
    *reinterpret_cast<unsigned*>(key + pair.high + column) = packPair<T>(high.x, high.y);
}

// latents [kPositions, latent_pitch] at positions from `first` on, basis as above, to keys [kPositions,
// query_pitch]. A warp makes half of the positions of two column pairs at a time: 16 sums of 8 x 8 with four
// ldmatrix a step of 16 of the rank.
template <typename T, int kPositions>
__device__ inline void liftTile(const PrefillCall& call, const T* latents, const T* basis, const float* mean,
                                int first, T* keys) {
    constexpr int kTiles = kPositions / 32;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int pitch = call.shared.latent_pitch, query_pitch = call.shared.query_pitch;
    const int pairs = (query_pitch - 8) / 16, steps = (pitch - 8) / 16;
    const int end = call.query_position + call.query_length;  // the rotary table may end there
#pragma unroll 1
    for (int unit = warp; unit < (pairs + 1) / 2 * 2; unit += blockDim.x / 32) {
        const int row = unit % 2 * 16 * kTiles, pair = unit / 2 * 2, count = min(2, pairs - pair);
        const T* a_row = latents + (row + lane % 16) * pitch + lane / 16 * 8;
        const ColumnPair columns[2] = {columnPair(call.rotary_half, pair),
                                       columnPair(call.rotary_half, pair + count - 1)};
        const T* b_row[2];
#pragma unroll
        for (int j = 0; j < 2; ++j)
            b_row[j] = basis + ((lane / 16 ? columns[j].high : columns[j].low) + lane % 8) * pitch +
                       lane / 8 % 2 * 8;
        float sums[kTiles][2][2][4] = {};
#pragma unroll 1
        for (int k = 0; k < steps; ++k) {
            unsigned a[kTiles][4];
#pragma unroll
            for (int i = 0; i < kTiles; ++i)
                loadMatrix4(a[i], a_row + i * 16 * pitch + k * 16);
#pragma unroll
            for (int j = 0; j < 2; ++j) {
                unsigned b[4];
                loadMatrix4(b, b_row[j] + k * 16);
                const unsigned b_low[2] = {b[0], b[1]}, b_high[2] = {b[2], b[3]};
#pragma unroll
                for (int i = 0; i < kTiles; ++i) {
                    mma16816<T>(sums[i][j][0], a[i], b_low);
                    mma16816<T>(sums[i][j][1], a[i], b_high);
                }
            }
        }
#pragma unroll
        for (int j = 0; j < 2; ++j)
            if (j < count)
#pragma unroll
                for (int i = 0; i < kTiles; ++i)
#pragma unroll
                    for (int half = 0; half < 2; ++half) {
                        const int at = row + i * 16 + half * 8 + lane / 4;
                        const float* low = sums[i][j][0] + 2 * half;
                        const float* high = sums[i][j][1] + 2 * half;
                        storeLifted<T>(call, columns[j], mean, min(first + at, end - 1), lane % 4 * 2,
                                       make_float2(low[0], low[1]), make_float2(high[0], high[1]),
                                       keys + at * query_pitch);
                    }
    }
}

}  // namespace eigenscope::cuda
