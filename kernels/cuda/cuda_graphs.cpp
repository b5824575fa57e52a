// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/cuda_graphs.h"

#include "kernels/cuda/cuda_check.h"

namespace eigenscope::cuda {

namespace {

struct Graph {
    cudaGraph_t graph = nullptr;
    ~Graph() {
        if (graph)
            cudaGraphDestroy(graph);
    }
};

class GraphRecording final : public Recording {
public:
    explicit GraphRecording(cudaGraph_t graph) {
        checkCuda(cudaGraphInstantiateWithFlags(&m_executable, graph, 0), "GPU graph");
    }
    ~GraphRecording() override { cudaGraphExecDestroy(m_executable); }
    GraphRecording(const GraphRecording&) = delete;
    GraphRecording& operator=(const GraphRecording&) = delete;
    cudaGraphExec_t executable() const { return m_executable; }

private:
    cudaGraphExec_t m_executable = nullptr;
};

}  // namespace

// Thread-local: other threads may allocate meanwhile; this one fails when it tries, which abandons the
// capture.
void GraphRecorder::begin() {
    checkCuda(cudaStreamBeginCapture(m_queue, cudaStreamCaptureModeThreadLocal), "capture of GPU work");
}

std::unique_ptr<Recording> GraphRecorder::end() {
    Graph captured;
    checkCuda(cudaStreamEndCapture(m_queue, &captured.graph), "capture of GPU work");
    return std::make_unique<GraphRecording>(captured.graph);
}

void GraphRecorder::abandon() noexcept {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    if (cudaStreamIsCapturing(m_queue, &status) == cudaSuccess && status != cudaStreamCaptureStatusNone) {
        Graph captured;
        cudaStreamEndCapture(m_queue, &captured.graph);
    }
    cudaGetLastError();  // an invalidated capture would be reported again by the next launch
}

void GraphRecorder::launch(const Recording& recording) {
    checkCuda(cudaGraphLaunch(static_cast<const GraphRecording&>(recording).executable(), m_queue),
              "GPU graph");
}

}  // namespace eigenscope::cuda
