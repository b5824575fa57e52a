// SPDX-License-Identifier: Apache-2.0
// Second moments of rows spread over distances. The copies R(t) x_m exist only in shared memory: a thread has
// one element of a sampled row in registers and multiplies it by the rotary table's row of each distance.
// Cost: see gram.cu. Beside a step of 16 copies, 512 cycles of a multiprocessor's tensor cores, cosines,
// sines and weights take 100 to 160 cycles of its first cache and 130 of its shared memory (its loads of
// fragments 256 more); the table is read from the second cache.
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/gram_tiles.cuh"

#include <algorithm>

namespace eigenscope::cuda {

namespace {

// Samples' copies, head after head. Later samples have more copies: blocks that get one each begin with the
// last, and where they get several, every other turn is dealt out backwards.
struct SpreadRows {
    SpreadGramParams p;
    int splits;
    int runs;  // heads of a group times samples of a split

    // Element c of x rotated to t: a * cos - b * sin (0 <= i < rotary_dim / 2) or a.
    struct Element {
        float a, b;
        int i;  // of the table's row; -1: not rotated
    };
    struct Run {
        std::int64_t begin, end;
        const double* weights;
        const float *cos, *sin;
        int half;
        Element elements[2];
        __device__ float rotated(const Element& e, std::int64_t t) const {
            if (e.i < 0)
                return e.a;
            return e.a * cos[t * half + e.i] - e.b * sin[t * half + e.i];
        }
        __device__ double weight(std::int64_t t) const { return weights[t]; }
        __device__ float left(std::int64_t t) const { return rotated(elements[0], t); }
        __device__ float right(std::int64_t t) const { return rotated(elements[1], t); }
    };
    __device__ Element element(const float* x, int c) const {
        const int half = p.table.rotary_dim / 2;
        if (c >= p.width)
            return {0.0f, 0.0f, -1};
        if (c >= 2 * half)
            return {x[c], 0.0f, -1};
        return c < half ? Element{x[c], x[c + half], c} : Element{x[c], -x[c - half], c - half};
    }
    __device__ Run run(std::int64_t g, std::int64_t split, int number, int ci, int cj) const {
        const int turn = number / p.group;
        const std::int64_t head = g * p.group + number % p.group;
        const std::int64_t s =
            p.samples - 1 - (std::int64_t{turn} * splits + (turn % 2 ? splits - 1 - split : split));
        if (s < 0)
            return {};
        const std::int64_t m = p.positions[s];
        const float* x = p.x + (m * p.heads + head) * p.width;
        return {0,
                p.window > 0 && p.window < m + 1 ? p.window : m + 1,
                p.weights + (head * p.samples + s) * p.length,
                p.table.cos,
                p.table.sin,
                p.table.rotary_dim / 2,
                {element(x, ci), element(x, cj)}};
    }
};

GramPlan planOf(const SpreadGramParams& p) {
    GramPlan plan = gramPlan(p.heads / p.group, p.width, p.gram, nullptr);
    const std::int64_t blocks = std::max<std::int64_t>(std::int64_t{plan.groups} * plan.pairs, 1);
    const std::int64_t wanted = (kEnoughGramBlocks + blocks - 1) / blocks;
    // Samples of a block: an even number, so that all blocks have about as many copies.
    const std::int64_t turns = std::max<std::int64_t>(p.samples / wanted / 2 * 2, 1);
    plan.splits = static_cast<int>(std::max<std::int64_t>((p.samples + turns - 1) / turns, 1));
    return plan;
}

}  // namespace

std::size_t spreadGramScratchBytes(const SpreadGramParams& p) { return planOf(p).scratchBytes(); }

void launchSpreadGram(const SpreadGramParams& p, void* scratch, cudaStream_t stream) {
    if (p.samples == 0 || p.heads == 0 || p.width == 0)
        return;
    const GramPlan plan = planOf(p);
    const SpreadRows rows{p, plan.splits, (p.samples + plan.splits - 1) / plan.splits * p.group};
    launchGramTiles("spread gram", rows, plan, scratch, stream);
}

}  // namespace eigenscope::cuda
