// SPDX-License-Identifier: Apache-2.0
// The CUDA backend's kernels, executed on the host by the block emulator. Matrix products take the kernel
// that stands in for cuBLASLt. For tests; one thread.
#pragma once

#include "kernels/api/backend.h"

namespace eigenscope::emulation {

std::shared_ptr<Backend> createEmulatedCudaBackend();

}  // namespace eigenscope::emulation
