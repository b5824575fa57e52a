// SPDX-License-Identifier: Apache-2.0
// How a warp of decode attention brings a chunk of cached rows to its shared memory: rows that are tiles
// already are copied, others are copied as they lie (their bytes in the cache are contiguous) and rewritten.
// Rows from `end` on are zero, since weights of zero still multiply them.
#pragma once

#include "kernels/api/kv_layout.h"
#include "kernels/cuda/attention_decode.h"
#include "kernels/cuda/device_math.cuh"
#include "kernels/cuda/ptx.cuh"

#include <climits>

namespace eigenscope::cuda {

// One head of a side.
struct DecodeHead {
    const unsigned char* data;
    const unsigned char* scales;
    const unsigned char* exact;
    int stored_end;  // rows from here on are in the ring
};
__device__ inline DecodeHead decodeHead(const DecodeSide& side, int batch, int kv_head, int position) {
    const std::int64_t head = static_cast<std::int64_t>(batch) * side.heads + kv_head / side.sharing;
    return {side.data + head * side.head_bytes, side.scales + head * side.scale_head_bytes,
            side.exact + head * side.exact_head_bytes,
            side.ring ? kvStoredEnd(position, side.recent, side.span) : INT_MAX};
}

// Rows [t, t + kRows) to a tile of this pitch. Queues copies.
template <int kRows>
__device__ void copyRows(const DecodeSide& side, const DecodeHead& head, int t, int end, unsigned char* tile,
                         int pitch, int lane) {
    // Eights of the chunk, which lie one behind the other: a lane takes every 32nd.
    const unsigned char* from = head.data + static_cast<std::int64_t>(t) * side.row_bytes + lane * 16;
    unsigned char* to = tile + lane * 16;
    const int units = kRows * side.units, gap = pitch - side.units * 16, step = 32 * side.unit_inverse;
    int scaled_row = lane * side.unit_inverse, i = lane;
    if (t + kRows <= end) {
#pragma unroll 4
        for (; i < units; i += 32, scaled_row += step, from += 512, to += 512)
            copyAsync16(to + (scaled_row >> 16) * gap, from);
    } else {
        for (; i < units; i += 32, scaled_row += step, from += 512, to += 512)
            copyAsync16(to + (scaled_row >> 16) * gap, from, t + (scaled_row >> 16) < end);
    }
}

__device__ inline int offsetIn16(const unsigned char* at) {
    return static_cast<int>(reinterpret_cast<std::uintptr_t>(at) & 15u);
}

// Bytes [from, from + bytes), of which the first lands at to + offsetIn16(from). Queues copies.
__device__ inline void copyBytes(const unsigned char* from, int bytes, unsigned char* to, int lane) {
    const int offset = offsetIn16(from);
    for (int i = lane * 16; i < offset + bytes; i += 32 * 16)
        copyAsync16Part(to + i, from - offset + i, min(16, offset + bytes - i));
}

// Scales and minima of the row's or the position's group.
__device__ inline const unsigned char* scaleRow(const DecodeSide& side, const DecodeHead& head, int t) {
    return head.scales +
           static_cast<std::int64_t>(side.by_channel ? t / side.group : t) * side.scale_row_bytes;
}

// The stored rows of [t, t + rows) and their scales, as they lie. Queues copies.
__device__ inline void copyStored(const DecodeSide& side, const DecodeHead& head, int t, int end, int rows,
                                  unsigned char* raw, unsigned char* raw_scales, int lane) {
    const int last = min(min(end, head.stored_end), t + rows) - 1;
    if (last < t)
        return;
    copyBytes(head.data + static_cast<std::int64_t>(t) * side.row_bytes, (last - t + 1) * side.row_bytes, raw,
              lane);
    if (side.bits == 0)
        return;
    const unsigned char* first = scaleRow(side, head, t);
    copyBytes(first, static_cast<int>(scaleRow(side, head, last) - first) + side.scale_row_bytes, raw_scales,
              lane);
}

__device__ inline float numberOf(unsigned short bits, bool float16) {
    return float16 ? toFloat(__ushort_as_half(bits)) : toFloat(__ushort_as_bfloat16(bits));
}

// Eight 16-bit elements at a multiple of 16 bytes.
__device__ inline void loadWholeEight(float (&x)[8], const unsigned char* at, bool float16) {
    const uint4 pairs = *reinterpret_cast<const uint4*>(at);
    const unsigned words[4] = {pairs.x, pairs.y, pairs.z, pairs.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        x[2 * i] = numberOf(static_cast<unsigned short>(words[i] & 0xffffu), float16);
        x[2 * i + 1] = numberOf(static_cast<unsigned short>(words[i] >> 16), float16);
    }
}

// `count` of eight, the others zero; at any even address.
__device__ inline void loadEight(float (&x)[8], const unsigned char* at, int count, bool float16) {
    if (count == 8 && offsetIn16(at) == 0) {
        loadWholeEight(x, at, float16);
        return;
    }
    const auto* elements = reinterpret_cast<const unsigned short*>(at);
#pragma unroll
    for (int i = 0; i < 8; ++i)
        x[i] = i < count ? numberOf(elements[i], float16) : 0.0f;
}

template <typename T>
__device__ void storeEight(const float (&x)[8], unsigned char* to) {
    *reinterpret_cast<uint4*>(to) = make_uint4(packPair<T>(x[0], x[1]), packPair<T>(x[2], x[3]),
                                               packPair<T>(x[4], x[5]), packPair<T>(x[6], x[7]));
}

// Eight codes as numbers; they begin at a byte.
__device__ inline void loadCodes(float (&x)[8], const unsigned char* at, int bits) {
    const int skew = offsetIn16(at) & 3;
    const auto* words = reinterpret_cast<const unsigned*>(at - skew);
    const std::uint64_t low = words[0] | static_cast<std::uint64_t>(words[1]) << 32;
    std::uint64_t codes = low >> 8 * skew;
    if (bits == 8 && skew != 0)
        codes |= static_cast<std::uint64_t>(words[2]) << (64 - 8 * skew);
    const unsigned mask = (1u << bits) - 1;
    unsigned half = static_cast<unsigned>(codes);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
        if (i == 4)
            half = static_cast<unsigned>(codes >> 4 * bits);
        // 2^23 + code, exactly.
        x[i] = __uint_as_float(0x4b000000u | (half >> bits * (i & 3) & mask)) - 8388608.0f;
    }
}

