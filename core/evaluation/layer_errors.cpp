// SPDX-License-Identifier: Apache-2.0
// Layer errors: the original runs, and each of its layers' inputs is given to the converted model's layer
// too. Only one hidden state of each is held at a time, so memory does not grow with layers or windows.
#include "core/evaluation/compare.h"

#include "kernels/api/error.h"

#include <algorithm>
#include <cmath>

namespace eigenscope {

namespace {

constexpr std::int64_t kChunk = 256;  // tokens of one forward call

class ErrorObserver : public LayerObserver {
public:
    ErrorObserver(const JobContext& job, const OpenModel& converted, const RunOptions& run,
                  std::int64_t chunk, std::int64_t length)
        : m_backend(*converted.backend),
          m_transformer(converted.backend, converted.model),
          m_session(m_transformer.createSession({.threads = run.threads,
                                                 .compute = resolveCompute(run, converted),
                                                 .max_rows = chunk,
                                                 .stop = job.stopToken()})),
          m_cache(m_transformer.createCache(resolveKvFormat(run, converted), length, 1, chunk)),
          m_hidden(makeTensor(m_backend, DType::F32, {chunk, converted.model->config.hidden_size})),
          m_difference(static_cast<std::size_t>(converted.model->config.layers)),
          m_norm(m_difference.size()) {}

    void restart() { m_cache.truncate(0); }
    void advance(std::int64_t count) { m_cache.advance(count); }  // after every layer has seen the chunk

    void onLayerInput(int, const TensorView& hidden) override {
        m_backend.copy(m_session.stream(), m_hidden.data(), hidden.data, hidden.bytes());
        m_session.stream().synchronize();
    }

    void onLayerOutput(int layer, const TensorView& hidden) override {
        const std::int64_t count = hidden.shape[0];
        const Tensor mine = m_hidden.rows(0, count);
        m_transformer.runLayer(m_session, layer, mine.view(), count, m_cache);
        const auto size = static_cast<std::size_t>(hidden.shape.count());
        m_expected.resize(size);
        m_found.resize(size);
        m_backend.download(m_session.stream(), m_found.data(), mine.data(), mine.bytes());
        m_backend.download(m_session.stream(), m_expected.data(), hidden.data, hidden.bytes());
        const auto i = static_cast<std::size_t>(layer);
        for (std::size_t k = 0; k < size; ++k) {
            const double expected = m_expected[k], difference = expected - static_cast<double>(m_found[k]);
            m_difference[i] += difference * difference;
            m_norm[i] += expected * expected;
        }
    }

    std::vector<double> errors() const {
        std::vector<double> errors;
        for (std::size_t i = 0; i < m_norm.size(); ++i)
            errors.push_back(m_norm[i] > 0 ? std::sqrt(m_difference[i] / m_norm[i]) : 0.0);
        return errors;
    }

private:
    Backend& m_backend;
    Transformer m_transformer;
    Session m_session;
    KvCache m_cache;
    Tensor m_hidden;  // [chunk, hidden]: the layer's input, then the converted layer's output
    std::vector<float> m_expected, m_found;    // [rows, hidden]
    std::vector<double> m_difference, m_norm;  // [layers], sums of squares
};

void checkPair(const OpenModel& original, const OpenModel& converted,
               const std::vector<std::vector<TokenId>>& windows) {
    const ModelConfig &a = original.model->config, &b = converted.model->config;
    if (a.layers != b.layers || a.hidden_size != b.hidden_size || original.backend != converted.backend)
        throw Error(ErrorCode::InvalidInput, "layer errors: " + converted.name + " is not a conversion of " +
                                                 original.name + " on the same device");
    for (const auto& window : windows) {
        if (window.empty() || window.size() > static_cast<std::size_t>(a.max_positions))
            throw Error(ErrorCode::InvalidInput, "layer errors: a window of " +
                                                     std::to_string(window.size()) +
                                                     " tokens, expected 1 to the model's " +
                                                     std::to_string(a.max_positions) + " positions");
    }
    if (windows.empty())
        throw Error(ErrorCode::InvalidInput, "layer errors: no windows to measure on");
}

}  // namespace

std::vector<double> layerErrors(JobContext& job, const OpenModel& original, const OpenModel& converted,
                                const std::vector<std::vector<TokenId>>& windows, const RunOptions& run) {
    checkPair(original, converted, windows);
    std::int64_t length = 0;
    for (const auto& window : windows)
        length = std::max(length, static_cast<std::int64_t>(window.size()));
    const std::int64_t chunk = std::min(kChunk, length);
    const Transformer transformer(original.backend, original.model);
    Session session = transformer.createSession({.threads = run.threads,
                                                 .compute = resolveCompute(run, original),
                                                 .max_rows = chunk,
                                                 .stop = job.stopToken()});
    KvCache cache = transformer.createCache(resolveKvFormat(run, original), length, 1, chunk);
    ErrorObserver observer(job, converted, run, chunk, length);
    const auto total = static_cast<std::int64_t>(windows.size());
    for (std::int64_t i = 0; i < total; ++i) {
        job.progress("measuring layer errors", i, total);
        cache.truncate(0);
        observer.restart();
        const std::span<const TokenId> ids(windows[static_cast<std::size_t>(i)]);
        for (std::size_t at = 0; at < ids.size(); at += static_cast<std::size_t>(chunk)) {
            job.checkCancelled();
            const std::size_t count = std::min(static_cast<std::size_t>(chunk), ids.size() - at);
            transformer.forward(session, ids.subspan(at, count), cache, LogitsOf::None, &observer);
            observer.advance(static_cast<std::int64_t>(count));
        }
    }
    job.progress("measuring layer errors", total, total);
    return observer.errors();
}

}  // namespace eigenscope
