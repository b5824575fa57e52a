// SPDX-License-Identifier: Apache-2.0
// Sizes and rules of the KV cache that follow from a KvView (kernels/api/ops.h), and the arithmetic of one
// group of a quantised one: what backends, tests and the cache's owner share. Pure functions; any thread,
// host and device.
#pragma once

#include "kernels/api/ops.h"

#include <cmath>

namespace eigenscope {

// The head of a cache whose rows the op's key/value head `head` reads.
EIGENSCOPE_HOST_DEVICE inline std::int64_t kvStoredHead(const AttentionParams& p, const KvView& v,
                                                        std::int64_t head) {
    return head / (p.kv_heads / v.heads);
}

// Bytes of one row: its elements, or its codes without gaps.
EIGENSCOPE_HOST_DEVICE inline std::int64_t kvRowBytes(const KvView& v) {
    return v.bits == 0 ? v.width * static_cast<std::int64_t>(sizeOf(v.dtype))
                       : (std::int64_t{v.width} * v.bits + 7) / 8;
}

// Groups of one row, when grouped by token.
EIGENSCOPE_HOST_DEVICE inline std::int64_t kvGroupsOfRow(const KvView& v) {
    return (std::int64_t{v.width} + v.group - 1) / v.group;
}

// Scales and minima of one row (by token) or of one group of positions (by channel).
EIGENSCOPE_HOST_DEVICE inline std::int64_t kvScaleStride(const KvView& v) {
    return 2 * (v.grouping == KvGrouping::Token ? kvGroupsOfRow(v) : std::int64_t{v.width});
}

// Rows of scales and minima of one head: groups of positions are stored once they are complete.
EIGENSCOPE_HOST_DEVICE inline std::int64_t kvScaleRows(const KvView& v) {
    return v.grouping == KvGrouping::Token ? v.capacity : v.capacity / v.group;
}

// Bytes of the three arrays of a view.
EIGENSCOPE_HOST_DEVICE inline std::int64_t kvDataBytes(const KvView& v) {
    return std::int64_t{v.batch} * v.heads * v.capacity * kvRowBytes(v);
}
EIGENSCOPE_HOST_DEVICE inline std::int64_t kvScaleBytes(const KvView& v) {
    return v.bits == 0 ? 0 : std::int64_t{v.batch} * v.heads * kvScaleRows(v) * kvScaleStride(v) * 2;
}
EIGENSCOPE_HOST_DEVICE inline std::int64_t kvExactBytes(const KvView& v) {
    return std::int64_t{v.batch} * v.heads * v.exact_capacity * v.width *
           static_cast<std::int64_t>(sizeOf(v.dtype));
}

// Positions that a group of codes waits for.
EIGENSCOPE_HOST_DEVICE inline std::int64_t kvSpan(const KvView& v) {
    return v.grouping == KvGrouping::Channel ? v.group : 1;
}

// Whether some rows must be kept exact beside their codes.
EIGENSCOPE_HOST_DEVICE inline bool kvNeedsRing(const KvView& v) {
    return v.bits != 0 && (v.recent > 0 || kvSpan(v) > 1);
}

// Rows the ring must have when at most `longest` positions are appended at a time: the exact rows that the
// first of them sees, and all of them.
EIGENSCOPE_HOST_DEVICE inline std::int64_t kvRingRows(const KvView& v, std::int64_t longest) {
    const std::int64_t rows = v.recent + kvSpan(v) - 1 + longest;
    return !kvNeedsRing(v) ? 0 : rows < v.capacity ? rows : v.capacity;
}

// The query at `position` of a cache with a ring reads positions [0, end) from data, the others up to its own
// from the ring: whole groups outside the recent window are stored. Int is 32 bits wide where kernels count
// positions so.
template <typename Int>
EIGENSCOPE_HOST_DEVICE Int kvStoredEnd(Int position, Int recent, Int span) {
    const Int old = position + 1 - recent;
    return old > 0 ? old / span * span : 0;
}
// The same for any cache: all of its positions where there is no ring.
EIGENSCOPE_HOST_DEVICE inline std::int64_t kvStoredEnd(const KvView& v, std::int64_t position) {
    return kvNeedsRing(v) ? kvStoredEnd<std::int64_t>(position, v.recent, kvSpan(v)) : position + 1;
}

// The largest float16 that is not larger; finite for any finite value.
EIGENSCOPE_HOST_DEVICE inline std::uint16_t f16Down(float value) {
    const float most = 65504.0f;
    const std::uint16_t nearest = toF16(value < -most ? -most : value > most ? most : value);
    if (fromF16(nearest) <= (value < -most ? -most : value))
        return nearest;
    if (nearest & 0x8000u)
        return static_cast<std::uint16_t>(nearest + 1);
    return nearest == 0 ? std::uint16_t{0x8001} : static_cast<std::uint16_t>(nearest - 1);
}
EIGENSCOPE_HOST_DEVICE inline std::uint16_t f16Up(float value) {
    return static_cast<std::uint16_t>(f16Down(-value) ^ 0x8000u);
}

struct KvScale {
    std::uint16_t scale = 0, minimum = 0;  // float16
};

// Of a group whose elements range over [least, most]; `finite` when all of them are.
EIGENSCOPE_HOST_DEVICE inline KvScale kvScaleOf(float least, float most, bool finite, int bits) {
    if (!finite)
        return {0, 0x7e00};
    // Which of two zeros is the least depends on the order of comparing: the positive one is stored.
    const std::uint16_t minimum = f16Down(least + 0.0f);
    const float range = (most < 65504.0f ? most : 65504.0f) - fromF16(minimum);
    return {f16Up((range > 0.0f ? range : 0.0f) / static_cast<float>((1 << bits) - 1)), minimum};
}

// Codes are computed by IEEE float32 operations in this order, so that every backend gives the same bits.
// Here and above no product is added to anything, so a compiler that contracts products and sums changes
// nothing.
EIGENSCOPE_HOST_DEVICE inline int kvCode(float x, float scale, float minimum, int bits) {
    if (!(scale > 0.0f))
        return 0;
    const float code = nearbyintf((x - minimum) / scale), most = static_cast<float>((1 << bits) - 1);
    return static_cast<int>(code < 0.0f ? 0.0f : code > most ? most : code);
}

}  // namespace eigenscope
