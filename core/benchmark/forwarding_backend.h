// SPDX-License-Identifier: Apache-2.0
// A backend that hands every call on to another one: the base of those that look at the calls or change one
// of them. Threads as the other one; shares it.
#pragma once

#include "kernels/api/backend.h"

#include <memory>
#include <utility>

namespace eigenscope {

class ForwardingBackend : public Backend {
public:
    explicit ForwardingBackend(std::shared_ptr<Backend> inner) : m_inner(std::move(inner)) {}

    const DeviceInfo& info() const override { return m_inner->info(); }
    MemoryStats memory() const override { return m_inner->memory(); }
    Support supports(Op op, const OpTraits& traits) const override { return m_inner->supports(op, traits); }
    std::shared_ptr<Buffer> allocate(std::size_t bytes) override { return m_inner->allocate(bytes); }
    std::shared_ptr<Buffer> adopt(std::span<const std::byte> bytes,
                                  std::shared_ptr<const void> owner) override {
        return m_inner->adopt(bytes, std::move(owner));
    }
    std::unique_ptr<Stream> createStream(int threads) override { return m_inner->createStream(threads); }
    void upload(Stream& s, void* device, const void* host, std::size_t bytes) override {
        m_inner->upload(s, device, host, bytes);
    }
    void download(Stream& s, void* host, const void* device, std::size_t bytes) override {
        m_inner->download(s, host, device, bytes);
    }
    void copy(Stream& s, void* to, const void* from, std::size_t bytes) override {
        m_inner->copy(s, to, from, bytes);
    }
    void uploadBeside(void* device, std::size_t bytes, const FillBytes& fill) override {
        m_inner->uploadBeside(device, bytes, fill);
    }
    // replay() and the composed ops are the base's, which queue every op: whoever looks at ops must see them.
    void gemm(Stream& s, const GemmParams& p) override { m_inner->gemm(s, p); }
    void embed(Stream& s, const EmbedParams& p) override { m_inner->embed(s, p); }
    void norm(Stream& s, const NormParams& p) override { m_inner->norm(s, p); }
    void activate(Stream& s, const ActivateParams& p) override { m_inner->activate(s, p); }
    void add(Stream& s, const AddParams& p) override { m_inner->add(s, p); }
    void rope(Stream& s, const RopeParams& p) override { m_inner->rope(s, p); }
    void kvAppend(Stream& s, const KvAppendParams& p) override { m_inner->kvAppend(s, p); }
    void attention(Stream& s, const AttentionParams& p) override { m_inner->attention(s, p); }
    void gram(Stream& s, const GramParams& p) override { m_inner->gram(s, p); }
    void spreadGram(Stream& s, const SpreadGramParams& p) override { m_inner->spreadGram(s, p); }
    void logitWeights(Stream& s, const LogitWeightsParams& p) override { m_inner->logitWeights(s, p); }
    void eigh(Stream& s, const EighParams& p) override { m_inner->eigh(s, p); }
    void nll(Stream& s, const NllParams& p) override { m_inner->nll(s, p); }
    void argmax(Stream& s, const ArgmaxParams& p) override { m_inner->argmax(s, p); }
    void convert(Stream& s, const ConvertParams& p) override { m_inner->convert(s, p); }

protected:
    Backend& inner() const { return *m_inner; }

private:
    std::shared_ptr<Backend> m_inner;
};

}  // namespace eigenscope
