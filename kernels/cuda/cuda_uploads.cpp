// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/cuda_uploads.h"

#include "kernels/cuda/cuda_check.h"

#include <algorithm>
#include <cstring>

namespace eigenscope::cuda {

namespace {

constexpr const char* kWhat = "copy to the GPU";

}  // namespace

// What was begun before a failure is made up for by the next call.
void Uploads::prepare() {
    if (!m_queue)
        checkCuda(cudaStreamCreateWithFlags(&m_queue, cudaStreamNonBlocking), "GPU queue");
    if (!m_done)
        checkCuda(cudaEventCreateWithFlags(&m_done, cudaEventDisableTiming), "GPU event");
    for (Staging& staging : m_staging) {
        if (!staging.copied)
            checkCuda(cudaEventCreateWithFlags(&staging.copied, cudaEventDisableTiming), "GPU event");
        if (!staging.memory && !m_pageable && cudaMallocHost(&staging.memory, kStagingBytes) != cudaSuccess) {
            cudaGetLastError();  // slower, not wrong: the driver has buffers of its own
            staging.memory = nullptr;
            m_pageable = true;
        }
    }
}

void Uploads::copy(void* device, const void* host, std::size_t bytes, cudaEvent_t after) {
    if (bytes == 0)
        return;
    const std::lock_guard lock(m_mutex);
    prepare();
    if (after)
        checkCuda(cudaStreamWaitEvent(m_queue, after, 0), kWhat);
    if (m_pageable) {
        checkCuda(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, m_queue), kWhat);
        checkCuda(cudaStreamSynchronize(m_queue), kWhat);  // `host` may be read as long as the copy runs
    } else {
        for (std::size_t done = 0; done < bytes; done += kStagingBytes) {
            Staging& staging = m_staging[m_turn];
            m_turn = 1 - m_turn;
            const std::size_t part = std::min(kStagingBytes, bytes - done);
            checkCuda(cudaEventSynchronize(staging.copied), kWhat);  // done at once before its first use
            std::memcpy(staging.memory, static_cast<const char*>(host) + done, part);
            checkCuda(cudaMemcpyAsync(static_cast<char*>(device) + done, staging.memory, part,
                                      cudaMemcpyHostToDevice, m_queue),
                      kWhat);
            checkCuda(cudaEventRecord(staging.copied, m_queue), kWhat);
        }
    }
    checkCuda(cudaEventRecord(m_done, m_queue), kWhat);
    m_count.fetch_add(1, std::memory_order_release);
}

// A later upload may record the event again between the two calls: then the queue waits for that one too.
void Uploads::await(cudaStream_t queue, std::uint64_t& seen) {
    const std::uint64_t count = m_count.load(std::memory_order_acquire);
    if (count == seen)
        return;
    checkCuda(cudaStreamWaitEvent(queue, m_done, 0), kWhat);
    seen = count;
}

// Nothing can be done about failures: the driver may be gone at the program's end.
Uploads::~Uploads() {
    if (m_queue)
        cudaStreamSynchronize(m_queue);
    for (const Staging& staging : m_staging) {
        if (staging.copied)
            cudaEventDestroy(staging.copied);
        if (staging.memory)
            cudaFreeHost(staging.memory);
    }
    if (m_done)
        cudaEventDestroy(m_done);
    if (m_queue)
        cudaStreamDestroy(m_queue);
}

}  // namespace eigenscope::cuda
