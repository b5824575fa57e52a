// SPDX-License-Identifier: Apache-2.0
// CUDA status codes as Errors. Safe from any thread.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

namespace eigenscope::cuda {

// Throws Error Device (OutOfMemory for a failed allocation) naming what was done; does nothing on success.
void checkCuda(cudaError_t status, const char* what);

// Why the GPU cannot be used any more by this process: after a kernel's invalid access, say, the driver
// refuses everything. Empty while it can.
std::string lostDevice();

}  // namespace eigenscope::cuda
