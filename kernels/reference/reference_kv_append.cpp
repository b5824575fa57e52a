// SPDX-License-Identifier: Apache-2.0
#include "kernels/reference/reference_ops.h"

#include "kernels/api/kv_layout.h"

#include <vector>

namespace eigenscope::reference {

namespace {

void storeCode(const KvView& v, std::int64_t head, std::int64_t t, std::int64_t i, int code) {
    auto* row = static_cast<unsigned char*>(v.data) + (head * v.capacity + t) * kvRowBytes(v);
    for (std::int64_t bit = 0; bit < v.bits; ++bit) {
        const std::int64_t at = i * v.bits + bit;
        const auto mask = static_cast<unsigned char>(1u << (at % 8));
        row[at / 8] =
            static_cast<unsigned char>((code >> bit) & 1 ? row[at / 8] | mask : row[at / 8] & ~mask);
    }
}

// The scale of a group of elements, stored as number `at` of its row of scales.
KvScale storeScale(const KvView& v, std::int64_t head, std::int64_t row, std::int64_t at,
                   const std::vector<float>& group) {
    float least = group[0], most = group[0];
    bool finite = true;
    for (float x : group) {
        finite = finite && std::isfinite(x);
        least = std::min(least, x);
        most = std::max(most, x);
    }
    const KvScale scale = kvScaleOf(least, most, finite, v.bits);
    const std::int64_t stride = kvScaleStride(v);
    auto* scales = static_cast<std::uint16_t*>(v.scales) + (head * kvScaleRows(v) + row) * stride;
    scales[at] = scale.scale;
    scales[stride / 2 + at] = scale.minimum;
    return scale;
}

void quantiseRow(const KvView& v, std::int64_t head, std::int64_t t, const float* x) {
    // Bits past the last code are zero.
    auto* row = static_cast<unsigned char*>(v.data) + (head * v.capacity + t) * kvRowBytes(v);
    std::fill(row, row + kvRowBytes(v), static_cast<unsigned char>(0));
    for (std::int64_t g = 0; g < kvGroupsOfRow(v); ++g) {
        const std::int64_t begin = g * v.group, end = std::min<std::int64_t>(begin + v.group, v.width);
        const KvScale scale = storeScale(v, head, t, g, {x + begin, x + end});
        for (std::int64_t i = begin; i < end; ++i)
            storeCode(v, head, t, i, kvCode(x[i], fromF16(scale.scale), fromF16(scale.minimum), v.bits));
    }
}

// The positions [g * group, (g + 1) * group) of one head, from the ring.
void quantisePositions(const KvView& v, std::int64_t head, std::int64_t g) {
    std::vector<float> column(static_cast<std::size_t>(v.group));
    for (std::int64_t t = g * v.group; t < (g + 1) * v.group; ++t) {
        auto* row = static_cast<unsigned char*>(v.data) + (head * v.capacity + t) * kvRowBytes(v);
        std::fill(row, row + kvRowBytes(v), static_cast<unsigned char>(0));
    }
    for (std::int64_t i = 0; i < v.width; ++i) {
        for (std::int64_t n = 0; n < v.group; ++n)
            column[n] =
                loadAsF32(v.exact, v.dtype,
                          (head * v.exact_capacity + (g * v.group + n) % v.exact_capacity) * v.width + i);
        const KvScale scale = storeScale(v, head, g, i, column);
        for (std::int64_t n = 0; n < v.group; ++n)
            storeCode(v, head, g * v.group + n, i,
                      kvCode(column[n], fromF16(scale.scale), fromF16(scale.minimum), v.bits));
    }
}

void appendRow(const KvView& v, std::int64_t head, std::int64_t t, const float* x) {
    for (std::int64_t i = 0; i < v.width; ++i) {
        if (v.bits == 0)
            storeFromF32(v.data, v.dtype, (head * v.capacity + t) * v.width + i, x[i]);
        else if (kvNeedsRing(v))
            storeFromF32(v.exact, v.dtype, (head * v.exact_capacity + t % v.exact_capacity) * v.width + i,
                         x[i]);
    }
    if (v.bits == 0)
        return;
    if (v.grouping == KvGrouping::Token)
        quantiseRow(v, head, t, x);
    else if ((t + 1) % v.group == 0)
        quantisePositions(v, head, t / v.group);
}

}  // namespace

void kvAppend(const KvAppendParams& p) {
    const KvView& cache = p.cache;
    for (std::int64_t b = 0; b < cache.batch; ++b)
        for (std::int64_t t = 0; t < p.length; ++t)
            for (std::int64_t h = 0; h < cache.heads; ++h)
                appendRow(cache, b * cache.heads + h, p.position + t,
                          p.x + ((b * p.length + t) * cache.heads + h) * cache.width);
}

}  // namespace eigenscope::reference
