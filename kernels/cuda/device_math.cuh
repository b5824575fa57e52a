// SPDX-License-Identifier: Apache-2.0
// What several kernels share: element types, loops over elements, reductions within a block.
#pragma once

#include "kernels/api/dtype.h"
#include "kernels/cuda/cuda_check.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <cstdint>

namespace eigenscope::cuda {

inline constexpr int kThreads = 256;  // of a block; a power of two, as the reductions want

__device__ inline float toFloat(float x) { return x; }
__device__ inline float toFloat(__half x) { return __half2float(x); }
__device__ inline float toFloat(__nv_bfloat16 x) { return __bfloat162float(x); }

// To nearest, ties to even.
template <typename T>
__device__ T fromFloat(float x);
template <>
__device__ inline float fromFloat<float>(float x) {
    return x;
}
template <>
__device__ inline __half fromFloat<__half>(float x) {
    return __float2half_rn(x);
}
template <>
__device__ inline __nv_bfloat16 fromFloat<__nv_bfloat16>(float x) {
    return __float2bfloat16_rn(x);
}

// Calls f with a value of the element type; only its type matters.
template <typename F>
void withType(DType dtype, F f) {
    switch (dtype) {
        case DType::F32:
            f(float{});
            break;
        case DType::F16:
            f(__half{});
            break;
        case DType::BF16:
            f(__nv_bfloat16{});
            break;
    }
}

// Blocks for `count` elements, one a thread, or several where the grid would be needlessly large.
inline unsigned blocksFor(std::int64_t count) {
    return static_cast<unsigned>(std::min<std::int64_t>((count + kThreads - 1) / kThreads, 1 << 16));
}

__device__ inline std::int64_t firstIndex() {
    return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline std::int64_t indexStep() { return static_cast<std::int64_t>(gridDim.x) * blockDim.x; }

// Combines one value of each of the block's kThreads threads; every thread gets the result. shared:
// [kThreads].
template <typename T, typename Combine>
__device__ T blockReduce(T value, T* shared, Combine combine) {
    const unsigned thread = threadIdx.x;
    shared[thread] = value;
    __syncthreads();
    for (unsigned step = kThreads / 2; step > 0; step /= 2) {
        if (thread < step)
            shared[thread] = combine(shared[thread], shared[thread + step]);
        __syncthreads();
    }
    const T result = shared[0];
    __syncthreads();  // shared may be used again
    return result;
}

struct Sum {
    template <typename T>
    __device__ T operator()(T a, T b) const {
        return a + b;
    }
};

}  // namespace eigenscope::cuda
