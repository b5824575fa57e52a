// SPDX-License-Identifier: Apache-2.0
// The attention op as host functions that queue kernels. They trust their structs; all pointers but p.lift
// are device pointers.
#pragma once

#include "kernels/cuda/attention_plan.h"

#include <cuda_runtime_api.h>

namespace eigenscope::cuda {

// scratch: plan.scratch_bytes of device memory.
void launchAttention(const AttentionParams& p, const AttentionPlan& plan, void* scratch, cudaStream_t stream);

// One file each. With one split they write p.output, else partials.
void launchGeneralAttention(const AttentionParams& p, const AttentionPlan& plan,
                            const AttentionPartials& partials, cudaStream_t stream);
void launchDecodeAttention(const AttentionParams& p, const AttentionPlan& plan,
                           const AttentionPartials& partials, cudaStream_t stream);
void launchPrefillAttention(const AttentionParams& p, const AttentionPlan& plan,
                            const AttentionPartials& partials, cudaStream_t stream);

// p.output from partials: exp(largest - the largest of all parts) weighs each part's sums, so the result is
// that of one softmax over the whole sequence (flash-decoding).
void launchMergeAttention(const AttentionParams& p, int splits, const AttentionPartials& partials,
                          cudaStream_t stream);

}  // namespace eigenscope::cuda
