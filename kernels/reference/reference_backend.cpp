// SPDX-License-Identifier: Apache-2.0
#include "kernels/reference/reference_backend.h"

#include "kernels/api/checks.h"
#include "kernels/api/device_position.h"
#include "kernels/reference/reference_ops.h"

#include <sys/sysinfo.h>
#include <cstring>
#include <new>

namespace eigenscope {

namespace {

constexpr std::align_val_t kAlignment{64};  // what Backend::allocate promises

class HostBuffer final : public Buffer {
public:
    explicit HostBuffer(std::size_t bytes) : m_bytes(bytes) {
        m_data = ::operator new(bytes ? bytes : 1, kAlignment, std::nothrow);
        if (!m_data)
            throw Error(ErrorCode::OutOfMemory,
                        "host memory: cannot allocate " + std::to_string(bytes) + " bytes");
    }
    ~HostBuffer() override { ::operator delete(m_data, kAlignment); }
    HostBuffer(const HostBuffer&) = delete;
    HostBuffer& operator=(const HostBuffer&) = delete;
    void* data() const override { return m_data; }
    std::size_t bytes() const override { return m_bytes; }

private:
    void* m_data = nullptr;
    std::size_t m_bytes = 0;
};

// Bytes of someone else, kept alive; read-only by agreement.
class SharedBuffer final : public Buffer {
public:
    SharedBuffer(std::span<const std::byte> bytes, std::shared_ptr<const void> owner)
        : m_span(bytes), m_owner(std::move(owner)) {}
    void* data() const override { return const_cast<std::byte*>(m_span.data()); }
    std::size_t bytes() const override { return m_span.size(); }

private:
    std::span<const std::byte> m_span;
    std::shared_ptr<const void> m_owner;
};

// Ops run when they are called, so there is nothing to wait for and no scratch worth counting.
class ReferenceStream final : public Stream {
public:
    void synchronize() override {}
    std::size_t scratchBytes() const override { return 0; }
};

class ReferenceBackend final : public Backend {
public:
    ReferenceBackend() {
        m_info.backend = "reference";
        m_info.name = "reference (slow, float64)";
        m_info.instructions = "scalar float64";
    }

    const DeviceInfo& info() const override { return m_info; }

    MemoryStats memory() const override {
        struct sysinfo system {};
        if (sysinfo(&system) != 0)
            return {};
        const std::size_t unit = system.mem_unit;
        return {system.totalram * unit, (system.freeram + system.bufferram) * unit};
    }

    Support supports(Op, const OpTraits&) const override { return {}; }

    std::shared_ptr<Buffer> allocate(std::size_t bytes) override {
        return std::make_shared<HostBuffer>(bytes);
    }
    std::shared_ptr<Buffer> adopt(std::span<const std::byte> bytes,
                                  std::shared_ptr<const void> owner) override {
        return std::make_shared<SharedBuffer>(bytes, std::move(owner));
    }
    std::unique_ptr<Stream> createStream(int) override { return std::make_unique<ReferenceStream>(); }
    void upload(Stream&, void* device, const void* host, std::size_t bytes) override {
        move(device, host, bytes);
    }
    void download(Stream&, void* host, const void* device, std::size_t bytes) override {
        move(host, device, bytes);
    }
    void copy(Stream&, void* to, const void* from, std::size_t bytes) override { move(to, from, bytes); }

    void gemm(Stream&, const GemmParams& p) override { run(p, reference::gemm); }
    void embed(Stream&, const EmbedParams& p) override { run(p, reference::embed); }
    void norm(Stream&, const NormParams& p) override { run(p, reference::norm); }
    void activate(Stream&, const ActivateParams& p) override { run(p, reference::activate); }
    void add(Stream&, const AddParams& p) override { run(p, reference::add); }
    void rope(Stream&, const RopeParams& p) override { runAt(p, reference::rope); }
    void kvAppend(Stream&, const KvAppendParams& p) override { runAt(p, reference::kvAppend); }
    void attention(Stream&, const AttentionParams& p) override { runAt(p, reference::attention); }
    void gram(Stream&, const GramParams& p) override { run(p, reference::gram); }
    void spreadGram(Stream&, const SpreadGramParams& p) override { run(p, reference::spreadGram); }
    void logitWeights(Stream&, const LogitWeightsParams& p) override { run(p, reference::logitWeights); }
    void eigh(Stream&, const EighParams& p) override { run(p, reference::eigh); }
    void nll(Stream&, const NllParams& p) override { run(p, reference::nll); }
    void argmax(Stream&, const ArgmaxParams& p) override { run(p, reference::argmax); }
    void convert(Stream&, const ConvertParams& p) override { run(p, reference::convert); }

private:
    template <typename Params>
    static void run(const Params& params, void (*op)(const Params&)) {
        check(params);
        op(params);
    }
    template <typename Params>
    static void runAt(const Params& params, void (*op)(const Params&)) {
        check(params);
        op(atPosition(params));
    }
    static void move(void* to, const void* from, std::size_t bytes) {
        if (bytes)
            std::memcpy(to, from, bytes);
    }

    DeviceInfo m_info;
};

}  // namespace

std::shared_ptr<Backend> createReferenceBackend() { return std::make_shared<ReferenceBackend>(); }

}  // namespace eigenscope
