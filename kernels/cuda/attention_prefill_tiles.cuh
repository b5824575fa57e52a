// SPDX-License-Identifier: Apache-2.0
// Prefill attention: which positions a block goes through, and how tiles of the cache come into shared
// memory.
//
// A quantised cache keeps its last rows exact in a ring, and whether position t is read from its codes or
// from the ring depends on the query (kvStoredEnd()). A block therefore goes through the sequence in up to
// four parts: keys from data or ring, values from data or ring. In each part a row sees one interval of
// positions, so a tile on the border is read in both versions with complementary masks, exactly.
#pragma once

#include "kernels/cuda/attention_prefill_call.cuh"
#include "kernels/cuda/device_math.cuh"
#include "kernels/cuda/ptx.cuh"

namespace eigenscope::cuda {

struct Interval {
    int begin, end;
};

__device__ inline Interval cut(const PrefillCache& c, bool from_ring, int position, Interval seen) {
    if (c.ring_rows == 0)
        return seen;
    const int end = kvStoredEnd(position, c.recent, c.span);
    return from_ring ? Interval{max(seen.begin, end), seen.end} : Interval{seen.begin, min(seen.end, end)};
}

// What a query at `position` sees in a part: bit 0 keys from the ring, bit 1 values from the ring. Both ends
// grow with the position. A position below zero sees nothing.
__device__ inline Interval seenBy(const PrefillCall& call, int part, int position) {
    const Interval all{call.window > 0 ? max(0, position + 1 - call.window) : 0, position + 1};
    return cut(call.values, (part & 2) != 0, position, cut(call.keys, (part & 1) != 0, position, all));
}

// The parts of a block, in shared memory. Rows outside of a part's interval are seen by no row of the block
// and may hold anything; they are zero in shared memory.
struct Parts {
    Interval seen[4];
    int first_tile[4];  // position
    int steps[4];       // tiles
    int all_steps;
    std::int64_t key_head, value_head;  // (b, h) of the cache
};
static_assert(sizeof(Parts) <= kPrefillHeaderBytes, "the header of a block's shared memory");

struct Step {
    int part, position;  // of the tile's first row
};

// first, last: positions of the block's first and last query. split: of the sequence, positions.
template <int kPositions>
__device__ inline void makeParts(const PrefillCall& call, int first, int last, Interval split, Parts& parts) {
    parts.all_steps = 0;
    for (int part = 0; part < 4; ++part) {
        Interval seen{seenBy(call, part, first).begin, seenBy(call, part, last).end};
        if (((part & 1) != 0 && call.keys.ring_rows == 0) || ((part & 2) != 0 && call.values.ring_rows == 0))
            seen = {0, 0};
        const int begin = max(seen.begin, split.begin), end = min(seen.end, split.end);
        parts.seen[part] = seen;
        parts.first_tile[part] = begin / kPositions * kPositions;
        parts.steps[part] = end > begin ? (end - parts.first_tile[part] + kPositions - 1) / kPositions : 0;
        parts.all_steps += parts.steps[part];
    }
}

template <int kPositions>
__device__ inline Step stepAt(const Parts& parts, int step) {
    int part = 0;
    while (part < 3 && step >= parts.steps[part])
        step -= parts.steps[part++];
    return {part, parts.first_tile[part] + step * kPositions};
}

// Eight elements of 16 bits from their codes.
template <typename T>
__device__ inline uint4 unpackCodes(const PrefillCache& c, std::int64_t head, int t, int first) {
    const unsigned char* codes =
        c.data + head * c.data_stride + static_cast<std::int64_t>(t) * c.row_bytes + first / 8 * c.bits;
    uint2 bits = make_uint2(0, 0);
    if (c.bits == 8)
        bits = *reinterpret_cast<const uint2*>(codes);
    else if (c.bits == 4)
        bits.x = *reinterpret_cast<const unsigned*>(codes);
    else if (c.bits == 3)
        bits.x = codes[0] | static_cast<unsigned>(codes[1]) << 8 | static_cast<unsigned>(codes[2]) << 16;
    else
        bits.x = *reinterpret_cast<const unsigned short*>(codes);
    const __half* scales = static_cast<const __half*>(c.scales) + head * c.scale_stride +
                           static_cast<std::int64_t>(c.by_token ? t : t / c.span) * c.scale_row;
    const __half* minima = scales + c.scale_row / 2;
    const unsigned mask = (1u << c.bits) - 1;
    unsigned pairs[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        float value[2];
#pragma unroll
        for (int e = 0; e < 2; ++e) {
            const int at = 2 * i + e, place = c.by_token ? first / c.group : first + at;
            const unsigned code =
                c.bits == 8 ? (at < 4 ? bits.x : bits.y) >> at % 4 * 8 & 255u : bits.x >> at * c.bits & mask;
            value[e] = toFloat(minima[place]) + toFloat(scales[place]) * static_cast<float>(code);
        }
        pairs[i] = packPair<T>(value[0], value[1]);
    }
    return make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
}

// Rows [first, first + kPositions) of head (b, h) = `head` to shared memory [kPositions, pitch]; rows outside
// of `seen` and columns behind the width are zero. Rows of 16-bit elements come asynchronously: they belong
// to the copies that the thread commits next. Eight threads take a row.
template <typename T, int kPositions>
__device__ inline void loadTile(const PrefillCache& c, std::int64_t head, bool from_ring, int first,
                                Interval seen, T* to, int pitch) {
    const int column = threadIdx.x % 8 * 8, columns = pitch - 8;
    if (c.bits != 0 && !from_ring) {
        for (int row = threadIdx.x / 8; row < kPositions; row += blockDim.x / 8) {
            const int t = first + row;
            const bool valid = t >= seen.begin && t < seen.end;
            for (int i = column; i < columns; i += 64)
                *reinterpret_cast<uint4*>(to + row * pitch + i) =
                    valid && i < c.width ? unpackCodes<T>(c, head, t, i) : make_uint4(0, 0, 0, 0);
        }
        return;
    }
    const auto* rows = reinterpret_cast<const T*>(from_ring ? c.exact + head * c.exact_stride
                                                            : c.data + head * c.data_stride);
    for (int row = threadIdx.x / 8; row < kPositions; row += blockDim.x / 8) {
        const int t = first + row;
        const bool valid = t >= seen.begin && t < seen.end;
        const T* from =
            valid ? rows + static_cast<std::int64_t>(from_ring ? t % c.ring_rows : t) * c.width : rows;
        for (int i = column; i < columns; i += 64)
            copyAsync16(to + row * pitch + i, from + (i < c.width ? i : 0), valid && i < c.width);
    }
}

}  // namespace eigenscope::cuda
