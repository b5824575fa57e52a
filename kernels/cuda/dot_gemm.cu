// SPDX-License-Identifier: Apache-2.0
// Matrix products of a few rows without cuBLASLt: a warp a column of y, which reads its row of the weights
// once for up to kMostRows rows of x. Bound by reading the weights while x has few rows. (One row has a
// kernel of its own, row_products.cu.)
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/device_math.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vectors.cuh"

namespace eigenscope::cuda {

namespace {

constexpr int kWarp = 32;
constexpr int kMostRows = 8;  // rows of x that share one reading of the weights

template <typename T>
__device__ float roundedTo(float x) {
    return toFloat(fromFloat<T>(x));
}

// Lanes share k, kCount consecutive elements at a time; a fixed tree adds them up.
template <typename Weight, typename Arithmetic, int kCount>
__global__ void __launch_bounds__(kThreads, 3) dotGemmKernel(GemmParams p) {
    constexpr int kAhead = 2;  // loads of weights under way
    const int lane = static_cast<int>(threadIdx.x % kWarp);
    const std::int64_t row = static_cast<std::int64_t>(blockIdx.y) * kMostRows, parts = p.k / kCount;
    const int rows = static_cast<int>(p.m - row < kMostRows ? p.m - row : kMostRows);
    for (std::int64_t column = firstIndex() / kWarp; column < p.n; column += indexStep() / kWarp) {
        const auto* weight = static_cast<const Several<Weight, kCount>*>(p.weight) + column * parts;
        const auto* x = reinterpret_cast<const Several<float, kCount>*>(p.x) + row * parts;
        float sums[kMostRows] = {};
        for (std::int64_t first = lane; first < parts; first += kWarp * kAhead) {
            Several<Weight, kCount> w[kAhead];
#pragma unroll
            for (int a = 0; a < kAhead; ++a)
                if (first + a * kWarp < parts)
                    w[a] = weight[first + a * kWarp];
#pragma unroll
            for (int a = 0; a < kAhead; ++a)
                if (first + a * kWarp < parts) {
                    float factors[kCount];
#pragma unroll
                    for (int c = 0; c < kCount; ++c)
                        factors[c] = toFloat(w[a].values[c]);  // of Arithmetic's type already, or it is float
#pragma unroll
                    for (int r = 0; r < kMostRows; ++r)
                        if (r < rows) {
                            const Several<float, kCount> v = x[r * parts + first + a * kWarp];
#pragma unroll
                            for (int c = 0; c < kCount; ++c)
                                sums[r] += roundedTo<Arithmetic>(v.values[c]) * factors[c];
                        }
                }
        }
        float mine = 0.0f;  // of row `lane`
#pragma unroll
        for (int r = 0; r < kMostRows; ++r)
            if (r < rows) {
#pragma unroll
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
    constexpr int kCount = 4;  // of x, 16 bytes: neighbouring lanes read neighbouring ones
    const bool vectors = p.k % kCount == 0 && alignedTo(p.weight, kCount * sizeof(Weight)) &&
                         alignedTo(p.x, kCount * sizeof(float));
    const dim3 grid(blocksFor(p.n * kWarp), static_cast<unsigned>((p.m + kMostRows - 1) / kMostRows));
    const auto kernel =
        vectors ? dotGemmKernel<Weight, Arithmetic, kCount> : dotGemmKernel<Weight, Arithmetic, 1>;
    launch("gemm", kernel, grid, kThreads, 0, stream, p);
}

}  // namespace

void launchDotGemm(const GemmParams& p, cudaStream_t stream) {
    if (p.m * p.n == 0)
        return;
    // Rows of the grid are limited to 65535; more than half a million rows go in several launches.
    constexpr std::int64_t kMaxRows = std::int64_t{65535} * kMostRows;
    for (std::int64_t first = 0; first < p.m; first += kMaxRows) {
        GemmParams part = p;
        part.m = std::min(kMaxRows, p.m - first);
        part.x = p.x + first * p.k;
        part.y = p.y + first * p.n;
        // Rounding weights to a type that is not theirs is refused before (supportsGemm()).
        withType(p.weight_dtype, [&](auto weight) {
            using Weight = decltype(weight);
            if (p.compute == Compute::F32)
                launchPart<Weight, float>(part, stream);
            else
                launchPart<Weight, Weight>(part, stream);
        });
    }
}

}  // namespace eigenscope::cuda
