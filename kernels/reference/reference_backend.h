// SPDX-License-Identifier: Apache-2.0
// The oracle of every op test: the ops written as their definitions say, one loop after the other,
// accumulating in float64. Slow on purpose. Works in host memory on the calling thread; safe to share between
// threads, keeps no state.
#pragma once

#include "kernels/api/backend.h"

#include <memory>

namespace eigenscope {

std::shared_ptr<Backend> createReferenceBackend();

}  // namespace eigenscope
