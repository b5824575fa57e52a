// SPDX-License-Identifier: Apache-2.0
// What runtime.cpp and runtime_queues.cpp share. Everything is guarded by the state's mutex, which is held
// while queued work runs too.
#pragma once

#include "tests/kernels/emulation/device_memory.h"
#include "tests/kernels/emulation/runtime.h"

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace eigenscope::emulation {

// A point in a queue that events are recorded at.
struct Record {
    Queue* queue = nullptr;
    bool reached = false;
};

struct Work {
    std::function<void()> run;             // or
    std::shared_ptr<Record> wait, record;  // one of these
    bool kernel = false;
};

class Queue {
public:
    std::deque<Work> work;
    bool running = false, early = false;
    bool capturing = false, spoilt = false;
    std::thread::id thread;  // that captures
    std::vector<Work> captured;
};
class Event {
public:
    std::shared_ptr<Record> record;  // the last; null before the first
};
class Graph {
public:
    std::vector<Work> work;
};
class Executable {
public:
    std::vector<Work> work;
};

struct RuntimeState {
    std::recursive_mutex mutex;
    DeviceSettings settings;
    RuntimeCounts counts;
    std::shared_ptr<DeviceMemory> memory = std::make_shared<DeviceMemory>(std::size_t{4} << 30);
    std::map<const std::byte*, std::shared_ptr<Buffer>> blocks;
    std::map<const std::byte*, std::unique_ptr<std::vector<std::byte>>> pinned;
    std::map<const void*, std::size_t> shared_limits;
    std::set<Queue*> queues;
    struct Failure {
        std::string function;
        cudaError_t status;
        int skipped;
    };
    std::vector<Failure> failures;
    cudaError_t lost = cudaSuccess;
};
RuntimeState& runtimeState();

// A call of the API: holds the mutex; `status` is what was asked for by failNext(), or that of a lost device,
// or, for what may not happen while the thread captures, that it may not. done() notes the call's result for
// cudaGetLastError().
class Call {
public:
    enum class During { Anything, NoCapture };
    explicit Call(const char* function, During during = During::Anything);
    cudaError_t status() const { return m_status; }
    explicit operator bool() const { return m_status == cudaSuccess; }
    cudaError_t done(cudaError_t status = cudaSuccess);

private:
    std::unique_lock<std::recursive_mutex> m_lock;
    cudaError_t m_status = cudaSuccess;
};

// Whether failNext() asked for this one to fail; forgets it then.
cudaError_t takeFailure(const std::string& function);

// Does what the queue has up to and with `until`, or all of it (null); first what it waits for elsewhere.
void drain(Queue& queue, const Record* until = nullptr);
void drainAll();
// As far as the schedule says, after something was queued.
void progress(Queue& queue);

}  // namespace eigenscope::emulation
