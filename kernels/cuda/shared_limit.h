// SPDX-License-Identifier: Apache-2.0
// The shared memory that a kernel may be launched with. Any thread.
#pragma once

#include <cstddef>

namespace eigenscope::cuda {

// Lets launches of `kernel` ask for up to `bytes` of dynamic shared memory. Never lowers what was allowed
// before: the limit is the function's, not the launch's, and another thread may be about to launch it with
// more. Throws Error naming `what`.
void allowSharedMemory(const void* kernel, std::size_t bytes, const char* what);

}  // namespace eigenscope::cuda
