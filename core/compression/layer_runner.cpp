// SPDX-License-Identifier: Apache-2.0
#include "core/compression/layer_runner.h"

namespace eigenscope {

LayerRunner::LayerRunner(const JobContext& job, const OpenModel& original, const RunOptions& run,
                         std::int64_t length)
    : m_backend(*original.backend),
      m_format(resolveKvFormat(run, original)),
      m_transformer(original.backend, original.model),
      m_length(length),
      m_session(m_transformer.createSession({.threads = run.threads,
                                             .compute = resolveCompute(run, original),
                                             .max_rows = length,
                                             .stop = job.stopToken()})),
      m_cache(m_transformer.createLayerCache(m_format, length, length)),
      m_hidden(makeTensor(m_backend, DType::F32, {length, original.model->config.hidden_size})) {}

std::vector<float> LayerRunner::firstInput(std::span<const TokenId> tokens) {
    m_cache.truncate(0);
    return download(m_transformer.embed(m_session, tokens, m_cache));
}

void LayerRunner::setHidden(const std::vector<float>& state) {
    m_backend.upload(m_session.stream(), m_hidden.data(), state.data(), state.size() * sizeof(float));
    m_session.stream().synchronize();
}

std::vector<float> LayerRunner::hidden() { return download(m_hidden.view()); }

std::vector<float> LayerRunner::download(const TensorView& view) {
    std::vector<float> host(static_cast<std::size_t>(view.shape.count()));
    m_backend.download(m_session.stream(), host.data(), view.data, view.bytes());
    return host;
}

void LayerRunner::run(const OpenModel& other, int layer, LayerObserver* observer, Cache of) {
    const Transformer transformer(other.backend, other.model);
    KvFormat format = m_format;
    if (of == Cache::Planned) {
        format = KvFormat(m_format.dtype);
        format.planned = true;
    }
    KvCache cache = transformer.createLayerCache(format, m_length, m_length);
    if (m_session.holds(other.model->config)) {
        runLayerOf(transformer, m_session, cache, layer, observer);
        return;
    }
    // Heads that share a latent have wider queries and outputs than the original's.
    Session session = transformer.createSession(m_session.options());
    runLayerOf(transformer, session, cache, layer, observer);
}

std::vector<float> LayerRunner::logits() {
    return download(m_transformer.logits(m_session, m_hidden.view()));
}

void LayerRunner::runLayerOf(const Transformer& transformer, Session& session, KvCache& cache, int layer,
                             LayerObserver* observer) {
    transformer.runLayer(session, layer, m_hidden.view(), m_length, cache, observer);
}

}  // namespace eigenscope
