// SPDX-License-Identifier: Apache-2.0
// A CUDA runtime without a GPU, for the backend's host code: device memory of a limited size that the host
// cannot touch, queues, events, captures and graphs. What a GPU does at a time of its own, this one does at
// the worst time that CUDA allows (Schedule); what CUDA forbids is refused, as in the toolkit's documentation
// of the function: a capture is spoilt by what may not happen during one, a launch with more shared memory
// than its kernel was allowed fails. The process has one; any thread.
#pragma once

#include "tests/kernels/emulation/runtime_api.h"

#include <cstddef>
#include <functional>
#include <string>

namespace eigenscope::emulation {

// When queued work is done. Late: when somebody waits for it. Early: at once, as far as other queues' events
// allow. CopiesEarly: queues early that copy from pinned memory, others late, so that a copy into memory
// still in use does harm.
enum class Schedule { Late, Early, CopiesEarly };

struct DeviceSettings {
    Schedule schedule = Schedule::Late;
    std::size_t memory_bytes = std::size_t{4} << 30;  // at most that; may be set lower for a while
    std::size_t shared_bytes = std::size_t{227} << 10;
    int driver = 13000, devices = 1, major = 9;
    cudaError_t counting = cudaSuccess;  // what cudaGetDeviceCount returns
    bool reads_host = false;             // copies from pageable memory read it when they run
    bool pinned_memory = true;           // whether there is any
    double smallest_product = 0;  // cuBLASLt has no algorithm for fewer multiplications (cublas_lt.cpp)
};
// Of the process's device; set between tests, while nothing is queued.
DeviceSettings& deviceSettings();

// The `skipped + 1`th call of the function of this name returns `status` instead of doing anything; "launch"
// stands for the launch of a kernel, "kernel" for its execution, after which the device is lost: all calls
// return `status`.
void failNext(const std::string& function, cudaError_t status, int skipped = 0);
void repairDevice();  // forgets what failNext() asked for and the lost device

struct RuntimeCounts {
    int queues = 0, events = 0, graphs = 0, executables = 0, pinned = 0, blocks = 0;  // that exist
    std::size_t bytes = 0;
    int queued = 0;       // pieces of work that are not done
    int allocations = 0;  // of device memory, so far
    int kernels = 0, graph_launches = 0, captures = 0, limits = 0, products = 0;  // so far
};
RuntimeCounts runtimeCounts();

// For launch.cuh and cublas_lt.cpp: puts work on a queue, or into its capture. Null: does it at once.
cudaError_t enqueue(cudaStream_t stream, std::function<void()> work, bool kernel);
// What cudaFuncSetAttribute allowed, 48 KiB at first.
std::size_t allowedShared(const void* kernel);
// Whether all of it is allocated device memory.
bool isDeviceMemory(const void* memory, std::size_t bytes);

}  // namespace eigenscope::emulation
