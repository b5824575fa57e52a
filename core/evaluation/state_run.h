// SPDX-License-Identifier: Apache-2.0
// One model and the hidden state of one sequence between its layers, so that layers can be run one by one and
// exchanged between models. Sequences start at position 0 and are run in one piece. One thread.
#pragma once

#include "core/base/job_context.h"
#include "core/generation/generate.h"
#include "core/model/transformer.h"

#include <span>
#include <vector>

namespace eigenscope {

class StateRun {
public:
    // Sequences of at most `length` tokens. A stop of the job is seen between layers.
    StateRun(const JobContext& job, const OpenModel& model, const RunOptions& run, std::int64_t length);

    Backend& backend() { return m_backend; }
    Stream& stream() { return m_session.stream(); }
    const Model& model() const { return m_transformer.model(); }
    int threads() const { return m_threads; }
    KvCache createCache() const;
    KvCache& cache() { return m_cache; }

    // The state becomes what the first layer gets.
    void start(std::span<const TokenId> ids);
    // The state becomes what the last layer leaves.
    void run(std::span<const TokenId> ids, LayerObserver* observer = nullptr);
    // Takes the state through one layer; `cache` must be empty.
    void runLayer(int layer, KvCache& cache, LayerObserver* observer = nullptr);
    void runLayer(int layer) { runLayer(layer, m_cache); }

    TensorView state() const { return m_hidden.rows(0, m_tokens).view(); }  // [tokens, hidden]
    // Logits [count, vocab] of the state's rows from `begin` on, on the host; valid until the next call.
    const std::vector<float>& logits(std::size_t begin, std::size_t count);

    std::vector<float> download(const TensorView& view);
    void download(const TensorView& view, std::vector<float>& host);
    void upload(const std::vector<float>& state);  // [tokens, hidden]: becomes the state

private:
    void forward(std::span<const TokenId> ids, LayerObserver& observer);

    Backend& m_backend;
    Transformer m_transformer;
    std::int64_t m_length, m_tokens = 1;
    int m_threads;
    KvFormat m_format;
    Session m_session;
    KvCache m_cache;
    Tensor m_hidden;  // [length, hidden]
    std::vector<float> m_logits;
};

}  // namespace eigenscope
