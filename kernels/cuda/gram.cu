// SPDX-License-Identifier: Apache-2.0
// Second moments in float64. A product of two float32 is exact there (24 + 24 bits of 53), so the error is
// that of the additions alone, at most rows * 2^-53 relative to the sum of the terms' sizes: no splitting or
// compensation in float32 could do better, and on GPUs that are good at float64 none would be faster.
//
// What it costs: calibrating llama-2-7b on 128 x 2048 tokens adds 3 x 32 matrices of 128 x 128 a layer. Of
// each, three of four tiles of 64 x 64 are computed: 2 * 3 * 64 * 64 operations a row, 2.0e13 in all; the
// matrix products of the same pass are 2 * 6.7e9 * 262144 = 3.5e15. An H200 does float64 at 34 TFLOPS without
// tensor cores; at 40 % of that (below) Gram takes 1.5 s where the products, at 650 TFLOPS in 16 bits,
// take 5.4 s: 1.3 times the products alone. Where float64 is slow (1.3 TFLOPS on a card with 165 in 16 bits)
// it is 16 s beside 21 s, still less than twice. Tensor cores for float64 would save less than a fifth of the
// pass.
//
// A thread owns 4 x 4 elements: eight loads from shared memory for sixteen multiply-adds, which half of an
// SM's float64 rate needs. Rows are shared out between blocks until there are enough of them for a large GPU;
// parts are added up in their order, so results do not depend on scheduling, nor on the GPU's size.
#include "kernels/api/error.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/device_math.cuh"
#include "kernels/cuda/launch.cuh"

#include <climits>
#include <string>

