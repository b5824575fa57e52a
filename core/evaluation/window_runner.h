// SPDX-License-Identifier: Apache-2.0
// One model run over token windows, chunk by chunk, from an empty cache each. What perplexity and comparison
// share. One thread.
#pragma once

#include "core/base/job_context.h"
#include "core/generation/generate.h"
#include "core/model/transformer.h"

#include <span>
#include <vector>

namespace eigenscope {

class WindowRunner {
public:
    // `length` is that of the longest window. A stop of the job is seen between layers.
    WindowRunner(const JobContext& job, const OpenModel& model, const RunOptions& run, std::int64_t chunk,
                 std::int64_t length);

    std::int64_t chunk() const { return m_chunk; }
    std::int64_t vocabulary() const { return m_transformer.model().config.vocab_size; }
    Session& session() { return m_session; }
    void restart() { m_cache.truncate(0); }
    // Logits [ids, vocab] of the next at most chunk() ids; valid until the next call.
    TensorView next(std::span<const TokenId> ids);
    // Sum of the negative log-likelihoods of `targets`, the ids one further on, in the place of next().
    double nll(std::span<const TokenId> ids, std::span<const TokenId> targets);
    double seconds() const { return m_seconds; }  // spent in next() and nll()

private:
    Transformer m_transformer;
    std::int64_t m_chunk;
    Session m_session;
    KvCache m_cache;
    std::vector<double> m_nll;
    double m_seconds = 0;
};

}  // namespace eigenscope