// Elements `first` to first + 7 of stored row t, which is row `row` of the raw chunk at `raw`.
__device__ inline void loadStored(float (&x)[8], const DecodeSide& side, const DecodeHead& head, int t,
                                  int row, int first, const unsigned char* raw,
                                  const unsigned char* raw_scales) {
    const int start = t - row, count = min(8, side.width - first);
    raw += offsetIn16(head.data + static_cast<std::int64_t>(start) * side.row_bytes) + row * side.row_bytes;
    if (side.bits == 0) {
        loadEight(x, raw + 2 * first, count, side.float16);
        return;
    }
    loadCodes(x, raw + first / 8 * side.bits, side.bits);
    const unsigned char* scale_base = scaleRow(side, head, start);
    raw_scales += offsetIn16(scale_base) + static_cast<int>(scaleRow(side, head, t) - scale_base);
    const unsigned char* raw_minima = raw_scales + side.scale_row_bytes / 2;
    if (side.by_channel) {
        float scale[8], minimum[8];
        loadEight(scale, raw_scales + 2 * first, count, true);
        loadEight(minimum, raw_minima + 2 * first, count, true);
#pragma unroll
        for (int i = 0; i < 8; ++i)
            x[i] = minimum[i] + scale[i] * x[i];
        return;
    }
    const int group = first / side.group;
    const float scale = toFloat(reinterpret_cast<const __half*>(raw_scales)[group]);
    const float minimum = toFloat(reinterpret_cast<const __half*>(raw_minima)[group]);
#pragma unroll
    for (int i = 0; i < 8; ++i)
        x[i] = i < count ? minimum + scale * x[i] : 0.0f;
}

// Code i of a word, as 2^kBits + code: a float32 whose fraction begins with the code, without a conversion.
template <int kBits>
__device__ float raisedCode(unsigned word, int i) {
    constexpr unsigned kExponent = (127u + kBits) << 23, kMask = ((1u << kBits) - 1) << (23 - kBits);
    const int shift = 23 - kBits - kBits * i;
    return __uint_as_float(kExponent | ((shift >= 0 ? word << (shift & 31) : word >> (-shift & 31)) & kMask));
}

// Whether chunks of stored rows are convertCodes()'s: whole eights, which then begin at whole words and their
// scales by channel at multiples of 16 bytes.
__device__ inline bool hasWholeCodes(const DecodeSide& side) {
    return (side.bits == 4 || side.bits == 8) && side.width % 8 == 0 && side.group <= 1024;
}

