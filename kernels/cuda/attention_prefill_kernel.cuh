// SPDX-License-Identifier: Apache-2.0
// The prefill kernel: FlashAttention-2 (arXiv 2307.08691) with mma.m16n8k16. A block has a tile of rows of
// one key/value head (attention_prefill.h) and goes through the tiles of positions that they see; while warps
// multiply one tile, the next comes into the other buffer, and with a lift its keys are made as well.
//
// Reckoned for a multiprocessor of an H100 or H200, per tile of 128 rows and 64 positions at width 128: 4.2
// MFLOP, 1024 clocks at the tensor cores' peak and about 1600 at what mma.sync reaches of it; 160 KiB of
// ldmatrix and 32 KiB of copies, 1540 clocks of shared memory; 4 x 1030 instructions on 4 schedulers. Two
// blocks overlap these. A lift of rank 80 adds to a tile of 256 rows 16 % of the products and 80 KiB of
// ldmatrix, and 32 KiB of cosines and sines from the second-level cache.
#pragma once

#include "kernels/cuda/attention_prefill_lift.cuh"
#include "kernels/cuda/attention_prefill_rows.cuh"
#include "kernels/cuda/launch.cuh"

namespace eigenscope::cuda {

inline constexpr int kPrefillThreads = 256;  // at most; up to 255 registers each

struct PrefillBlock {
    int b, kv_head, first_row, last_row;  // last_row: one behind the last
};

// Blocks start in the order of their index. Late rows have most to do, so they come first; heads that are
// under way at the same time are few, so that their cache stays in the second-level cache.
__device__ inline PrefillBlock prefillBlock(const PrefillCall& call) {
    constexpr int kHeadsAtOnce = 16;
    const int heads = call.batch * call.kv_heads, index = blockIdx.x;
    const int first = index / (kHeadsAtOnce * call.row_tiles) * kHeadsAtOnce;
    const int at_once = min(kHeadsAtOnce, heads - first), at = index - first * call.row_tiles;
    const int head = first + at % at_once, first_row = (call.row_tiles - 1 - at / at_once) * call.tiles.rows;
    return {head / call.kv_heads, head % call.kv_heads, first_row,
            min(call.rows, first_row + call.tiles.rows)};
}

// Of row (m, h in the group) among all rows of queries and outputs.
__device__ inline std::int64_t rowPlace(const PrefillCall& call, const PrefillBlock& block, int row) {
    const int m = row / call.group, h = block.kv_head * call.group + row % call.group;
    return (static_cast<std::int64_t>(block.b) * call.query_length + m) * (call.kv_heads * call.group) + h;
}

// The block's queries, scaled and rounded to T, to shared memory; zero behind the last row and column.
template <typename T>
__device__ inline void loadQueries(const PrefillCall& call, const PrefillBlock& block, T* queries,
                                   RowFacts* facts) {
    constexpr float kLog2E = 1.4426950408889634f;
    const int pitch = call.shared.query_pitch, columns = pitch - 8;
    for (int r = threadIdx.x / 8; r < call.tiles.rows; r += blockDim.x / 8) {
        const int row = block.first_row + r;
        const bool valid = row < block.last_row;
        const float* from = valid ? call.query + rowPlace(call, block, row) * call.query_width : nullptr;
        for (int i = threadIdx.x % 8 * 4; i < columns; i += 32) {
            float4 x = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            if (valid && i < call.query_width)
                x = *reinterpret_cast<const float4*>(from + i);
            *reinterpret_cast<uint2*>(queries + r * pitch + i) =
                make_uint2(packPair<T>(x.x * call.scale, x.y * call.scale),
                           packPair<T>(x.z * call.scale, x.w * call.scale));
        }
        if (threadIdx.x % 8 == 0) {
            const int head = block.kv_head * call.group + row % call.group;
            facts[r].position = valid ? call.query_position + row / call.group : -1;
            facts[r].slope = valid && call.alibi_slopes ? call.alibi_slopes[head] * kLog2E : 0.0f;
        }
    }
}

template <typename T, int kRowTiles, int kPositions, int kValueTiles, bool kLift>
__global__ void __launch_bounds__(kPrefillThreads) prefillKernel(const PrefillCall call) {
    auto* memory = dynamicShared<unsigned char>();
    Parts& parts = *reinterpret_cast<Parts*>(memory);
    auto* facts = reinterpret_cast<RowFacts*>(memory + call.shared.rows);
    T* queries = reinterpret_cast<T*>(memory + call.shared.queries);
    T* keys = reinterpret_cast<T*>(memory + call.shared.keys);
    T* values = reinterpret_cast<T*>(memory + call.shared.values);
    T* latents = reinterpret_cast<T*>(memory + call.shared.latents);
    T* basis = reinterpret_cast<T*>(memory + call.shared.basis);
    auto* mean = reinterpret_cast<float*>(memory + call.shared.mean);
    const int query_pitch = call.shared.query_pitch, value_pitch = call.shared.value_pitch;
    const int cached_pitch = kLift ? call.shared.latent_pitch : query_pitch;
    T* cached = kLift ? latents : keys;  // where key tiles of the cache go

    const PrefillBlock block = prefillBlock(call);
    if (threadIdx.x == 0) {
        const int begin = call.split_origin + static_cast<int>(blockIdx.y) * call.split_length;
        makeParts<kPositions>(call, call.query_position + block.first_row / call.group,
                              call.query_position + (block.last_row - 1) / call.group,
                              {begin, begin + call.split_length}, parts);
        parts.key_head =
            static_cast<std::int64_t>(block.b) * call.keys.heads + block.kv_head / call.keys.sharing;
        parts.value_head =
            static_cast<std::int64_t>(block.b) * call.values.heads + block.kv_head / call.values.sharing;
    }
    __syncthreads();
    const auto loadKeys = [&](int step) {
        if (step >= parts.all_steps)
            return;
        const Step s = stepAt<kPositions>(parts, step);
        loadTile<T, kPositions>(call.keys, parts.key_head, (s.part & 1) != 0, s.position, parts.seen[s.part],
                                cached + step % 2 * kPositions * cached_pitch, cached_pitch);
    };
    const auto loadValues = [&](int step) {
        if (step >= parts.all_steps)
            return;
        const Step s = stepAt<kPositions>(parts, step);
        loadTile<T, kPositions>(call.values, parts.value_head, (s.part & 2) != 0, s.position,
                                parts.seen[s.part], values + step % 2 * kPositions * value_pitch,
                                value_pitch);
    };
    const auto lift = [&](int step) {
        if (step < parts.all_steps)
            liftTile<T, kPositions>(call, latents + step % 2 * kPositions * cached_pitch, basis, mean,
                                    stepAt<kPositions>(parts, step).position,
                                    keys + step % 2 * kPositions * query_pitch);
    };

    loadKeys(0);
    if (kLift)
        loadKeys(1);
    loadValues(0);
    commitCopies();
    loadQueries(call, block, queries, facts);
    if (kLift) {
        loadBasis(call, block.kv_head, basis, mean);
        waitForCopies<0>();
        __syncthreads();
        lift(0);
    }

    RowState<kRowTiles, kValueTiles> state;
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
        state.largest[i][0] = state.largest[i][1] = -INFINITY;
        state.total[i][0] = state.total[i][1] = 0.0f;
    }
    const int warp_row = static_cast<int>(threadIdx.x) / 32 * kRowTiles * 16;
    const int warp_last = min(warp_row + kRowTiles * 16, block.last_row - block.first_row) - 1;
    for (int step = 0; step < parts.all_steps; ++step) {
        waitForCopies<0>();
        __syncthreads();  // what is loaded is there, and the buffers of the step before are free
        loadKeys(kLift ? step + 2 : step + 1);
        loadValues(step + 1);
        commitCopies();
        if (kLift)
            lift(step + 1);
        if (warp_row > warp_last)
            continue;
        const Step s = stepAt<kPositions>(parts, step);
        const Interval early = seenBy(call, s.part, facts[warp_row].position);
        const Interval late = seenBy(call, s.part, facts[warp_last].position);
        if (s.position >= late.end || s.position + kPositions <= early.begin)
            continue;
        const bool masked = s.position < late.begin || s.position + kPositions > early.end;
        float scores[kRowTiles][kPositions / 8][4];
        scoreTile<T, kRowTiles, kPositions>(queries + warp_row * query_pitch,
                                            keys + step % 2 * kPositions * query_pitch, query_pitch,
                                            (query_pitch - 8) / 16, scores);
        if (masked || call.alibi_slopes)
            biasAndMask<kRowTiles, kPositions>(call, facts + warp_row, s, masked, scores);
        softmaxTile<kRowTiles, kPositions, kValueTiles>(scores, state);
        addValues<T, kRowTiles, kPositions, kValueTiles>(scores, values + step % 2 * kPositions * value_pitch,
                                                         value_pitch, (value_pitch - 8) / 16, state);
    }
    storeRows(call, state, static_cast<int>(blockIdx.y), [&](int row) {
        const int r = block.first_row + warp_row + row;
        return r < block.last_row ? rowPlace(call, block, r) : std::int64_t{-1};
    });
}

template <typename T>
void launchPrefill(const PrefillCall& call, unsigned blocks, cudaStream_t stream) {
    const bool lift = call.basis != nullptr;
    const auto kernel = call.tiles.positions == 32
                            ? (lift ? prefillKernel<T, 1, 32, 32, true> : prefillKernel<T, 1, 32, 32, false>)
                        : call.values.width > 64
                            ? (lift ? prefillKernel<T, 2, 64, 16, true> : prefillKernel<T, 2, 64, 16, false>)
                            : (lift ? prefillKernel<T, 2, 64, 8, true> : prefillKernel<T, 2, 64, 8, false>);
    launch("prefill attention", kernel, dim3(blocks, static_cast<unsigned>(call.splits)),
           static_cast<unsigned>(call.tiles.threads()), static_cast<std::size_t>(call.shared.bytes), stream,
           call);
}

}  // namespace eigenscope::cuda
