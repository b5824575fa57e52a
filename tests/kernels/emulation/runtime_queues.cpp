// SPDX-License-Identifier: Apache-2.0
// Queues, events, captures and graphs of the emulated CUDA runtime.
#include "tests/kernels/emulation/runtime.h"
#include "tests/kernels/emulation/runtime_state.h"

#include <stdexcept>
#include <utility>

namespace eigenscope::emulation {

namespace {

// One piece of work from the queue's front. False when it waits for what is not done and may not do that.
bool step(Queue& queue, bool force) {
    RuntimeState& state = runtimeState();
    if (const auto wait = queue.work.front().wait; wait && !wait->reached) {
        if (!force)
            return false;
        drain(*wait->queue, wait.get());
    }
    Work work = std::move(queue.work.front());
    queue.work.pop_front();
    if (work.record)
        work.record->reached = true;
    if (!work.run || state.lost != cudaSuccess)
        return true;
    if (work.kernel) {
        if (const cudaError_t status = takeFailure("kernel"); status != cudaSuccess) {
            state.lost = status;
            return true;
        }
        ++state.counts.kernels;
        const DeviceMemory::Access access(*state.memory);
        work.run();
        return true;
    }
    work.run();
    return true;
}

// Of the calling thread's capture on the queue.
cudaError_t capture(Queue& queue, Work work) {
    if (queue.spoilt)
        return cudaErrorStreamCaptureInvalidated;
    queue.captured.push_back(std::move(work));
    return cudaSuccess;
}

cudaError_t put(Queue& queue, Work work) {
    if (queue.capturing)
        return capture(queue, std::move(work));
    queue.work.push_back(std::move(work));
    progress(queue);
    return cudaSuccess;
}

}  // namespace

void drain(Queue& queue, const Record* until) {
    if (queue.running)
        throw std::logic_error("queues wait for each other in a circle");
    queue.running = true;
    try {
        while (!queue.work.empty() && !(until && until->reached))
            step(queue, true);
    } catch (...) {
        queue.running = false;
        throw;
    }
    queue.running = false;
}

void drainAll() {
    for (Queue* queue : runtimeState().queues)
        drain(*queue);
}

void progress(Queue& queue) {
    const Schedule schedule = runtimeState().settings.schedule;
    if (schedule == Schedule::Late || (schedule == Schedule::CopiesEarly && !queue.early))
        return;
    while (!queue.work.empty() && step(queue, false)) {
    }
}

cudaError_t enqueue(cudaStream_t stream, std::function<void()> work, bool kernel) {
    if (!stream) {
        work();
        return cudaSuccess;
    }
    const std::lock_guard lock(runtimeState().mutex);
    if (runtimeState().lost != cudaSuccess)
        return runtimeState().lost;
    if (const cudaError_t status = kernel ? takeFailure("launch") : cudaSuccess; status != cudaSuccess)
        return status;
    return put(*stream, {std::move(work), nullptr, nullptr, kernel});
}

}  // namespace eigenscope::emulation

using namespace eigenscope::emulation;
using During = Call::During;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
    Call call("cudaStreamCreateWithFlags", During::NoCapture);
    if (!call)
        return call.status();
    if (flags != cudaStreamNonBlocking)
        throw std::logic_error("a queue that waits for the legacy default stream");
    *stream = new Queue;
    runtimeState().queues.insert(*stream);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    Call call("cudaStreamDestroy");
    if (runtimeState().lost == cudaSuccess)
        drain(*stream);
    for (const Work& work : stream->work)
        if (work.record)
            work.record->reached = true;
    runtimeState().queues.erase(stream);
    delete stream;
    return call.status();
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    Call call("cudaStreamSynchronize", During::NoCapture);
    if (!call)
        return call.status();
    drain(*stream);
    return call.done(runtimeState().lost);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
    Call call("cudaStreamWaitEvent");
    if (!call)
        return call.status();
    if (stream->capturing) {  // what was recorded outside of the capture
        stream->spoilt = true;
        return call.done(cudaErrorStreamCaptureIsolation);
    }
    return event->record ? put(*stream, {nullptr, event->record, nullptr, false}) : cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
    Call call("cudaEventCreateWithFlags");
    if (!call)
        return call.status();
    *event = new Event;
    ++runtimeState().counts.events;
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    Call call("cudaEventDestroy");
    --runtimeState().counts.events;
    delete event;
    return call.status();
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    Call call("cudaEventRecord");
    if (!call)
        return call.status();
    if (stream->capturing) {
        stream->spoilt = true;
        return call.done(cudaErrorStreamCaptureIsolation);
    }
    event->record = std::make_shared<Record>(Record{stream, false});
    return put(*stream, {nullptr, nullptr, event->record, false});
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    Call call("cudaEventSynchronize", During::NoCapture);
    if (!call)
        return call.status();
    if (event->record && !event->record->reached)
        drain(*event->record->queue, event->record.get());
    return call.done(runtimeState().lost);
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
    Call call("cudaStreamBeginCapture");
    if (!call)
        return call.status();
    if (stream->capturing)
        return call.done(cudaErrorInvalidValue);
    ++runtimeState().counts.captures;
    stream->capturing = true, stream->spoilt = false;
    stream->thread = std::this_thread::get_id();
    stream->captured.clear();
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
    Call call("cudaStreamEndCapture");
    if (!stream->capturing)
        return call.done(cudaErrorInvalidValue);
    if (stream->thread != std::this_thread::get_id())
        return call.done(cudaErrorStreamCaptureWrongThread);
    stream->capturing = false;
    *graph = nullptr;
    if (!call)
        return call.status();
    if (std::exchange(stream->spoilt, false))
        return call.done(cudaErrorStreamCaptureInvalidated);
    *graph = new Graph{std::exchange(stream->captured, {})};
    ++runtimeState().counts.graphs;
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
    Call call("cudaStreamIsCapturing");
    *status = !stream->capturing ? cudaStreamCaptureStatusNone
              : stream->spoilt   ? cudaStreamCaptureStatusInvalidated
                                 : cudaStreamCaptureStatusActive;
    return call.status();
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* executable, cudaGraph_t graph,
                                          unsigned long long) {
    Call call("cudaGraphInstantiateWithFlags");
    if (!call)
        return call.status();
    *executable = new Executable{graph->work};
    ++runtimeState().counts.executables;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
    Call call("cudaGraphLaunch");
    if (!call)
        return call.status();
    if (stream->capturing) {
        stream->spoilt = true;
        return call.done(cudaErrorStreamCaptureUnsupported);
    }
    ++runtimeState().counts.graph_launches;
    for (const Work& work : executable->work)
        put(*stream, work);
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    Call call("cudaGraphDestroy");
    --runtimeState().counts.graphs;
    delete graph;
    return call.status();
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
    Call call("cudaGraphExecDestroy");
    if (executable) {
        --runtimeState().counts.executables;
        delete executable;
    }
    return call.status();
}
