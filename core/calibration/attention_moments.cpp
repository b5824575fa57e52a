// SPDX-License-Identifier: Apache-2.0
#include "core/calibration/attention_moments.h"

#include "core/base/job_context.h"
#include "core/calibration/moment_sums.h"
#include "core/calibration/output_roots.h"
#include "core/model/positions.h"

#include <algorithm>

namespace eigenscope {

namespace {

constexpr std::int64_t kMostWeightBytes = std::int64_t{32} << 20;

// Portable: the standard leaves the algorithm of its distributions open.
std::int64_t drawBelow(std::mt19937_64& random, std::int64_t bound) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(bound));
}

double* doublesOf(const std::shared_ptr<Buffer>& buffer) { return static_cast<double*>(buffer->data()); }

}  // namespace

struct AttentionMoments::Layer {
    MomentSums sums;
    std::vector<double> projection;      // [kv_heads, head_dim, head_dim]
    std::shared_ptr<Buffer> roots = {};  // [query_heads, head_dim, head_dim] float32
};

// Device memory for weighing a window, whatever the layer.
struct AttentionMoments::Window {
    std::int64_t length = 0, samples = 0;  // that there is room for; `samples` weighed at a time
    std::shared_ptr<Buffer> positions;     // int32 [queries of the window]
    bool positions_there = false;
    std::shared_ptr<Buffer> weights;   // [query_heads, samples, length]
    std::shared_ptr<Buffer> by_query;  // [query_heads, samples]
    std::shared_ptr<Buffer> by_key;    // [kv_heads, length]
    std::shared_ptr<Buffer> joint;     // [kv_heads / head_group, length]; null without
    std::shared_ptr<Buffer> rows;      // [samples, query_heads, head_dim] float32; null with rotary positions
    std::shared_ptr<Buffer> rotary;    // cos, then sin, where the length decides them
    RotaryTable table;
};

AttentionMoments::AttentionMoments(Backend& backend, const Model& model, Session& session, int queries,
                                   int head_group, std::uint64_t seed)
    : m_backend(backend),
      m_model(model),
      m_session(session),
      m_queries(queries),
      m_head_group(head_group),
      m_random(seed),
      m_window(std::make_unique<Window>()) {
    if (model.config.position == PositionKind::Rotary)
        m_window->table = {model.rotary_cos.f32(), model.rotary_sin.f32(), model.rotary_cos.shape()[0],
                           model.config.head_dim};
    m_layers.resize(static_cast<std::size_t>(model.config.layers));
}

AttentionMoments::~AttentionMoments() = default;

std::int64_t AttentionMoments::positionsAtATime(const ModelConfig& config, std::int64_t length,
                                                std::int64_t queries) {
    const std::int64_t one = config.query_heads * length * static_cast<std::int64_t>(sizeof(double));
    return std::clamp<std::int64_t>(kMostWeightBytes / one, 1, std::min(queries, length));
}

AttentionMoments::Layer& AttentionMoments::opened(int index, const JobContext& job) {
    std::unique_ptr<Layer>& layer = m_layers.at(static_cast<std::size_t>(index));
    if (layer)
        return *layer;
    Stream& stream = m_session.stream();
    OutputRoots output = outputRoots(job, m_backend, stream, m_model, index, m_session.options().threads);
    std::unique_ptr<Layer> fresh(
        new Layer{MomentSums(m_backend, stream, m_model.config, m_head_group), std::move(output.gram)});
    fresh->roots = m_backend.allocate(output.roots.size() * sizeof(float));
    m_backend.upload(stream, fresh->roots->data(), output.roots.data(), fresh->roots->bytes());
    stream.synchronize();  // the roots end with this function
    layer = std::move(fresh);
    return *layer;
}

void AttentionMoments::close(int layer) { m_layers.at(static_cast<std::size_t>(layer)).reset(); }

