// SPDX-License-Identifier: Apache-2.0
// CUDA status codes as Errors. Safe from any thread.
#pragma once

#include <cuda_runtime_api.h>

namespace eigenscope::cuda {

// Throws Error Device (OutOfMemory for a failed allocation) naming what was done; does nothing on success.
void checkCuda(cudaError_t status, const char* what);

}  // namespace eigenscope::cuda
