// SPDX-License-Identifier: Apache-2.0
// Device, errors and memory of the emulated CUDA runtime; its queues are in runtime_queues.cpp.
#include "tests/kernels/emulation/runtime.h"

#include "kernels/api/error.h"
#include "tests/kernels/emulation/runtime_state.h"

#include <algorithm>
#include <cstring>

namespace eigenscope::emulation {

namespace {

thread_local cudaError_t last_error = cudaSuccess;

constexpr std::size_t kAlwaysShared = std::size_t{48} << 10;
constexpr std::size_t kMostPoison = std::size_t{1} << 20;  // bytes of fresh memory that are made NaN

// The block that holds the address; end() when none does.
auto blockAt(RuntimeState& state, const void* memory) {
    auto next = state.blocks.upper_bound(static_cast<const std::byte*>(memory));
    if (next == state.blocks.begin())
        return state.blocks.end();
    --next;
    return static_cast<const std::byte*>(memory) < next->first + next->second->bytes() ? next
                                                                                       : state.blocks.end();
}

bool isPinned(RuntimeState& state, const void* memory, std::size_t bytes) {
    auto next = state.pinned.upper_bound(static_cast<const std::byte*>(memory));
    if (next == state.pinned.begin())
        return false;
    --next;
    return static_cast<const std::byte*>(memory) + bytes <= next->first + next->second->size();
}

}  // namespace

RuntimeState& runtimeState() {
    static RuntimeState state;
    return state;
}

DeviceSettings& deviceSettings() { return runtimeState().settings; }

RuntimeCounts runtimeCounts() {
    RuntimeState& state = runtimeState();
    const std::lock_guard lock(state.mutex);
    RuntimeCounts counts = state.counts;
    counts.queues = static_cast<int>(state.queues.size());
    counts.pinned = static_cast<int>(state.pinned.size());
    counts.blocks = static_cast<int>(state.blocks.size());
    counts.bytes = state.memory->used();
    for (const Queue* queue : state.queues)
        counts.queued += static_cast<int>(queue->work.size());
    return counts;
}

void failNext(const std::string& function, cudaError_t status, int skipped) {
    const std::lock_guard lock(runtimeState().mutex);
    runtimeState().failures.push_back({function, status, skipped});
}

void repairDevice() {
    RuntimeState& state = runtimeState();
    const std::lock_guard lock(state.mutex);
    state.failures.clear();
    state.lost = cudaSuccess;
    last_error = cudaSuccess;
}

cudaError_t takeFailure(const std::string& function) {
    auto& failures = runtimeState().failures;
    for (auto failure = failures.begin(); failure != failures.end(); ++failure) {
        if (failure->function != function || failure->skipped-- > 0)
            continue;
        const cudaError_t status = failure->status;
        failures.erase(failure);
        return status;
    }
    return cudaSuccess;
}

Call::Call(const char* function, During during) : m_lock(runtimeState().mutex) {
    RuntimeState& state = runtimeState();
    m_status = state.lost;
    if (m_status == cudaSuccess)
        m_status = takeFailure(function);
    if (m_status == cudaSuccess && during == During::NoCapture)
        for (Queue* queue : state.queues)
            if (queue->capturing && queue->thread == std::this_thread::get_id()) {
                queue->spoilt = true;
                m_status = cudaErrorStreamCaptureUnsupported;
            }
    if (m_status != cudaSuccess)
        last_error = m_status;
}

cudaError_t Call::done(cudaError_t status) {
    if (status != cudaSuccess)
        last_error = status;
    return status;
}

std::size_t allowedShared(const void* kernel) {
    RuntimeState& state = runtimeState();
    const std::lock_guard lock(state.mutex);
    const auto found = state.shared_limits.find(kernel);
    return found == state.shared_limits.end() ? kAlwaysShared : found->second;
}

bool isDeviceMemory(const void* memory, std::size_t bytes) {
    RuntimeState& state = runtimeState();
    const std::lock_guard lock(state.mutex);
    const auto block = blockAt(state, memory);
    return block != state.blocks.end() &&
           static_cast<const std::byte*>(memory) + bytes <= block->first + block->second->bytes();
}

}  // namespace eigenscope::emulation

using namespace eigenscope;
using namespace eigenscope::emulation;
using During = Call::During;

cudaError_t cudaGetLastError() {
    const std::lock_guard lock(runtimeState().mutex);
    const cudaError_t status = runtimeState().lost != cudaSuccess ? runtimeState().lost : last_error;
    last_error = cudaSuccess;
    return status;
}

const char* cudaGetErrorString(cudaError_t status) {
    switch (status) {
        case cudaSuccess:
            return "no error";
        case cudaErrorInvalidValue:
            return "invalid argument";
        case cudaErrorMemoryAllocation:
            return "out of memory";
        case cudaErrorInsufficientDriver:
            return "CUDA driver version is insufficient for CUDA runtime version";
        case cudaErrorNoDevice:
            return "no CUDA-capable device is detected";
        case cudaErrorNoKernelImageForDevice:
            return "no kernel image is available for execution on the device";
        case cudaErrorIllegalAddress:
            return "an illegal memory access was encountered";
        case cudaErrorStreamCaptureUnsupported:
            return "operation not permitted when stream is capturing";
        case cudaErrorStreamCaptureInvalidated:
            return "operation failed due to a previous error during capture";
        default:
            return "unspecified launch failure";
    }
}

