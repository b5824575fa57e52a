// SPDX-License-Identifier: Apache-2.0
// Prefill attention: what a warp does with its rows and one tile of keys and values: scores, masks, the
// running softmax (FlashAttention-2, arXiv 2307.08691) and the weighted sums, all in registers. Fragments are
// those of mma.m16n8k16 (kernels/cuda/ptx.cuh): of row tile i a lane has rows i * 16 + lane / 4 and 8 below,
// of column tile n columns n * 8 + lane % 4 * 2 and the next.
#pragma once

#include "kernels/cuda/attention_prefill_tiles.cuh"

#include <cmath>

namespace eigenscope::cuda {

// What is known of a row, in shared memory. A row behind the last has position -1.
struct RowFacts {
    int position;
    float slope;  // ALiBi's, of scores as exponents of two; 0 without
};
static_assert(sizeof(RowFacts) == kPrefillRowBytes, "the shared-memory layout");

template <int kRowTiles, int kValueTiles>
struct RowState {
    float output[kRowTiles][kValueTiles][4] = {};
    float largest[kRowTiles][2];
    float total[kRowTiles][2];  // of the lane's columns
};

// scores = queries keys^T. queries: the warp's rows; both [., pitch] with `steps` times 16 columns.
template <typename T, int kRowTiles, int kPositions>
__device__ __forceinline__ void scoreTile(const T* queries, const T* keys, int pitch, int steps,
                                          float (&scores)[kRowTiles][kPositions / 8][4]) {
    const int lane = threadIdx.x % 32;
    const T* a_row = queries + lane % 16 * pitch + lane / 16 * 8;
    const T* b_row = keys + (lane / 16 * 8 + lane % 8) * pitch + lane / 8 % 2 * 8;
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i)
#pragma unroll
        for (int n = 0; n < kPositions / 8; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                scores[i][n][e] = 0.0f;
#pragma unroll 2
    for (int k = 0; k < steps; ++k) {
        unsigned a[kRowTiles][4];
#pragma unroll
        for (int i = 0; i < kRowTiles; ++i)
            loadMatrix4(a[i], a_row + i * 16 * pitch + k * 16);
#pragma unroll
        for (int n = 0; n < kPositions / 16; ++n) {
            unsigned b[4];
            loadMatrix4(b, b_row + n * 16 * pitch + k * 16);
            const unsigned b_low[2] = {b[0], b[1]}, b_high[2] = {b[2], b[3]};
#pragma unroll
            for (int i = 0; i < kRowTiles; ++i) {
                mma16816<T>(scores[i][2 * n], a[i], b_low);
                mma16816<T>(scores[i][2 * n + 1], a[i], b_high);
            }
        }
    }
}

// rows: the warp's. Adds ALiBi's bias, then hides what a row does not see where `masked`.
template <int kRowTiles, int kPositions>
__device__ __forceinline__ void biasAndMask(const PrefillCall& call, const RowFacts* rows, Step step,
                                            bool masked, float (&scores)[kRowTiles][kPositions / 8][4]) {
    const int lane = threadIdx.x % 32, column = step.position + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const RowFacts row = rows[i * 16 + half * 8 + lane / 4];
            if (call.alibi_slopes)
#pragma unroll
                for (int n = 0; n < kPositions / 8; ++n)
#pragma unroll
                    for (int e = 0; e < 2; ++e)
                        scores[i][n][2 * half + e] +=
                            row.slope * static_cast<float>(column + n * 8 + e - row.position);
            if (!masked)
                continue;
            const Interval seen = seenBy(call, step.part, row.position);
#pragma unroll
            for (int n = 0; n < kPositions / 8; ++n)
#pragma unroll
                for (int e = 0; e < 2; ++e) {
                    const int t = column + n * 8 + e;
                    if (t < seen.begin || t >= seen.end)
                        scores[i][n][2 * half + e] = -INFINITY;
                }
        }
}

