// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/emulation/emulated_backend.h"

#include "kernels/api/checks.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/reference/reference_backend.h"

#include <vector>

namespace eigenscope::emulation {

namespace {

class EmulatedStream final : public Stream {
public:
    void synchronize() override {}
    std::size_t scratchBytes() const override { return m_scratch.size(); }
    void* scratch(std::size_t bytes) {
        m_scratch.assign(bytes, std::byte{0xff});  // NaN: nothing may rely on what was there
        return m_scratch.data();
    }

private:
    std::vector<std::byte> m_scratch;
};

class EmulatedBackend final : public Backend {
public:
    EmulatedBackend() {
        m_info.backend = "cuda-emulated";
        m_info.name = "CUDA kernels executed on the host";
        m_info.instructions = "emulated";
    }
    const DeviceInfo& info() const override { return m_info; }
    MemoryStats memory() const override { return m_host->memory(); }
    Support supports(Op op, const OpTraits&) const override {
        if (op == Op::Eigh)
            return {false, "runs on the host, no kernel"};
        return {};
    }
    std::shared_ptr<Buffer> allocate(std::size_t bytes) override { return m_host->allocate(bytes); }
    std::shared_ptr<Buffer> adopt(std::span<const std::byte> bytes,
                                  std::shared_ptr<const void> owner) override {
        return m_host->adopt(bytes, std::move(owner));
    }
    std::unique_ptr<Stream> createStream(int) override { return std::make_unique<EmulatedStream>(); }
    void upload(Stream& stream, void* device, const void* host, std::size_t bytes) override {
        m_host->upload(stream, device, host, bytes);
    }
    void download(Stream& stream, void* host, const void* device, std::size_t bytes) override {
        m_host->download(stream, host, device, bytes);
    }
    void copy(Stream& stream, void* to, const void* from, std::size_t bytes) override {
        m_host->copy(stream, to, from, bytes);
    }

    void gemm(Stream&, const GemmParams& p) override { run(p, cuda::launchDotGemm); }
    void embed(Stream&, const EmbedParams& p) override { run(p, cuda::launchEmbed); }
    void norm(Stream&, const NormParams& p) override { run(p, cuda::launchNorm); }
    void activate(Stream&, const ActivateParams& p) override { run(p, cuda::launchActivate); }
    void add(Stream&, const AddParams& p) override { run(p, cuda::launchAdd); }
    void rope(Stream&, const RopeParams& p) override { run(p, cuda::launchRope); }
    void kvAppend(Stream&, const KvAppendParams& p) override { run(p, cuda::launchKvAppend); }
    void attention(Stream& stream, const AttentionParams& p) override {
        check(p);
        const cuda::AttentionPlan plan = cuda::planAttention(p, cuda::DeviceLimits{});
        cuda::launchAttention(p, plan, static_cast<EmulatedStream&>(stream).scratch(plan.scratch_bytes),
                              nullptr);
    }
    void gram(Stream& stream, const GramParams& p) override {
        check(p);
        cuda::launchGram(p, static_cast<EmulatedStream&>(stream).scratch(cuda::gramScratchBytes(p)), nullptr);
    }
    void eigh(Stream& stream, const EighParams& p) override { m_host->eigh(stream, p); }
    void nll(Stream&, const NllParams& p) override { run(p, cuda::launchNll); }
    void argmax(Stream&, const ArgmaxParams& p) override { run(p, cuda::launchArgmax); }
    void convert(Stream&, const ConvertParams& p) override { run(p, cuda::launchConvert); }

private:
    template <typename Params>
    static void run(const Params& params, void (*launch)(const Params&, cudaStream_t)) {
        check(params);
        launch(params, nullptr);
    }

    DeviceInfo m_info;
    std::shared_ptr<Backend> m_host = createReferenceBackend();
};

}  // namespace

std::shared_ptr<Backend> createEmulatedCudaBackend() { return std::make_shared<EmulatedBackend>(); }

}  // namespace eigenscope::emulation
