// SPDX-License-Identifier: Apache-2.0
#include "core/calibration/attention_moments.h"

#include "core/base/job_context.h"
#include "core/base/parallel.h"
#include "core/model/positions.h"

#include <Eigen/Core>
#include <Eigen/Eigenvalues>

#include <algorithm>
#include <cmath>
#include <limits>

namespace eigenscope {

namespace {

using RowMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using RowMatrixD = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

std::vector<float> downloadAsF32(Backend& backend, Stream& stream, const Tensor& tensor) {
    std::vector<std::byte> bytes(tensor.bytes());
    backend.download(stream, bytes.data(), tensor.data(), bytes.size());
    std::vector<float> values(static_cast<std::size_t>(tensor.shape().count()));
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = loadAsF32(bytes.data(), tensor.dtype(), static_cast<std::int64_t>(i));
    return values;
}

// W_h^T W_h of every query head, [query_heads] of [head_dim, head_dim].
std::vector<RowMatrixD> headProjections(Backend& backend, const Model& model, int layer,
                                        const JobContext& job) {
    const ModelConfig& config = model.config;
    const auto stream = backend.createStream(0);
    const LayerLease weights = model.layer(layer, job.stopToken());
    const Tensor& weight = weights->attention.output.weight;
    const std::vector<float> values = downloadAsF32(backend, *stream, weight);
    const Eigen::Map<const RowMatrix> output(values.data(), weight.shape()[0], weight.shape()[1]);
    std::vector<RowMatrixD> grams;
    for (int head = 0; head < config.query_heads; ++head) {
        job.checkCancelled();
        const RowMatrixD block = output.middleCols(head * config.head_dim, config.head_dim).cast<double>();
        grams.emplace_back(block.transpose() * block);
    }
    return grams;
}

// The symmetric square root of a positive semi-definite matrix.
RowMatrix squareRoot(const RowMatrixD& matrix) {
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(matrix);
    const Eigen::VectorXd roots = solver.eigenvalues().cwiseMax(0.0).cwiseSqrt();
    return (solver.eigenvectors() * roots.asDiagonal() * solver.eigenvectors().transpose()).cast<float>();
}

void addTo(std::vector<double>& sum, const RowMatrixD& matrix, int head) {
    const auto size = static_cast<std::size_t>(matrix.size());
    for (std::size_t i = 0; i < size; ++i)
        sum[static_cast<std::size_t>(head) * size + i] += matrix.data()[i];
}

// A device buffer of doubles that starts at zero.
std::shared_ptr<Buffer> zeros(Backend& backend, Stream& stream, std::size_t count) {
    const std::vector<double> values(count, 0.0);
    auto buffer = backend.allocate(count * sizeof(double));
    backend.upload(stream, buffer->data(), values.data(), count * sizeof(double));
    stream.synchronize();
    return buffer;
}

// Rows of one head in [length, heads, head_dim].
using HeadRows = Eigen::Map<const RowMatrix, 0, Eigen::OuterStride<>>;
HeadRows rowsOf(const std::vector<float>& values, std::int64_t length, int heads, int head, int width) {
    return HeadRows(values.data() + static_cast<std::ptrdiff_t>(head) * width, length, width,
                    Eigen::OuterStride<>(static_cast<Eigen::Index>(heads) * width));
}

// Portable: the standard leaves the algorithm of its distributions open.
std::int64_t drawBelow(std::mt19937_64& random, std::int64_t bound) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(bound));
}

// Weighted sums of keys: of one head, or of several side by side.
struct KeySums {
    explicit KeySums(int width) : gram(RowMatrixD::Zero(width, width)), sum(Eigen::VectorXd::Zero(width)) {}
    void add(const RowMatrixD& keys, const Eigen::VectorXd& weights, const JobContext& job) {
        const RowMatrixD weighted = weights.cwiseSqrt().asDiagonal() * keys;
        // A thousand columns and more are too much for one call; each column's numbers are the same.
        constexpr Eigen::Index kColumns = 256;
        for (Eigen::Index first = 0; first < gram.cols(); first += kColumns) {
            job.checkCancelled();
            const Eigen::Index count = std::min(kColumns, gram.cols() - first);
            gram.middleCols(first, count).noalias() +=
                weighted.transpose() * weighted.middleCols(first, count);
        }
        sum.noalias() += keys.transpose() * weights;
    }
    std::size_t count() const { return static_cast<std::size_t>(gram.size() + sum.size()); }
    RowMatrixD gram;      // [width, width], sum w k k^T
    Eigen::VectorXd sum;  // [width], sum w k
};

