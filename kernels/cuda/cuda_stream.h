// SPDX-License-Identifier: Apache-2.0
// A session's queue on the device with its temporary memory, its plans for matrix products and its
// recordings. One thread at a time; owns all of them.
#pragma once

#include "kernels/api/backend.h"
#include "kernels/cuda/cuda_graphs.h"
#include "kernels/cuda/device_memory.h"
#include "kernels/cuda/matmul_plans.h"

#include <cuda_runtime_api.h>

#include <cstdint>
#include <optional>

namespace eigenscope::cuda {

class CudaStream final : public Stream {
public:
    CudaStream();
    ~CudaStream() override;
    CudaStream(const CudaStream&) = delete;
    CudaStream& operator=(const CudaStream&) = delete;

    // A failure is one of any op since the last wait; the message names them.
    void synchronize() override;
    std::size_t scratchBytes() const override { return m_scratch.bytes() + m_workspace.bytes(); }

    cudaStream_t queue() const { return m_queue; }
    // At least `bytes`, valid until the next call. Growing waits for the queue and forgets all recordings;
    // steady states never grow. While ops are recorded, growing throws Error Device.
    void* scratch(std::size_t bytes);
    // cuBLASLt's own temporary memory, kWorkspaceBytes large.
    void* workspace();
    MatmulPlans& plans() { return m_plans; }
    Replayer& replayer() { return *m_replayer; }
    void note(Op op) { m_queued |= 1u << static_cast<unsigned>(op); }
    void noteReplay() { m_replayed = true; }
    std::uint64_t uploads_seen = 0;  // Uploads::await

private:
    void refuseWhileRecording(const char* what) const;

    cudaStream_t m_queue = nullptr;
    DeviceMemory m_scratch, m_workspace;
    MatmulPlans m_plans;
    std::optional<GraphRecorder> m_recorder;
    std::optional<Replayer> m_replayer;
    unsigned m_queued = 0;  // a bit an op that was queued since the last wait
    bool m_replayed = false;
};

}  // namespace eigenscope::cuda
