// SPDX-License-Identifier: Apache-2.0
// Second moments in float64. A product of two float32 is exact there (24 + 24 bits of 53), so the error is
// that of the additions alone, at most rows * 2^-53 relative to the sum of the terms' sizes: no splitting or
// compensation in float32 could do better. (A weight adds a rounding.)
//
// What calibrating llama-2-7b on 128 x 2048 tokens costs, per row of a head and counting 32 x 32 blocks on
// and above the diagonal: 20,480 operations for a width of 128, 73,728 for two heads side by side. A layer
// and window sum, in 10^9 operations:
//     keys, queries, values, outputs: 4 x 2048 rows x 32 heads         5.4
//     keys and values, two heads side by side: 2 x 2048 x 16           4.8
//     keys by their weights, and two heads side by side (S_k)          1.3 + 2.4
//     queries as seen from every distance (S_q, spread_gram.cu):
//         32 samples, 1024 distances on average, 32 heads             21.5
// 35.5, or 1.45e14 in all, where the matrix products of the same pass are 2 * 6.7e9 * 262144 = 3.5e15. An
// H200 does float64 at 67 TFLOPS on the tensor cores, 34 without. A warp's 32 x 32 elements take 8 loads of
// 64 bits a lane from shared memory for 8 products of 16 x 8 x 4, half of what shared memory can deliver
// while they are computed; with the tile loads in between, 60 % is expected: 40 TFLOPS, 3.6 s beside the
// 5.4 s of the products at 650 TFLOPS in 16 bits. Without tensor cores it would be more than 10 s. Where
// float64 is slow (1.3 TFLOPS on a card with 165 in 16 bits) it is 110 s beside 21 s: there few or no
// attention queries are the choice.
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/gram_tiles.cuh"

#include <algorithm>

namespace eigenscope::cuda {

namespace {

constexpr std::int64_t kFewestRows = 128;  // of a part: below, adding parts up would cost as much

// The rows of a group's heads, head after head.
struct PlainRows {
    GramParams p;
    std::int64_t split_rows;
    int runs;

    struct Run {
        std::int64_t begin, end, stride;
        const float* x;  // of row 0
        const double* weights;
        int ci, cj, width;
        __device__ double weight(std::int64_t row) const { return weights ? weights[row] : 1.0; }
        __device__ float left(std::int64_t row) const { return ci < width ? x[row * stride + ci] : 0.0f; }
        __device__ float right(std::int64_t row) const { return cj < width ? x[row * stride + cj] : 0.0f; }
    };
    __device__ Run run(std::int64_t g, std::int64_t split, int number, int ci, int cj) const {
        const std::int64_t head = g * p.group + number, begin = split * split_rows;
        return {begin,
                min(begin + split_rows, p.rows),
                std::int64_t{p.heads} * p.width,
                p.x + head * p.width,
                p.weights ? p.weights + head * p.rows : nullptr,
                ci,
                cj,
                p.width};
    }
};

GramPlan planOf(const GramParams& p, std::int64_t& split_rows) {
    GramPlan plan = gramPlan(p.heads / p.group, p.width, p.gram, p.sum);
    const std::int64_t blocks = std::max<std::int64_t>(std::int64_t{plan.groups} * plan.pairs, 1);
    const std::int64_t wanted =
        std::min((kEnoughGramBlocks + blocks - 1) / blocks, p.rows * p.group / kFewestRows);
    const std::int64_t most = std::clamp<std::int64_t>(wanted, 1, std::max<std::int64_t>(p.rows, 1));
    split_rows = std::max<std::int64_t>(((p.rows + most - 1) / most + kGramRows - 1) / kGramRows * kGramRows,
                                        kGramRows);
    plan.splits = static_cast<int>(std::max<std::int64_t>((p.rows + split_rows - 1) / split_rows, 1));
    return plan;
}

}  // namespace

std::size_t gramScratchBytes(const GramParams& p) {
    std::int64_t split_rows;
    return planOf(p, split_rows).scratchBytes();
}

void launchGram(const GramParams& p, void* scratch, cudaStream_t stream) {
    if (p.rows == 0 || p.heads == 0 || p.width == 0)
        return;
    PlainRows rows{p, 0, p.group};
    const GramPlan plan = planOf(p, rows.split_rows);
    launchGramTiles("gram", rows, plan, scratch, stream);
}

}  // namespace eigenscope::cuda
