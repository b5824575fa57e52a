// SPDX-License-Identifier: Apache-2.0
// The CUDA backend's kernels, executed on the host by the block emulator. For tests; one thread.
#pragma once

#include "kernels/api/backend.h"

namespace eigenscope::emulation {

// Matrix products of at most `emulated_products` multiplications take the kernel that the CUDA backend has
// beside cuBLASLt; larger ones are the reference's, since a fiber a thread is slow.
std::shared_ptr<Backend> createEmulatedCudaBackend(std::int64_t emulated_products = 0);

}  // namespace eigenscope::emulation