Moments momentsOf(const std::vector<KeySums>& keys) {
    Moments moments;
    moments.heads = static_cast<int>(keys.size());
    moments.width = keys.empty() ? 0 : static_cast<int>(keys.front().sum.size());
    for (const KeySums& sums : keys) {
        // Symmetric to the last bit, as a Gram matrix is.
        const RowMatrixD gram = 0.5 * (sums.gram + sums.gram.transpose());
        moments.gram.insert(moments.gram.end(), gram.data(), gram.data() + gram.size());
        moments.sum.insert(moments.sum.end(), sums.sum.begin(), sums.sum.end());
    }
    return moments;
}

}  // namespace

std::vector<double> outputProjectionGram(Backend& backend, const Model& model, int layer) {
    const ModelConfig& config = model.config;
    const auto size = static_cast<std::size_t>(config.head_dim) * static_cast<std::size_t>(config.head_dim);
    std::vector<double> sum(static_cast<std::size_t>(config.kv_heads) * size, 0.0);
    const std::vector<RowMatrixD> grams = headProjections(backend, model, layer, JobContext());
    for (int head = 0; head < config.query_heads; ++head)
        addTo(sum, grams[static_cast<std::size_t>(head)], head / config.group());
    return sum;
}

// Sums of one layer.
struct AttentionMoments::Layer {
    int index = 0;
    std::vector<RowMatrix> roots;     // [query_heads] of (W_h^T W_h)^(1/2) [head_dim, head_dim]
    std::vector<double> projection;   // [kv_heads, head_dim, head_dim]
    std::shared_ptr<Buffer> queries;  // device, [kv_heads, head_dim, head_dim] float64: S_q
    // On the host, where weights need not be rounded to float32: centring takes most of S_k away when keys
    // have a large mean.
    std::vector<KeySums> keys;  // [kv_heads] of head_dim: S_k
    std::vector<KeySums>
        joint;  // [kv_heads / head_group] of head_group * head_dim; empty when they are the same
    std::vector<double> weight;  // [kv_heads], sum w
};

// One window of one layer on the host, and rows on their way to the device.
struct AttentionMoments::Scratch {
    std::unique_ptr<Stream> stream;
    std::vector<float> queries, keys, values, outputs;  // [length, heads, head_dim]
    RowMatrix cos, sin;                                 // [positions, head_dim / 2], rotary positions only
    std::vector<float> slopes;                          // [query_heads], ALiBi only
    std::int64_t length = 0;
    std::vector<std::int64_t> starts;  // [samples + 1]: where each sampled query's rows begin below
    RowMatrix seen;       // rotary: [starts.back(), head_dim]: sqrt(w) q~ of one head's samples by key;
                          // else [samples, head_dim]: sqrt(sum of w) q
    RowMatrix projected;  // [length, head_dim]: values through a head's root
    std::vector<double> weights;    // [starts.back()]: w of one head's samples by key
    Eigen::VectorXd key_weights;    // [length]: w of all queries of a group, by key
    Eigen::VectorXd joint_weights;  // the same of all key/value heads taken together
    std::shared_ptr<Buffer> rows;   // device
    std::size_t row_bytes = 0;

    // Keys of `count` heads from `first` on, side by side: [length, count * head_dim].
    RowMatrixD keyRows(const ModelConfig& config, int first, int count) const {
        return HeadRows(keys.data() + static_cast<std::ptrdiff_t>(first) * config.head_dim, length,
                        count * config.head_dim,
                        Eigen::OuterStride<>(static_cast<Eigen::Index>(config.kv_heads) * config.head_dim))
            .cast<double>();
    }

    void gram(Backend& backend, const RowMatrix& matrix, double* target) {
        const auto bytes = static_cast<std::size_t>(matrix.size()) * sizeof(float);
        if (row_bytes < bytes) {
            rows = backend.allocate(bytes);
            row_bytes = bytes;
        }
        backend.upload(*stream, rows->data(), matrix.data(), bytes);
        GramParams params;
        params.x = static_cast<const float*>(rows->data());
        params.rows = matrix.rows();
        params.heads = 1;
        params.width = static_cast<std::int32_t>(matrix.cols());
        params.gram = target;
        backend.gram(*stream, params);
        stream->synchronize();  // the rows are reused
    }
};

