// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/cuda_stream.h"

#include "kernels/cuda/cublas_check.h"
#include "kernels/cuda/cuda_check.h"

#include <string>
#include <utility>

namespace eigenscope::cuda {

void checkCuda(cudaError_t status, const char* what) {
    if (status == cudaSuccess)
        return;
    cudaGetLastError();  // a status that is not sticky would otherwise be reported again by the next launch
    throw Error(status == cudaErrorMemoryAllocation ? ErrorCode::OutOfMemory : ErrorCode::Device,
                std::string(what) + ": " + cudaGetErrorString(status));
}

void checkCublas(cublasStatus_t status, const char* what) {
    if (status != CUBLAS_STATUS_SUCCESS)
        throw Error(status == CUBLAS_STATUS_ALLOC_FAILED ? ErrorCode::OutOfMemory : ErrorCode::Device,
                    std::string(what) + ": " + cublasLtGetStatusString(status));
}

DeviceMemory::DeviceMemory(std::size_t bytes) : m_bytes(bytes) {
    const cudaError_t status = cudaMalloc(&m_data, bytes);
    if (status != cudaSuccess) {
        m_data = nullptr;
        checkCuda(status, ("GPU memory: cannot allocate " + std::to_string(bytes) + " bytes").c_str());
    }
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

CudaStream::CudaStream() {
    checkCuda(cudaStreamCreateWithFlags(&m_queue, cudaStreamNonBlocking), "GPU queue");
}

CudaStream::~CudaStream() {
    cudaStreamSynchronize(m_queue);  // scratch is freed next
    cudaStreamDestroy(m_queue);
}

void CudaStream::synchronize() { checkCuda(cudaStreamSynchronize(m_queue), "GPU work"); }

void* CudaStream::scratch(std::size_t bytes) {
    if (bytes > m_scratch.bytes()) {
        synchronize();
        m_scratch = DeviceMemory();  // freed before its successor is allocated
        m_scratch = DeviceMemory(bytes);
    }
    return m_scratch.data();
}

void* CudaStream::workspace() {
    if (!m_workspace.data())
        m_workspace = DeviceMemory(kWorkspaceBytes);
    return m_workspace.data();
}

}  // namespace eigenscope::cuda
