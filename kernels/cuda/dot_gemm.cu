// SPDX-License-Identifier: Apache-2.0
// Matrix products without cuBLASLt: a warp a column of y, which reads its row of the weights once for up to
// kRows rows of x. Bound by reading the weights while x has few rows.
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/device_math.cuh"
#include "kernels/cuda/launch.cuh"

namespace eigenscope::cuda {

namespace {

constexpr int kWarp = 32;
constexpr int kRows = 8;  // rows of x that share one reading of the weights

template <typename T, int kCount>
struct alignas(sizeof(T) * kCount) Several {
    T values[kCount];
};

template <typename T>
__device__ float roundedTo(float x) {
    return toFloat(fromFloat<T>(x));
}

// Lanes share k, kCount consecutive elements at a time; a fixed tree adds them up.
template <typename Weight, typename Arithmetic, int kCount>
__global__ void dotGemmKernel(GemmParams p) {
    const int lane = static_cast<int>(threadIdx.x % kWarp);
    const std::int64_t row = static_cast<std::int64_t>(blockIdx.y) * kRows, parts = p.k / kCount;
    const int rows = static_cast<int>(p.m - row < kRows ? p.m - row : kRows);
    for (std::int64_t column = firstIndex() / kWarp; column < p.n; column += indexStep() / kWarp) {
        const auto* weight = static_cast<const Several<Weight, kCount>*>(p.weight) + column * parts;
        const auto* x = reinterpret_cast<const Several<float, kCount>*>(p.x) + row * parts;
        float sums[kRows] = {};
        for (std::int64_t i = lane; i < parts; i += kWarp) {
            const Several<Weight, kCount> w = weight[i];
            float factors[kCount];
#pragma unroll
            for (int c = 0; c < kCount; ++c)
                factors[c] = roundedTo<Arithmetic>(toFloat(w.values[c]));
#pragma unroll
            for (int r = 0; r < kRows; ++r)
                if (r < rows) {
                    const Several<float, kCount> v = x[r * parts + i];
#pragma unroll
                    for (int c = 0; c < kCount; ++c)
                        sums[r] += roundedTo<Arithmetic>(v.values[c]) * factors[c];
                }
        }
        float mine = 0.0f;  // of row `lane`
#pragma unroll
        for (int r = 0; r < kRows; ++r)
            if (r < rows) {
                for (int distance = kWarp / 2; distance > 0; distance /= 2)
                    sums[r] += __shfl_xor_sync(~0u, sums[r], distance);
                if (lane == r)
                    mine = sums[r];
            }
        if (lane < rows) {
            float* y = p.y + (row + lane) * p.n + column;
            *y = mine + (p.bias ? p.bias[column] : 0.0f) + (p.accumulate ? *y : 0.0f);
        }
    }
}

template <typename Weight, typename Arithmetic>
void launchPart(const GemmParams& p, cudaStream_t stream) {
    constexpr int kCount = static_cast<int>(16 / sizeof(Weight));
    const auto aligned = [](const void* pointer) {
        return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0;
    };
    const bool vectors = p.k % kCount == 0 && aligned(p.weight) &&
                         reinterpret_cast<std::uintptr_t>(p.x) % (kCount * sizeof(float)) == 0;
    const dim3 grid(blocksFor(p.n * kWarp), static_cast<unsigned>((p.m + kRows - 1) / kRows));
    if (vectors)
        launch("gemm", dotGemmKernel<Weight, Arithmetic, kCount>, grid, kThreads, 0, stream, p);
    else
        launch("gemm", dotGemmKernel<Weight, Arithmetic, 1>, grid, kThreads, 0, stream, p);
}

}  // namespace

void launchDotGemm(const GemmParams& p, cudaStream_t stream) {
    if (p.m * p.n == 0)
        return;
    // Rows of the grid are limited to 65535; more than half a million rows go in several launches.
    constexpr std::int64_t kMaxRows = std::int64_t{65535} * kRows;
    const DType arithmetic = p.compute == Compute::F32   ? DType::F32
                             : p.compute == Compute::F16 ? DType::F16
                                                         : DType::BF16;
    for (std::int64_t first = 0; first < p.m; first += kMaxRows) {
        GemmParams part = p;
        part.m = std::min(kMaxRows, p.m - first);
        part.x = p.x + first * p.k;
        part.y = p.y + first * p.n;
        withType(p.weight_dtype, [&](auto weight) {
            withType(arithmetic,
                     [&](auto rounding) { launchPart<decltype(weight), decltype(rounding)>(part, stream); });
        });
    }
}

}  // namespace eigenscope::cuda
