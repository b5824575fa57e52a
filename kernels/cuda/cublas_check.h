// SPDX-License-Identifier: Apache-2.0
// cuBLASLt status codes as Errors. Safe from any thread.
#pragma once

#include <cublasLt.h>

namespace eigenscope::cuda {

// Throws Error Device (OutOfMemory for a failed allocation) naming what was done; does nothing on success.
void checkCublas(cublasStatus_t status, const char* what);

}  // namespace eigenscope::cuda
