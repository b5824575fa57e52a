// SPDX-License-Identifier: Apache-2.0
// A session's queue on the device with its temporary memory and its plans for matrix products. One thread at
// a time; owns all three.
#pragma once

#include "kernels/api/backend.h"
#include "kernels/cuda/matmul_plans.h"

#include <cuda_runtime_api.h>

namespace eigenscope::cuda {

// Device memory, freed when it goes; empty by default.
class DeviceMemory {
public:
    DeviceMemory() = default;
    explicit DeviceMemory(std::size_t bytes);  // throws Error OutOfMemory naming the size
    DeviceMemory(DeviceMemory&& other) noexcept { *this = std::move(other); }
    DeviceMemory& operator=(DeviceMemory&& other) noexcept;
    ~DeviceMemory();
    void* data() const { return m_data; }
    std::size_t bytes() const { return m_bytes; }

private:
    void* m_data = nullptr;
    std::size_t m_bytes = 0;
};

class CudaStream final : public Stream {
public:
    CudaStream();
    ~CudaStream() override;
    CudaStream(const CudaStream&) = delete;
    CudaStream& operator=(const CudaStream&) = delete;

    void synchronize() override;
    std::size_t scratchBytes() const override { return m_scratch.bytes() + m_workspace.bytes(); }

    cudaStream_t queue() const { return m_queue; }
    // At least `bytes`, valid until the next call. Growing waits for the queue; steady states never grow.
    void* scratch(std::size_t bytes);
    // cuBLASLt's own temporary memory, kWorkspaceBytes large.
    void* workspace();
    MatmulPlans& plans() { return m_plans; }

private:
    cudaStream_t m_queue = nullptr;
    DeviceMemory m_scratch, m_workspace;
    MatmulPlans m_plans;
};

}  // namespace eigenscope::cuda