AttentionMoments::AttentionMoments(Backend& backend, const Model& model, int queries, int head_group,
                                   std::uint64_t seed, int threads)
    : m_backend(backend),
      m_model(model),
      m_queries(queries),
      m_head_group(head_group),
      m_threads(threads),
      m_random(seed),
      m_scratch(std::make_unique<Scratch>()) {
    const ModelConfig& config = model.config;
    m_scratch->stream = backend.createStream(threads);
    Stream& stream = *m_scratch->stream;
    const auto table = [&](const Tensor& tensor) -> RowMatrix {
        const std::vector<float> values = downloadAsF32(backend, stream, tensor);
        return Eigen::Map<const RowMatrix>(values.data(), tensor.shape()[0], tensor.shape()[1]);
    };
    if (config.position == PositionKind::Rotary) {
        m_scratch->cos = table(model.rotary_cos);
        m_scratch->sin = table(model.rotary_sin);
    }
    if (config.position == PositionKind::Alibi)
        m_scratch->slopes = downloadAsF32(backend, stream, model.alibi_slopes);
    m_layers.resize(static_cast<std::size_t>(config.layers));
}

AttentionMoments::Layer& AttentionMoments::opened(int index, const JobContext& job) {
    std::unique_ptr<Layer>& layer = m_layers.at(static_cast<std::size_t>(index));
    if (layer)
        return *layer;
    const ModelConfig& config = m_model.config;
    const int d = config.head_dim;
    const auto width = static_cast<std::size_t>(d);
    const auto heads = static_cast<std::size_t>(config.kv_heads);
    auto sums = std::make_unique<Layer>();
    sums->index = index;
    sums->projection.assign(heads * width * width, 0.0);
    const std::vector<RowMatrixD> grams = headProjections(m_backend, m_model, index, job);
    for (int head = 0; head < config.query_heads; ++head) {
        job.checkCancelled();
        const RowMatrixD& gram = grams[static_cast<std::size_t>(head)];
        addTo(sums->projection, gram, head / config.group());
        sums->roots.push_back(squareRoot(gram));
    }
    sums->queries = zeros(m_backend, *m_scratch->stream, heads * width * width);
    sums->keys.assign(heads, KeySums(d));
    if (m_head_group > 1)
        sums->joint.assign(heads / static_cast<std::size_t>(m_head_group), KeySums(d * m_head_group));
    sums->weight.assign(heads, 0.0);
    layer = std::move(sums);
    return *layer;
}

void AttentionMoments::close(int layer) { m_layers.at(static_cast<std::size_t>(layer)).reset(); }

AttentionMoments::~AttentionMoments() = default;

void AttentionMoments::startWindow(std::int64_t length) {
    const ModelConfig& config = m_model.config;
    if (rotationDependsOnLength(config, length) && m_scratch->cos.rows() != length) {
        const RotaryNumbers numbers = rotaryNumbers(rotaryFrequencies(config, length), length);
        m_scratch->cos = Eigen::Map<const RowMatrix>(numbers.cos.data(), length, config.head_dim / 2);
        m_scratch->sin = Eigen::Map<const RowMatrix>(numbers.sin.data(), length, config.head_dim / 2);
    }
    m_positions.clear();
    if (length <= m_queries) {
        for (std::int64_t i = 0; i < length; ++i)
            m_positions.push_back(i);
    } else {
        // One position from each of m_queries equal stretches: short and long contexts are both seen.
        for (int i = 0; i < m_queries; ++i) {
            const std::int64_t begin = length * i / m_queries, end = length * (i + 1) / m_queries;
            m_positions.push_back(begin + drawBelow(m_random, end - begin));
        }
    }
    returnToWindow(m_positions);
}

void AttentionMoments::returnToWindow(const std::vector<std::int64_t>& positions) {
    m_positions = positions;
    std::vector<std::int64_t>& starts = m_scratch->starts;
    starts.assign(1, 0);
    for (const std::int64_t position : m_positions)
        starts.push_back(starts.back() + position + 1);
}

