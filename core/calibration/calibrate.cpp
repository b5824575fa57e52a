// SPDX-License-Identifier: Apache-2.0
#include "core/calibration/calibrate.h"

#include "core/base/fail.h"
#include "core/calibration/attention_moments.h"
#include "core/calibration/sample_average.h"
#include "core/model/transformer.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <utility>

namespace eigenscope {

namespace {

// Tokens of one forward call: enough rows for fast matrix products, few enough that activations stay small.
constexpr std::int64_t kChunk = 256;
// Windows kept in the statistics for measuring layer errors.
constexpr std::size_t kProbeWindows = 4;

enum Kind { kKeys, kQueries, kValues, kOutputs, kJointKeys, kJointValues };

// The sums of one layer in device memory: for each kind, gram [heads, width, width] then sum [heads, width].
class LayerAccumulator {
public:
    LayerAccumulator(Backend& backend, Stream& stream, const ModelConfig& config, int head_group)
        : m_shapes(head_group > 1 ? 6 : 4, Shape{config.kv_heads, config.head_dim}) {
        for (std::size_t kind = kJointKeys; kind < m_shapes.size(); ++kind)
            m_shapes[kind] = {config.kv_heads / head_group, config.head_dim * head_group};
        for (const Shape& shape : m_shapes)
            m_starts.push_back(m_starts.back() + shape.gram() + shape.sum());
        const std::vector<double> zeros(sumCount(), 0.0);
        m_buffer = backend.allocate(zeros.size() * sizeof(double));
        backend.upload(stream, m_buffer->data(), zeros.data(), zeros.size() * sizeof(double));
        stream.synchronize();  // the zeros end with this function
    }

    // x [rows, heads, head_dim]; the heads of a joint kind lie side by side in it.
    void add(Backend& backend, Stream& stream, Kind kind, const TensorView& x) {
        const Shape& shape = m_shapes.at(kind);
        GramParams params;
        params.x = x.f32();
        params.rows = x.shape[0];
        params.width = shape.width;
        params.heads = static_cast<std::int32_t>(x.shape[1] * x.shape[2] / shape.width);
        params.group = params.heads / shape.heads;
        params.gram = start(kind);
        params.sum = start(kind) + shape.gram();
        backend.gram(stream, params);
    }
    bool joint() const { return m_shapes.size() > kJointKeys; }

    Moments download(Backend& backend, Stream& stream, Kind kind, std::int64_t rows) {
        const Shape& shape = m_shapes.at(kind);
        Moments moments(shape.heads, shape.width);
        moments.rows = rows;
        backend.download(stream, moments.gram.data(), start(kind), moments.gram.size() * sizeof(double));
        backend.download(stream, moments.sum.data(), start(kind) + shape.gram(),
                         moments.sum.size() * sizeof(double));
        return moments;
    }

    // All kinds, as they lie in memory.
    std::vector<double> sums(Backend& backend, Stream& stream) const {
        std::vector<double> values(sumCount());
        backend.download(stream, values.data(), m_buffer->data(), values.size() * sizeof(double));
        return values;
    }
    void restore(Backend& backend, Stream& stream, std::span<const double> values) {
        backend.upload(stream, m_buffer->data(), values.data(), values.size() * sizeof(double));
        stream.synchronize();
    }
    std::size_t sumCount() const { return m_starts.back(); }

private:
    struct Shape {
        int heads, width;
        std::size_t sum() const { return static_cast<std::size_t>(heads) * static_cast<std::size_t>(width); }
        std::size_t gram() const { return sum() * static_cast<std::size_t>(width); }
    };
    double* start(Kind kind) const { return static_cast<double*>(m_buffer->data()) + m_starts[kind]; }

    std::vector<Shape> m_shapes;              // [kinds]
    std::vector<std::size_t> m_starts = {0};  // [kinds + 1]
    std::shared_ptr<Buffer> m_buffer;
};

class GramObserver : public LayerObserver {
public:
    // `attention` and `average` may be null.
    GramObserver(const JobContext& job, Backend& backend, Session& session, const ModelConfig& config,
                 int head_group, AttentionMoments* attention, SampleAverage* average)
        : m_job(job),
          m_backend(backend),
          m_session(session),
          m_config(config),
          m_attention(attention),
          m_average(average) {
        for (int layer = 0; layer < config.layers; ++layer)
            m_layers.emplace_back(backend, session.stream(), config, head_group);
    }

