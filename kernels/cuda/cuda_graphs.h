// SPDX-License-Identifier: Apache-2.0
// Recordings as CUDA graphs: capture of one stream by one thread. One thread at a time.
#pragma once

#include "kernels/cuda/replayer.h"

#include <cuda_runtime_api.h>

namespace eigenscope::cuda {

class GraphRecorder final : public Recorder {
public:
    explicit GraphRecorder(cudaStream_t queue) : m_queue(queue) {}
    void begin() override;
    std::unique_ptr<Recording> end() override;
    void abandon() noexcept override;
    void launch(const Recording& recording) override;

private:
    cudaStream_t m_queue;
};

}  // namespace eigenscope::cuda
