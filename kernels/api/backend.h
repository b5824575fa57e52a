// SPDX-License-Identifier: Apache-2.0
// A device and its ops. A Backend is shared by every session on that device and may be called from many
// threads at once; a Stream belongs to one session (one thread at a time) and carries its queue, its thread
// count and its scratch memory. Ops throw Error for shapes they cannot do; they check their struct, not the
// memory behind it.
#pragma once

#include "kernels/api/cancelled.h"
#include "kernels/api/composed_ops.h"
#include "kernels/api/error.h"
#include "kernels/api/ops.h"
#include "kernels/api/tensor.h"

#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>

namespace eigenscope {

struct DeviceInfo {
    std::string backend;          // "cpu", "cuda", "reference": what --device takes
    std::string name;             // "AMD EPYC ..., 2 threads", "NVIDIA H200"
    std::string instructions;     // "AVX-512 + BF16", "sm_90"
    bool host_accessible = true;  // device addresses can be dereferenced on the host
    int threads = 1;              // hardware threads for CPU backends
    bool replays = false;         // replay() is faster than queueing the ops again
};

struct MemoryStats {
    std::size_t total_bytes = 0;      // of the device (host memory for CPU backends)
    std::size_t available_bytes = 0;  // free for new allocations now
};

struct Support {
    bool ok = true;
    std::string reason;  // why not; empty when ok
    explicit operator bool() const { return ok; }
};

// What supports() is asked about, beyond the op itself.
struct OpTraits {
    DType weight = DType::F32;  // gemm, embed: dtype of the stored table
    DType cache = DType::F32;   // attention, kvAppend
    bool quantised = false;     // attention, kvAppend: the cache holds codes
    Compute compute = Compute::F32;
    bool lift = false;  // attention: keys rebuilt inside
    bool alibi = false;
};

class Stream {
public:
    virtual ~Stream() = default;
    virtual void synchronize() = 0;  // returns when all queued ops are done; throws what they threw
    virtual std::size_t scratchBytes() const = 0;  // high-water mark of temporary memory

    // Backends that compute in the calling thread look at this between pieces of a long op (at most some
    // tenths of a second each) and throw Cancelled; what the op was writing is then undefined. Others queue
    // their ops at once and need not.
    void stopWith(std::stop_token stop) { m_stop = std::move(stop); }
    bool stopRequested() const { return m_stop.stop_requested(); }
    void checkStop() const {
        if (stopRequested())
            throw Cancelled();
    }

private:
    std::stop_token m_stop;
};

// Writes the bytes [begin, begin + to.size()) of something larger to host memory.
using FillBytes = std::function<void(std::size_t begin, std::span<std::byte> to)>;

class Backend {
public:
    virtual ~Backend() = default;

    virtual const DeviceInfo& info() const = 0;
    virtual MemoryStats memory() const = 0;
    virtual Support supports(Op op, const OpTraits& traits) const = 0;

    // Memory. allocate() gives at least 64-byte aligned, uninitialised memory or throws OutOfMemory naming
    // the size.
    virtual std::shared_ptr<Buffer> allocate(std::size_t bytes) = 0;
    // Makes read-only host bytes usable on the device: CPU backends share them and keep `owner` alive, others
    // copy: the bytes have been read when the call returns, and ops queued after it on any stream find them,
    // but the device may still be copying (a failure then shows at a stream's next wait).
    virtual std::shared_ptr<Buffer> adopt(std::span<const std::byte> bytes,
                                          std::shared_ptr<const void> owner) = 0;
    virtual std::unique_ptr<Stream> createStream(int threads) = 0;  // threads <= 0: the device's default
    virtual void upload(Stream&, void* device, const void* host, std::size_t bytes) = 0;
    virtual void download(Stream&, void* host, const void* device,
                          std::size_t bytes) = 0;                                   // returns when done
    virtual void copy(Stream&, void* to, const void* from, std::size_t bytes) = 0;  // device to device

    // Beside what is queued and computed meanwhile, which must not use this memory: fills `device` with what
    // `fill` gives, called in this thread for one piece after the other, straight into the memory that the
    // device copies from. Returns when all bytes are there, for ops that are queued from then on, on any
    // stream. What `fill` throws comes out once nothing writes to the memory any more, in which anything may
    // be then. `fill` may not call the backend. Any thread.
    virtual void uploadBeside(void* device, std::size_t bytes, const FillBytes& fill);

    // Calls `queue`, which queues ops on the stream and does nothing else that matters to the device: no
    // uploads, downloads or waiting. A backend may keep what was queued and queue it again for an equal
    // signature without calling `queue`. The signature must therefore hold everything that the ops' structs
    // depend on, addresses too; what changes between calls must be in device memory (device_position).
    virtual void replay(Stream&, std::span<const std::byte> signature, const std::function<void()>& queue) {
        (void)signature;
        queue();
    }

    virtual void gemm(Stream&, const GemmParams&) = 0;
    virtual void embed(Stream&, const EmbedParams&) = 0;
    virtual void norm(Stream&, const NormParams&) = 0;
    virtual void activate(Stream&, const ActivateParams&) = 0;
    virtual void add(Stream&, const AddParams&) = 0;
    virtual void rope(Stream&, const RopeParams&) = 0;
    virtual void kvAppend(Stream&, const KvAppendParams&) = 0;
    virtual void attention(Stream&, const AttentionParams&) = 0;
    virtual void gram(Stream&, const GramParams&) = 0;
    virtual void spreadGram(Stream&, const SpreadGramParams&) = 0;
    virtual void logitWeights(Stream&, const LogitWeightsParams&) = 0;
    virtual void eigh(Stream&, const EighParams&) = 0;  // host pointers on every backend: matrices are small
    virtual void nll(Stream&, const NllParams&) = 0;
    virtual void argmax(Stream&, const ArgmaxParams&) = 0;
    virtual void convert(Stream&, const ConvertParams&) = 0;

    // Runs of the ops above (kernels/api/composed_ops.h), done one by one unless a backend does better.
    virtual void project(Stream&, const ProjectParams&);
    virtual void mlp(Stream&, const MlpParams&);
    virtual void rotateAndAppend(Stream&, const RotateAndAppendParams&);
};

// A tensor of fresh device memory.
Tensor makeTensor(Backend& backend, DType dtype, Shape shape);

}  // namespace eigenscope
