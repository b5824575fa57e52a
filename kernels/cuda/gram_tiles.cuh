// SPDX-License-Identifier: Apache-2.0
// Sums of w x x^T in float64 on the tensor cores: a block has a pair of 64 x 64 tiles of one group's matrix
// and a part of its rows. What the rows are is a template parameter (gram.cu, spread_gram.cu):
//   int runs                       stretches of rows that a block goes through
//   Run run(g, split, number, ci, cj)
//                                  one of them: `begin` and `end` of its rows, `weight(row)`, and `left(row)`
//                                  and `right(row)`, elements ci and cj of the row x; 0 behind the width
//   bool sums                      whether w x is summed too
// Of each warp's 32 x 32 elements those under the diagonal of the matrix are not computed. Rows are shared
// out between blocks until there are enough of them for a large GPU; parts are added up in their order, so
// results depend on no scheduling and no GPU's size.
#pragma once

#include "kernels/cuda/device_math.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ptx.cuh"

#include <cstdint>

namespace eigenscope::cuda {

inline constexpr int kGramTile = 64;                    // elements of a block's tile, each way
inline constexpr int kGramWarp = 32;                    // of a warp's, each way
inline constexpr int kGramThreads = 128;                // of a block: four warps, a quarter of the tile each
inline constexpr int kGramRows = 16;                    // rows in shared memory at a time
inline constexpr int kGramPitch = kGramTile + 4;        // doubles: no bank conflicts where fragments are read
inline constexpr int kGramBlocks = 4;                   // that fit a multiprocessor
inline constexpr std::int64_t kEnoughGramBlocks = 528;  // four for each multiprocessor of a large GPU

struct GramPlan {
    int groups, width, tiles, pairs, splits;
    double* gram;  // [groups, width, width]
    double* sum;   // [groups, width] or null
    __host__ __device__ std::int64_t tileElements() const {
        return std::int64_t{1} * groups * pairs * kGramTile * kGramTile;
    }
    std::size_t scratchBytes() const {
        return splits <= 1
                   ? 0
                   : static_cast<std::size_t>(splits * (tileElements() + std::int64_t{1} * groups * width)) *
                         sizeof(double);
    }
};

inline GramPlan gramPlan(int groups, int width, double* gram, double* sum) {
    GramPlan plan{};
    plan.groups = groups, plan.width = width, plan.gram = gram, plan.sum = sum;
    plan.tiles = (width + kGramTile - 1) / kGramTile;
    plan.pairs = plan.tiles * (plan.tiles + 1) / 2;
    plan.splits = 1;
    return plan;
}

// Pair number `pair` of tiles i <= j.
__device__ inline void tilesOf(int pair, int tiles, int& i, int& j) {
    i = 0;
    for (int row = tiles; pair >= row; --row) {
        pair -= row;
        ++i;
    }
    j = i + pair;
}

// Element (row, column) of a group's matrix and its mirror image; under the diagonal nothing.
__device__ inline void addToGram(const GramPlan& plan, std::int64_t g, int row, int column, double value) {
    if (row > column || column >= plan.width)
        return;
    double* gram = plan.gram + g * plan.width * plan.width;
    gram[std::int64_t{row} * plan.width + column] += value;
    if (row != column)
        gram[std::int64_t{column} * plan.width + row] += value;
}

// Rows from `base` on, of the left tile times their weights; zero behind the run's end. A thread has one
// column of each tile, the same of both where `same`.
template <typename Run>
__device__ void loadGramRows(const Run& run, std::int64_t base, bool same, double (*left)[kGramPitch],
                             double (*right)[kGramPitch]) {
    constexpr int kLoadRows = kGramThreads / kGramTile;  // at a time
    constexpr int kLoads = 4;                            // under way in a thread, of each tile
    const int column = static_cast<int>(threadIdx.x) % kGramTile,
              first_row = static_cast<int>(threadIdx.x) / kGramTile;
#pragma unroll
    for (int first = first_row; first < kGramRows; first += kLoads * kLoadRows) {
        double weights[kLoads];
        float x[kLoads], y[kLoads];
#pragma unroll
        for (int k = 0; k < kLoads; ++k) {
            const std::int64_t row = base + first + k * kLoadRows;
            const bool valid = row < run.end;
            weights[k] = valid ? run.weight(row) : 0.0;
            x[k] = valid ? run.left(row) : 0.0f;
            y[k] = valid && !same ? run.right(row) : x[k];
        }
#pragma unroll
        for (int k = 0; k < kLoads; ++k) {
            const bool counts = weights[k] != 0.0;
            left[first + k * kLoadRows][column] = counts ? weights[k] * x[k] : 0.0;
            right[first + k * kLoadRows][column] = counts ? double{y[k]} : 0.0;
        }
    }
}

// Parts, if there are several, are left in `parts`: [splits, groups, pairs, kGramTile, kGramTile], then
// column sums [splits, groups, width].
template <typename Rows>
__global__ void __launch_bounds__(kGramThreads, kGramBlocks)
    gramKernel(Rows rows, GramPlan plan, double* parts) {
    __shared__ double left[kGramRows][kGramPitch], right[kGramRows][kGramPitch];
    int tile_i, tile_j;
    tilesOf(static_cast<int>(blockIdx.x), plan.tiles, tile_i, tile_j);
    const std::int64_t g = blockIdx.y, split = blockIdx.z;
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    // Which quarter has nothing to do differs from block to block, or one scheduler of four would be idle.
    const int quarter = (warp + static_cast<int>(blockIdx.x + blockIdx.y + blockIdx.z)) % 4;
    const int row0 = quarter / 2 * kGramWarp, column0 = quarter % 2 * kGramWarp;
    const bool idle = tile_i == tile_j && row0 > column0;
    const int column = static_cast<int>(threadIdx.x) % kGramTile;
    const int ci = tile_i * kGramTile + column, cj = tile_j * kGramTile + column;
    double sums[2][4][4] = {}, column_sum = 0.0;
    for (int number = 0; number < rows.runs; ++number) {
        const auto run = rows.run(g, split, number, ci, cj);
        for (std::int64_t base = run.begin; base < run.end; base += kGramRows) {
            loadGramRows(run, base, ci == cj, left, right);
            __syncthreads();
            if (!idle)
#pragma unroll
                for (int k = 0; k < kGramRows; k += 4) {
                    double a[2][2], b[4];
#pragma unroll
                    for (int i = 0; i < 4; ++i) {
                        a[i / 2][i % 2] = left[k + lane % 4][row0 + 8 * i + lane / 4];
                        b[i] = right[k + lane % 4][column0 + 8 * i + lane / 4];
                    }
#pragma unroll
                    for (int i = 0; i < 2; ++i)
#pragma unroll
                        for (int j = 0; j < 4; ++j)
                            mma1684(sums[i][j], a[i], b[j]);
                }
            if (plan.sum && tile_i == tile_j && threadIdx.x < kGramTile)
                for (int r = 0; r < kGramRows; ++r)
                    column_sum += left[r][column];
            __syncthreads();
        }
    }
    double* part = parts + (split * plan.groups + g) * plan.pairs * kGramTile * kGramTile +
                   blockIdx.x * (kGramTile * kGramTile);
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const int r = row0 + 16 * i + lane / 4 + e / 2 * 8,
                          c = column0 + 8 * j + lane % 4 * 2 + e % 2;
                if (plan.splits == 1)
                    addToGram(plan, g, tile_i * kGramTile + r, tile_j * kGramTile + c, sums[i][j][e]);
                else
                    part[r * kGramTile + c] = sums[i][j][e];
            }
    if (plan.sum && tile_i == tile_j && threadIdx.x < kGramTile && ci < plan.width) {
        if (plan.splits == 1)
            plan.sum[g * plan.width + ci] += column_sum;
        else
            parts[plan.splits * plan.tileElements() + (split * plan.groups + g) * plan.width + ci] =
                column_sum;
    }
}

