// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/cpu_backend.h"

#include "kernels/api/checks.h"
#include "kernels/api/device_position.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/onednn_matmul.h"
#include "kernels/cpu/parallel.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace eigenscope {
namespace cpu {
namespace {

constexpr int kMostThreads = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

struct AlignedFree {
    std::align_val_t alignment;
    void operator()(std::byte* p) const { ::operator delete(p, alignment); }
};

class HostBuffer final : public Buffer {
public:
    HostBuffer(std::size_t bytes, std::size_t room) : m_bytes(bytes) {
        // Large buffers are read end to end on every token; huge pages spare the page walks.
        const bool large = room >= 2 * kHugePage;
        const auto alignment = std::align_val_t{large ? kHugePage : kAlignment};
        auto* p =
            bytes > room ? nullptr : static_cast<std::byte*>(::operator new(room, alignment, std::nothrow));
        if (!p)
            throw Error(ErrorCode::OutOfMemory,
                        "cannot allocate " + std::to_string(bytes) + " bytes of host memory");
        m_data = {p, AlignedFree{alignment}};
        if (large)
            (void)madvise(p, room / kHugePage * kHugePage,
                          MADV_HUGEPAGE);  // a hint: failing costs only speed
    }
    void* data() const override { return m_data.get(); }
    std::size_t bytes() const override { return m_bytes; }

private:
    std::unique_ptr<std::byte, AlignedFree> m_data{nullptr, AlignedFree{std::align_val_t{kAlignment}}};
    std::size_t m_bytes;
};

// Read-only bytes of somebody else, kept alive.
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

CpuStream& own(Stream& stream) {
    auto* s = dynamic_cast<CpuStream*>(&stream);
    if (!s)
        throw Error(ErrorCode::InvalidInput,
                    "the stream belongs to another backend; expected one of the CPU backend");
    return *s;
}

void move(void* to, const void* from, std::size_t bytes) {
    if (bytes > 0)
        std::memmove(to, from, bytes);
}

class CpuBackend final : public Backend {
public:
    CpuBackend() : m_info(describeCpu()), m_native_bf16(hasNativeBf16()) {}

    const DeviceInfo& info() const override { return m_info; }
    MemoryStats memory() const override { return hostMemory(); }
    Support supports(Op op, const OpTraits& traits) const override;

    std::shared_ptr<Buffer> allocate(std::size_t bytes) override;
    std::shared_ptr<Buffer> adopt(std::span<const std::byte> bytes,
                                  std::shared_ptr<const void> owner) override {
        return std::make_shared<SharedBuffer>(bytes, std::move(owner));
    }
    std::unique_ptr<Stream> createStream(int threads) override {
        // Threads beyond the machine's only wait for each other; the limit keeps an absurd number from
        // failing later.
        const int most = std::max(m_info.threads, kMostThreads);
        return std::make_unique<CpuStream>(threads > 0 ? std::min(threads, most) : m_info.threads);
    }
    void upload(Stream& s, void* device, const void* host, std::size_t bytes) override {
        own(s), move(device, host, bytes);
    }
    void download(Stream& s, void* host, const void* device, std::size_t bytes) override {
        own(s), move(host, device, bytes);
    }
    void copy(Stream& s, void* to, const void* from, std::size_t bytes) override {
        // One thread does not reach the memory's bandwidth; below a megabyte each, starting others costs
        // more.
        parallelRanges(own(s).threads(), static_cast<std::int64_t>(bytes), std::int64_t{1} << 20,
                       [&](std::int64_t begin, std::int64_t end, int) {
                           move(static_cast<std::byte*>(to) + begin,
                                static_cast<const std::byte*>(from) + begin,
                                static_cast<std::size_t>(end - begin));
                       });
    }

    void gemm(Stream& s, const GemmParams& p) override {
        check(p);
        if (const Support support = supports(Op::Gemm, {.weight = p.weight_dtype, .compute = p.compute});
            !support)
            throw Error(ErrorCode::Unsupported, "gemm: " + support.reason);
        cpu::gemm(own(s), m_matmuls, p);
    }
    void embed(Stream& s, const EmbedParams& p) override { check(p), cpu::embed(own(s), p); }
    void norm(Stream& s, const NormParams& p) override { check(p), cpu::norm(own(s), p); }
    void activate(Stream& s, const ActivateParams& p) override { check(p), cpu::activate(own(s), p); }
    void add(Stream& s, const AddParams& p) override { check(p), cpu::add(own(s), p); }
    void rope(Stream& s, const RopeParams& p) override { check(p), cpu::rope(own(s), atPosition(p)); }
    void kvAppend(Stream& s, const KvAppendParams& p) override {
        check(p), cpu::kvAppend(own(s), atPosition(p));
    }
    void attention(Stream& s, const AttentionParams& p) override {
        check(p), cpu::attention(own(s), atPosition(p));
    }
    void gram(Stream& s, const GramParams& p) override { check(p), cpu::gram(own(s), p); }
    void spreadGram(Stream& s, const SpreadGramParams& p) override { check(p), cpu::spreadGram(own(s), p); }
    void logitWeights(Stream& s, const LogitWeightsParams& p) override {
        check(p), cpu::logitWeights(own(s), p);
    }
    void eigh(Stream& s, const EighParams& p) override { check(p), cpu::eigh(own(s), p); }
    void nll(Stream& s, const NllParams& p) override { check(p), cpu::nll(own(s), p); }
    void argmax(Stream& s, const ArgmaxParams& p) override { check(p), cpu::argmax(own(s), p); }
    void convert(Stream& s, const ConvertParams& p) override { check(p), cpu::convert(own(s), p); }

private:
    DeviceInfo m_info;
    bool m_native_bf16;
    MatmulCache m_matmuls;
};

Support CpuBackend::supports(Op op, const OpTraits& traits) const {
    if (op != Op::Gemm || traits.compute == Compute::F32)
        return {};
    if (traits.compute == Compute::F16)
        return {
            false,
            "float16 arithmetic is not faster than float32 on the CPU; f16 weights work with compute f32"};
    if (!m_native_bf16)
        return {
            false,
            "this processor does not multiply bfloat16 (AVX512_BF16); bf16 weights work with compute f32"};
    return {};
}

std::shared_ptr<Buffer> CpuBackend::allocate(std::size_t bytes) {
    // Linux grants more than there is and kills the process later, so what cannot fit is refused here.
    if (const std::size_t total = memory().total_bytes; total > 0 && bytes > total)
        throw Error(ErrorCode::OutOfMemory, "cannot allocate " + std::to_string(bytes) +
                                                " bytes: host memory has " + std::to_string(total) +
                                                " in all");
    return std::make_shared<HostBuffer>(bytes,
                                        (bytes + kAlignment - 1) / kAlignment * kAlignment + kAlignment);
}

}  // namespace
}  // namespace cpu

std::shared_ptr<Backend> createCpuBackend() { return std::make_shared<cpu::CpuBackend>(); }

}  // namespace eigenscope
