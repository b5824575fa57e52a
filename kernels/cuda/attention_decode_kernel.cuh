// SPDX-License-Identifier: Apache-2.0
// The kernel of decode attention (attention_decode.h says how it works), and its launch. Included by the
// files that instantiate it, each for one kind of cache.
#pragma once

#include "kernels/cuda/attention_decode.h"
#include "kernels/cuda/attention_decode_lift.cuh"
#include "kernels/cuda/attention_decode_load.cuh"
#include "kernels/cuda/attention_decode_softmax.cuh"
#include "kernels/cuda/launch.cuh"

namespace eigenscope::cuda {

inline constexpr int kDecodeThreads = 256;  // at most

// The block's head, its part [begin, end) of the positions, and its warps. position: the first query's.
struct DecodePart {
    int batch, kv_head, split, position, begin, end;
    int warp, lane;
    DecodeHead keys, values;
};

// Key/value heads follow each other in the grid, so that those that share a latent find it in the cache.
template <int kChunk>
__device__ DecodePart decodePart(const DecodeCall& call) {
    DecodePart part;
    const int block = static_cast<int>(blockIdx.x);
    part.kv_head = block % call.kv_heads;
    part.split = block / call.kv_heads % call.splits;
    part.batch = block / call.kv_heads / call.splits;
    part.position = call.query_position;
    int origin = call.origin;
    if (call.device_position) {
        part.position = static_cast<int>(*call.device_position);
        origin = call.window > 0 ? max(0, part.position - call.window + 1) / kChunk * kChunk : 0;
    }
    part.begin = origin + part.split * call.split_length;
    part.end = min(part.begin + call.split_length, part.position + call.query_length);
    part.warp = static_cast<int>(threadIdx.x) / 32, part.lane = static_cast<int>(threadIdx.x) % 32;
    part.keys = decodeHead(call.keys, part.batch, part.kv_head, part.position);
    part.values = decodeHead(call.values, part.batch, part.kv_head, part.position);
    return part;
}

// Row of query and output that a query of the block is.
__device__ inline std::int64_t queryRow(const DecodeCall& call, const DecodePart& part, int row) {
    return (static_cast<std::int64_t>(part.batch) * call.query_length + row / call.group) * call.query_heads +
           part.kv_head * call.group + row % call.group;
}
__device__ inline const float* queryAt(const DecodeCall& call, const DecodePart& part, int column) {
    const int row = decodeRow(call, column);
    return row < call.rows ? call.query + queryRow(call, part, row) * call.query_width : nullptr;
}

// Without a lift: fragments of the queries [steps, columns, 32]. Every thread of the block.
template <typename T, int kColumns>
__device__ void loadQueries(const DecodeCall& call, const DecodePart& part, uint2* fragments) {
    for (int i = threadIdx.x; i < 32 * kColumns * call.steps; i += blockDim.x) {
        const int lane = i % 32, n = i / 32 % kColumns, step = i / 32 / kColumns;
        const float* query = queryAt(call, part, 8 * n + lane / 4);
        const bool low_part = call.split && lane / 4 >= 4;
        float x[4];
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            const int element = 16 * step + lane % 4 * 2 + (e & 1) + (e >> 1) * 8;
            x[e] = query && element < call.query_width ? query[element] * call.scale : 0.0f;
        }
        fragments[i] = make_uint2(packPart<T>(x[0], x[1], low_part), packPart<T>(x[2], x[3], low_part));
    }
}

// Everything that stays for all chunks, in the block's shared memory. Every thread of the block; the caller's
// barrier follows.
template <typename T, int kChunk, int kKeySteps, int kColumns>
__device__ void prepareBlock(const DecodeCall& call, const DecodePart& part, unsigned char* shared) {
    const DecodeMemory& m = call.memory;
    if constexpr (kKeySteps == 0) {
        loadQueries<T, kColumns>(call, part, reinterpret_cast<uint2*>(shared + m.queries));
    } else {
        loadBasis<T, kKeySteps>(call, part.kv_head, shared + m.basis);
        loadMean(call, part.kv_head, reinterpret_cast<float*>(shared + m.mean));
        loadRotations(call, kChunk, reinterpret_cast<uint2*>(shared + m.rotations));
        loadLiftedQueries(
            call, [&](int column) { return queryAt(call, part, column); }, 8 * kColumns,
            reinterpret_cast<float4*>(shared + m.queries));
    }
}

