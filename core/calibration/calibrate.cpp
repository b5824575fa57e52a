// SPDX-License-Identifier: Apache-2.0
#include "core/calibration/calibrate.h"

#include "core/base/fail.h"
#include "core/calibration/attention_moments.h"
#include "core/calibration/corpus.h"
#include "core/model/transformer.h"

#include <algorithm>
#include <optional>

namespace eigenscope {

namespace {

// Tokens of one forward call: enough rows for fast matrix products, few enough that activations stay small.
constexpr std::int64_t kChunk = 256;
// Windows kept in the statistics for measuring layer errors.
constexpr std::size_t kProbeWindows = 4;

std::size_t gramCount(const Moments& m) { return m.gram.size(); }

// The four kinds of one layer in device memory: for each, gram [heads, width, width] then sum [heads, width].
class LayerAccumulator {
public:
    LayerAccumulator(Backend& backend, Stream& stream, int heads, int width) : m_moments(heads, width) {
        const std::vector<double> zeros(4 * kindCount(), 0.0);
        m_buffer = backend.allocate(zeros.size() * sizeof(double));
        backend.upload(stream, m_buffer->data(), zeros.data(), zeros.size() * sizeof(double));
        stream.synchronize();  // the zeros end with this function
    }

    void add(Backend& backend, Stream& stream, int kind, const TensorView& x) {
        GramParams params;
        params.x = x.f32();
        params.rows = x.shape[0];
        params.heads = static_cast<std::int32_t>(x.shape[1]);
        params.width = m_moments.width;
        params.group = params.heads / m_moments.heads;
        params.gram = start(kind);
        params.sum = start(kind) + gramCount(m_moments);
        backend.gram(stream, params);
    }

    Moments download(Backend& backend, Stream& stream, int kind, std::int64_t rows) {
        Moments moments = m_moments;
        moments.rows = rows;
        backend.download(stream, moments.gram.data(), start(kind), moments.gram.size() * sizeof(double));
        backend.download(stream, moments.sum.data(), start(kind) + gramCount(m_moments),
                         moments.sum.size() * sizeof(double));
        return moments;
    }

private:
    std::size_t kindCount() const { return m_moments.gram.size() + m_moments.sum.size(); }
    double* start(int kind) const {
        return static_cast<double*>(m_buffer->data()) + static_cast<std::size_t>(kind) * kindCount();
    }

    Moments m_moments;  // zeros: the shape of one kind
    std::shared_ptr<Buffer> m_buffer;
};

enum Kind { kKeys, kQueries, kValues, kOutputs };

class GramObserver : public LayerObserver {
public:
    // `attention` may be null.
    GramObserver(const JobContext& job, Backend& backend, Session& session, const ModelConfig& config,
                 AttentionMoments* attention)
        : m_job(job), m_backend(backend), m_session(session), m_config(config), m_attention(attention) {
        for (int layer = 0; layer < config.layers; ++layer)
            m_layers.emplace_back(backend, session.stream(), config.kv_heads, config.head_dim);
    }

    void onAttention(int layer, const AttentionTrace& trace) override {
        LayerAccumulator& sums = m_layers.at(static_cast<std::size_t>(layer));
        sums.add(m_backend, m_session.stream(), kKeys, trace.keys);
        sums.add(m_backend, m_session.stream(), kQueries, trace.queries);
        sums.add(m_backend, m_session.stream(), kValues, trace.values);
        sums.add(m_backend, m_session.stream(), kOutputs, trace.outputs);
        if (m_attention)
            m_attention->add(layer, m_session.stream(), trace, m_job);
    }

