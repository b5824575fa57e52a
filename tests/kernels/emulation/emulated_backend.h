// SPDX-License-Identifier: Apache-2.0
// The CUDA backend itself, host code and kernels, on the emulated runtime (runtime.h). For tests; any thread.
#pragma once

#include "kernels/api/backend.h"

namespace eigenscope::emulation {

// Throws Error as the backend does where it cannot be used. Matrix products of at most `emulated_products`
// multiplications take the kernel that the backend has for what cuBLASLt has no algorithm for; larger ones
// are cublas_lt.cpp's, since a fiber a thread is slow.
std::shared_ptr<Backend> createEmulatedCudaBackend(std::int64_t emulated_products = 0);

}  // namespace eigenscope::emulation
