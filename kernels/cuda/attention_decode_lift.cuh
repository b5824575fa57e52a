// SPDX-License-Identifier: Apache-2.0
// Keys rebuilt from latents within decode attention (KeyLift of kernels/api/ops.h), in registers alone: the
// product of a chunk's latents and the basis is laid out as the next product, with the queries, wants its
// first factor, and a rotation's two elements meet in a lane.
//
// Rotations R(n) of positions compose: q . R(t + j) k = (R(-t) q) . (R(j) k). So the queries are turned back
// by a chunk's first position t, of which one row of the table is read, and keys are rotated by j alone, the
// same few rows for all chunks, kept in shared memory as float16 (off by 2^-12 at most, an eighth of
// bfloat16's rounding of the key that follows). A table of rows for all positions would be more traffic than
// the latents. Sixteen elements of a head are a step of the product: eight and those half a rotary dimension
// further, then what is not rotated in its order.
#pragma once

#include "kernels/cuda/attention_decode_load.cuh"
#include "kernels/cuda/attention_decode_softmax.cuh"

namespace eigenscope::cuda {

// The head's element at place i of a step; -1 behind the last.
__device__ inline int liftedElement(const DecodeCall& call, int step, int i) {
    int element = 0;
    if (step < call.rotary_steps)
        element = 8 * step + (i < 8 ? i : i - 8 + call.rotary_half);
    else
        element = 2 * call.rotary_half + 16 * (step - call.rotary_steps) + i;
    return element < call.query_width ? element : -1;
}

// The head's basis, rounded, as [16 steps, pitch]; every thread of the block.
template <typename T, int kKeySteps>
__device__ void loadBasis(const DecodeCall& call, int kv_head, unsigned char* basis) {
    constexpr int kFours = 4 * kKeySteps;
    const int rank = call.keys.width;
    const float* from = call.basis + static_cast<std::int64_t>(kv_head) * call.query_width * rank;
    const bool whole = rank % 4 == 0 && offsetIn16(reinterpret_cast<const unsigned char*>(from)) == 0;
#pragma unroll 4
    for (int i = threadIdx.x; i < 16 * call.steps * kFours; i += blockDim.x) {
        const int row = i / kFours, column = i % kFours * 4;
        const int element = liftedElement(call, row / 16, row % 16);
        float4 x = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (element >= 0 && column < rank) {
            const float* at = from + element * rank + column;
            if (whole) {
                x = *reinterpret_cast<const float4*>(at);
            } else {
                x.x = at[0];
                x.y = column + 1 < rank ? at[1] : 0.0f;
                x.z = column + 2 < rank ? at[2] : 0.0f;
                x.w = column + 3 < rank ? at[3] : 0.0f;
            }
        }
        *reinterpret_cast<uint2*>(basis + row * call.memory.key_pitch + column * 2) =
            make_uint2(packPair<T>(x.x, x.y), packPair<T>(x.z, x.w));
    }
}

// Means [16 steps], rotations by 0 to chunk - 1 positions [steps, chunk, 4] (two cosines, two sines) and
// queries [steps, 4, 8 columns] (two elements and the two half a rotation further); every thread of the
// block.
__device__ inline void loadMean(const DecodeCall& call, int kv_head, float* mean) {
    for (int i = threadIdx.x; i < 16 * call.steps; i += blockDim.x) {
        const int element = liftedElement(call, i / 16, i % 16);
        mean[i] = element >= 0 && call.mean ? call.mean[kv_head * call.query_width + element] : 0.0f;
    }
}
__device__ inline void loadRotations(const DecodeCall& call, int chunk, uint2* rotations) {
    for (int i = threadIdx.x; i < 4 * chunk * call.steps; i += blockDim.x) {
        const int step = i / (4 * chunk), j = i / 4 % chunk, at = j * call.rotary_half + 8 * step + i % 4 * 2;
        float2 c = {1.0f, 1.0f}, s = {0.0f, 0.0f};
        if (step < call.rotary_steps && j < call.table_rows) {
            c = {call.cos[at], call.cos[at + 1]};
            s = {call.sin[at], call.sin[at + 1]};
        }
        rotations[i] = make_uint2(packPair<__half>(c.x, c.y), packPair<__half>(s.x, s.y));
    }
}
template <typename QueryAt>
__device__ void loadLiftedQueries(const DecodeCall& call, const QueryAt& queryAt, int columns,
                                  float4* queries) {
    for (int i = threadIdx.x; i < 4 * columns * call.steps; i += blockDim.x) {
        const int step = i / (4 * columns), pair = i / columns % 4 * 2;
        const float* row = queryAt(i % columns);
        float x[4] = {};
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            const int element = liftedElement(call, step, pair + (e & 1) + (e >> 1) * 8);
            if (row && element >= 0)
                x[e] = row[element] * call.scale;
        }
        queries[i] = make_float4(x[0], x[1], x[2], x[3]);
    }
}

