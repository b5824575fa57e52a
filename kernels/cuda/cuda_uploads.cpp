// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/cuda_uploads.h"

#include "kernels/cuda/cuda_check.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace eigenscope::cuda {

namespace {

constexpr const char* kWhat = "copy to the GPU";

}  // namespace

// What was begun before a failure is made up for by the next call.
void Uploads::prepare() {
    const std::lock_guard lock(m_mutex);
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

// Each piece waits for the copy that used its buffer before, not for those of the other buffer.
void Uploads::stage(void* device, std::size_t bytes, const FillBytes& fill) {
    for (std::size_t done = 0; done < bytes; done += kStagingBytes) {
        const std::lock_guard lock(m_mutex);
        Staging& staging = m_staging[m_turn];
        const std::size_t part = std::min(kStagingBytes, bytes - done);
        checkCuda(cudaEventSynchronize(staging.copied), kWhat);  // done at once before its first use
        fill(done, {static_cast<std::byte*>(staging.memory), part});
        m_turn = 1 - m_turn;
        checkCuda(cudaMemcpyAsync(static_cast<std::byte*>(device) + done, staging.memory, part,
                                  cudaMemcpyHostToDevice, m_queue),
                  kWhat);
        checkCuda(cudaEventRecord(staging.copied, m_queue), kWhat);
    }
}

void Uploads::stagePageable(void* device, std::size_t bytes, const FillBytes& fill) {
    std::vector<std::byte> piece(std::min(kStagingBytes, bytes));
    for (std::size_t done = 0; done < bytes; done += piece.size()) {
        const std::size_t part = std::min(piece.size(), bytes - done);
        fill(done, std::span(piece).first(part));
        checkCuda(cudaMemcpyAsync(static_cast<std::byte*>(device) + done, piece.data(), part,
                                  cudaMemcpyHostToDevice, m_queue),
                  kWhat);
        checkCuda(cudaStreamSynchronize(m_queue), kWhat);  // it may be read as long as the copy runs
    }
}

void Uploads::copy(void* device, const void* host, std::size_t bytes) {
    if (bytes == 0)
        return;
    prepare();
    if (m_pageable) {
        checkCuda(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, m_queue), kWhat);
        checkCuda(cudaStreamSynchronize(m_queue), kWhat);  // `host` may be read as long as the copy runs
    } else {
        stage(device, bytes, [&](std::size_t begin, std::span<std::byte> to) {
            std::memcpy(to.data(), static_cast<const std::byte*>(host) + begin, to.size());
        });
    }
    const std::lock_guard lock(m_mutex);
    checkCuda(cudaEventRecord(m_done, m_queue), kWhat);
    m_count.fetch_add(1, std::memory_order_release);
}

void Uploads::fill(void* device, std::size_t bytes, const FillBytes& fill) {
    if (bytes == 0)
        return;
    prepare();
    try {
        if (m_pageable)
            stagePageable(device, bytes, fill);
        else
            stage(device, bytes, fill);
    } catch (...) {
        cudaStreamSynchronize(m_queue);  // what failed is told
        throw;
    }
    checkCuda(cudaStreamSynchronize(m_queue), kWhat);
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
