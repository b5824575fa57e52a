// SPDX-License-Identifier: Apache-2.0
// Kernel launches: one function, so that every launch raises its shared-memory limit and checks its status.
// (tests/kernels/emulation has another file of this name, which runs kernels on the host.)
#pragma once

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/shared_limit.h"

#include <cuda_runtime.h>

#include <cstddef>

namespace eigenscope::cuda {

template <typename... Params, typename... Args>
void launch(const char* what, void (*kernel)(Params...), dim3 grid, dim3 block, std::size_t shared_bytes,
            cudaStream_t stream, Args... args) {
    allowSharedMemory(reinterpret_cast<const void*>(kernel), shared_bytes, what);
    kernel<<<grid, block, shared_bytes, stream>>>(static_cast<Params>(args)...);
    checkCuda(cudaGetLastError(), what);
}

// The block's dynamic shared memory, aligned to 128 bytes.
template <typename T>
__device__ T* dynamicShared() {
    extern __shared__ __align__(128) unsigned char eigenscope_shared_memory[];
    return reinterpret_cast<T*>(eigenscope_shared_memory);
}

}  // namespace eigenscope::cuda
