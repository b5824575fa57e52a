// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/cuda_check.h"

#include "kernels/api/error.h"
#include "kernels/cuda/cublas_check.h"
#include "kernels/cuda/device_memory.h"

#include <cstdio>
#include <mutex>

namespace eigenscope::cuda {

namespace {

std::mutex lost_mutex;
std::string lost;

std::string gib(std::size_t bytes) {
    char text[32];
    std::snprintf(text, sizeof text, bytes < (std::size_t{1} << 30) / 10 ? "%.3f GiB" : "%.1f GiB",
                  static_cast<double>(bytes) / (1 << 30));
    return text;
}

// Errors of the process, not of a call: every later call returns them as well. Those of a capture do not
// count, though calls return them as long as it lasts: they end with it.
bool isSticky(cudaError_t status) {
    const bool of_capture =
        status >= cudaErrorStreamCaptureUnsupported && status <= cudaErrorStreamCaptureWrongThread;
    return status != cudaErrorMemoryAllocation && !of_capture && cudaFree(nullptr) == status;
}

}  // namespace

std::string lostDevice() {
    const std::lock_guard lock(lost_mutex);
    return lost;
}

void checkCuda(cudaError_t status, const char* what) {
    if (status == cudaSuccess)
        return;
    cudaGetLastError();  // a status that is not sticky would otherwise be reported again by the next launch
    std::string message = std::string(what) + ": " + cudaGetErrorString(status);
    if (isSticky(status)) {
        const std::lock_guard lock(lost_mutex);
        if (lost.empty())
            lost = "the GPU failed earlier (" + message +
                   ") and cannot be used again before the program is restarted; --device cpu works";
        message += "; the GPU cannot be used again before the program is restarted";
    }
    throw Error(status == cudaErrorMemoryAllocation ? ErrorCode::OutOfMemory : ErrorCode::Device, message);
}

// Where the GPU has failed, cuBLASLt says no more than that something did.
void checkCublas(cublasStatus_t status, const char* what) {
    if (status == CUBLAS_STATUS_SUCCESS)
        return;
    if (status != CUBLAS_STATUS_NOT_SUPPORTED && status != CUBLAS_STATUS_INVALID_VALUE)
        checkCuda(cudaGetLastError(), what);
    throw Error(status == CUBLAS_STATUS_ALLOC_FAILED ? ErrorCode::OutOfMemory : ErrorCode::Device,
                std::string(what) + ": " + cublasLtGetStatusString(status));
}

DeviceMemory::DeviceMemory(std::size_t bytes) : m_bytes(bytes) {
    const cudaError_t status = cudaMalloc(&m_data, bytes);
    if (status == cudaSuccess)
        return;
    m_data = nullptr;
    std::string what = "GPU memory: cannot allocate " + gib(bytes);
    std::size_t available = 0, total = 0;
    cudaGetLastError();
    if (status == cudaErrorMemoryAllocation && cudaMemGetInfo(&available, &total) == cudaSuccess)
        what +=
            " (" + std::to_string(bytes) + " bytes); " + gib(available) + " of " + gib(total) + " are free";
    checkCuda(status, what.c_str());
}

DeviceMemory& DeviceMemory::operator=(DeviceMemory&& other) noexcept {
    std::swap(m_data, other.m_data);
    std::swap(m_bytes, other.m_bytes);
    return *this;
}

DeviceMemory::~DeviceMemory() {
    if (m_data)
        cudaFree(m_data);  // at the program's end the driver may be gone already; nothing can be done about a
                           // failure
}

}  // namespace eigenscope::cuda
