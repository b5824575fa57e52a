// SPDX-License-Identifier: Apache-2.0
// Stands in for kernels/cuda/launch.cuh: a launch runs the whole grid before it returns.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

namespace eigenscope::cuda {

template <typename... Params, typename... Args>
void launch(const char* what, void (*kernel)(Params...), dim3 grid, dim3 block, std::size_t shared_bytes,
            cudaStream_t, Args... args) {
    try {
        emulation::runGrid(grid, block, shared_bytes, [&] { kernel(static_cast<Params>(args)...); });
    } catch (const std::logic_error& error) {
        throw std::logic_error(std::string(what) + ": " + error.what());
    }
}

template <typename T>
T* dynamicShared() {
    return reinterpret_cast<T*>(emulation::dynamicSharedMemory());
}

}  // namespace eigenscope::cuda
