// SPDX-License-Identifier: Apache-2.0
#include "core/generation/prefill.h"

#include <algorithm>

namespace eigenscope {

namespace {

// Positions of each sequence in one call.
std::int64_t chunkOf(std::int64_t rows, int batch) { return std::max<std::int64_t>(rows / batch, 1); }

class LayerPrefill {
public:
    LayerPrefill(const Transformer& transformer, Session& session, KvCache& cache, std::int64_t length)
        : m_transformer(transformer),
          m_session(session),
          m_cache(cache),
          m_length(length),
          m_chunk(chunkOf(session.options().max_rows, cache.batch())),
          m_hidden(makeTensor(session.backend(), DType::F32,
                              {length * cache.batch(), transformer.model().config.hidden_size})) {}

    void embed(const PromptTokens& tokens) {
        m_cache.truncate(0);
        while (m_cache.length() < m_length) {
            m_session.stream().checkStop();
            const TensorView to = chunk();
            const TensorView view =
                m_transformer.embed(m_session, tokens(m_cache.length(), count()), m_cache);
            m_session.backend().copy(m_session.stream(), to.data, view.data, view.bytes());
            m_cache.advance(count());
        }
    }

    void layer(int layer, const PrefillProgress& progress) {
        const std::int64_t layers = m_transformer.model().config.layers;
        m_cache.truncate(0);
        while (m_cache.length() < m_length) {
            progress(layer * m_length + m_cache.length(), layers * m_length);
            m_transformer.runLayer(m_session, layer, chunk(), count(), m_cache);
            m_cache.advance(count());
        }
    }

    TensorView logits() {
        // The last row of each sequence is in the last chunk.
        const std::int64_t begin = (m_length - 1) / m_chunk * m_chunk, rows = m_length - begin;
        const std::int64_t batch = m_cache.batch();
        const Tensor last = makeTensor(m_session.backend(), DType::F32, {batch, m_hidden.shape()[1]});
        for (std::int64_t sequence = 0; sequence < batch; ++sequence) {
            const TensorView from = m_hidden.rows(begin * batch + (sequence + 1) * rows - 1, 1).view();
            m_session.backend().copy(m_session.stream(), last.rows(sequence, 1).data(), from.data,
                                     from.bytes());
        }
        return m_transformer.logits(m_session, last.view());
    }

private:
    std::int64_t count() const { return std::min(m_chunk, m_length - m_cache.length()); }
    // States [batch * count, hidden] of the chunk that comes next.
    TensorView chunk() const {
        return m_hidden.rows(m_cache.length() * m_cache.batch(), count() * m_cache.batch()).view();
    }

    const Transformer& m_transformer;
    Session& m_session;
    KvCache& m_cache;
    std::int64_t m_length, m_chunk;
    Tensor m_hidden;  // [chunks][batch, count]
};

}  // namespace

TensorView prefill(const Transformer& transformer, Session& session, KvCache& cache, std::int64_t length,
                   const PromptTokens& tokens, const PrefillProgress& progress) {
    TensorView logits;
    if (transformer.model().streamed()) {
        LayerPrefill layers(transformer, session, cache, length);
        progress(0, transformer.model().config.layers * length);
        layers.embed(tokens);
        for (int layer = 0; layer < transformer.model().config.layers; ++layer) {
            layers.layer(layer, progress);
        }
        return layers.logits();
    }
    const std::int64_t chunk = chunkOf(session.options().max_rows, cache.batch());
    while (cache.length() < length) {
        progress(cache.length(), length);
        const std::int64_t count = std::min(chunk, length - cache.length());
        const bool last = cache.length() + count == length;
        logits = transformer.forward(session, tokens(cache.length(), count), cache,
                                     last ? LogitsOf::Last : LogitsOf::None);
    }
    return logits;
}

std::string prefillStage(const Model& model) {
    return model.streamed() ? "prefill, positions by layers" : "prefill";
}

std::int64_t streamedPrefillBytes(const ModelConfig& config, std::int64_t length, int batch) {
    // And the rows that logits are wanted of.
    return (length + 1) * batch * config.hidden_size * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace eigenscope