// Turns scores into weights relative to the new maxima, and what was summed with the old ones too.
template <int kRowTiles, int kPositions, int kValueTiles>
__device__ __forceinline__ void softmaxTile(float (&scores)[kRowTiles][kPositions / 8][4],
                                            RowState<kRowTiles, kValueTiles>& state) {
    float factors[kRowTiles][2];
    bool changed = false;
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float most = state.largest[i][half];
#pragma unroll
            for (int n = 0; n < kPositions / 8; ++n)
                most = fmaxf(most, fmaxf(scores[i][n][2 * half], scores[i][n][2 * half + 1]));
            most = fmaxf(most, __shfl_xor_sync(~0u, most, 1));
            most = fmaxf(most, __shfl_xor_sync(~0u, most, 2));
            const float base = most == -INFINITY ? 0.0f : most;  // nothing seen so far: all weights are 0
            factors[i][half] = fastExp2(state.largest[i][half] - base);
            changed |= most != state.largest[i][half];
            state.largest[i][half] = most;
            float sum = 0.0f;
#pragma unroll
            for (int n = 0; n < kPositions / 8; ++n)
#pragma unroll
                for (int e = 0; e < 2; ++e)
                    sum += scores[i][n][2 * half + e] = fastExp2(scores[i][n][2 * half + e] - base);
            state.total[i][half] = state.total[i][half] * factors[i][half] + sum;
        }
    if (!__any_sync(~0u, changed))
        return;
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i)
#pragma unroll
        for (int j = 0; j < kValueTiles; ++j)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                state.output[i][j][e] *= factors[i][e / 2];
}

// output += weights values. values [kPositions, pitch] with pairs * 16 columns.
template <typename T, int kRowTiles, int kPositions, int kValueTiles>
__device__ __forceinline__ void addValues(const float (&weights)[kRowTiles][kPositions / 8][4],
                                          const T* values, int pitch, int pairs,
                                          RowState<kRowTiles, kValueTiles>& state) {
    const int lane = threadIdx.x % 32;
    const T* row = values + lane % 16 * pitch + lane / 16 * 8;
    unsigned a[kRowTiles][kPositions / 16][4];
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i)
#pragma unroll
        for (int k = 0; k < kPositions / 16; ++k)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const float* pair = weights[i][2 * k + e / 2] + 2 * (e % 2);
                a[i][k][e] = packPair<T>(pair[0], pair[1]);
            }
#pragma unroll
    for (int j = 0; j < kValueTiles / 2; ++j)
        if (j < pairs)
#pragma unroll
            for (int k = 0; k < kPositions / 16; ++k) {
                unsigned b[4];
                loadMatrix4Transposed(b, row + k * 16 * pitch + j * 16);
                const unsigned b_low[2] = {b[0], b[1]}, b_high[2] = {b[2], b[3]};
#pragma unroll
                for (int i = 0; i < kRowTiles; ++i) {
                    mma16816<T>(state.output[i][2 * j], a[i][k], b_low);
                    mma16816<T>(state.output[i][2 * j + 1], a[i][k], b_high);
                }
            }
}

// place: of the row (b, m, h) among all rows, -1 for one behind the last.
template <typename Place, int kRowTiles, int kValueTiles>
__device__ __forceinline__ void storeRows(const PrefillCall& call,
                                          const RowState<kRowTiles, kValueTiles>& state, int split,
                                          Place place) {
    constexpr float kLn2 = 0.69314718055994531f;
    const int lane = threadIdx.x % 32, width = call.values.width;
    const std::int64_t all = std::int64_t{1} * call.batch * call.query_length * call.kv_heads * call.group;
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float total = state.total[i][half];
            total += __shfl_xor_sync(~0u, total, 1);
            total += __shfl_xor_sync(~0u, total, 2);
            std::int64_t at = place(i * 16 + half * 8 + lane / 4);
            if (at < 0)
                continue;
            const bool whole = call.splits == 1;
            const float scale = whole ? 1.0f / total : 1.0f;
            at += split * all;
            if (!whole && lane % 4 == 0) {
                call.partials.largest[at] = state.largest[i][half] * kLn2;
                call.partials.total[at] = total;
            }
            float* to = (whole ? call.output : call.partials.output) + at * width + lane % 4 * 2;
#pragma unroll
            for (int j = 0; j < kValueTiles; ++j)
                if (j * 8 < width)
                    *reinterpret_cast<float2*>(to + j * 8) = make_float2(
                        state.output[i][j][2 * half] * scale, state.output[i][j][2 * half + 1] * scale);
        }
}

}  // namespace eigenscope::cuda