// A warp's chunks. Every copy...() ends in a group of its own, an empty one behind the last chunk.
template <int kTiles, bool kLift, bool kConvert>
struct DecodeChunks {
    static constexpr int kChunk = 16 * kTiles;
    static constexpr int kSlots = decodeSlots(kLift, kConvert);

    const DecodeCall& call;
    const DecodePart& part;
    unsigned char* memory;  // the warp's

    __device__ int first(int i) const { return part.begin + (part.warp + i * call.warps) * kChunk; }
    __device__ unsigned char* keys(int i) const {
        return memory + call.memory.keys + i % kSlots * (kChunk * call.memory.key_pitch);
    }
    __device__ unsigned char* values(int i) const {
        return memory + call.memory.values + i % kSlots * (kChunk * call.memory.value_pitch);
    }
    __device__ unsigned char* raw(int i, int offset) const {
        return memory + offset + i % 2 * call.memory.raw_bytes;
    }
    __device__ float* angles(int i) const {
        return reinterpret_cast<float*>(memory + call.memory.angles +
                                        (kConvert ? i % 2 * call.memory.angle_bytes : 0));
    }

    __device__ void clear() const {
        clearPadding(call.keys, keys(0), kSlots * kChunk, call.memory.key_pitch, part.lane);
        clearPadding(call.values, values(0), kSlots * kChunk, call.memory.value_pitch, part.lane);
    }

    __device__ void copy(int i) const {
        const int t = first(i);
        if (t < part.end) {
            const DecodeMemory& m = call.memory;
            if constexpr (kConvert) {
                copyStored(call.keys, part.keys, t, part.end, kChunk, raw(i, m.key_rows),
                           raw(i, m.key_scales), part.lane);
                copyStored(call.values, part.values, t, part.end, kChunk, raw(i, m.value_rows),
                           raw(i, m.value_scales), part.lane);
                if constexpr (kLift)
                    queueAngles(i, t);
            } else {
                queueKeys(i, t);
                queueValues(i, t);
            }
        }
        commitCopies();
    }
    __device__ void copyKeys(int i) const {
        if (const int t = first(i); t < part.end) {
            queueKeys(i, t);
            queueAngles(i, t);
        }
        commitCopies();
    }
    __device__ void copyValues(int i) const {
        if (const int t = first(i); t < part.end)
            queueValues(i, t);
        commitCopies();
    }

    __device__ void queueKeys(int i, int t) const {
        copyRows<kChunk>(call.keys, part.keys, t, part.end, keys(i), call.memory.key_pitch, part.lane);
    }
    __device__ void queueValues(int i, int t) const {
        copyRows<kChunk>(call.values, part.values, t, part.end, values(i), call.memory.value_pitch,
                         part.lane);
    }
    // Cosines and sines of the chunk's first position.
    __device__ void queueAngles(int i, int t) const {
        const int half = call.rotary_half;
        const std::int64_t row = static_cast<std::int64_t>(t) * half;
        float* to = angles(i);
        for (int at = part.lane * 4; at < 2 * half; at += 32 * 4)
            copyAsync16(to + at, (at < half ? call.cos + at : call.sin + (at - half)) + row);
    }

    template <typename T>
    __device__ void convert(int i) const {
        const DecodeMemory& m = call.memory;
        convertRows<T, kChunk>(call.keys, part.keys, first(i), part.end, raw(i, m.key_rows),
                               raw(i, m.key_scales), keys(i), m.key_pitch, part.lane);
        convertRows<T, kChunk>(call.values, part.values, first(i), part.end, raw(i, m.value_rows),
                               raw(i, m.value_scales), values(i), m.value_pitch, part.lane);
    }
};

