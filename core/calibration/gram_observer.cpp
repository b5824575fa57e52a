// SPDX-License-Identifier: Apache-2.0
#include "core/calibration/gram_observer.h"

#include <string>
#include <utility>

namespace eigenscope {

namespace {

enum Kind { kKeys, kQueries, kValues, kOutputs, kJointKeys, kJointValues };

}  // namespace

// The sums of one layer in device memory: for each kind, gram [heads, width, width] then sum [heads, width].
class GramObserver::Layer {
public:
    Layer(Backend& backend, Stream& stream, const ModelConfig& config, int head_group)
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

GramObserver::GramObserver(const JobContext& job, Backend& backend, Session& session,
                           const ModelConfig& config, int head_group, AttentionMoments* attention,
                           SampleAverage* average)
    : m_job(job),
      m_backend(backend),
      m_session(session),
      m_config(config),
      m_head_group(head_group),
      m_attention(attention),
      m_average(average),
      m_layers(static_cast<std::size_t>(config.layers)) {}

GramObserver::~GramObserver() = default;

GramObserver::Layer& GramObserver::opened(int index) {
    std::unique_ptr<Layer>& layer = m_layers.at(static_cast<std::size_t>(index));
    if (!layer)
        layer = std::make_unique<Layer>(m_backend, m_session.stream(), m_config, m_head_group);
    return *layer;
}

void GramObserver::close(int layer) {
    m_layers.at(static_cast<std::size_t>(layer)).reset();
    if (m_attention)
        m_attention->close(layer);
    if (m_average)
        m_average->close(layer);
}

void GramObserver::endWindow() {
    if (m_average)
        m_average->endWindow(m_session.stream(), [this](int layer, int kind, const TensorView& rows) {
            m_job.checkCancelled();
            count(layer, kind, rows);
        });
}

void GramObserver::onAttention(int layer, const AttentionTrace& trace) {
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
        m_attention->add(layer, trace, m_job);
}

void GramObserver::count(int layer, int kind, const TensorView& rows) {
    Layer& sums = opened(layer);
    sums.add(m_backend, m_session.stream(), static_cast<Kind>(kind), rows);
    if (sums.joint() && (kind == kKeys || kind == kValues))
        sums.add(m_backend, m_session.stream(), kind == kKeys ? kJointKeys : kJointValues, rows);
}

LayerStatistics GramObserver::download(int layer, std::int64_t tokens) {
    Layer& sums = opened(layer);
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

std::size_t GramObserver::sumCount() {
    return opened(0).sumCount() + (m_attention ? m_attention->sumCount() : 0);
}

std::vector<double> GramObserver::sums(int layer) {
    std::vector<double> result = opened(layer).sums(m_backend, m_session.stream());
    if (m_attention) {
        const std::vector<double> more = m_attention->sums(layer);
        result.insert(result.end(), more.begin(), more.end());
    }
    return result;
}

void GramObserver::restore(int layer, std::span<const double> sums) {
    Layer& own = opened(layer);
    if (sums.size() != own.sumCount() + (m_attention ? m_attention->sumCount() : 0))
        throw Error(ErrorCode::InvalidInput,
                    "the unfinished calibration does not hold this model's layers and heads");
    own.restore(m_backend, m_session.stream(), sums.first(own.sumCount()));
    if (m_attention)
        m_attention->restoreSums(layer, sums.subspan(own.sumCount()));
}

}  // namespace eigenscope
