// SPDX-License-Identifier: Apache-2.0
// Stands in for kernels/cuda/launch.cuh: queues the kernel to be run by the block emulator. On a null stream
// the whole grid runs before the launch returns.
#pragma once

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/shared_limit.h"
#include "tests/kernels/emulation/runtime.h"

#include <cuda_runtime_api.h>

#include <cstddef>

namespace eigenscope::cuda {

template <typename... Params, typename... Args>
void launch(const char* what, void (*kernel)(Params...), dim3 grid, dim3 block, std::size_t shared_bytes,
            cudaStream_t stream, Args... args) {
    allowSharedMemory(reinterpret_cast<const void*>(kernel), shared_bytes, what);
    if (shared_bytes > emulation::allowedShared(reinterpret_cast<const void*>(kernel)) ||
        shared_bytes > emulation::deviceSettings().shared_bytes)
        checkCuda(cudaErrorInvalidValue, what);
    const auto run = [=] {
        try {
            emulation::runGrid(grid, block, shared_bytes, [&] { kernel(static_cast<Params>(args)...); });
        } catch (const std::logic_error& error) {
            throw std::logic_error(std::string(what) + ": " + error.what());
        }
    };
    checkCuda(emulation::enqueue(stream, run, true), what);
}

template <typename T>
T* dynamicShared() {
    return reinterpret_cast<T*>(emulation::dynamicSharedMemory());
}

}  // namespace eigenscope::cuda