    // The tokens that follow begin at this position of their window.
    void startChunk(std::int64_t position) { m_position = position; }
    void endWindow() {
        if (m_average)
            m_average->endWindow(m_session.stream(), [this](int layer, int kind, const TensorView& rows) {
                m_job.checkCancelled();
                count(layer, static_cast<Kind>(kind), rows);
            });
    }

    void onAttention(int layer, const AttentionTrace& trace) override {
        const std::pair<Kind, const TensorView*> kinds[] = {{kKeys, &trace.keys},
                                                            {kQueries, &trace.queries},
                                                            {kValues, &trace.values},
                                                            {kOutputs, &trace.outputs}};
        for (const auto& [kind, rows] : kinds) {
            if (m_average)
                m_average->add(m_session.stream(), layer, kind, *rows, m_position);
            else
                count(layer, kind, *rows);
        }
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
        if (sums.joint()) {
            statistics.joint_keys = sums.download(m_backend, stream, kJointKeys, tokens);
            statistics.joint_values = sums.download(m_backend, stream, kJointValues, tokens);
        }
        if (m_attention)
            m_attention->finish(layer, statistics);
        return statistics;
    }

    std::vector<std::vector<double>> sums() const {
        std::vector<std::vector<double>> result;
        for (int layer = 0; layer < m_config.layers; ++layer) {
            result.push_back(m_layers[static_cast<std::size_t>(layer)].sums(m_backend, m_session.stream()));
            if (m_attention) {
                const std::vector<double> more = m_attention->sums(layer);
                result.back().insert(result.back().end(), more.begin(), more.end());
            }
        }
        return result;
    }

    void restore(const std::vector<std::vector<double>>& sums) {
        const std::size_t own = m_layers.front().sumCount();
        const std::size_t count = own + (m_attention ? m_attention->sumCount() : 0);
        bool fits = sums.size() == m_layers.size();
        for (const auto& layer : sums)
            fits = fits && layer.size() == count;
        if (!fits)
            throw Error(ErrorCode::InvalidInput,
                        "the unfinished calibration does not hold this model's layers and heads");
        for (std::size_t layer = 0; layer < sums.size(); ++layer) {
            const std::span<const double> values(sums[layer]);
            m_layers[layer].restore(m_backend, m_session.stream(), values.first(own));
            if (m_attention)
                m_attention->restoreSums(static_cast<int>(layer), values.subspan(own));
        }
    }

private:
    void count(int layer, Kind kind, const TensorView& rows) {
        LayerAccumulator& sums = m_layers.at(static_cast<std::size_t>(layer));
        sums.add(m_backend, m_session.stream(), kind, rows);
        if (sums.joint() && (kind == kKeys || kind == kValues))
            sums.add(m_backend, m_session.stream(), kind == kKeys ? kJointKeys : kJointValues, rows);
    }

