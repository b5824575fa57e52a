// SPDX-License-Identifier: Apache-2.0
// kvAppend: rows into a dense cache, or into codes and the ring of exact rows. Codes and scales come from
// kernels/api/kv_layout.h, whose operations IEEE arithmetic decides, so they are the host's bit for bit.
#include "kernels/api/kv_layout.h"
#include "kernels/cuda/cache_rows.cuh"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/device_math.cuh"
#include "kernels/cuda/device_position.cuh"
#include "kernels/cuda/launch.cuh"

#include <cmath>

namespace eigenscope::cuda {

namespace {

constexpr int kWarp = 32;
constexpr int kEight = 8;  // codes that fill whole bytes, whatever their bits

// A warp copies a row at a time, kCount elements a lane; row t of a head goes to row t % capacity of `to`.
template <typename T, int kCount>
__global__ void copyRowsKernel(KvAppendParams p, T* to, std::int64_t capacity, std::int64_t rows) {
    const std::int64_t position = appendPosition(p);
    const int lane = static_cast<int>(threadIdx.x % kWarp);
    for (std::int64_t row = firstIndex() / kWarp; row < rows; row += indexStep() / kWarp) {
        const AppendedRow at = locateRow(row, p.length, p.cache.heads);
        const std::int64_t begin = (at.head * capacity + (position + at.t) % capacity) * p.cache.width;
        copyRow<T, kCount>(p.x + row * p.cache.width, to + begin, p.cache.width, lane);
    }
}

// `count` elements, at most eight, as float32; in vectors of 16 bytes where that is possible.
template <typename T>
__device__ void loadEight(const T* from, int count, bool vectors, float (&to)[kEight]) {
    if (vectors && count == kEight) {
        constexpr int kPart = static_cast<int>(16 / sizeof(T));
#pragma unroll
        for (int part = 0; part < kEight / kPart; ++part) {
            const auto values = reinterpret_cast<const Several<T, kPart>*>(from)[part];
#pragma unroll
            for (int k = 0; k < kPart; ++k)
                to[part * kPart + k] = toFloat(values.values[k]);
        }
        return;
    }
#pragma unroll
    for (int k = 0; k < kEight; ++k)
        to[k] = k < count ? toFloat(from[k]) : 0.0f;
}

// The codes' bytes, from the lowest of `word`; a row's end may need fewer than eight codes take.
template <int kBits>
__device__ void storeCodes(std::uint64_t word, int count, unsigned char* to) {
    const int bytes = (count * kBits + 7) / 8;
    const auto address = reinterpret_cast<std::uintptr_t>(to);
    if (kBits == 8 && bytes == 8 && address % 8 == 0) {
        *reinterpret_cast<std::uint64_t*>(to) = word;
    } else if (kBits == 4 && bytes == 4 && address % 4 == 0) {
        *reinterpret_cast<std::uint32_t*>(to) = static_cast<std::uint32_t>(word);
    } else if (kBits == 2 && bytes == 2 && address % 2 == 0) {
        *reinterpret_cast<std::uint16_t*>(to) = static_cast<std::uint16_t>(word);
    } else {
#pragma unroll
        for (int i = 0; i < kBits; ++i)
            if (i < bytes)
                to[i] = static_cast<unsigned char>(word >> (8 * i));
    }
}

// What of a group is needed for its scale.
struct Range {
    float least = INFINITY, most = -INFINITY;
    int finite = 1;
    __device__ void add(float x) {
        least = fminf(least, x);
        most = fmaxf(most, x);
        finite = finite && x - x == 0.0f;  // infinity and NaN give NaN
    }
    __device__ void combine(int distance) {  // with that of the lane whose number differs in that bit
        least = fminf(least, __shfl_xor_sync(~0u, least, distance));
        most = fmaxf(most, __shfl_xor_sync(~0u, most, distance));
        finite &= __shfl_xor_sync(~0u, finite, distance);
    }
};

// By token: `lanes` lanes (a power of two) a group of a row, eight consecutive elements at a time each.
template <int kBits>
__global__ void codeRowsKernel(KvAppendParams p, std::int64_t tasks, int lanes, bool vectors) {
    const KvView& v = p.cache;
    const std::int64_t groups = kvGroupsOfRow(v), stride = kvScaleStride(v), position = appendPosition(p);
    const int lane = static_cast<int>(threadIdx.x) % lanes;
    // Whole warps go round together: the shuffles need all lanes.
    const std::int64_t end = (tasks * lanes + kWarp - 1) / kWarp * kWarp;
    for (std::int64_t i = firstIndex(); i < end; i += indexStep()) {
        const std::int64_t task = i / lanes, row = task / groups, g = task - row * groups;
        const std::int64_t begin = g * v.group;
        const int count = task >= tasks ? 0 : static_cast<int>(min(std::int64_t{v.group}, v.width - begin));
        const float* x = p.x + row * v.width + begin;
        float values[kEight];
        Range range;
        for (int at = lane * kEight; at < count; at += lanes * kEight) {
            loadEight(x + at, min(kEight, count - at), vectors, values);
#pragma unroll
            for (int k = 0; k < kEight; ++k)
                if (at + k < count)
                    range.add(values[k]);
        }
        for (int distance = 1; distance < lanes; distance *= 2)
            range.combine(distance);
        if (count == 0)
            continue;
        const AppendedRow at_row = locateRow(row, p.length, v.heads);
        const std::int64_t to = at_row.head * v.capacity + position + at_row.t;
        const KvScale scale = kvScaleOf(range.least, range.most, range.finite != 0, kBits);
        if (lane == 0) {
            auto* scales = static_cast<std::uint16_t*>(v.scales) + to * stride;
            scales[g] = scale.scale;
            scales[groups + g] = scale.minimum;
        }
        const float step = fromF16(scale.scale), minimum = fromF16(scale.minimum);
        auto* codes = static_cast<unsigned char*>(v.data) + to * kvRowBytes(v) + begin * kBits / 8;
        for (int at = lane * kEight; at < count; at += lanes * kEight) {
            const int here = min(kEight, count - at);
            loadEight(x + at, here, vectors, values);
            std::uint64_t word = 0;
#pragma unroll
            for (int k = 0; k < kEight; ++k)
                if (k < here)
                    word |= static_cast<std::uint64_t>(kvCode(values[k], step, minimum, kBits))
                            << (k * kBits);
            storeCodes<kBits>(word, here, codes + at * kBits / 8);
        }
    }
}

// By channel: a warp for eight channels of a group of positions that became complete, from the ring; its
// lanes take the positions. `most_groups`: as many as may become complete in one call.
template <typename T, int kBits>
__global__ void codeGroupsKernel(KvAppendParams p, std::int64_t tasks, std::int64_t most_groups,
                                 bool vectors) {
    const KvView& v = p.cache;
    const std::int64_t position = appendPosition(p), first = position / v.group;
    const std::int64_t groups = (position + p.length) / v.group - first;
    const std::int64_t eights = (v.width + kEight - 1) / kEight;
    const int lane = static_cast<int>(threadIdx.x % kWarp);
    for (std::int64_t task = firstIndex() / kWarp; task < tasks; task += indexStep() / kWarp) {
        const std::int64_t channel = task % eights * kEight, rest = task / eights;
        const std::int64_t head = rest / most_groups, g = first + rest % most_groups;
        if (g >= first + groups)
            continue;
        const int count = static_cast<int>(min(std::int64_t{kEight}, v.width - channel));
        const T* exact = static_cast<const T*>(v.exact) + head * v.exact_capacity * v.width + channel;
        float values[kEight];
        Range ranges[kEight];
        for (int n = lane; n < v.group; n += kWarp) {
            const std::int64_t t = (g * v.group + n) % v.exact_capacity;
            loadEight(exact + t * v.width, count, vectors, values);
#pragma unroll
            for (int k = 0; k < kEight; ++k)
                ranges[k].add(values[k]);
        }
        Range mine;  // of channel lane % 8
#pragma unroll
        for (int k = 0; k < kEight; ++k) {
            for (int distance = 1; distance < kWarp; distance *= 2)
                ranges[k].combine(distance);
            if (lane % kEight == k)
                mine = ranges[k];
        }
        const KvScale scale = kvScaleOf(mine.least, mine.most, mine.finite != 0, kBits);
        if (lane < count) {
            auto* scales = static_cast<std::uint16_t*>(v.scales) +
                           (head * kvScaleRows(v) + g) * kvScaleStride(v) + channel;
            scales[lane] = scale.scale;
            scales[v.width + lane] = scale.minimum;
        }
        float steps[kEight], minima[kEight];
#pragma unroll
        for (int k = 0; k < kEight; ++k) {
            steps[k] = __shfl_sync(~0u, fromF16(scale.scale), k);
            minima[k] = __shfl_sync(~0u, fromF16(scale.minimum), k);
        }
        for (int n = lane; n < v.group; n += kWarp) {
            const std::int64_t t = g * v.group + n;
            loadEight(exact + t % v.exact_capacity * v.width, count, vectors, values);
            std::uint64_t word = 0;
#pragma unroll
            for (int k = 0; k < kEight; ++k)
                if (k < count)
                    word |= static_cast<std::uint64_t>(kvCode(values[k], steps[k], minima[k], kBits))
                            << (k * kBits);
            auto* codes = static_cast<unsigned char*>(v.data) + (head * v.capacity + t) * kvRowBytes(v);
            storeCodes<kBits>(word, count, codes + channel * kBits / 8);
        }
    }
}

std::int64_t rowsOf(const KvAppendParams& p) {
    return std::int64_t{1} * p.cache.batch * p.length * p.cache.heads;
}

void copyRows(const KvAppendParams& p, void* to, std::int64_t capacity, cudaStream_t stream) {
    const std::int64_t rows = rowsOf(p);
    const unsigned blocks = blocksFor(rows * kWarp);
    withType(p.cache.dtype, [&](auto type) {
        using T = decltype(type);
        if (p.cache.width % 4 == 0 && alignedTo(p.x, 16) && alignedTo(to, 4 * sizeof(T)))
            launch("kvAppend", copyRowsKernel<T, 4>, blocks, kThreads, 0, stream, p, static_cast<T*>(to),
                   capacity, rows);
        else
            launch("kvAppend", copyRowsKernel<T, 1>, blocks, kThreads, 0, stream, p, static_cast<T*>(to),
                   capacity, rows);
    });
}

template <int kBits>
void code(const KvAppendParams& p, cudaStream_t stream) {
    const KvView& v = p.cache;
    if (v.grouping == KvGrouping::Token) {
        const std::int64_t tasks = rowsOf(p) * kvGroupsOfRow(v);
        int lanes = 1;
        while (lanes < kWarp && lanes * kEight < v.group)
            lanes *= 2;
        launch("kvAppend codes", codeRowsKernel<kBits>, blocksFor(tasks * lanes), kThreads, 0, stream, p,
               tasks, lanes, v.width % 4 == 0 && alignedTo(p.x, 16));
        return;
    }
    const std::int64_t groups = (std::int64_t{p.length} + v.group - 1) / v.group;
    const std::int64_t tasks = std::int64_t{v.batch} * v.heads * groups * ((v.width + kEight - 1) / kEight);
    withType(v.dtype, [&](auto type) {
        using T = decltype(type);
        launch("kvAppend codes", codeGroupsKernel<T, kBits>, blocksFor(tasks * kWarp), kThreads, 0, stream, p,
               tasks, groups, v.width * sizeof(T) % 16 == 0 && alignedTo(v.exact, 16));
    });
}

}  // namespace

void launchKvAppend(const KvAppendParams& p, cudaStream_t stream) {
    const KvView& v = p.cache;
    if (rowsOf(p) * v.width == 0)
        return;
    if (v.bits == 0) {
        copyRows(p, v.data, v.capacity, stream);
        return;
    }
    if (kvNeedsRing(v))
        copyRows(p, v.exact, v.exact_capacity, stream);
    switch (v.bits) {
        case 8:
            return code<8>(p, stream);
        case 4:
            return code<4>(p, stream);
        case 3:
            return code<3>(p, stream);
        default:
            return code<2>(p, stream);
    }
}

}  // namespace eigenscope::cuda