// scores += keys times queries, over the width in two sums, which do not wait for each other.
template <typename T, int kTiles, int kColumns>
__device__ void keyScores(const unsigned char* keys, int pitch, const uint2* fragments, int steps,
                          float (&scores)[kTiles][kColumns][4], int lane) {
    float odd[kTiles][kColumns][4] = {};
    keys += rowOffset(pitch, lane);
    const auto add = [&](float(&sums)[kTiles][kColumns][4], int step) {
        uint2 q[kColumns];
#pragma unroll
        for (int n = 0; n < kColumns; ++n)
            q[n] = fragments[(step * kColumns + n) * 32 + lane];
#pragma unroll
        for (int i = 0; i < kTiles; ++i) {
            unsigned a[4];
            loadMatrix4(a, keys + 16 * i * pitch + 32 * step);
#pragma unroll
            for (int n = 0; n < kColumns; ++n)
                mma16816<T>(sums[i][n], a, {q[n].x, q[n].y});
        }
    };
    int step = 0;
#pragma unroll 4
    for (; step + 1 < steps; step += 2) {
        add(scores, step);
        add(odd, step + 1);
    }
    if (step < steps)
        add(scores, step);
#pragma unroll
    for (int i = 0; i < kTiles; ++i)
#pragma unroll
        for (int n = 0; n < kColumns; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                scores[i][n][e] += odd[i][n][e];
}

// Products of keys and queries to weights of the chunk that begins at t.
template <typename T, int kTiles, int kColumns, int kValueTiles>
__device__ void chunkWeights(const DecodeCall& call, float (&scores)[kTiles][kColumns][4], int t,
                             int position, DecodeState<kColumns, kValueTiles>& state,
                             unsigned (&weights)[kTiles][kColumns][2], int lane) {
    if (call.split) {  // a query's score is that of its high and of its low part, half the columns away
#pragma unroll
        for (int i = 0; i < kTiles; ++i)
#pragma unroll
            for (int n = 0; n < kColumns; ++n)
#pragma unroll
                for (int e = 0; e < 4; ++e)
                    scores[i][n][e] += __shfl_xor_sync(~0u, scores[i][n][e], 2);
    }
    const int seen_by_all = position, last = seen_by_all + call.query_length - 1;
    if (call.alibi_slopes || t + 16 * kTiles - 1 > seen_by_all ||
        (call.window > 0 && t <= last - call.window))
        maskScores(scores, state, t, lane);
    raiseLargest(scores, state);
    weighChunk<T>(scores, state, call.split && lane % 4 >= 2, weights);
}

// The softmax over all of the block's positions from those of its warps, in the warps' memory, as the block's
// result. Every thread of the block; the warps' copies have ended.
template <int kColumns, int kValueTiles>
__device__ void mergeWarps(const DecodeCall& call, const DecodePart& part,
                           DecodeState<kColumns, kValueTiles>& state, unsigned char* memory) {
    constexpr float kLn2 = 0.6931471805599453f;
    constexpr int kQueries = 8 * kColumns;
    const int pitch = 16 * call.value_tiles + 4, lane = part.lane;  // lanes' rows in different banks
    auto* outputs = reinterpret_cast<float*>(memory);               // [warps, queries, pitch]
    float* largest = outputs + call.warps * kQueries * pitch;       // [warps, queries]
    float* totals = largest + call.warps * kQueries;
    __syncthreads();
#pragma unroll
    for (int n = 0; n < kColumns; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
            float total = state.total[n][e];
#pragma unroll
            for (int step = 4; step < 32; step *= 2)
                total += __shfl_xor_sync(~0u, total, step);
            const int column = part.warp * kQueries + 8 * n + lane % 4 * 2 + e;
            if (lane < 4) {
                largest[column] = state.largest[n][e];
                totals[column] = total;
            }
#pragma unroll
            for (int i = 0; i < kValueTiles; ++i)
                if (i < call.value_tiles) {
                    float* output = outputs + column * pitch + 16 * i + lane / 4;
                    output[0] = state.output[i][n][e];
                    output[8] = state.output[i][n][e + 2];
                }
        }
    __syncthreads();
    const int width = call.values.width;
    const std::int64_t rows =
        static_cast<std::int64_t>(call.batch) * call.query_length * call.query_heads * part.split;
    for (int i = threadIdx.x; i < call.rows * width; i += blockDim.x) {
        const int row = i / width, element = i - row * width;
        float most = -INFINITY, total = 0.0f, sum = 0.0f;
        for (int w = 0; w < call.warps; ++w)
            most = fmaxf(most, largest[w * kQueries + row]);
        for (int w = 0; w < call.warps; ++w) {
            const int column = w * kQueries + row;
            if (largest[column] == -INFINITY)
                continue;
            const float weight = fastExp2(largest[column] - most);
            float x = outputs[column * pitch + element];
            if (call.split)
                x += outputs[(column + 4) * pitch + element];
            total += weight * totals[column];
            sum += weight * x;
        }
        const std::int64_t at = queryRow(call, part, row);
        if (call.splits == 1) {
            call.output[at * width + element] = sum / total;
            continue;
        }
        call.partials.output[(rows + at) * width + element] = sum;
        if (element == 0) {
            call.partials.largest[rows + at] = most * kLn2;
            call.partials.total[rows + at] = total;
        }
    }
}

// All chunks of a warp whose keys are multiplied as they are.
template <typename T, int kColumns, int kValueTiles, typename Chunks>
__device__ void attendChunks(const DecodeCall& call, const Chunks& chunks, const unsigned char* shared,
                             DecodeState<kColumns, kValueTiles>& state, int lane) {
    constexpr int kTiles = Chunks::kChunk / 16;
    const auto* fragments = reinterpret_cast<const uint2*>(shared + call.memory.queries);
    for (int i = 0; chunks.first(i) < chunks.part.end; ++i) {
        waitForCopies<1>();
        __syncwarp();  // all lanes' copies are here, and no lane reads the chunk before any more
        if constexpr (Chunks::kSlots == 1) {
            chunks.template convert<T>(i);
            __syncwarp();
        }
        chunks.copy(i + 2);
        float scores[kTiles][kColumns][4] = {};
        keyScores<T>(chunks.keys(i), call.memory.key_pitch, fragments, call.steps, scores, lane);
        unsigned weights[kTiles][kColumns][2];
        chunkWeights<T>(call, scores, chunks.first(i), chunks.part.position, state, weights, lane);
        addValues<T>(chunks.values(i), call.memory.value_pitch, call.value_tiles, weights, state, lane);
    }
}

// All chunks of a warp with a lift.
template <typename T, int kKeySteps, bool kConvert, int kColumns, int kValueTiles, typename Chunks>
__device__ void attendLifted(const DecodeCall& call, const Chunks& chunks, const unsigned char* shared,
                             DecodeState<kColumns, kValueTiles>& state, int lane) {
    constexpr int kTiles = Chunks::kChunk / 16;
    constexpr bool kStaged = !kConvert;
    const auto* queries = reinterpret_cast<const float4*>(shared + call.memory.queries);
    auto* fragments = reinterpret_cast<uint2*>(chunks.memory + call.memory.fragments);
    for (int i = 0; chunks.first(i) < chunks.part.end; ++i) {
        waitForCopies<1>();
        __syncwarp();  // all lanes' latents are here, and no lane reads the chunk before any more
        if constexpr (!kStaged)
            chunks.template convert<T>(i);
        turnQueries<T, kColumns>(call, queries, chunks.angles(i), fragments, lane);
        if constexpr (!kStaged)
            __syncwarp();
        unsigned latents[kTiles][kKeySteps][4];
        loadLatents(chunks.keys(i), call.memory.key_pitch, latents, lane);
        __syncwarp();
        if constexpr (kStaged)
            chunks.copyKeys(i + 1);
        else
            chunks.copy(i + 2);
        float scores[kTiles][kColumns][4] = {};
        liftScores<T>(call, shared, fragments, latents, scores, lane);
        unsigned weights[kTiles][kColumns][2];
        chunkWeights<T>(call, scores, chunks.first(i), chunks.part.position, state, weights, lane);
        if constexpr (kStaged) {
            waitForCopies<1>();
            __syncwarp();
        }
        addValues<T>(chunks.values(i), call.memory.value_pitch, call.value_tiles, weights, state, lane);
        if constexpr (kStaged) {
            __syncwarp();
            chunks.copyValues(i + 1);
        }
    }
}

template <int kColumns, int kValueTiles>
__device__ void beginState(const DecodeCall& call, const DecodePart& part,
                           DecodeState<kColumns, kValueTiles>& state) {
#pragma unroll
    for (int n = 0; n < kColumns; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
            state.column[n][e] =
                decodeColumn(call, part.kv_head, part.position, 8 * n + part.lane % 4 * 2 + e);
            state.largest[n][e] = -INFINITY;
            state.total[n][e] = 0.0f;
#pragma unroll
            for (int i = 0; i < kValueTiles; ++i)
                state.output[i][n][e] = state.output[i][n][e + 2] = 0.0f;
        }
}

template <typename T, int kTiles, int kKeySteps, int kValueTiles, int kColumns, bool kConvert>
__global__ void __launch_bounds__(kDecodeThreads, 1) decodeKernel(const __grid_constant__ DecodeCall call) {
    constexpr bool kLift = kKeySteps > 0;
    const DecodePart part = decodePart<16 * kTiles>(call);
    auto* shared = dynamicShared<unsigned char>();
    const DecodeChunks<kTiles, kLift, kConvert> chunks{
        call, part, shared + call.memory.warps + part.warp * call.memory.warp_bytes};
    if constexpr (kLift && !kConvert) {
        chunks.copyKeys(0);
        chunks.copyValues(0);
    } else {
        chunks.copy(0);
        chunks.copy(1);
    }
    chunks.clear();
    DecodeState<kColumns, kValueTiles> state;
    beginState(call, part, state);
    prepareBlock<T, 16 * kTiles, kKeySteps, kColumns>(call, part, shared);
    __syncthreads();
    if constexpr (kLift)
        attendLifted<T, kKeySteps, kConvert>(call, chunks, shared, state, part.lane);
    else
        attendChunks<T>(call, chunks, shared, state, part.lane);
    waitForCopies<0>();
    mergeWarps(call, part, state, shared + call.memory.warps);
}

template <typename T, int kTiles, int kKeySteps, int kValueTiles, int kColumns, bool kConvert>
void launchDecodeKernel(const DecodeCall& call, cudaStream_t stream) {
    const auto blocks = static_cast<unsigned>(call.batch * call.kv_heads * call.splits);
    launch("attention decode", decodeKernel<T, kTiles, kKeySteps, kValueTiles, kColumns, kConvert>, blocks,
           static_cast<unsigned>(32 * call.warps), call.shared_bytes, stream, call);
}
// Of one or two eights of columns.
template <typename T, int kTiles, int kKeySteps, int kValueTiles, bool kConvert>
void launchDecodeColumns(const DecodeCall& call, cudaStream_t stream) {
    if (call.kernel.columns == 1)
        launchDecodeKernel<T, kTiles, kKeySteps, kValueTiles, 1, kConvert>(call, stream);
    else
        launchDecodeKernel<T, kTiles, kKeySteps, kValueTiles, 2, kConvert>(call, stream);
}

}  // namespace eigenscope::cuda
