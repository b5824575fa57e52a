// SPDX-License-Identifier: Apache-2.0
// How a warp of decode attention brings a chunk of cached rows to its shared memory: rows that are tiles
// already are copied, others are copied as they lie (their bytes in the cache are contiguous) and rewritten.
// Rows from `end` on are zero, since weights of zero still multiply them.
#pragma once

#include "kernels/cuda/attention_decode.h"
#include "kernels/cuda/device_math.cuh"
#include "kernels/cuda/ptx.cuh"

namespace eigenscope::cuda {

// One head of a side.
struct DecodeHead {
    const unsigned char* data;
    const unsigned char* scales;
    const unsigned char* exact;
};
__device__ inline DecodeHead decodeHead(const DecodeSide& side, int batch, int kv_head) {
    const std::int64_t head = static_cast<std::int64_t>(batch) * side.heads + kv_head / side.sharing;
    return {side.data + head * side.head_bytes, side.scales + head * side.scale_head_bytes,
            side.exact + head * side.exact_head_bytes};
}

// Rows [t, t + rows) to a tile of this pitch. Queues copies.
__device__ inline void copyRows(const DecodeSide& side, const DecodeHead& head, int t, int end, int rows,
                                unsigned char* tile, int pitch, int lane) {
    const unsigned char* from = head.data + static_cast<std::int64_t>(t) * side.row_bytes;
    const int units = rows * side.units;
#pragma unroll 4
    for (int i = lane; i < units; i += 32) {
        const int row = i * side.unit_inverse >> 16;
        copyAsync16(tile + row * pitch + (i - row * side.units) * 16, from + i * 16, t + row < end);
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
    const int last = min(min(end, side.stored_end), t + rows) - 1;
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

// `count` of eight 16-bit elements, the others zero; at any even address.
__device__ inline void loadEight(float (&x)[8], const unsigned char* at, int count, bool float16) {
    if (count == 8 && offsetIn16(at) == 0) {
        const uint4 pairs = *reinterpret_cast<const uint4*>(at);
        const unsigned words[4] = {pairs.x, pairs.y, pairs.z, pairs.w};
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            x[2 * i] = numberOf(static_cast<unsigned short>(words[i] & 0xffffu), float16);
            x[2 * i + 1] = numberOf(static_cast<unsigned short>(words[i] >> 16), float16);
        }
        return;
    }
    const auto* elements = reinterpret_cast<const unsigned short*>(at);
#pragma unroll
    for (int i = 0; i < 8; ++i)
        x[i] = i < count ? numberOf(elements[i], float16) : 0.0f;
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

// Rows [t, t + rows) from what copyStored() brought, from the ring, or zero, to a tile of T.
template <typename T>
__device__ void convertRows(const DecodeSide& side, const DecodeHead& head, int t, int end, int rows,
                            const unsigned char* raw, const unsigned char* raw_scales, unsigned char* tile,
                            int pitch, int lane) {
    const int units = rows * side.units;
    for (int i = lane; i < units; i += 32) {
        const int row = i * side.unit_inverse >> 16, unit = i - row * side.units, n = t + row;
        float x[8] = {};
        if (n < end && n < side.stored_end)
            loadStored(x, side, head, n, row, 8 * unit, raw, raw_scales);
        else if (n < end)
            loadEight(
                x, head.exact + (static_cast<std::int64_t>(n % side.ring_rows) * side.width + 8 * unit) * 2,
                min(8, side.width - 8 * unit), side.float16);
        *reinterpret_cast<uint4*>(tile + row * pitch + unit * 16) =
            make_uint4(packPair<T>(x[0], x[1]), packPair<T>(x[2], x[3]), packPair<T>(x[4], x[5]),
                       packPair<T>(x[6], x[7]));
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
