// SPDX-License-Identifier: Apache-2.0
// Composed ops in fewer launches than their parts: a single row in kernels of its own; in 16 bits, many rows
// are normalised or activated right into the type that the products take. Structs have been checked. Each
// returns false, and has queued nothing, where the parts one by one are as good.
#pragma once

#include "kernels/api/composed_ops.h"
#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/cuda_stream.h"

namespace eigenscope::cuda {

bool project(cublasLtHandle_t handle, CudaStream& stream, const ProjectParams& p, const DeviceLimits& limits);
bool mlp(cublasLtHandle_t handle, CudaStream& stream, const MlpParams& p, const DeviceLimits& limits);

}  // namespace eigenscope::cuda
