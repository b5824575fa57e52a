// SPDX-License-Identifier: Apache-2.0
// The CPU backend: oneDNN for large matrix products, Highway kernels (instructions chosen at run time) for
// the rest, OpenMP for threads. Safe to share between threads; each stream is used by one thread at a time.
#pragma once

#include "kernels/api/backend.h"

#include <memory>

namespace eigenscope {

std::shared_ptr<Backend> createCpuBackend();

}  // namespace eigenscope
