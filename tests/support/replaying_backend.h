// SPDX-License-Identifier: Apache-2.0
// The reference backend with replay(): ops that were queued under a signature are kept, and for an equal one
// run again from what was kept, without asking. What a caller forgot to put into device memory, or into the
// signature, then shows in the results. For tests; one thread.
#pragma once

#include "kernels/api/backend.h"

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace eigenscope::test {

class ReplayingBackend final : public Backend {
public:
    ReplayingBackend();

    // With `checks`, a replay queues the ops as well without running them, and compares: equal signatures
    // must mean equal ops. What differed is in mistakes.
    bool checks = false;
    std::vector<std::string> mistakes;
    int recorded = 0, replayed = 0;
    std::size_t memory_limit = 0;  // allocations in all; 0: none

    const DeviceInfo& info() const override { return m_info; }
    void setReplays(bool replays) { m_info.replays = replays; }
    MemoryStats memory() const override;
    Support supports(Op op, const OpTraits& traits) const override { return m_host->supports(op, traits); }
    std::shared_ptr<Buffer> allocate(std::size_t bytes) override;
    std::shared_ptr<Buffer> adopt(std::span<const std::byte> bytes,
                                  std::shared_ptr<const void> owner) override {
        return m_host->adopt(bytes, std::move(owner));
    }
    std::unique_ptr<Stream> createStream(int threads) override { return m_host->createStream(threads); }
    void upload(Stream& stream, void* device, const void* host, std::size_t bytes) override;
    void download(Stream& stream, void* host, const void* device, std::size_t bytes) override;
    void copy(Stream& stream, void* to, const void* from, std::size_t bytes) override;
    void replay(Stream& stream, std::span<const std::byte> signature,
                const std::function<void()>& queue) override;

    void gemm(Stream& stream, const GemmParams& p) override;
    void embed(Stream& stream, const EmbedParams& p) override;
    void norm(Stream& stream, const NormParams& p) override;
    void activate(Stream& stream, const ActivateParams& p) override;
    void add(Stream& stream, const AddParams& p) override;
    void rope(Stream& stream, const RopeParams& p) override;
    void kvAppend(Stream& stream, const KvAppendParams& p) override;
    void attention(Stream& stream, const AttentionParams& p) override;
    void gram(Stream& stream, const GramParams& p) override { m_host->gram(stream, p); }
    void spreadGram(Stream& stream, const SpreadGramParams& p) override { m_host->spreadGram(stream, p); }
    void logitWeights(Stream& stream, const LogitWeightsParams& p) override {
        m_host->logitWeights(stream, p);
    }
    void eigh(Stream& stream, const EighParams& p) override { m_host->eigh(stream, p); }
    void nll(Stream& stream, const NllParams& p) override { m_host->nll(stream, p); }
    void argmax(Stream& stream, const ArgmaxParams& p) override { m_host->argmax(stream, p); }
    void convert(Stream& stream, const ConvertParams& p) override { m_host->convert(stream, p); }

private:
    struct Step {
        std::string text;  // every field of the op's struct
        std::function<void(Stream&)> run;
    };
    enum class Mode { Run, Record, Compare };
    void take(Stream& stream, std::string text, std::function<void(Stream&)> run);
    void refuse(const char* what);

    DeviceInfo m_info;
    std::shared_ptr<Backend> m_host;
    Mode m_mode = Mode::Run;
    std::vector<Step> m_queued;
    std::map<std::vector<std::byte>, std::vector<Step>> m_kept;
    std::shared_ptr<std::size_t> m_allocated = std::make_shared<std::size_t>(0);
};

}  // namespace eigenscope::test
