// SPDX-License-Identifier: Apache-2.0
// The kernels of decode attention by kind of cache, one file each so that they compile side by side.
#pragma once

#include "kernels/cuda/attention_decode.h"

#include <cuda_runtime_api.h>

namespace eigenscope::cuda {

void launchDecodeDense(const DecodeCall& call, Compute compute, cudaStream_t stream);
void launchDecodeCodes(const DecodeCall& call, Compute compute, cudaStream_t stream);
void launchDecodeLift(const DecodeCall& call, Compute compute, cudaStream_t stream);
void launchDecodeLiftCodes(const DecodeCall& call, Compute compute, cudaStream_t stream);

}  // namespace eigenscope::cuda