// Stored rows [t, t + kRows) from what copyStored() brought to a tile of T.
template <typename T, int kRows, int kBits, bool kByChannel>
__device__ void convertCodes(const DecodeSide& side, const DecodeHead& head, int t, const unsigned char* raw,
                             const unsigned char* raw_scales, unsigned char* tile, int pitch, int lane) {
    constexpr int kPerWord = 32 / kBits;
    constexpr float kRaised = 1 << kBits;
    raw += offsetIn16(head.data + static_cast<std::int64_t>(t) * side.row_bytes);
    raw_scales += offsetIn16(scaleRow(side, head, t));
    const int units = kRows * side.units, in_group = kByChannel ? t % side.group : 0;
    const int minima = side.scale_row_bytes / 2;  // behind the scales
#pragma unroll 2
    for (int i = lane; i < units; i += 32) {
        const int row = i * side.unit_inverse >> 16, unit = i - row * side.units;
        unsigned words[8 / kPerWord];
#pragma unroll
        for (int w = 0; w < 8 / kPerWord; ++w)
            words[w] = reinterpret_cast<const unsigned*>(raw + i * kBits)[w];
        float x[8];
        if constexpr (kByChannel) {
            const int group = ((in_group + row) >> 3) * side.group_inverse >> 16;
            const unsigned char* at = raw_scales + group * side.scale_row_bytes + 16 * unit;
            float scale[8], minimum[8];
            loadWholeEight(scale, at, true);
            loadWholeEight(minimum, at + minima, true);
#pragma unroll
            for (int e = 0; e < 8; ++e)
                x[e] = fmaf(scale[e], raisedCode<kBits>(words[e / kPerWord], e % kPerWord) - kRaised,
                            minimum[e]);
        } else {
            const unsigned char* at =
                raw_scales + row * side.scale_row_bytes + 2 * (unit * side.group_inverse >> 16);
            const float scale = toFloat(*reinterpret_cast<const __half*>(at));
            // Its rounding is of the order of the sums' own: half a float32's spacing at 2^kBits scale.
            const float base = fmaf(scale, -kRaised, toFloat(*reinterpret_cast<const __half*>(at + minima)));
#pragma unroll
            for (int e = 0; e < 8; ++e)
                x[e] = fmaf(scale, raisedCode<kBits>(words[e / kPerWord], e % kPerWord), base);
        }
        storeEight<T>(x, tile + row * pitch + unit * 16);
    }
}

// Rows [t, t + kRows) from what copyStored() brought, from the ring, or zero, to a tile of T.
template <typename T, int kRows>
__device__ void convertRows(const DecodeSide& side, const DecodeHead& head, int t, int end,
                            const unsigned char* raw, const unsigned char* raw_scales, unsigned char* tile,
                            int pitch, int lane) {
    if (t + kRows <= min(end, head.stored_end) && hasWholeCodes(side)) {
        if (side.bits == 4 && side.by_channel)
            convertCodes<T, kRows, 4, true>(side, head, t, raw, raw_scales, tile, pitch, lane);
        else if (side.bits == 4)
            convertCodes<T, kRows, 4, false>(side, head, t, raw, raw_scales, tile, pitch, lane);
        else if (side.by_channel)
            convertCodes<T, kRows, 8, true>(side, head, t, raw, raw_scales, tile, pitch, lane);
        else
            convertCodes<T, kRows, 8, false>(side, head, t, raw, raw_scales, tile, pitch, lane);
        return;
    }
    const int units = kRows * side.units;
    for (int i = lane; i < units; i += 32) {
        const int row = i * side.unit_inverse >> 16, unit = i - row * side.units, n = t + row;
        float x[8] = {};
        if (n < end && n < head.stored_end)
            loadStored(x, side, head, n, row, 8 * unit, raw, raw_scales);
        else if (n < end)
            loadEight(
                x, head.exact + (static_cast<std::int64_t>(n % side.ring_rows) * side.width + 8 * unit) * 2,
                min(8, side.width - 8 * unit), side.float16);
        storeEight<T>(x, tile + row * pitch + unit * 16);
    }
}

// The columns of a tile behind the rows' last eight, which no copy writes.
__device__ inline void clearPadding(const DecodeSide& side, unsigned char* tile, int rows, int pitch,
                                    int lane) {
    const int padding = pitch / 16 - side.units;
    for (int i = lane; i < rows * padding; i += 32)
        *reinterpret_cast<uint4*>(tile + i / padding * pitch + (side.units + i % padding) * 16) =
            make_uint4(0, 0, 0, 0);
}

}  // namespace eigenscope::cuda
