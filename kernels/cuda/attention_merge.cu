// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/attention.h"
#include "kernels/cuda/launch.cuh"

#include <cmath>

namespace eigenscope::cuda {

namespace {

constexpr int kMergeThreads = 128;

// One block a row; threads share its values' width. Every thread weighs the parts itself: they are few, and
// their numbers come from the cache after the first.
__global__ void mergeKernel(AttentionPartials partials, float* output, std::int64_t rows, int width,
                            int splits) {
    const std::int64_t row = blockIdx.x;
    float largest = -INFINITY;
    for (int s = 0; s < splits; ++s)
        largest = fmaxf(largest, partials.largest[s * rows + row]);
    float total = 0.0f;
    for (int s = 0; s < splits; ++s) {
        const float part = partials.largest[s * rows + row];
        if (part != -INFINITY)
            total += partials.total[s * rows + row] * expf(part - largest);
    }
    const float scale = 1.0f / total;
    for (int i = threadIdx.x; i < width; i += kMergeThreads) {
        float sum = 0.0f;
        for (int s = 0; s < splits; ++s) {
            const float part = partials.largest[s * rows + row];
            if (part != -INFINITY)
                sum += partials.output[(s * rows + row) * width + i] * expf(part - largest);
        }
        output[row * width + i] = sum * scale;
    }
}

}  // namespace

void launchMergeAttention(const AttentionParams& p, int splits, const AttentionPartials& partials,
                          cudaStream_t stream) {
    const std::int64_t rows = attentionRows(p);
    launch("attention merge", mergeKernel, static_cast<unsigned>(rows), kMergeThreads, 0, stream, partials,
           p.output, rows, p.values.width, splits);
}

}  // namespace eigenscope::cuda
