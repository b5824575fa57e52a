// SPDX-License-Identifier: Apache-2.0
// The matrix product: which way it is computed. Called by CudaBackend.
#pragma once

#include "kernels/api/backend.h"
#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/cuda_stream.h"

namespace eigenscope::cuda {

Support supportsGemm(DType weight, Compute compute);
void demandSupport(const GemmParams& p);  // throws Error Unsupported with the reason
// p has been checked.
void gemm(cublasLtHandle_t handle, CudaStream& stream, const GemmParams& p, const DeviceLimits& limits);
// With x [m, k] in the weights' dtype in place of p.x, rows and k not 0. False when cuBLASLt has no
// algorithm: nothing was queued then.
bool gemmOfRounded(cublasLtHandle_t handle, CudaStream& stream, const GemmParams& p, const void* x);

}  // namespace eigenscope::cuda