// One thread an element: its parts in order. Elements of tiles first, then column sums.
static __global__ void gramPartsKernel(GramPlan plan, const double* parts, std::int64_t count) {
    const std::int64_t tiles_end = plan.tileElements();
    for (std::int64_t i = firstIndex(); i < count; i += indexStep()) {
        const bool tile = i < tiles_end;
        const std::int64_t at = tile ? i : plan.splits * tiles_end + i - tiles_end;
        const std::int64_t stride = tile ? tiles_end : std::int64_t{1} * plan.groups * plan.width;
        double sum = 0.0;
        for (int split = 0; split < plan.splits; ++split)
            sum += parts[at + split * stride];
        if (!tile) {
            plan.sum[i - tiles_end] += sum;
            continue;
        }
        const std::int64_t g = i / (std::int64_t{1} * plan.pairs * kGramTile * kGramTile);
        const int element = static_cast<int>(i % (kGramTile * kGramTile));
        int tile_i, tile_j;
        tilesOf(static_cast<int>(i / (kGramTile * kGramTile) % plan.pairs), plan.tiles, tile_i, tile_j);
        addToGram(plan, g, tile_i * kGramTile + element / kGramTile, tile_j * kGramTile + element % kGramTile,
                  sum);
    }
}

// parts: plan.scratchBytes() of device memory.
template <typename Rows>
void launchGramTiles(const char* what, const Rows& rows, const GramPlan& plan, void* parts,
                     cudaStream_t stream) {
    auto* sums = static_cast<double*>(parts);
    launch(what, gramKernel<Rows>,
           dim3(static_cast<unsigned>(plan.pairs), static_cast<unsigned>(plan.groups),
                static_cast<unsigned>(plan.splits)),
           kGramThreads, 0, stream, rows, plan, sums);
    if (plan.splits == 1)
        return;
    const std::int64_t count =
        plan.tileElements() + (plan.sum ? std::int64_t{1} * plan.groups * plan.width : 0);
    launch("gram parts", gramPartsKernel, blocksFor(count), kThreads, 0, stream, plan,
           static_cast<const double*>(sums), count);
}

}  // namespace eigenscope::cuda
