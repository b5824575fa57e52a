// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/shared_limit.h"

#include "kernels/cuda/cuda_check.h"

#include <mutex>
#include <unordered_map>

namespace eigenscope::cuda {

void allowSharedMemory(const void* kernel, std::size_t bytes, const char* what) {
    constexpr std::size_t kAlwaysAllowed = std::size_t{48} << 10;
    if (bytes <= kAlwaysAllowed)
        return;
    static std::mutex mutex;
    static std::unordered_map<const void*, std::size_t> allowed;
    const std::lock_guard lock(mutex);
    std::size_t& most = allowed[kernel];
    if (bytes <= most)
        return;
    checkCuda(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
        what);
    most = bytes;
}

}  // namespace eigenscope::cuda
