// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/emulation/emulated_backend.h"

#include "kernels/api/checks.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/reference/reference_backend.h"
#include "tests/kernels/emulation/device_memory.h"

#include <cstring>

namespace eigenscope::emulation {

namespace {

constexpr std::size_t kDeviceBytes = std::size_t{4} << 30;

class EmulatedStream final : public Stream {
public:
    explicit EmulatedStream(std::shared_ptr<DeviceMemory> memory) : m_memory(std::move(memory)) {}
    void synchronize() override {}
    std::size_t scratchBytes() const override { return m_scratch ? m_scratch->bytes() : 0; }
    void* scratch(std::size_t bytes) {
        if (bytes == 0)
            return nullptr;
        if (!m_scratch || m_scratch->bytes() < bytes)
            m_scratch = m_memory->allocate(bytes);
        std::memset(m_scratch->data(), 0xff, bytes);  // NaN: nothing may rely on what was there
        return m_scratch->data();
    }

private:
    std::shared_ptr<DeviceMemory> m_memory;
    std::shared_ptr<Buffer> m_scratch;
};

class EmulatedBackend final : public Backend {
public:
    explicit EmulatedBackend(std::int64_t emulated_products) : m_emulated_products(emulated_products) {
        m_info.backend = "cuda-emulated";
        m_info.name = "CUDA kernels executed on the host";
        m_info.instructions = "emulated";
        m_info.host_accessible = false;
    }
    const DeviceInfo& info() const override { return m_info; }
    MemoryStats memory() const override { return {m_memory->bytes(), m_memory->bytes() - m_memory->used()}; }
    Support supports(Op op, const OpTraits&) const override {
        if (op == Op::Eigh)
            return {false, "runs on the host, no kernel"};
        return {};
    }
    std::shared_ptr<Buffer> allocate(std::size_t bytes) override { return m_memory->allocate(bytes); }
    std::shared_ptr<Buffer> adopt(std::span<const std::byte> bytes, std::shared_ptr<const void>) override {
        auto buffer = m_memory->allocate(bytes.size());
        move(buffer->data(), bytes.data(), bytes.size());
        return buffer;
    }
    std::unique_ptr<Stream> createStream(int) override { return std::make_unique<EmulatedStream>(m_memory); }
    void upload(Stream&, void* device, const void* host, std::size_t bytes) override {
        move(device, host, bytes);
    }
    void download(Stream&, void* host, const void* device, std::size_t bytes) override {
        move(host, device, bytes);
    }
    void copy(Stream&, void* to, const void* from, std::size_t bytes) override { move(to, from, bytes); }

    void gemm(Stream& stream, const GemmParams& p) override {
        if (p.m * p.n * p.k <= m_emulated_products) {
            run(p, cuda::launchDotGemm);
            return;
        }
        const DeviceMemory::Access access(*m_memory);
        m_host->gemm(stream, p);
    }
    void embed(Stream&, const EmbedParams& p) override { run(p, cuda::launchEmbed); }
    void norm(Stream&, const NormParams& p) override { run(p, cuda::launchNorm); }
    void activate(Stream&, const ActivateParams& p) override { run(p, cuda::launchActivate); }
    void add(Stream&, const AddParams& p) override { run(p, cuda::launchAdd); }
    void rope(Stream&, const RopeParams& p) override { run(p, cuda::launchRope); }
    void kvAppend(Stream&, const KvAppendParams& p) override { run(p, cuda::launchKvAppend); }
    void attention(Stream& stream, const AttentionParams& p) override {
        check(p);
        const cuda::AttentionPlan plan = cuda::planAttention(p, cuda::DeviceLimits{});
        const DeviceMemory::Access access(*m_memory);
        cuda::launchAttention(p, plan, static_cast<EmulatedStream&>(stream).scratch(plan.scratch_bytes),
                              nullptr);
    }
    void gram(Stream& stream, const GramParams& p) override {
        check(p);
        const DeviceMemory::Access access(*m_memory);
        cuda::launchGram(p, static_cast<EmulatedStream&>(stream).scratch(cuda::gramScratchBytes(p)), nullptr);
    }
    void eigh(Stream& stream, const EighParams& p) override { m_host->eigh(stream, p); }
    void nll(Stream&, const NllParams& p) override { run(p, cuda::launchNll); }
    void argmax(Stream&, const ArgmaxParams& p) override { run(p, cuda::launchArgmax); }
    void convert(Stream&, const ConvertParams& p) override { run(p, cuda::launchConvert); }

private:
    template <typename Params>
    void run(const Params& params, void (*launch)(const Params&, cudaStream_t)) {
        check(params);
        const DeviceMemory::Access access(*m_memory);
        launch(params, nullptr);
    }
    void move(void* to, const void* from, std::size_t bytes) {
        const DeviceMemory::Access access(*m_memory);
        if (bytes)
            std::memcpy(to, from, bytes);
    }

    std::int64_t m_emulated_products;
    DeviceInfo m_info;
    std::shared_ptr<DeviceMemory> m_memory = std::make_shared<DeviceMemory>(kDeviceBytes);
    std::shared_ptr<Backend> m_host = createReferenceBackend();
};

}  // namespace

std::shared_ptr<Backend> createEmulatedCudaBackend(std::int64_t emulated_products) {
    return std::make_shared<EmulatedBackend>(emulated_products);
}

}  // namespace eigenscope::emulation
