// SPDX-License-Identifier: Apache-2.0
#include "core/evaluation/state_run.h"

namespace eigenscope {

namespace {

// Passes on what it sees and copies one layer's output.
class Keeper : public LayerObserver {
public:
    Keeper(Backend& backend, Stream& stream, void* to, int output_of, LayerObserver* next)
        : m_backend(backend), m_stream(stream), m_to(to), m_output_of(output_of), m_next(next) {}

    void onLayerInput(int layer, const TensorView& hidden) override {
        if (m_next != nullptr)
            m_next->onLayerInput(layer, hidden);
    }
    void onAttention(int layer, const AttentionTrace& trace) override {
        if (m_next != nullptr)
            m_next->onAttention(layer, trace);
    }
    void onLayerOutput(int layer, const TensorView& hidden) override {
        if (layer == m_output_of)
            keep(hidden);
        if (m_next != nullptr)
            m_next->onLayerOutput(layer, hidden);
    }

private:
    void keep(const TensorView& hidden) {
        m_backend.copy(m_stream, m_to, hidden.data, hidden.bytes());
        m_stream.synchronize();
    }

    Backend& m_backend;
    Stream& m_stream;
    void* m_to;
    int m_output_of;
    LayerObserver* m_next;
};

}  // namespace

StateRun::StateRun(const JobContext& job, const OpenModel& model, const RunOptions& run, std::int64_t length)
    : m_backend(*model.backend),
      m_transformer(model.backend, model.model),
      m_length(length),
      m_threads(run.threads),
      m_format(resolveKvFormat(run, model)),
      m_session(m_transformer.createSession({.threads = run.threads,
                                             .compute = resolveCompute(run, model),
                                             .max_rows = length,
                                             .stop = job.stopToken()})),
      m_cache(createCache()),
      m_hidden(makeTensor(m_backend, DType::F32, {length, model.model->config.hidden_size})) {}

void StateRun::start(std::span<const TokenId> ids) {
    m_cache.truncate(0);
    m_tokens = static_cast<std::int64_t>(ids.size());
    const TensorView embedded = m_transformer.embed(m_session, ids, m_cache);
    m_backend.copy(stream(), m_hidden.data(), embedded.data, embedded.bytes());
    stream().synchronize();
}

KvCache StateRun::createCache() const {
    // A streamed model's layers are run one by one.
    return model().streamed() ? m_transformer.createLayerCache(m_format, m_length, m_length)
                              : m_transformer.createCache(m_format, m_length, 1, m_length);
}

void StateRun::run(std::span<const TokenId> ids, LayerObserver* observer) {
    Keeper keeper(m_backend, stream(), m_hidden.data(), model().config.layers - 1, observer);
    forward(ids, keeper);
}

void StateRun::forward(std::span<const TokenId> ids, LayerObserver& observer) {
    m_cache.truncate(0);
    m_tokens = static_cast<std::int64_t>(ids.size());
    m_transformer.forward(m_session, ids, m_cache, LogitsOf::None, &observer);
    m_cache.truncate(0);
}

void StateRun::runLayer(int layer, KvCache& cache, LayerObserver* observer) {
    m_transformer.runLayer(m_session, layer, state(), m_tokens, cache, observer);
}

const std::vector<float>& StateRun::logits(std::size_t begin, std::size_t count) {
    const Tensor rows = m_hidden.rows(static_cast<std::int64_t>(begin), static_cast<std::int64_t>(count));
    download(m_transformer.logits(m_session, rows.view()), m_logits);
    return m_logits;
}

std::vector<float> StateRun::download(const TensorView& view) {
    std::vector<float> host;
    download(view, host);
    return host;
}

void StateRun::download(const TensorView& view, std::vector<float>& host) {
    host.resize(static_cast<std::size_t>(view.shape.count()));
    m_backend.download(stream(), host.data(), view.data, view.bytes());
}

void StateRun::upload(const std::vector<float>& state) {
    m_backend.upload(stream(), m_hidden.data(), state.data(), state.size() * sizeof(float));
    stream().synchronize();
}

}  // namespace eigenscope
