// SPDX-License-Identifier: Apache-2.0
// Kernels that add or compare along rows: norm, nll, argmax, dot products, Gram matrices. Sums have a fixed
// order, so that equal inputs give equal results.
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/device_math.cuh"
#include "kernels/cuda/launch.cuh"

#include <climits>

namespace eigenscope::cuda {

namespace {

// One block a row at a time. Two passes for the mean and the variance about it: one pass would cancel.
template <bool kLayer>
__global__ void normKernel(NormParams p) {
    __shared__ float shared[kThreads];
    const float width = static_cast<float>(p.width);
    for (std::int64_t row = blockIdx.x; row < p.rows; row += gridDim.x) {
        const float* x = p.x + row * p.width;
        float* y = p.y + row * p.width;
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
            y[i] = p.bias ? value + p.bias[i] : value;
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
        if (threadIdx.x == 0)
            p.nll[row] = target < 0 ? 0.0 : log(total) + largest - logits[target];
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

constexpr int kDotRows = 8;  // rows of x that share one reading of the weights

template <typename T>
__device__ float roundedTo(float x) {
    return toFloat(fromFloat<T>(x));
}

// One block an element of n and kDotRows elements of m; its threads share k.
template <typename Weight, typename Arithmetic>
__global__ void dotGemmKernel(GemmParams p) {
    __shared__ float shared[kThreads];
    const std::int64_t row = static_cast<std::int64_t>(blockIdx.y) * kDotRows;
    const int rows = static_cast<int>(p.m - row < kDotRows ? p.m - row : kDotRows);
    for (std::int64_t column = blockIdx.x; column < p.n; column += gridDim.x) {
        const Weight* weight = static_cast<const Weight*>(p.weight) + column * p.k;
        float sums[kDotRows] = {};
        for (std::int64_t i = threadIdx.x; i < p.k; i += kThreads) {
            const float w = roundedTo<Arithmetic>(toFloat(weight[i]));
#pragma unroll
            for (int r = 0; r < kDotRows; ++r)
                if (r < rows)
                    sums[r] += roundedTo<Arithmetic>(p.x[(row + r) * p.k + i]) * w;
        }
#pragma unroll
        for (int r = 0; r < kDotRows; ++r) {
            const float sum = blockReduce(sums[r], shared, Sum{});
            if (threadIdx.x == 0 && r < rows) {
                float* y = p.y + (row + r) * p.n + column;
                *y = sum + (p.bias ? p.bias[column] : 0.0f) + (p.accumulate ? *y : 0.0f);
            }
        }
    }
}

constexpr int kTile = 32;      // of a Gram matrix, one block each; 16 x 16 threads, four elements a thread
constexpr int kGramRows = 16;  // rows of x in shared memory at a time

// gram[g] += X^T X for one pair of column tiles with tile_i <= tile_j; the mirrored tile is written from the
// same sums. X [rows * group, width]: row r of it is head g * group + r % group of x's row r / group.
__global__ void gramKernel(GramParams p, int tiles) {
    __shared__ double left[kGramRows][kTile], right[kGramRows][kTile];
    const int tile_i = blockIdx.x / tiles, tile_j = blockIdx.x % tiles;
    if (tile_i > tile_j)
        return;
    const std::int64_t g = blockIdx.y;
    const int ti = threadIdx.x / 16, tj = threadIdx.x % 16;
    const std::int64_t count = p.rows * p.group;
    double sums[2][2] = {};
    for (std::int64_t base = 0; base < count; base += kGramRows) {
        for (int i = threadIdx.x; i < kGramRows * kTile; i += kThreads) {
            const int r = i / kTile, c = i % kTile;
            const std::int64_t row = base + r;
            const std::int64_t head = (row / p.group) * p.heads + g * p.group + row % p.group;
            const float* x = p.x + head * p.width;
            const int ci = tile_i * kTile + c, cj = tile_j * kTile + c;
            left[r][c] = row < count && ci < p.width ? x[ci] : 0.0f;
            right[r][c] = row < count && cj < p.width ? x[cj] : 0.0f;
        }
        __syncthreads();
        for (int r = 0; r < kGramRows; ++r)
            for (int a = 0; a < 2; ++a)
                for (int b = 0; b < 2; ++b)
                    sums[a][b] += left[r][ti + 16 * a] * right[r][tj + 16 * b];
        __syncthreads();
    }
    double* gram = p.gram + g * p.width * p.width;
    for (int a = 0; a < 2; ++a)
        for (int b = 0; b < 2; ++b) {
            const std::int64_t i = tile_i * kTile + ti + 16 * a, j = tile_j * kTile + tj + 16 * b;
            if (i >= p.width || j >= p.width)
                continue;
            gram[i * p.width + j] += sums[a][b];
            if (tile_i != tile_j)
                gram[j * p.width + i] += sums[a][b];
        }
}

// sum[g] += the rows of X; one thread a column.
__global__ void gramSumKernel(GramParams p) {
    const std::int64_t g = blockIdx.y;
    const std::int64_t column = firstIndex();
    if (column >= p.width)
        return;
    double sum = 0.0;
    for (std::int64_t row = 0; row < p.rows; ++row)
        for (int h = 0; h < p.group; ++h)
            sum += p.x[(row * p.heads + g * p.group + h) * p.width + column];
    p.sum[g * p.width + column] += sum;
}

unsigned rowBlocks(std::int64_t rows) { return static_cast<unsigned>(std::min<std::int64_t>(rows, 1 << 16)); }

}  // namespace

void launchNorm(const NormParams& p, cudaStream_t stream) {
    if (p.rows * p.width == 0)
        return;
    if (p.kind == NormParams::Kind::LayerNorm)
        launch("norm", normKernel<true>, rowBlocks(p.rows), kThreads, 0, stream, p);
    else
        launch("norm", normKernel<false>, rowBlocks(p.rows), kThreads, 0, stream, p);
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

void launchDotGemm(const GemmParams& p, cudaStream_t stream) {
    if (p.m * p.n == 0)
        return;
    // Rows of the grid are limited to 65535; more than half a million rows go in several launches.
    constexpr std::int64_t kMaxRows = std::int64_t{65535} * kDotRows;
    for (std::int64_t first = 0; first < p.m; first += kMaxRows) {
        GemmParams part = p;
        part.m = std::min(kMaxRows, p.m - first);
        part.x = p.x + first * p.k;
        part.y = p.y + first * p.n;
        const dim3 grid(rowBlocks(p.n), static_cast<unsigned>((part.m + kDotRows - 1) / kDotRows));
        const DType arithmetic = p.compute == Compute::F32   ? DType::F32
                                 : p.compute == Compute::F16 ? DType::F16
                                                             : DType::BF16;
        withType(p.weight_dtype, [&](auto weight) {
            withType(arithmetic, [&](auto rounding) {
                launch("gemm", dotGemmKernel<decltype(weight), decltype(rounding)>, grid, kThreads, 0, stream,
                       part);
            });
        });
    }
}

void launchGram(const GramParams& p, cudaStream_t stream) {
    if (p.rows == 0 || p.heads == 0 || p.width == 0)
        return;
    const int groups = p.heads / p.group, tiles = (p.width + kTile - 1) / kTile;
    launch("gram", gramKernel, dim3(tiles * tiles, groups), kThreads, 0, stream, p, tiles);
    if (p.sum) {
        launch("gram sum", gramSumKernel, dim3(blocksFor(p.width), groups), kThreads, 0, stream, p);
    }
}

}  // namespace eigenscope::cuda
