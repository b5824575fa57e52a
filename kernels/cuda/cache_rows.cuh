// SPDX-License-Identifier: Apache-2.0
// Rows of float32 on their way into a cache: where they go, and copying one by a warp.
#pragma once

#include "kernels/api/ops.h"
#include "kernels/cuda/device_math.cuh"
#include "kernels/cuda/vectors.cuh"

#include <cuda_runtime.h>

#include <cstdint>

namespace eigenscope::cuda {

// Row number `row` of x [batch, length, heads, width].
struct AppendedRow {
    std::int64_t head;  // b * heads + h
    std::int64_t t;     // from the first appended
};
__device__ inline AppendedRow locateRow(std::int64_t row, std::int32_t length, std::int32_t heads) {
    if (row >> 32 == 0) {  // divisions of 64 bits take several times as long
        const auto r = static_cast<unsigned>(row), n = static_cast<unsigned>(heads),
                   l = static_cast<unsigned>(length);
        const unsigned step = r / n;
        return {std::int64_t{step / l} * n + r % n, step % l};
    }
    const std::int64_t step = row / heads;
    return {step / length * heads + row % heads, step % length};
}

// By one warp, kCount elements a lane at a time; both ends aligned to as many.
template <typename T, int kCount>
__device__ void copyRow(const float* from, T* to, std::int32_t width, int lane) {
    constexpr int kWarp = 32;
    const auto* x = reinterpret_cast<const Several<float, kCount>*>(from);
    auto* y = reinterpret_cast<Several<T, kCount>*>(to);
    for (int i = lane; i < width / kCount; i += kWarp) {
        const Several<float, kCount> values = x[i];
        Several<T, kCount> converted;
#pragma unroll
        for (int k = 0; k < kCount; ++k)
            converted.values[k] = fromFloat<T>(values.values[k]);
        y[i] = converted;
    }
}

}  // namespace eigenscope::cuda