// Fills one sample's part of scratch.weights and scratch.seen.
void AttentionMoments::weighQuery(const Layer& layer, int head, std::size_t sample) {
    Scratch& s = *m_scratch;
    const ModelConfig& config = m_model.config;
    const int d = config.head_dim, half = d / 2;
    const std::int64_t position = m_positions[sample], count = position + 1, start = s.starts[sample];
    const auto keys = rowsOf(s.keys, s.length, config.kv_heads, head / config.group(), d).topRows(count);
    const Eigen::RowVectorXf query = rowsOf(s.queries, s.length, config.query_heads, head, d).row(position);
    const Eigen::RowVectorXf output = rowsOf(s.outputs, s.length, config.query_heads, head, d).row(position);
    const bool rotary = config.position == PositionKind::Rotary;
    Eigen::ArrayXd scores;
    if (rotary) {
        // Key n is position - n behind the query, so the table's rows run backwards.
        auto seen = s.seen.middleRows(start, count);
        const auto cos = s.cos.topRows(count).colwise().reverse().array();
        const auto sin = s.sin.topRows(count).colwise().reverse().array();
        const auto first = query.head(half).array(), second = query.tail(half).array();
        seen.leftCols(half) = cos.rowwise() * first - sin.rowwise() * second;
        seen.rightCols(half) = cos.rowwise() * second + sin.rowwise() * first;
        scores = seen.cwiseProduct(keys).rowwise().sum().cast<double>();
    } else {
        scores = (keys * query.transpose()).cast<double>();
    }
    scores *= static_cast<double>(config.attention_scale);
    if (!s.slopes.empty())
        scores += static_cast<double>(s.slopes[static_cast<std::size_t>(head)]) *
                  Eigen::ArrayXd::LinSpaced(count, -static_cast<double>(position), 0.0);
    if (const int window = config.window(layer.index); window > 0 && window < count)
        scores.head(count - window) = -std::numeric_limits<double>::infinity();
    const Eigen::ArrayXd attention = (scores - scores.maxCoeff()).exp();
    const Eigen::RowVectorXf projected = output * layer.roots[static_cast<std::size_t>(head)];
    Eigen::Map<Eigen::ArrayXd> weights(s.weights.data() + start, count);
    weights =
        (attention / attention.sum()).square() *
        (s.projected.topRows(count).rowwise() - projected).rowwise().squaredNorm().cast<double>().array();
    if (rotary)
        s.seen.middleRows(start, count).array().colwise() *= weights.sqrt().cast<float>();
    else
        s.seen.row(static_cast<Eigen::Index>(sample)) = query * static_cast<float>(std::sqrt(weights.sum()));
}

// Fills scratch.weights and scratch.seen for all samples of a query head.
void AttentionMoments::weighHead(const Layer& layer, int head, const JobContext& job) {
    Scratch& s = *m_scratch;
    const ModelConfig& config = m_model.config;
    const int d = config.head_dim;
    s.projected.noalias() = rowsOf(s.values, s.length, config.kv_heads, head / config.group(), d) *
                            layer.roots[static_cast<std::size_t>(head)];
    const auto samples = static_cast<std::int64_t>(m_positions.size());
    parallelFor(samples, m_threads, [&](std::int64_t sample) {
        job.checkCancelled();
        weighQuery(layer, head, static_cast<std::size_t>(sample));
    });
    for (std::size_t sample = 0; sample < m_positions.size(); ++sample) {
        const std::int64_t count = m_positions[sample] + 1;
        s.key_weights.head(count) +=
            Eigen::Map<const Eigen::VectorXd>(s.weights.data() + s.starts[sample], count);
    }
}

