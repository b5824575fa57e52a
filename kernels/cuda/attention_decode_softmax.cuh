// SPDX-License-Identifier: Apache-2.0
// A warp's online softmax over chunks of positions, and the sums of weighted values. A lane holds of scores
// [positions, queries] and of outputs [value elements, queries] what mma16816 gives it: with g = lane / 4 and
// t = lane % 4 * 2, columns t and t + 1 of rows g and g + 8.
#pragma once

#include "kernels/cuda/attention_decode.h"
#include "kernels/cuda/device_math.cuh"
#include "kernels/cuda/ptx.cuh"

#include <cmath>

namespace eigenscope::cuda {

template <typename T>
__device__ float lowOf(unsigned pair) {
    if constexpr (std::is_same_v<T, __half>)
        return toFloat(__ushort_as_half(static_cast<unsigned short>(pair & 0xffffu)));
    else
        return __uint_as_float(pair << 16);
}
template <typename T>
__device__ float highOf(unsigned pair) {
    if constexpr (std::is_same_v<T, __half>)
        return toFloat(__ushort_as_half(static_cast<unsigned short>(pair >> 16)));
    else
        return __uint_as_float(pair & 0xffff0000u);
}

// Two numbers rounded to T, or in a column of low parts what that rounding took.
template <typename T>
__device__ unsigned packPart(float low, float high, bool low_part) {
    const unsigned rounded = packPair<T>(low, high);
    return low_part ? packPair<T>(low - lowOf<T>(rounded), high - highOf<T>(rounded)) : rounded;
}

// The query of a column: [first, last] are the positions it sees, none where there is no such query.
struct DecodeColumn {
    int first = 0, last = -1;
    float slope = 0.0f;  // of ALiBi, times log2(e)
};

// Number of the query that a column holds.
__device__ inline int decodeRow(const DecodeCall& call, int column) {
    return call.split ? column & 3 : column;
}

__device__ inline DecodeColumn decodeColumn(const DecodeCall& call, int kv_head, int position, int column) {
    constexpr float kLog2E = 1.4426950408889634f;
    const int row = decodeRow(call, column);
    DecodeColumn c;
    if (row >= call.rows)
        return c;
    c.last = position + row / call.group;
    c.first = call.window > 0 ? max(0, c.last - call.window + 1) : 0;
    if (call.alibi_slopes)
        c.slope = call.alibi_slopes[kv_head * call.group + row % call.group] * kLog2E;
    return c;
}

template <int kColumns, int kValueTiles>
struct DecodeState {
    DecodeColumn column[kColumns][2];
    float largest[kColumns][2];  // score so far
    float total[kColumns][2];    // of the weights of the lane's own positions
    float output[kValueTiles][kColumns][4];
};

// Adds ALiBi and hides what a query does not see. Row g of tile i is position t + 16 i + g.
template <int kTiles, int kColumns, int kValueTiles>
__device__ void maskScores(float (&scores)[kTiles][kColumns][4],
                           const DecodeState<kColumns, kValueTiles>& state, int t, int lane) {
#pragma unroll
    for (int i = 0; i < kTiles; ++i)
#pragma unroll
        for (int n = 0; n < kColumns; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const DecodeColumn& c = state.column[n][e & 1];
                const int position = t + 16 * i + lane / 4 + (e >> 1) * 8;
                const float score = scores[i][n][e] + c.slope * static_cast<float>(position - c.last);
                scores[i][n][e] = position < c.first || position > c.last ? -INFINITY : score;
            }
}

// Raises the state's largest scores to those of a chunk; sums so far are weighed anew.
template <int kTiles, int kColumns, int kValueTiles>
__device__ void raiseLargest(const float (&scores)[kTiles][kColumns][4],
                             DecodeState<kColumns, kValueTiles>& state) {
    float largest[kColumns][2];
    bool raised = false;
#pragma unroll
    for (int n = 0; n < kColumns; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
            float most = state.largest[n][e];
#pragma unroll
            for (int i = 0; i < kTiles; ++i)
                most = fmaxf(most, fmaxf(scores[i][n][e], scores[i][n][e + 2]));
#pragma unroll
            for (int step = 4; step < 32; step *= 2)
                most = fmaxf(most, __shfl_xor_sync(~0u, most, step));
            largest[n][e] = most;
            raised = raised || most > state.largest[n][e];
        }
    if (!__any_sync(~0u, raised))
        return;
#pragma unroll
    for (int n = 0; n < kColumns; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
            // Nothing seen yet: sums are zero and stay so.
            const float factor =
                state.largest[n][e] == -INFINITY ? 0.0f : fastExp2(state.largest[n][e] - largest[n][e]);
            state.largest[n][e] = largest[n][e];
            state.total[n][e] *= factor;
#pragma unroll
            for (int i = 0; i < kValueTiles; ++i) {
                state.output[i][n][e] *= factor;
                state.output[i][n][e + 2] *= factor;
            }
        }
}

// Scores become weights, as the second factor of a product [value elements, positions] [positions, queries].
template <typename T, int kTiles, int kColumns, int kValueTiles>
__device__ void weighChunk(const float (&scores)[kTiles][kColumns][4],
                           DecodeState<kColumns, kValueTiles>& state, bool low_part,
                           unsigned (&weights)[kTiles][kColumns][2]) {
#pragma unroll
    for (int n = 0; n < kColumns; ++n) {
        // A query that has seen nothing has scores of minus infinity alone: weights of zero from any finite
        // reference.
        float reference[2];
#pragma unroll
        for (int e = 0; e < 2; ++e)
            reference[e] = state.largest[n][e] == -INFINITY ? 0.0f : state.largest[n][e];
#pragma unroll
        for (int i = 0; i < kTiles; ++i)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const float first = fastExp2(scores[i][n][2 * half] - reference[0]);
                const float second = fastExp2(scores[i][n][2 * half + 1] - reference[1]);
                state.total[n][0] += first;
                state.total[n][1] += second;
                weights[i][n][half] = transposeMatrix(packPart<T>(first, second, low_part));
            }
    }
}

// Where a lane's row of a value tile lies, for the transposed loads of 16 elements of 16 positions.
__device__ inline int valueOffset(int pitch, int lane) {
    return (lane % 8 + lane / 16 * 8) * pitch + (lane / 8 & 1) * 16;
}

template <typename T, int kTiles, int kColumns, int kValueTiles>
__device__ void addValues(const unsigned char* values, int pitch, int value_tiles,
                          const unsigned (&weights)[kTiles][kColumns][2],
                          DecodeState<kColumns, kValueTiles>& state, int lane) {
    values += valueOffset(pitch, lane);
#pragma unroll
    for (int tile = 0; tile < kValueTiles; ++tile)
        if (tile < value_tiles) {
#pragma unroll
            for (int i = 0; i < kTiles; ++i) {
                unsigned a[4];
                loadMatrix4Transposed(a, values + 16 * i * pitch + 32 * tile);
#pragma unroll
                for (int n = 0; n < kColumns; ++n)
                    mma16816<T>(state.output[tile][n], a, weights[i][n]);
            }
        }
}

}  // namespace eigenscope::cuda
