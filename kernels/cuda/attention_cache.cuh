// SPDX-License-Identifier: Apache-2.0
// One side of the KV cache as a query at some position reads it: elements of any dtype, codes, or rows of the
// exact ring (kernels/api/ops.h, KvView), as float32.
#pragma once

#include "kernels/api/kv_layout.h"
#include "kernels/cuda/device_math.cuh"

namespace eigenscope::cuda {

// What follows from a view's format, computed on the host.
struct CacheLayout {
    KvView view;
    std::int64_t row_bytes = 0, scale_stride = 0, scale_rows = 0;
    std::int32_t span = 1;  // positions that a group of codes waits for
    bool ring = false;
};

inline CacheLayout cacheLayout(const KvView& v) {
    CacheLayout layout{v, kvRowBytes(v), 0, 0, 1, false};
    if (v.bits != 0) {
        layout.scale_stride = kvScaleStride(v);
        layout.scale_rows = kvScaleRows(v);
        layout.span = static_cast<std::int32_t>(kvSpan(v));
        layout.ring = kvNeedsRing(v);
    }
    return layout;
}

template <typename T>
__device__ void loadElements(const T* row, int width, int lane, float* to) {
    for (int i = lane; i < width; i += 32)
        to[i] = toFloat(row[i]);
}

__device__ inline void loadElements(const void* data, DType dtype, std::int64_t first, int width, int lane,
                                    float* to) {
    if (dtype == DType::F32)
        loadElements(static_cast<const float*>(data) + first, width, lane, to);
    else if (dtype == DType::F16)
        loadElements(static_cast<const __half*>(data) + first, width, lane, to);
    else
        loadElements(static_cast<const __nv_bfloat16*>(data) + first, width, lane, to);
}

__device__ inline void loadCodes(const CacheLayout& c, std::int64_t head, std::int64_t t, int lane,
                                 float* to) {
    const KvView& v = c.view;
    const auto* row = static_cast<const unsigned char*>(v.data) + (head * v.capacity + t) * c.row_bytes;
    const bool by_token = v.grouping == KvGrouping::Token;
    const __half* scales = static_cast<const __half*>(v.scales) +
                           (head * c.scale_rows + (by_token ? t : t / v.group)) * c.scale_stride;
    const __half* minima = scales + c.scale_stride / 2;
    const int mask = (1 << v.bits) - 1;
    for (int i = lane; i < v.width; i += 32) {
        const int bit = i * v.bits, shift = bit % 8;
        int code = row[bit / 8] >> shift;
        if (shift + v.bits > 8)
            code |= row[bit / 8 + 1] << (8 - shift);
        const int group = by_token ? i / v.group : i;
        to[i] = toFloat(minima[group]) + toFloat(scales[group]) * static_cast<float>(code & mask);
    }
}

// Rows [first, first + count) of head (b, h) = `head` to shared memory [tile, pitch] as the query at
// `position` reads them; rows behind them are zero, since weights of zero still multiply them. A warp takes a
// row at a time; the caller's barrier follows.
__device__ inline void loadRows(const CacheLayout& c, std::int64_t head, std::int64_t position,
                                std::int64_t first, int count, int tile, float* to, int pitch) {
    const int warp = threadIdx.x / 32, warps = blockDim.x / 32, lane = threadIdx.x % 32;
    const KvView& v = c.view;
    const std::int64_t end =
        c.ring ? kvStoredEnd<std::int64_t>(position, c.view.recent, c.span) : position + 1;
    for (int row = warp; row < tile; row += warps) {
        const std::int64_t t = first + row;
        float* place = to + row * pitch;
        if (row >= count)
            for (int i = lane; i < v.width; i += 32)
                place[i] = 0.0f;
        else if (v.bits == 0)
            loadElements(v.data, v.dtype, (head * v.capacity + t) * v.width, v.width, lane, place);
        else if (t < end)
            loadCodes(c, head, t, lane, place);
        else
            loadElements(v.exact, v.dtype, (head * v.exact_capacity + t % v.exact_capacity) * v.width,
                         v.width, lane, place);
    }
}

}  // namespace eigenscope::cuda
