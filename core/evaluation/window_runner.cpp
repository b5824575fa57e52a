// SPDX-License-Identifier: Apache-2.0
#include "core/evaluation/window_runner.h"

#include <algorithm>
#include <chrono>
#include <numeric>

namespace eigenscope {

WindowRunner::WindowRunner(const JobContext& job, const OpenModel& model, const RunOptions& run,
                           std::int64_t chunk, std::int64_t length)
    : m_transformer(model.backend, model.model),
      m_chunk(std::clamp<std::int64_t>(chunk, 1, length)),
      m_session(m_transformer.createSession({.threads = run.threads,
                                             .compute = resolveCompute(run, model),
                                             .max_rows = m_chunk,
                                             .stop = job.stopToken()})),
      m_cache(m_transformer.createCache(resolveKvFormat(run, model), length, 1, m_chunk)) {}

TensorView WindowRunner::next(std::span<const TokenId> ids) {
    const auto start = std::chrono::steady_clock::now();
    const TensorView logits = m_transformer.forward(m_session, ids, m_cache, LogitsOf::All);
    m_session.stream().synchronize();
    m_seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return logits;
}

double WindowRunner::nll(std::span<const TokenId> ids, std::span<const TokenId> targets) {
    const auto start = std::chrono::steady_clock::now();
    m_nll.resize(ids.size());
    m_transformer.nll(m_session, ids, targets, m_cache, m_nll);
    m_seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return std::accumulate(m_nll.begin(), m_nll.end(), 0.0);
}

}  // namespace eigenscope