namespace eigenscope::cuda {

namespace {

constexpr int kTile = 64;                    // elements of a block's tile, each way
constexpr int kSide = 16;                    // threads each way
constexpr int kOwn = kTile / kSide;          // elements of a thread, each way
constexpr int kRows = 16;                    // rows of x in shared memory at a time
constexpr std::int64_t kEnoughBlocks = 264;  // two for each SM of a large GPU
constexpr std::int64_t kFewestRows = 128;    // of a part: below, adding parts up would cost as much

// Parts of the rows. X is [rows * group, width]: row r of it is head g * group + r % group of x's row r /
// group.
struct GramPlan {
    std::int64_t rows;  // of X
    int groups, tiles, pairs;
    int splits;
    std::int64_t split_rows;
    __host__ __device__ std::int64_t sumsBegin() const {
        return std::int64_t{1} * splits * groups * pairs * kTile * kTile;
    }
};

GramPlan planGram(const GramParams& p) {
    GramPlan plan{};
    plan.rows = p.rows * p.group;
    plan.groups = p.heads / p.group;
    plan.tiles = (p.width + kTile - 1) / kTile;
    plan.pairs = plan.tiles * (plan.tiles + 1) / 2;
    const std::int64_t blocks = std::int64_t{1} * plan.groups * plan.pairs;
    const std::int64_t wanted =
        std::min((kEnoughBlocks + blocks - 1) / std::max<std::int64_t>(blocks, 1), plan.rows / kFewestRows);
    const std::int64_t most = std::max<std::int64_t>(wanted, 1);
    plan.split_rows = ((plan.rows + most - 1) / most + kRows - 1) / kRows * kRows;
    plan.splits =
        static_cast<int>((plan.rows + plan.split_rows - 1) / std::max<std::int64_t>(plan.split_rows, 1));
    return plan;
}

// Pair number `pair` of tiles i <= j.
__device__ void tilesOf(int pair, int tiles, int& i, int& j) {
    i = 0;
    for (int row = tiles; pair >= row; --row) {
        pair -= row;
        ++i;
    }
    j = i + pair;
}

__device__ void addTo(const GramParams& p, std::int64_t g, int tile_i, int tile_j, int i, int j, double sum) {
    const std::int64_t row = tile_i * kTile + i, column = tile_j * kTile + j;
    if (row >= p.width || column >= p.width)
        return;
    double* gram = p.gram + g * p.width * p.width;
    gram[row * p.width + column] += sum;
    if (tile_i != tile_j)  // the mirrored tile gets the same sums
        gram[column * p.width + row] += sum;
}

// One part of one pair of tiles. With one part it is added to the matrix, else left in `parts`: [splits,
// groups, pairs, kTile, kTile], then column sums [splits, groups, width].
__global__ void gramKernel(GramParams p, GramPlan plan, double* parts) {
    __shared__ double left[kRows][kTile], right[kRows][kTile];
    int tile_i, tile_j;
    tilesOf(static_cast<int>(blockIdx.x), plan.tiles, tile_i, tile_j);
    const std::int64_t g = blockIdx.y, split = blockIdx.z;
    const int ti = static_cast<int>(threadIdx.x) / kSide, tj = static_cast<int>(threadIdx.x) % kSide;
    const int column = static_cast<int>(threadIdx.x) % kTile,
              first_row = static_cast<int>(threadIdx.x) / kTile;
    const int ci = tile_i * kTile + column, cj = tile_j * kTile + column;
    const std::int64_t begin = split * plan.split_rows;
    const std::int64_t end = min(begin + plan.split_rows, plan.rows);
    double sums[kOwn][kOwn] = {}, column_sum = 0.0;
    for (std::int64_t base = begin; base < end; base += kRows) {
#pragma unroll
        for (int k = 0; k < kRows * kTile / kThreads; ++k) {
            const int r = first_row + k * (kThreads / kTile);
            const bool valid = base + r < end;
            // Fits 32 bits (launchGram), where a division costs a third of one in 64.
            const unsigned row = valid ? static_cast<unsigned>(base + r) : 0u;
            const unsigned step = row / static_cast<unsigned>(p.group);
            const std::int64_t head =
                std::int64_t{step} * p.heads + g * p.group + (row - step * static_cast<unsigned>(p.group));
            const float* x = p.x + head * p.width;
            left[r][column] = valid && ci < p.width ? x[ci] : 0.0f;
            right[r][column] = valid && cj < p.width ? x[cj] : 0.0f;
        }
        __syncthreads();
#pragma unroll 4
        for (int r = 0; r < kRows; ++r) {
            double a[kOwn], b[kOwn];
#pragma unroll
            for (int k = 0; k < kOwn; ++k) {
                a[k] = left[r][ti + kSide * k];
                b[k] = right[r][tj + kSide * k];
            }
#pragma unroll
            for (int i = 0; i < kOwn; ++i)
#pragma unroll
                for (int j = 0; j < kOwn; ++j)
                    sums[i][j] += a[i] * b[j];
        }
        if (p.sum && tile_i == tile_j && threadIdx.x < kTile)
            for (int r = 0; r < kRows; ++r)
                column_sum += left[r][column];
        __syncthreads();
    }
    double* part = parts + ((split * plan.groups + g) * plan.pairs + blockIdx.x) * kTile * kTile;
    for (int i = 0; i < kOwn; ++i)
        for (int j = 0; j < kOwn; ++j) {
            const int row = ti + kSide * i, col = tj + kSide * j;
            if (plan.splits == 1)
                addTo(p, g, tile_i, tile_j, row, col, sums[i][j]);
            else
                part[row * kTile + col] = sums[i][j];
        }
    if (p.sum && tile_i == tile_j && threadIdx.x < kTile && ci < p.width) {
        if (plan.splits == 1)
            p.sum[g * p.width + ci] += column_sum;
        else
            parts[plan.sumsBegin() + (split * plan.groups + g) * p.width + ci] = column_sum;
    }
}

// One thread an element: its parts in order. Elements of tiles first, then column sums.
__global__ void gramPartsKernel(GramParams p, GramPlan plan, const double* parts, std::int64_t count) {
    const std::int64_t tiles_end = std::int64_t{1} * plan.groups * plan.pairs * kTile * kTile;
    for (std::int64_t i = firstIndex(); i < count; i += indexStep()) {
        const bool tile = i < tiles_end;
        const std::int64_t at = tile ? i : plan.sumsBegin() + i - tiles_end;
        const std::int64_t stride = tile ? tiles_end : std::int64_t{1} * plan.groups * p.width;
        double sum = 0.0;
        for (int split = 0; split < plan.splits; ++split)
            sum += parts[at + split * stride];
        if (!tile) {
            p.sum[i - tiles_end] += sum;
            continue;
        }
        const std::int64_t g = i / (std::int64_t{1} * plan.pairs * kTile * kTile);
        const int element = static_cast<int>(i % (kTile * kTile));
        int tile_i, tile_j;
        tilesOf(static_cast<int>(i / (kTile * kTile) % plan.pairs), plan.tiles, tile_i, tile_j);
        addTo(p, g, tile_i, tile_j, element / kTile, element % kTile, sum);
    }
}

}  // namespace

std::size_t gramScratchBytes(const GramParams& p) {
    const GramPlan plan = planGram(p);
    if (plan.splits <= 1)
        return 0;
    return static_cast<std::size_t>(plan.sumsBegin() +
                                    std::int64_t{1} * plan.splits * plan.groups * p.width) *
           sizeof(double);
}

void launchGram(const GramParams& p, void* scratch, cudaStream_t stream) {
    if (p.rows == 0 || p.heads == 0 || p.width == 0)
        return;
    const GramPlan plan = planGram(p);
    if (plan.rows > INT_MAX)
        throw Error(ErrorCode::Unsupported, "gram: " + std::to_string(plan.rows) +
                                                " rows in one call; at most " + std::to_string(INT_MAX) +
                                                " work");
    auto* parts = static_cast<double*>(scratch);
    launch("gram", gramKernel,
           dim3(static_cast<unsigned>(plan.pairs), static_cast<unsigned>(plan.groups),
                static_cast<unsigned>(plan.splits)),
           kThreads, 0, stream, p, plan, parts);
    if (plan.splits == 1)
        return;
    const std::int64_t count =
        std::int64_t{1} * plan.groups * (plan.pairs * kTile * kTile + (p.sum ? p.width : 0));
    launch("gram parts", gramPartsKernel, blocksFor(count), kThreads, 0, stream, p, plan,
           static_cast<const double*>(parts), count);
}

}  // namespace eigenscope::cuda
