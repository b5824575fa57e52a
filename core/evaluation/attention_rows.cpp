// SPDX-License-Identifier: Apache-2.0
#include "core/evaluation/attention_rows.h"

#include "core/base/parallel.h"
#include "kernels/api/kv_layout.h"

#include <Eigen/Core>

#include <algorithm>
#include <cmath>

namespace eigenscope {

namespace {

using RowMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Rows = Eigen::Map<const RowMatrix>;
using Strided = Eigen::Map<const RowMatrix, 0, Eigen::OuterStride<>>;

// [tokens, heads, width] to [heads, tokens, width].
std::vector<float> byHead(const std::vector<float>& x, std::int64_t tokens, std::int64_t heads,
                          std::int64_t width) {
    std::vector<float> y(x.size());
    for (std::int64_t head = 0; head < heads; ++head) {
        for (std::int64_t t = 0; t < tokens; ++t)
            std::copy_n(x.data() + (t * heads + head) * width, width, y.data() + (head * tokens + t) * width);
    }
    return y;
}

Rows headRows(const std::vector<float>& x, std::int64_t head, std::int64_t tokens, int width) {
    return Rows(x.data() + head * tokens * width, tokens, width);
}

// Attention scores of queries [begin, begin + count) of a head and keys [first, begin + count).
RowMatrix scoresOf(const AttentionRows& rows, std::int64_t head, std::int64_t first, std::int64_t begin,
                   std::int64_t count) {
    const std::int64_t key_head = head / (rows.query_heads / rows.key_heads), seen = begin + count - first;
    const auto queries = headRows(rows.queries, head, rows.tokens, rows.query_width).middleRows(begin, count);
    const auto product = [&](const std::vector<float>& keys) -> RowMatrix {
        return rows.scale *
               (queries *
                headRows(keys, key_head, rows.tokens, rows.query_width).middleRows(first, seen).transpose());
    };
    RowMatrix scores = product(rows.keys);
    if (!rows.exact_from.empty()) {
        const RowMatrix exact = product(rows.exact_keys);
        for (std::int64_t i = 0; i < count; ++i) {
            const std::int64_t from = rows.exact_from[static_cast<std::size_t>(begin + i)];
            const std::int64_t close = std::clamp<std::int64_t>(first + seen - from, 0, seen);
            scores.row(i).tail(close) = exact.row(i).tail(close);
        }
    }
    return scores;
}

Eigen::ArrayXd softmax(const Eigen::ArrayXd& scores, double slope) {
    const Eigen::Index n = scores.size();
    // slope * (key position - query position): the last key is the query's own.
    const Eigen::ArrayXd biased =
        scores + slope * Eigen::ArrayXd::LinSpaced(n, -static_cast<double>(n - 1), 0.0);
    const Eigen::ArrayXd e = (biased - biased.maxCoeff()).exp();
    return e / e.sum();
}

// The head's part of the attention output [tokens, hidden].
RowMatrix contribution(const AttentionRows& rows, std::int64_t head) {
    const Strided weight(rows.output_weight.data() + head * rows.value_width, rows.hidden, rows.value_width,
                         Eigen::OuterStride<>(std::int64_t{rows.query_heads} * rows.value_width));
    return headRows(rows.outputs, head, rows.tokens, rows.value_width) * weight.transpose();
}

// Sum of squares of x less its mean over rows.
double centredSquares(const RowMatrix& x) {
    double sum = 0;
    for (Eigen::Index j = 0; j < x.cols(); ++j) {
        const Eigen::ArrayXd column = x.col(j).cast<double>();
        sum += (column - column.mean()).square().sum();
    }
    return sum;
}

HeadDifference compareHead(const JobContext& job, const AttentionRows& first, const AttentionRows& second,
                           std::int64_t head) {
    constexpr std::int64_t kBlock = 64;  // queries whose scores are computed as one product
    HeadDifference result;
    const double slope = first.slopes.empty() ? 0.0 : first.slopes[static_cast<std::size_t>(head)];
    for (std::int64_t begin = 0; begin < first.tokens; begin += kBlock) {
        job.checkCancelled();
        const std::int64_t count = std::min(kBlock, first.tokens - begin);
        const std::int64_t oldest =
            first.window > 0 ? std::max<std::int64_t>(0, begin - first.window + 1) : 0;
        const RowMatrix a = scoresOf(first, head, oldest, begin, count),
                        b = scoresOf(second, head, oldest, begin, count);
        for (std::int64_t i = 0; i < count; ++i) {
            const std::int64_t end = begin + i + 1;
            const std::int64_t seen = first.window > 0 ? std::min<std::int64_t>(end, first.window) : end;
            Eigen::ArrayXd x = a.row(i).segment(end - seen - oldest, seen).transpose().cast<double>();
            Eigen::ArrayXd y = b.row(i).segment(end - seen - oldest, seen).transpose().cast<double>();
            x -= x.mean();
            y -= y.mean();
            result.score_difference += (x - y).square().sum();
            result.score_norm += x.square().sum();
            result.weight_distance += 0.5 * (softmax(x, slope) - softmax(y, slope)).abs().sum();
        }
    }
    result.weight_distance /= static_cast<double>(first.tokens);
    const RowMatrix c = contribution(first, head);
    result.output_norm = centredSquares(c);
    job.checkCancelled();
    result.output_difference = centredSquares(c - contribution(second, head));
    return result;
}

}  // namespace

AttentionReader::AttentionReader(Backend& backend, Stream& stream, const Model& model)
    : m_backend(backend), m_stream(stream), m_model(model) {
    const auto whole = [this](const Tensor& tensor) {
        return tensor.empty() ? std::vector<float>()
                              : download(tensor.data(), tensor.dtype(), tensor.shape().count());
    };
    m_cos = whole(model.rotary_cos);
    m_sin = whole(model.rotary_sin);
    m_slopes = whole(model.alibi_slopes);
}

std::vector<float> AttentionReader::download(const void* data, DType dtype, std::int64_t count) {
    std::vector<float> host(static_cast<std::size_t>(count));
    if (dtype == DType::F32) {
        m_backend.download(m_stream, host.data(), data, host.size() * sizeof(float));
        return host;
    }
    const Tensor wide = makeTensor(m_backend, DType::F32, {count});
    m_backend.convert(m_stream,
                      {.x = data, .x_dtype = dtype, .y = wide.data(), .y_dtype = DType::F32, .count = count});
    m_backend.download(m_stream, host.data(), wide.data(), wide.bytes());
    return host;
}

std::vector<float> AttentionReader::denseRows(const void* data, const KvView& view, std::int64_t capacity,
                                              std::int64_t rows) {
    std::vector<float> all;
    for (std::int64_t head = 0; head < view.heads; ++head) {
        const auto* start = static_cast<const std::byte*>(data) +
                            static_cast<std::size_t>(head * capacity * view.width) * sizeOf(view.dtype);
        const std::vector<float> part = download(start, view.dtype, rows * view.width);
        all.insert(all.end(), part.begin(), part.end());
    }
    return all;
}

// Codes by the layout of KvView (kernels/api/ops.h).
std::vector<float> AttentionReader::decodedRows(const KvView& view, std::int64_t tokens) {
    const std::int64_t row_bytes = kvRowBytes(view), stride = kvScaleStride(view), half = stride / 2;
    const bool by_channel = view.grouping == KvGrouping::Channel;
    const std::int64_t coded = tokens / kvSpan(view) * kvSpan(view), scale_rows = coded / kvSpan(view);
    std::vector<float> rows(static_cast<std::size_t>(view.heads * tokens * view.width), 0.0f);
    if (coded == 0)
        return rows;
    std::vector<std::uint8_t> codes(static_cast<std::size_t>(coded * row_bytes));
    for (std::int64_t head = 0; head < view.heads; ++head) {
        const auto* data = static_cast<const std::byte*>(view.data) + head * view.capacity * row_bytes;
        m_backend.download(m_stream, codes.data(), data, codes.size());
        const auto* from = static_cast<const std::uint16_t*>(view.scales) + head * kvScaleRows(view) * stride;
        const std::vector<float> scales = download(from, DType::F16, scale_rows * stride);
        float* row = rows.data() + head * tokens * view.width;
        for (std::int64_t t = 0; t < coded; ++t, row += view.width) {
            for (std::int64_t i = 0; i < view.width; ++i) {
                const std::int64_t bit = i * view.bits;
                const std::uint8_t* at = codes.data() + t * row_bytes + bit / 8;
                const bool two = bit % 8 + view.bits > 8;
                const unsigned word = at[0] | (two ? static_cast<unsigned>(at[1]) << 8 : 0u);
                const unsigned code = word >> (bit % 8) & ((1u << view.bits) - 1);
                const float* scale =
                    scales.data() + (by_channel ? t / view.group * stride + i : t * stride + i / view.group);
                row[i] = scale[half] + scale[0] * static_cast<float>(code);
            }
        }
    }
    return rows;
}

// In the half-split order of the op (kernels/api/ops.h).
void AttentionReader::rotate(float* x, std::int64_t tokens) const {
    const std::int64_t half = m_model.config.head_dim / 2;
    for (std::int64_t t = 0; t < tokens; ++t, x += 2 * half) {
        for (std::int64_t i = 0; i < half; ++i) {
            const float c = m_cos[static_cast<std::size_t>(t * half + i)];
            const float s = m_sin[static_cast<std::size_t>(t * half + i)];
            const float a = x[i], b = x[i + half];
            x[i] = a * c - b * s;
            x[i + half] = b * c + a * s;
        }
    }
}

std::vector<float> AttentionReader::lifted(const AttentionWeights& weights, const std::vector<float>& latents,
                                           int stored, std::int64_t tokens) {
    const std::int64_t heads = m_model.config.kv_heads, width = m_model.config.head_dim;
    const Tensor &basis = weights.lift_basis, &mean = weights.lift_mean;
    const std::vector<float> bases = download(basis.data(), basis.dtype(), basis.shape().count());
    const std::vector<float> means = mean.empty()
                                         ? std::vector<float>(static_cast<std::size_t>(heads * width))
                                         : download(mean.data(), mean.dtype(), mean.shape().count());
    std::vector<float> keys(static_cast<std::size_t>(heads * tokens * width));
    for (std::int64_t head = 0; head < heads; ++head) {
        Eigen::Map<RowMatrix> lifted(keys.data() + head * tokens * width, tokens, width);
        lifted = headRows(latents, head / (heads / stored), tokens, weights.key_width) *
                 headRows(bases, head, width, weights.key_width).transpose();
        lifted.rowwise() += Eigen::Map<const Eigen::RowVectorXf>(means.data() + head * width, width);
        rotate(lifted.data(), tokens);
    }
    return keys;
}

AttentionRows AttentionReader::read(int layer, const AttentionTrace& trace, const KvCache& cache) {
    const ModelConfig& config = m_model.config;
    const LayerLease lease = m_model.layer(layer);
    const AttentionWeights& weights = lease->attention;
    AttentionRows rows;
    rows.tokens = trace.queries.shape[0];
    rows.query_heads = config.query_heads;
    rows.query_width = weights.query_width;
    rows.value_width = weights.value_width;
    rows.hidden = config.hidden_size;
    rows.scale = config.attention_scale;
    rows.window = config.window(layer);
    const auto heads = [&](const TensorView& view) {
        return byHead(download(view.data, view.dtype, view.shape.count()), rows.tokens, view.shape[1],
                      view.shape[2]);
    };
    rows.queries = heads(trace.queries);
    rows.outputs = heads(trace.outputs);
    const KvView view = cache.keys(layer);
    rows.key_heads = view.heads;
    rows.keys = view.bits == 0 ? denseRows(view.data, view, view.capacity, rows.tokens)
                               : decodedRows(view, rows.tokens);
    if (kvNeedsRing(view)) {
        if (view.exact_capacity < rows.tokens)
            throw Error(ErrorCode::InvalidInput,
                        "attention rows: the cache holds " + std::to_string(view.exact_capacity) +
                            " exact rows, expected the sequence's " + std::to_string(rows.tokens));
        rows.exact_keys = denseRows(view.exact, view, view.exact_capacity, rows.tokens);
        for (std::int64_t t = 0; t < rows.tokens; ++t)
            rows.exact_from.push_back(kvStoredEnd(view, t));
    }
    if (config.position == PositionKind::Rotary) {
        for (std::int64_t head = 0; head < rows.query_heads; ++head)
            rotate(rows.queries.data() + head * rows.tokens * rows.query_width, rows.tokens);
    }
    if (!weights.lift_basis.empty()) {
        rows.keys = lifted(weights, rows.keys, view.heads, rows.tokens);
        if (!rows.exact_keys.empty())
            rows.exact_keys = lifted(weights, rows.exact_keys, view.heads, rows.tokens);
        rows.key_heads = config.kv_heads;
    }
    const Tensor& output = weights.output.weight;
    rows.output_weight = download(output.data(), output.dtype(), output.shape().count());
    rows.slopes = m_slopes;
    return rows;
}

std::vector<HeadDifference> compareHeads(const JobContext& job, const AttentionRows& first,
                                         const AttentionRows& second, int threads) {
    std::vector<HeadDifference> heads(static_cast<std::size_t>(first.query_heads));
    parallelFor(first.query_heads, threads, [&](std::int64_t head) {
        heads[static_cast<std::size_t>(head)] = compareHead(job, first, second, head);
    });
    return heads;
}

}  // namespace eigenscope
