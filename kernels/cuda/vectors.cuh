// SPDX-License-Identifier: Apache-2.0
// Several elements that are loaded or stored at once.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace eigenscope::cuda {

template <typename T, int kCount>
struct alignas(sizeof(T) * kCount) Several {
    T values[kCount];
};

inline bool alignedTo(const void* pointer, std::size_t bytes) {
    return reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0;
}

}  // namespace eigenscope::cuda
