// SPDX-License-Identifier: Apache-2.0
// Uploads on a queue of their own, through two pinned buffers in turn: while one is copied to the GPU, the
// next bytes are read from their file into the other. Any thread; pieces of uploads wait for each other.
#pragma once

#include "kernels/api/backend.h"

#include <cuda_runtime_api.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace eigenscope::cuda {

class Uploads {
public:
    Uploads() = default;
    ~Uploads();
    Uploads(const Uploads&) = delete;
    Uploads& operator=(const Uploads&) = delete;

    // Returns when `host` has been read; queues find the bytes once they await() them.
    void copy(void* device, const void* host, std::size_t bytes);
    // Backend::uploadBeside: returns when the copy is done, so that no queue has to wait, not even for what
    // is uploaded next.
    void fill(void* device, std::size_t bytes, const FillBytes& fill);
    // Makes `queue` wait for all copies so far, unless it has since `seen`, which the caller keeps a queue.
    void await(cudaStream_t queue, std::uint64_t& seen);

private:
    static constexpr std::size_t kStagingBytes = std::size_t{32} << 20;
    struct Staging {
        void* memory = nullptr;
        cudaEvent_t copied = nullptr;
    };
    void prepare();
    void stage(void* device, std::size_t bytes, const FillBytes& fill);
    void stagePageable(void* device, std::size_t bytes, const FillBytes& fill);

    std::mutex m_mutex;  // a piece at a time
    cudaStream_t m_queue = nullptr;
    Staging m_staging[2];
    int m_turn = 0;
    bool m_pageable = false;       // no pinned memory was to be had
    cudaEvent_t m_done = nullptr;  // of the newest copy(); the queue is in order, so of all
    std::atomic<std::uint64_t> m_count{0};
};

}  // namespace eigenscope::cuda
