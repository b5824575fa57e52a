// SPDX-License-Identifier: Apache-2.0
// The kernels as host functions that put them on a stream's queue. They trust their structs
// (kernels/api/checks.h has been asked) and return at once; an empty op launches nothing. All pointers are
// device pointers.
#pragma once

#include "kernels/api/composed_ops.h"
#include "kernels/api/ops.h"

#include <cuda_runtime_api.h>

namespace eigenscope::cuda {

void launchEmbed(const EmbedParams& p, cudaStream_t stream);
void launchNorm(const NormParams& p, cudaStream_t stream);
void launchActivate(const ActivateParams& p, cudaStream_t stream);
void launchAdd(const AddParams& p, cudaStream_t stream);
void launchRope(const RopeParams& p, cudaStream_t stream);
void launchKvAppend(const KvAppendParams& p, cudaStream_t stream);
void launchConvert(const ConvertParams& p, cudaStream_t stream);
// The same results rounded to `dtype` and written to `y`, for a product that takes them so; p.y is not used.
void launchNormTo(const NormParams& p, void* y, DType dtype, cudaStream_t stream);
void launchActivateTo(const ActivateParams& p, void* y, DType dtype, cudaStream_t stream);
void launchNll(const NllParams& p, cudaStream_t stream);
void launchArgmax(const ArgmaxParams& p, cudaStream_t stream);

// scratch: ...ScratchBytes(p) of device memory.
std::size_t gramScratchBytes(const GramParams& p);
void launchGram(const GramParams& p, void* scratch, cudaStream_t stream);
std::size_t spreadGramScratchBytes(const SpreadGramParams& p);
void launchSpreadGram(const SpreadGramParams& p, void* scratch, cudaStream_t stream);
std::size_t logitWeightsScratchBytes(const LogitWeightsParams& p);
void launchLogitWeights(const LogitWeightsParams& p, void* scratch, cudaStream_t stream);

// The whole product in float32 with factors rounded as p.compute says: for the few rows of decode when the
// weights' dtype is not the arithmetic's, and for whatever cuBLASLt has no algorithm for.
void launchDotGemm(const GemmParams& p, cudaStream_t stream);

// Rotations and appends in one launch, where canRotateAndAppend(): dense caches of one dtype, whole heads
// rotated.
bool canRotateAndAppend(const RotateAndAppendParams& p);
void launchRotateAndAppend(const RotateAndAppendParams& p, cudaStream_t stream);

}  // namespace eigenscope::cuda
