// SPDX-License-Identifier: Apache-2.0
// Weights of logit errors, and the second moments of queries as keys at every distance see them.
#include "kernels/reference/reference_ops.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace eigenscope::reference {

namespace {

// x [width] rotated to a position.
std::vector<double> rotated(const float* x, std::int64_t width, const RotaryTable& table,
                            std::int64_t position) {
    std::vector<double> y(x, x + width);
    const std::int64_t half = table.rotary_dim / 2;
    for (std::int64_t i = 0; i < half; ++i) {
        const double c = table.cos[position * half + i], s = table.sin[position * half + i];
        y[i] = x[i] * c - x[i + half] * s;
        y[i + half] = x[i + half] * c + x[i] * s;
    }
    return y;
}

// Copies or keys that a query at `position` sees.
std::int64_t seenBy(std::int64_t position, std::int64_t window) {
    return window > 0 ? std::min(window, position + 1) : position + 1;
}

// |(v - o) root|^2
double outputChange(const LogitWeightsParams& p, std::int64_t h, const float* v, const float* o) {
    double squares = 0.0;
    for (std::int64_t c = 0; c < p.width; ++c) {
        double sum = 0.0;
        for (std::int64_t i = 0; i < p.width; ++i)
            sum += (static_cast<double>(v[i]) - o[i]) * p.roots[(h * p.width + i) * p.width + c];
        squares += sum * sum;
    }
    return squares;
}

// One query's weights [length] by distance, zero outside the window.
void weigh(const LogitWeightsParams& p, std::int64_t h, std::int64_t position, double* weights) {
    const std::int64_t kv_head = h / (p.query_heads / p.kv_heads);
    const std::int64_t query = (position * p.query_heads + h) * p.width;
    const std::int64_t seen = seenBy(position, p.window);
    const std::vector<double> q = rotated(p.queries + query, p.width, p.table, position);
    std::vector<double> attention(static_cast<std::size_t>(seen));
    for (std::int64_t t = 0; t < seen; ++t) {
        const std::int64_t n = position - t;
        const std::vector<double> k =
            rotated(p.keys + (n * p.kv_heads + kv_head) * p.width, p.width, p.table, n);
        double dot = 0.0;
        for (std::int64_t i = 0; i < p.width; ++i)
            dot += q[i] * k[i];
        attention[t] = p.scale * dot - (p.alibi_slopes ? p.alibi_slopes[h] : 0.0) * static_cast<double>(t);
    }
    const double largest = *std::max_element(attention.begin(), attention.end());
    double total = 0.0;
    for (double& a : attention)
        total += a = std::exp(a - largest);
    for (std::int64_t t = 0; t <= position; ++t) {
        const double a = t < seen ? attention[t] / total : 0.0;
        const std::int64_t value = ((position - t) * p.kv_heads + kv_head) * p.width;
        weights[t] = t < seen ? a * a * outputChange(p, h, p.values + value, p.outputs + query) : 0.0;
    }
}

}  // namespace

void spreadGram(const SpreadGramParams& p) {
    for (std::int64_t h = 0; h < p.heads; ++h) {
        double* gram = p.gram + h / p.group * p.width * p.width;
        for (std::int64_t s = 0; s < p.samples; ++s) {
            const std::int64_t m = p.positions[s];
            for (std::int64_t t = 0; t < seenBy(m, p.window); ++t) {
                const double weight = p.weights[(h * p.samples + s) * p.length + t];
                const std::vector<double> x = rotated(p.x + (m * p.heads + h) * p.width, p.width, p.table, t);
                for (std::int64_t i = 0; weight != 0.0 && i < p.width; ++i)
                    for (std::int64_t j = 0; j < p.width; ++j)
                        gram[i * p.width + j] += weight * (x[i] * x[j]);
            }
        }
    }
}

void logitWeights(const LogitWeightsParams& p) {
    std::fill_n(p.by_key, p.kv_heads * p.length, 0.0);
    if (p.joint_keys)
        std::fill_n(p.joint_keys, p.kv_heads / p.joint * p.length, 0.0);
    for (std::int64_t h = 0; h < p.query_heads; ++h) {
        const std::int64_t kv_head = h / (p.query_heads / p.kv_heads);
        for (std::int64_t s = 0; s < p.samples; ++s) {
            const std::int64_t m = p.positions[s];
            double* weights = p.weights + (h * p.samples + s) * p.length;
            weigh(p, h, m, weights);
            double& by_query = p.by_query[h * p.samples + s] = 0.0;
            for (std::int64_t t = 0; t <= m; ++t) {
                by_query += weights[t];
                p.by_key[kv_head * p.length + m - t] += weights[t];
                if (p.joint_keys)
                    p.joint_keys[kv_head / p.joint * p.length + m - t] += weights[t];
            }
            p.total[kv_head] += by_query;
        }
    }
}

}  // namespace eigenscope::reference
