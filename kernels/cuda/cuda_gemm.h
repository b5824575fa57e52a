// SPDX-License-Identifier: Apache-2.0
// The matrix product: which way it is computed. Called by CudaBackend.
#pragma once

#include "kernels/api/backend.h"
#include "kernels/cuda/cuda_stream.h"

namespace eigenscope::cuda {

Support supportsGemm(DType weight, Compute compute);
// p has been checked.
void gemm(cublasLtHandle_t handle, CudaStream& stream, const GemmParams& p);

}  // namespace eigenscope::cuda