void AttentionMoments::startWindow(std::int64_t length) {
    const ModelConfig& config = m_model.config;
    RotaryTable& table = m_window->table;
    if (rotationDependsOnLength(config, length) && (!m_window->rotary || table.positions != length)) {
        const RotaryNumbers numbers = rotaryNumbers(rotaryFrequencies(config, length), length);
        const std::size_t bytes = numbers.cos.size() * sizeof(float);
        m_window->rotary = m_backend.allocate(2 * bytes);
        auto* cos = static_cast<float*>(m_window->rotary->data());
        float* sin = cos + numbers.cos.size();
        m_backend.upload(m_session.stream(), cos, numbers.cos.data(), bytes);
        m_backend.upload(m_session.stream(), sin, numbers.sin.data(), bytes);
        m_session.stream().synchronize();  // the numbers end here
        table = {cos, sin, length, config.head_dim};
    }
    m_positions.clear();
    if (length <= m_queries) {
        for (std::int64_t i = 0; i < length; ++i)
            m_positions.push_back(static_cast<std::int32_t>(i));
    } else {
        // One position from each of m_queries equal stretches: short and long contexts are both seen.
        for (int i = 0; i < m_queries; ++i) {
            const std::int64_t begin = length * i / m_queries, end = length * (i + 1) / m_queries;
            m_positions.push_back(static_cast<std::int32_t>(begin + drawBelow(m_random, end - begin)));
        }
    }
    m_window->positions_there = false;
}

void AttentionMoments::returnToWindow(const std::vector<std::int32_t>& positions) {
    m_positions = positions;
    m_window->positions_there = false;
}

// Device memory for a window of `length`, and its positions in it.
void AttentionMoments::prepareWindow(std::int64_t length) {
    Window& w = *m_window;
    const ModelConfig& config = m_model.config;
    const auto doubles = [&](std::int64_t count) {
        return m_backend.allocate(static_cast<std::size_t>(count) * sizeof(double));
    };
    if (w.length != length) {
        w.length = length;
        w.samples = positionsAtATime(config, length, m_queries);
        w.weights = doubles(config.query_heads * w.samples * length);
        w.by_query = doubles(config.query_heads * w.samples);
        w.by_key = doubles(config.kv_heads * length);
        if (m_head_group > 1)
            w.joint = doubles(config.kv_heads / m_head_group * length);
        if (config.position != PositionKind::Rotary)
            w.rows = m_backend.allocate(
                static_cast<std::size_t>(w.samples * config.query_heads * config.head_dim) * sizeof(float));
    }
    if (w.positions_there)
        return;
    const std::size_t bytes = m_positions.size() * sizeof(std::int32_t);
    if (!w.positions || w.positions->bytes() < bytes)
        w.positions = m_backend.allocate(bytes);
    m_backend.upload(m_session.stream(), w.positions->data(), m_positions.data(), bytes);
    w.positions_there = true;
}

void AttentionMoments::add(int index, const AttentionTrace& trace, const JobContext& job) {
    const std::int64_t length = trace.queries.shape[0];
    if (m_positions.empty() || m_positions.back() >= length)
        throw Error(ErrorCode::InvalidInput, "attention moments: a trace of " + std::to_string(length) +
                                                 " tokens does not hold the window");
    const Layer& layer = opened(index, job);
    prepareWindow(length);
    const auto samples = static_cast<std::int64_t>(m_positions.size());
    for (std::int64_t first = 0; first < samples; first += m_window->samples) {
        job.checkCancelled();
        const std::int64_t count = std::min(m_window->samples, samples - first);
        weigh(index, layer, trace, first, count);
        sumQueries(index, layer, trace, first, count);
        sumKeys(layer, trace);
    }
}