// Turns the queries back by the position whose cosines and sines are at `angles`; as fragments
// [steps, columns / 8, 32].
template <typename T, int kColumns>
__device__ void turnQueries(const DecodeCall& call, const float4* queries, const float* angles,
                            uint2* fragments, int lane) {
    const bool low_part = call.split && lane / 4 >= 4;
    for (int step = 0; step < call.steps; ++step) {
        float2 c = {1.0f, 1.0f}, s = {0.0f, 0.0f};
        if (step < call.rotary_steps) {
            const int at = 8 * step + lane % 4 * 2;
            c = *reinterpret_cast<const float2*>(angles + at);
            s = *reinterpret_cast<const float2*>(angles + call.rotary_half + at);
        }
#pragma unroll
        for (int n = 0; n < kColumns; ++n) {
            const float4 q = queries[(step * 4 + lane % 4) * 8 * kColumns + 8 * n + lane / 4];
            fragments[(step * kColumns + n) * 32 + lane] =
                make_uint2(packPart<T>(q.x * c.x + q.z * s.x, q.y * c.y + q.w * s.y, low_part),
                           packPart<T>(q.z * c.x - q.x * s.x, q.w * c.y - q.y * s.y, low_part));
        }
    }
}

// Where a lane's row of a tile of 16 rows lies, for loads of 16 of their elements as a first factor.
__device__ inline int rowOffset(int pitch, int lane) { return lane % 16 * pitch + lane / 16 * 16; }

template <int kTiles, int kKeySteps>
__device__ void loadLatents(const unsigned char* tile, int pitch, unsigned (&latents)[kTiles][kKeySteps][4],
                            int lane) {
    tile += rowOffset(pitch, lane);
#pragma unroll
    for (int i = 0; i < kTiles; ++i)
#pragma unroll
        for (int k = 0; k < kKeySteps; ++k)
            loadMatrix4(latents[i][k], tile + 16 * i * pitch + 32 * k);
}

// A key's elements of one step for two positions of a lane, rotated and rounded: `low` and `high` are columns
// t, t + 1 of the step's halves, of row g (half 0) or g + 8.
template <typename T>
__device__ void rotateKeys(const float (&low)[4], const float (&high)[4], const uint2* rotation, int half,
                           unsigned (&key)[4]) {
    const uint2 r = *rotation;
    const float c0 = lowOf<__half>(r.x), c1 = highOf<__half>(r.x), s0 = lowOf<__half>(r.y),
                s1 = highOf<__half>(r.y);
    const float x0 = low[2 * half], x1 = low[2 * half + 1], y0 = high[2 * half], y1 = high[2 * half + 1];
    key[half] = packPair<T>(x0 * c0 - y0 * s0, x1 * c1 - y1 * s1);
    key[2 + half] = packPair<T>(y0 * c0 + x0 * s0, y1 * c1 + x1 * s1);
}

// scores += lifted, rotated keys times queries.
template <typename T, int kTiles, int kKeySteps, int kColumns>
__device__ void liftScores(const DecodeCall& call, const unsigned char* shared, const uint2* fragments,
                           const unsigned (&latents)[kTiles][kKeySteps][4],
                           float (&scores)[kTiles][kColumns][4], int lane) {
    const int pitch = call.memory.key_pitch;
    // Eight rows of the step's first half at columns 0 and 8, then of its second half.
    const unsigned char* basis =
        shared + call.memory.basis + (lane % 8 + lane / 16 * 8) * pitch + (lane / 8 & 1) * 16;
    const auto* mean = reinterpret_cast<const float*>(shared + call.memory.mean) + lane % 4 * 2;
    const uint2* rotation = reinterpret_cast<const uint2*>(shared + call.memory.rotations) + lane;
    // Two steps at a time where there are too few sums to keep the tensor cores busy, and registers for it.
    [[maybe_unused]] constexpr int kTogether = kTiles == 2 && kColumns == 1 && kKeySteps <= 8 ? 2 : 1;
#pragma unroll kTogether
    for (int step = 0; step < call.steps; ++step) {
        const float2 low_mean = *reinterpret_cast<const float2*>(mean + 16 * step);
        const float2 high_mean = *reinterpret_cast<const float2*>(mean + 16 * step + 8);
        float low[kTiles][4], high[kTiles][4];
#pragma unroll
        for (int i = 0; i < kTiles; ++i) {
            low[i][0] = low[i][2] = low_mean.x, low[i][1] = low[i][3] = low_mean.y;
            high[i][0] = high[i][2] = high_mean.x, high[i][1] = high[i][3] = high_mean.y;
        }
#pragma unroll
        for (int k = 0; k < kKeySteps; ++k) {
            unsigned b[4];
            loadMatrix4(b, basis + 16 * step * pitch + 32 * k);
#pragma unroll
            for (int i = 0; i < kTiles; ++i) {
                mma16816<T>(low[i], latents[i][k], {b[0], b[1]});
                mma16816<T>(high[i], latents[i][k], {b[2], b[3]});
            }
        }
        unsigned key[kTiles][4];
#pragma unroll
        for (int i = 0; i < kTiles; ++i)
#pragma unroll
            for (int half = 0; half < 2; ++half)
                rotateKeys<T>(low[i], high[i], rotation + ((step * kTiles + i) * 2 + half) * 32, half,
                              key[i]);
#pragma unroll
        for (int n = 0; n < kColumns; ++n) {
            const uint2 q = fragments[(step * kColumns + n) * 32 + lane];
#pragma unroll
            for (int i = 0; i < kTiles; ++i)
                mma16816<T>(scores[i][n], key[i], {q.x, q.y});
        }
    }
}

}  // namespace eigenscope::cuda
