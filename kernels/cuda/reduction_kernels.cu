// SPDX-License-Identifier: Apache-2.0
// Kernels that add or compare along rows: norm, nll, argmax. Sums have a fixed order, so that equal inputs
// give equal results.
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/device_math.cuh"
#include "kernels/cuda/launch.cuh"

#include <climits>

namespace eigenscope::cuda {

namespace {

// One block a row at a time. Two passes for the mean and the variance about it: one pass would cancel. To:
// what the results are rounded to.
template <bool kLayer, typename To>
__global__ void normKernel(NormParams p, To* to) {
    __shared__ float shared[kThreads];
    const float width = static_cast<float>(p.width);
    for (std::int64_t row = blockIdx.x; row < p.rows; row += gridDim.x) {
        const float* x = p.x + row * p.width;
        To* y = to + row * p.width;
        float mean = 0.0f;
        if (kLayer) {
            for (std::int64_t i = threadIdx.x; i < p.width; i += kThreads)
                mean += x[i];
            mean = blockReduce(mean, shared, Sum{}) / width;
        }
        float squares = 0.0f;
        for (std::int64_t i = threadIdx.x; i < p.width; i += kThreads)
            squares += (x[i] - mean) * (x[i] - mean);
        const float scale = 1.0f / sqrtf(blockReduce(squares, shared, Sum{}) / width + p.epsilon);
        for (std::int64_t i = threadIdx.x; i < p.width; i += kThreads) {
            const float value = (x[i] - mean) * scale * (p.weight ? p.weight[i] : 1.0f);
            y[i] = fromFloat<To>(p.bias ? value + p.bias[i] : value);
        }
    }
}

struct Largest {
    __device__ float operator()(float a, float b) const { return a < b ? b : a; }
};

// One block a row at a time. A thread adds its share in float32, the block its threads in float64.
__global__ void nllKernel(NllParams p) {
    __shared__ float shared[kThreads];
    __shared__ double shared_sums[kThreads];
    for (std::int64_t row = blockIdx.x; row < p.rows; row += gridDim.x) {
        const float* logits = p.logits + row * p.vocab;
        float largest = logits[0];
        for (std::int64_t j = threadIdx.x; j < p.vocab; j += kThreads)
            largest = Largest{}(largest, logits[j]);
        largest = blockReduce(largest, shared, Largest{});
        float sum = 0.0f;
        for (std::int64_t j = threadIdx.x; j < p.vocab; j += kThreads)
            sum += expf(logits[j] - largest);
        const double total = blockReduce(static_cast<double>(sum), shared_sums, Sum{});
        const TokenId target = p.targets[row];
        if (threadIdx.x ==
            0)  // a target beyond the row is the caller's mistake, made visible without reading it
            p.nll[row] = target < 0          ? 0.0
                         : target >= p.vocab ? static_cast<double>(NAN)
                                             : log(total) + largest - logits[target];
    }
}

struct Candidate {
    float value;
    int index;
};
struct Better {
    __device__ Candidate operator()(Candidate a, Candidate b) const {
        return b.value > a.value || (b.value == a.value && b.index < a.index) ? b : a;
    }
};

__global__ void argmaxKernel(ArgmaxParams p) {
    __shared__ Candidate shared[kThreads];
    for (std::int64_t row = blockIdx.x; row < p.rows; row += gridDim.x) {
        const float* logits = p.logits + row * p.vocab;
        // Threads without an element start like those whose elements are all minus infinity, but lose every
        // tie.
        Candidate best{-INFINITY, INT_MAX};
        for (std::int64_t j = threadIdx.x; j < p.vocab; j += kThreads)
            best = Better{}(best, Candidate{logits[j], static_cast<int>(j)});
        best = blockReduce(best, shared, Better{});
        if (threadIdx.x == 0)
            p.index[row] = best.index == INT_MAX ? 0 : best.index;  // a row of NaN has no largest
    }
}

unsigned rowBlocks(std::int64_t rows) { return static_cast<unsigned>(std::min<std::int64_t>(rows, 1 << 16)); }

}  // namespace

void launchNorm(const NormParams& p, cudaStream_t stream) { launchNormTo(p, p.y, DType::F32, stream); }

void launchNormTo(const NormParams& p, void* y, DType dtype, cudaStream_t stream) {
    if (p.rows * p.width == 0)
        return;
    withType(dtype, [&](auto type) {
        using To = decltype(type);
        const auto kernel =
            p.kind == NormParams::Kind::LayerNorm ? normKernel<true, To> : normKernel<false, To>;
        launch("norm", kernel, rowBlocks(p.rows), kThreads, 0, stream, p, static_cast<To*>(y));
    });
}

void launchNll(const NllParams& p, cudaStream_t stream) {
    if (p.rows == 0)
        return;
    launch("nll", nllKernel, rowBlocks(p.rows), kThreads, 0, stream, p);
}

void launchArgmax(const ArgmaxParams& p, cudaStream_t stream) {
    if (p.rows == 0)
        return;
    launch("argmax", argmaxKernel, rowBlocks(p.rows), kThreads, 0, stream, p);
}

}  // namespace eigenscope::cuda
