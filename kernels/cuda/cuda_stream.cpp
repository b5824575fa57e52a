// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/cuda_stream.h"

#include "kernels/cuda/cuda_check.h"

#include <string>

namespace eigenscope::cuda {

CudaStream::CudaStream() {
    checkCuda(cudaStreamCreateWithFlags(&m_queue, cudaStreamNonBlocking), "GPU queue");
    m_recorder.emplace(m_queue);
    m_replayer.emplace(*m_recorder);
}

CudaStream::~CudaStream() {
    cudaStreamSynchronize(m_queue);  // scratch is freed next
    m_replayer.reset();
    cudaStreamDestroy(m_queue);
}

void CudaStream::synchronize() {
    const cudaError_t status = cudaStreamSynchronize(m_queue);
    if (status != cudaSuccess) {
        std::string ops;
        for (unsigned op = 0; op <= static_cast<unsigned>(Op::Convert); ++op)
            if (m_queued >> op & 1u)
                ops += (ops.empty() ? "" : ", ") + std::string(nameOf(static_cast<Op>(op)));
        if (m_replayed)
            ops += ops.empty() ? "a recorded step" : ", a recorded step";
        m_queued = 0, m_replayed = false;
        checkCuda(status, ("GPU work (" + (ops.empty() ? std::string("copies") : ops) + ")").c_str());
    }
    m_queued = 0, m_replayed = false;
}

void CudaStream::refuseWhileRecording(const char* what) const {
    if (m_replayer->recording())
        throw Error(ErrorCode::Device, std::string(what) + " would be allocated while GPU work is captured");
}

void* CudaStream::scratch(std::size_t bytes) {
    if (bytes > m_scratch.bytes()) {
        refuseWhileRecording("temporary memory");
        synchronize();
        m_replayer->forget();
        m_scratch = DeviceMemory();  // freed before its successor is allocated
        m_scratch = DeviceMemory(bytes);
    }
    return m_scratch.data();
}

void* CudaStream::workspace() {
    if (!m_workspace.data()) {
        refuseWhileRecording("cuBLASLt's workspace");
        m_workspace = DeviceMemory(kWorkspaceBytes);
    }
    return m_workspace.data();
}

}  // namespace eigenscope::cuda