    const JobContext& m_job;
    Backend& m_backend;
    Session& m_session;
    const ModelConfig& m_config;
    AttentionMoments* m_attention;
    SampleAverage* m_average;
    std::int64_t m_position = 0;
    std::vector<LayerAccumulator> m_layers;
};

// Cancellation as the run follows it: at once within a long window, else when the window is done, so that the
// sums are those of whole windows.
class WindowStop {
public:
    explicit WindowStop(const JobContext& job, bool finish_short_windows)
        : m_finish(finish_short_windows),
          m_inner(m_source.get_token()),
          m_callback(job.stopToken(), Forward{this}) {}
    const JobContext& inner() const { return m_inner; }
    void windowTook(double seconds) { m_short = m_finish && seconds < 0.5; }

private:
    struct Forward {
        WindowStop* stop;
        void operator()() const {
            if (!stop->m_short)
                stop->m_source.request_stop();
        }
    };
    bool m_finish;
    std::atomic<bool> m_short = false;
    std::stop_source m_source;
    JobContext m_inner;
    std::stop_callback<Forward> m_callback;  // last: may run at once
};

using Clock = std::chrono::steady_clock;
double secondsSince(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// Hands the sums to the keeper when it is time.
class Keeping {
public:
    Keeping(const CalibrationKeeper& keeper, const RunIdentity& identity, GramObserver& observer,
            Session& session)
        : m_keeper(keeper), m_identity(identity), m_observer(observer), m_session(session) {}

    void windowDone(std::int64_t windows) {
        // Keeping may take long for a large model; a twentieth of the time is enough.
        const double interval = m_keeper.interval_seconds;
        if (interval <= 0 || secondsSince(m_last) >= std::max(interval, 20 * m_cost))
            keep(windows);
    }

    void keep(std::int64_t windows) {
        if (!m_keeper.keep || windows == m_kept)
            return;
        m_kept = windows;
        const auto start = Clock::now();
        m_session.stream().synchronize();
        m_keeper.keep({m_identity, windows, m_observer.sums()});
        m_cost = secondsSince(start);
        m_last = Clock::now();
    }

private:
    const CalibrationKeeper& m_keeper;
    const RunIdentity& m_identity;
    GramObserver& m_observer;
    Session& m_session;
    double m_cost = 0;
    std::int64_t m_kept = 0;  // windows in what was kept last
    Clock::time_point m_last = Clock::now();
};

Statistics describe(const OpenModel& model, const CorpusSummary& corpus, const CalibrationOptions& options,
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
    statistics.head_group =
        options.head_group > 0 ? options.head_group : automaticHeadGroup(config.kv_heads, config.head_dim);
    statistics.corpus = corpus;
    statistics.calibration.text = corpus.title();
    statistics.calibration.fingerprint = corpus.fingerprint();
    statistics.calibration.samples = options.samples;
    statistics.calibration.sequence_length = length;
    statistics.calibration.seed = options.seed;
    statistics.calibration.average_samples = options.average_samples;
    statistics.tokens = static_cast<std::int64_t>(options.samples / options.average_samples) * length;
    const Compute compute = resolveCompute(options.run, model);
    statistics.identity = {{"model", statistics.model_fingerprint},
                           {"text", statistics.calibration.fingerprint},
                           {"samples", std::to_string(options.samples)},
                           {"sequence length", std::to_string(length)},
                           {"seed", std::to_string(options.seed)},
                           {"average samples", std::to_string(options.average_samples)},
                           {"attention queries", std::to_string(options.attention_queries)},
                           {"head group", std::to_string(statistics.head_group)},
                           {"arithmetic", compute == Compute::F32   ? "f32"
                                          : compute == Compute::F16 ? "f16"
                                                                    : "bf16"},
                           {"cache format", std::string(nameOf(resolveKvFormat(options.run, model)))},
                           {"device", model.backend->info().backend}};
    return statistics;
}

}  // namespace

int automaticHeadGroup(int kv_heads, int head_dim) {
    int group = 1;
    for (int heads = 2; heads <= kv_heads; ++heads) {
        if (kv_heads % heads == 0 && heads * head_dim <= kJointWidth)
            group = heads;
    }
    return group;
}

CalibrationPlan planCalibration(JobContext& job, const OpenModel& model, const CorpusSpec& corpus,
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
    if (options.head_group < 0 || (options.head_group > 0 && config.kv_heads % options.head_group != 0))
        throw Error(ErrorCode::InvalidInput,
                    "head group " + std::to_string(options.head_group) + ": expected a divisor of the " +
                        std::to_string(config.kv_heads) + " key/value heads, or 0 for the usual");
    if (options.average_samples < 1 || options.samples % options.average_samples != 0)
        throw Error(ErrorCode::InvalidInput, "average samples " + std::to_string(options.average_samples) +
                                                 ": expected a divisor of " +
                                                 std::to_string(options.samples) + " samples");
    if (options.average_samples > 1 && options.attention_queries > 0)
        throw Error(ErrorCode::InvalidInput,
                    "average samples: averaged rows attend to nothing; attention queries must be 0");
    const int length = std::min(options.sequence_length, config.max_positions);
    CorpusSample sample = sampleCorpus(job, *model.tokenizer, corpus, options.samples, length, options.seed);
    return {describe(model, sample.summary, options, length), std::move(sample.windows), options};
}

Statistics runCalibration(JobContext& job, const OpenModel& model, const CalibrationPlan& plan,
                          const CalibrationKeeper& keeper) {
    const CalibrationOptions& options = plan.options;
    const ModelConfig& config = model.model->config;
    const auto length = static_cast<std::int64_t>(plan.windows.front().size());
    const Transformer transformer(model.backend, model.model);
    WindowStop stop(job, static_cast<bool>(keeper.keep));
    // Attention is weighed over whole windows, so a trace must hold one.
    const std::int64_t chunk =
        options.attention_queries > 0 ? length : std::min<std::int64_t>(kChunk, length);
    Session session = transformer.createSession({.threads = options.run.threads,
                                                 .compute = resolveCompute(options.run, model),
                                                 .max_rows = chunk,
                                                 .stop = stop.inner().stopToken()});
    KvCache cache = transformer.createCache(resolveKvFormat(options.run, model), length, 1, chunk);
    std::optional<AttentionMoments> attention;
    if (options.attention_queries > 0)
        attention.emplace(*model.backend, *model.model, options.attention_queries,
                          plan.description.head_group, options.seed, options.run.threads);
    std::optional<SampleAverage> average;
    if (options.average_samples > 1)
        average.emplace(*model.backend, config, options.average_samples, length);
    GramObserver observer(stop.inner(), *model.backend, session, config, plan.description.head_group,
                          attention ? &*attention : nullptr, average ? &*average : nullptr);
    const auto total = static_cast<std::int64_t>(plan.windows.size());
    std::int64_t done = 0;
    if (keeper.start) {
        observer.restore(keeper.start->layers);
        done = std::min(keeper.start->windows, total);
        for (std::int64_t i = 0; attention && i < done; ++i)
            attention->startWindow(length);  // draws what the windows done drew
    }
    Keeping keeping(keeper, plan.description.identity, observer, session);
    for (; done < total; ++done) {
        job.progress("calibrating", done, total);
        if (job.cancelled())
            keeping.keep(done - done % options.average_samples);
        job.checkCancelled();
        const auto start = Clock::now();
        cache.truncate(0);
        if (attention)
            attention->startWindow(length);
        const std::span<const TokenId> window(plan.windows[static_cast<std::size_t>(done)]);
        for (std::size_t at = 0; at < window.size(); at += static_cast<std::size_t>(chunk)) {
            stop.inner().checkCancelled();
            const std::size_t count = std::min(static_cast<std::size_t>(chunk), window.size() - at);
            observer.startChunk(static_cast<std::int64_t>(at));
            transformer.forward(session, window.subspan(at, count), cache, LogitsOf::None, &observer);
        }
        observer.endWindow();
        stop.windowTook(secondsSince(start));
        if ((done + 1) % options.average_samples == 0)  // an average that is begun is in no sum
            keeping.windowDone(done + 1);
    }
    session.stream().synchronize();
    job.progress("calibrating", total, total);
    Statistics statistics = plan.description;
    for (int layer = 0; layer < config.layers; ++layer)
        statistics.layers.push_back(observer.download(layer, statistics.tokens));
    const std::size_t probes = std::min(kProbeWindows, plan.windows.size());
    statistics.probe_windows.assign(plan.windows.begin(),
                                    plan.windows.begin() + static_cast<std::ptrdiff_t>(probes));
    return statistics;
}

Statistics calibrate(JobContext& job, const OpenModel& model, const CorpusSpec& corpus,
                     const CalibrationOptions& options) {
    return runCalibration(job, model, planCalibration(job, model, corpus, options));
}

bool sameCalibration(const Statistics& statistics, const CalibrationPlan& plan) {
    RunIdentity a = statistics.identity, b = plan.description.identity;
    for (RunIdentity* identity : {&a, &b})
        std::erase_if(*identity, [](const auto& entry) { return entry.first == "device"; });
    return !a.empty() && firstDifference(a, b).empty();
}

}  // namespace eigenscope