    LayerStatistics download(int layer, std::int64_t tokens) {
        LayerAccumulator& sums = m_layers.at(static_cast<std::size_t>(layer));
        Stream& stream = m_session.stream();
        const std::int64_t query_rows = tokens * m_config.group();
        LayerStatistics statistics{sums.download(m_backend, stream, kKeys, tokens),
                                   sums.download(m_backend, stream, kQueries, query_rows),
                                   sums.download(m_backend, stream, kValues, tokens),
                                   sums.download(m_backend, stream, kOutputs, query_rows)};
        if (m_attention)
            m_attention->finish(layer, statistics);
        return statistics;
    }

private:
    const JobContext& m_job;
    Backend& m_backend;
    Session& m_session;
    const ModelConfig& m_config;
    AttentionMoments* m_attention;
    std::vector<LayerAccumulator> m_layers;
};

Statistics describe(const OpenModel& model, const Corpus& corpus, const CalibrationOptions& options,
                    int length) {
    const ModelConfig& config = model.model->config;
    Statistics statistics;
    statistics.model_name = model.name;
    statistics.model_fingerprint = model.checkpoint->fingerprint();
    statistics.family = config.family;
    statistics.rotary = config.position == PositionKind::Rotary;
    statistics.query_heads = config.query_heads;
    statistics.kv_heads = config.kv_heads;
    statistics.head_dim = config.head_dim;
    statistics.calibration.text = corpus.file.filename().string();
    statistics.calibration.fingerprint = corpus.fingerprint;
    statistics.calibration.samples = options.samples;
    statistics.calibration.sequence_length = length;
    statistics.calibration.seed = options.seed;
    statistics.tokens = static_cast<std::int64_t>(options.samples) * length;
    return statistics;
}

}  // namespace

Statistics calibrate(JobContext& job, const OpenModel& model, const std::filesystem::path& text,
                     const CalibrationOptions& options) {
    const ModelConfig& config = model.model->config;
    if (config.low_rank)
        throw Error(
            ErrorCode::InvalidInput,
            model.name + ": is a converted model; calibrate the original, its keys are the ones that count");
    if (options.attention_queries < 0)
        throw Error(
            ErrorCode::InvalidInput,
            "attention queries " + std::to_string(options.attention_queries) + ": expected 0 (none) or more");
    const int length = std::min(options.sequence_length, config.max_positions);
    const Corpus corpus = readCorpus(job, *model.tokenizer, text);
    const auto windows = sampleWindows(corpus, options.samples, length, options.seed);
    Statistics statistics = describe(model, corpus, options, length);

    const Transformer transformer(model.backend, model.model);
    // Attention is weighed over whole windows, so a trace must hold one.
    const std::int64_t chunk =
        options.attention_queries > 0 ? length : std::min<std::int64_t>(kChunk, length);
    Session session = transformer.createSession({.threads = options.run.threads,
                                                 .compute = resolveCompute(options.run, model),
                                                 .max_rows = chunk,
                                                 .stop = job.stopToken()});
    KvCache cache = transformer.createCache(resolveKvFormat(options.run, model), length, 1, chunk);
    std::optional<AttentionMoments> attention;
    if (options.attention_queries > 0)
        attention.emplace(*model.backend, *model.model, options.attention_queries, options.seed,
                          options.run.threads);
    GramObserver observer(job, *model.backend, session, config, attention ? &*attention : nullptr);
    const auto total = static_cast<std::int64_t>(windows.size());
    for (std::int64_t i = 0; i < total; ++i) {
        job.progress("calibrating", i, total);
        cache.truncate(0);
        if (attention)
            attention->startWindow(length);
        const std::span<const TokenId> window(windows[static_cast<std::size_t>(i)]);
        for (std::size_t at = 0; at < window.size(); at += static_cast<std::size_t>(chunk)) {
            job.checkCancelled();
            const std::size_t count = std::min(static_cast<std::size_t>(chunk), window.size() - at);
            transformer.forward(session, window.subspan(at, count), cache, LogitsOf::None, &observer);
        }
    }
    session.stream().synchronize();
    job.progress("calibrating", total, total);
    for (int layer = 0; layer < config.layers; ++layer)
        statistics.layers.push_back(observer.download(layer, statistics.tokens));
    const std::size_t probes = std::min(kProbeWindows, windows.size());
    statistics.probe_windows.assign(windows.begin(), windows.begin() + static_cast<std::ptrdiff_t>(probes));
    return statistics;
}

}  // namespace eigenscope