cudaError_t cudaDriverGetVersion(int* version) {
    Call call("cudaDriverGetVersion");
    *version = deviceSettings().driver;
    return call.status();
}

cudaError_t cudaGetDeviceCount(int* count) {
    Call call("cudaGetDeviceCount");
    *count = deviceSettings().devices;
    return call ? call.done(deviceSettings().counting) : call.status();
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
    Call call("cudaGetDeviceProperties");
    if (!call)
        return call.status();
    if (device < 0 || device >= deviceSettings().devices)
        return call.done(cudaErrorInvalidValue);
    *properties = {};
    std::strcpy(properties->name, "CUDA kernels executed on the host");
    properties->major = deviceSettings().major;
    properties->multiProcessorCount = 132;
    properties->sharedMemPerBlockOptin = deviceSettings().shared_bytes;
    properties->pageableMemoryAccessUsesHostPageTables = deviceSettings().reads_host;
    return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int value) {
    Call call("cudaFuncSetAttribute");
    if (!call)
        return call.status();
    if (value < 0 || static_cast<std::size_t>(value) > deviceSettings().shared_bytes)
        return call.done(cudaErrorInvalidValue);
    ++runtimeState().counts.limits;
    runtimeState().shared_limits[kernel] = static_cast<std::size_t>(value);
    return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
    Call call("cudaMalloc", During::NoCapture);
    if (!call)
        return call.status();
    RuntimeState& state = runtimeState();
    if (state.memory->used() + bytes > state.settings.memory_bytes)
        return call.done(cudaErrorMemoryAllocation);
    std::shared_ptr<Buffer> block;
    try {
        block = state.memory->allocate(bytes);
    } catch (const Error&) {
        return call.done(cudaErrorMemoryAllocation);
    }
    *memory = block->data();
    ++state.counts.allocations;
    const DeviceMemory::Access access(*state.memory);
    std::memset(*memory, 0xff, std::min(bytes, kMostPoison));
    state.blocks.emplace(static_cast<const std::byte*>(*memory), std::move(block));
    return cudaSuccess;
}

// Waits for the device, as the toolkit's does.
cudaError_t cudaFree(void* memory) {
    Call call("cudaFree", During::NoCapture);
    if (!call || !memory)
        return call.status();
    RuntimeState& state = runtimeState();
    const auto block = state.blocks.find(static_cast<const std::byte*>(memory));
    if (block == state.blocks.end())
        return call.done(cudaErrorInvalidValue);
    drainAll();
    {
        const DeviceMemory::Access access(*state.memory);  // whoever reads it yet reads NaN
        std::memset(memory, 0xff, std::min(block->second->bytes(), kMostPoison));
    }
    state.blocks.erase(block);
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
    Call call("cudaMallocHost", During::NoCapture);
    if (!call)
        return call.status();
    if (!deviceSettings().pinned_memory)
        return call.done(cudaErrorMemoryAllocation);
    auto block = std::make_unique<std::vector<std::byte>>(bytes);
    *memory = block->data();
    runtimeState().pinned.emplace(block->data(), std::move(block));
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void* memory) {
    Call call("cudaFreeHost", During::NoCapture);
    if (!call)
        return call.status();
    drainAll();
    return call.done(runtimeState().pinned.erase(static_cast<const std::byte*>(memory)) == 1
                         ? cudaSuccess
                         : cudaErrorInvalidValue);
}

cudaError_t cudaMemGetInfo(std::size_t* available, std::size_t* total) {
    Call call("cudaMemGetInfo");
    if (!call)
        return call.status();
    RuntimeState& state = runtimeState();
    *total = state.settings.memory_bytes;
    *available = *total - std::min(*total, state.memory->used());
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
    Call call("cudaMemcpyAsync");
    if (!call)
        return call.status();
    RuntimeState& state = runtimeState();
    const bool to_device = kind != cudaMemcpyDeviceToHost, from_device = kind != cudaMemcpyHostToDevice;
    if (!stream || (to_device && !isDeviceMemory(to, bytes)) || (from_device && !isDeviceMemory(from, bytes)))
        return call.done(cudaErrorInvalidValue);
    std::shared_ptr<std::vector<std::byte>> staged;
    if (!from_device) {
        const bool pinned = isPinned(state, from, bytes);
        stream->early = pinned || stream->early;
        if (!pinned && !state.settings.reads_host) {
            const auto* begin = static_cast<const std::byte*>(from);
            staged = std::make_shared<std::vector<std::byte>>(begin, begin + bytes);
        }
    }
    const cudaError_t status = enqueue(
        stream,
        [=, &state] {
            const DeviceMemory::Access access(*state.memory);
            std::memcpy(to, staged ? staged->data() : from, bytes);
        },
        false);
    // To pageable memory it returns when the copy is done.
    if (status == cudaSuccess && kind == cudaMemcpyDeviceToHost && !stream->capturing)
        drain(*stream);
    return call.done(status);
}