void AttentionMoments::add(int layer_index, Stream& stream, const AttentionTrace& trace,
                           const JobContext& job) {
    Scratch& s = *m_scratch;
    s.stream->stopWith(job.stopToken());
    Layer& layer = opened(layer_index, job);
    const ModelConfig& config = m_model.config;
    const int d = config.head_dim;
    s.length = trace.queries.shape[0];
    if (m_positions.empty() || m_positions.back() >= s.length)
        throw Error(ErrorCode::InvalidInput, "attention moments: a trace of " + std::to_string(s.length) +
                                                 " tokens does not hold the window");
    const auto fetch = [&](std::vector<float>& host, const TensorView& view) {
        host.resize(static_cast<std::size_t>(view.shape.count()));
        m_backend.download(stream, host.data(), view.data, view.bytes());
    };
    fetch(s.queries, trace.queries);
    fetch(s.keys, trace.keys);
    fetch(s.values, trace.values);
    fetch(s.outputs, trace.outputs);
    const bool rotary = config.position == PositionKind::Rotary;
    s.seen.resize(rotary ? s.starts.back() : static_cast<std::int64_t>(m_positions.size()), d);
    s.weights.resize(static_cast<std::size_t>(s.starts.back()));
    for (int kv_head = 0; kv_head < config.kv_heads; ++kv_head) {
        double* target = static_cast<double*>(layer.queries->data()) + std::ptrdiff_t{kv_head} * d * d;
        s.key_weights.setZero(s.length);
        for (int head = kv_head * config.group(); head < (kv_head + 1) * config.group(); ++head) {
            weighHead(layer, head, job);
            s.gram(m_backend, s.seen, target);
        }
        const auto g = static_cast<std::size_t>(kv_head);
        layer.keys[g].add(s.keyRows(config, kv_head, 1), s.key_weights, job);
        layer.weight[g] += s.key_weights.sum();
        if (layer.joint.empty())
            continue;
        if (kv_head % m_head_group == 0)
            s.joint_weights.setZero(s.length);
        s.joint_weights += s.key_weights;
        if ((kv_head + 1) % m_head_group == 0)
            layer.joint[g / static_cast<std::size_t>(m_head_group)].add(
                s.keyRows(config, kv_head + 1 - m_head_group, m_head_group), s.joint_weights, job);
    }
}

void AttentionMoments::finish(int layer_index, LayerStatistics& statistics) {
    const Layer& layer = opened(layer_index, JobContext());
    const ModelConfig& config = m_model.config;
    statistics.logit_queries = Moments(config.kv_heads, config.head_dim);
    Moments& queries = statistics.logit_queries;
    m_backend.download(*m_scratch->stream, queries.gram.data(), layer.queries->data(),
                       queries.gram.size() * sizeof(double));
    queries.sum.clear();
    statistics.logit_keys = momentsOf(layer.keys);
    statistics.joint_logit_keys = momentsOf(layer.joint);
    statistics.logit_weights = layer.weight;
    statistics.projection = layer.projection;
}

std::size_t AttentionMoments::sumCount() const {
    const auto heads = static_cast<std::size_t>(m_model.config.kv_heads);
    const auto width = static_cast<std::size_t>(m_model.config.head_dim);
    const auto group = static_cast<std::size_t>(m_head_group);
    std::size_t count = heads * (width * width + 1);  // queries and weights
    count += heads * (width + 1) * width;             // keys
    if (m_head_group > 1)
        count += heads / group * (group * width + 1) * group * width;
    return count;
}

std::vector<double> AttentionMoments::sums(int layer_index) {
    const Layer& layer = opened(layer_index, JobContext());
    const auto width = static_cast<std::size_t>(m_model.config.head_dim);
    std::vector<double> result(layer.weight.size() * width * width);
    m_backend.download(*m_scratch->stream, result.data(), layer.queries->data(),
                       result.size() * sizeof(double));
    for (const auto* keys : {&layer.keys, &layer.joint}) {
        for (const KeySums& sums : *keys) {
            result.insert(result.end(), sums.gram.data(), sums.gram.data() + sums.gram.size());
            result.insert(result.end(), sums.sum.begin(), sums.sum.end());
        }
    }
    result.insert(result.end(), layer.weight.begin(), layer.weight.end());
    return result;
}

void AttentionMoments::restoreSums(int layer_index, std::span<const double> sums) {
    Layer& layer = opened(layer_index, JobContext());
    const auto width = static_cast<std::size_t>(m_model.config.head_dim);
    const std::size_t queries = layer.weight.size() * width * width;
    m_backend.upload(*m_scratch->stream, layer.queries->data(), sums.data(), queries * sizeof(double));
    m_scratch->stream->synchronize();
    const double* next = sums.data() + queries;
    const auto take = [&next](double* to, Eigen::Index count) {
        std::copy_n(next, count, to);
        next += count;
    };
    for (auto* keys : {&layer.keys, &layer.joint}) {
        for (KeySums& each : *keys) {
            take(each.gram.data(), each.gram.size());
            take(each.sum.data(), each.sum.size());
        }
    }
    take(layer.weight.data(), static_cast<Eigen::Index>(layer.weight.size()));
}

}  // namespace eigenscope