void AttentionMoments::weigh(int index, const Layer& layer, const AttentionTrace& trace, std::int64_t first,
                             std::int64_t count) {
    const Window& w = *m_window;
    const ModelConfig& config = m_model.config;
    m_backend.logitWeights(
        m_session.stream(),
        {.length = w.length,
         .query_heads = config.query_heads,
         .kv_heads = config.kv_heads,
         .width = config.head_dim,
         .queries = trace.queries.f32(),
         .keys = trace.keys.f32(),
         .values = trace.values.f32(),
         .outputs = trace.outputs.f32(),
         .roots = static_cast<const float*>(layer.roots->data()),
         .positions = static_cast<const std::int32_t*>(w.positions->data()) + first,
         .samples = static_cast<std::int32_t>(count),
         .window = config.window(index),
         .scale = config.attention_scale,
         .table = w.table,
         .alibi_slopes = m_model.alibi_slopes.empty() ? nullptr : m_model.alibi_slopes.f32(),
         .joint = m_head_group,
         .weights = doublesOf(w.weights),
         .by_query = doublesOf(w.by_query),
         .by_key = doublesOf(w.by_key),
         .joint_keys = w.joint ? doublesOf(w.joint) : nullptr,
         .total = layer.sums.weights()});
}

void AttentionMoments::sumQueries(int index, const Layer& layer, const AttentionTrace& trace,
                                  std::int64_t first, std::int64_t count) {
    const Window& w = *m_window;
    const ModelConfig& config = m_model.config;
    const auto* positions = static_cast<const std::int32_t*>(w.positions->data()) + first;
    if (config.position == PositionKind::Rotary) {
        m_backend.spreadGram(m_session.stream(), {.x = trace.queries.f32(),
                                                  .length = w.length,
                                                  .heads = config.query_heads,
                                                  .width = config.head_dim,
                                                  .group = config.group(),
                                                  .positions = positions,
                                                  .samples = static_cast<std::int32_t>(count),
                                                  .window = config.window(index),
                                                  .table = w.table,
                                                  .weights = doublesOf(w.weights),
                                                  .gram = layer.sums.queries()});
        return;
    }
    // Every key sees the same query: the sampled rows, each with the sum of its weights.
    auto* rows = static_cast<float*>(w.rows->data());
    m_backend.embed(m_session.stream(), {.table = trace.queries.f32(),
                                         .table_dtype = DType::F32,
                                         .rows = w.length,
                                         .width = std::int64_t{config.query_heads} * config.head_dim,
                                         .ids = positions,
                                         .count = count,
                                         .y = rows});
    m_backend.gram(m_session.stream(), {.x = rows,
                                        .rows = count,
                                        .heads = config.query_heads,
                                        .width = config.head_dim,
                                        .group = config.group(),
                                        .gram = layer.sums.queries(),
                                        .weights = doublesOf(w.by_query)});
}

void AttentionMoments::sumKeys(const Layer& layer, const AttentionTrace& trace) {
    const auto sum = [&](const MomentSums::Keys& keys, const std::shared_ptr<Buffer>& weights) {
        m_backend.gram(m_session.stream(), {.x = trace.keys.f32(),
                                            .rows = m_window->length,
                                            .heads = keys.heads,
                                            .width = keys.width,
                                            .gram = keys.gram,
                                            .sum = keys.sum,
                                            .weights = doublesOf(weights)});
    };
    sum(layer.sums.keys(), m_window->by_key);
    if (m_window->joint)
        sum(layer.sums.joint(), m_window->joint);
}

void AttentionMoments::finish(int index, LayerStatistics& statistics) {
    const Layer& layer = opened(index, JobContext());
    layer.sums.fill(m_backend, m_session.stream(), statistics);
    statistics.projection = layer.projection;
}

std::size_t AttentionMoments::sumCount() const { return MomentSums::count(m_model.config, m_head_group); }

std::vector<double> AttentionMoments::sums(int index) {
    return opened(index, JobContext()).sums.kept(m_backend, m_session.stream());
}

void AttentionMoments::restoreSums(int index, std::span<const double> sums) {
    opened(index, JobContext()).sums.restore(m_backend, m_session.stream(), sums);
}

}  // namespace eigenscope
