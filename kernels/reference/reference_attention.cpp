// SPDX-License-Identifier: Apache-2.0
#include "kernels/reference/reference_ops.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace eigenscope::reference {

namespace {

std::int64_t rowOffset(const KvView& view, std::int64_t b, std::int64_t h, std::int64_t t) {
    return ((b * view.heads + h) * view.capacity + t) * view.width;
}

// Row t of head h as the query sees it: the cached key itself, or lifted and rotated. key: [query_width].
void loadKey(const AttentionParams& p, std::int64_t b, std::int64_t h, std::int64_t t,
             std::vector<double>& key) {
    const std::int64_t rank = p.keys.width, width = p.query_width;
    const std::int64_t at = rowOffset(p.keys, b, h, t);
    if (!p.lift) {
        for (std::int64_t i = 0; i < width; ++i)
            key[i] = loadAsF32(p.keys.data, p.keys.dtype, at + i);
        return;
    }
    const KeyLift& lift = *p.lift;
    for (std::int64_t i = 0; i < width; ++i) {
        double sum = lift.mean ? lift.mean[h * width + i] : 0.0;
        for (std::int64_t r = 0; r < rank; ++r)
            sum += static_cast<double>(lift.basis[(h * width + i) * rank + r]) *
                   loadAsF32(p.keys.data, p.keys.dtype, at + r);
        key[i] = sum;
    }
    const std::int64_t half = lift.table.rotary_dim / 2;
    for (std::int64_t i = 0; i < half; ++i) {
        const double c = lift.table.cos[t * half + i], s = lift.table.sin[t * half + i];
        const double low = key[i], high = key[i + half];
        key[i] = low * c - high * s;
        key[i + half] = high * c + low * s;
    }
}

// Output of one query row of one head. weights: scratch for the scores of the rows it sees.
void attendRow(const AttentionParams& p, std::int64_t b, std::int64_t m, std::int64_t h,
               std::vector<double>& weights, std::vector<double>& key) {
    const std::int64_t kv_head = h / (p.query_heads / p.kv_heads);
    const std::int64_t last = p.query_position + m;
    const std::int64_t first = p.window > 0 ? std::max<std::int64_t>(0, last - p.window + 1) : 0;
    const std::int64_t row = (b * p.query_length + m) * p.query_heads + h;
    const float* query = p.query + row * p.query_width;

    double largest = -INFINITY;
    for (std::int64_t n = first; n <= last; ++n) {
        loadKey(p, b, kv_head, n, key);
        double score = 0.0;
        for (std::int64_t i = 0; i < p.query_width; ++i)
            score += query[i] * key[i];
        score *= p.scale;
        if (p.alibi_slopes)
            score += static_cast<double>(p.alibi_slopes[h]) * static_cast<double>(n - last);
        weights[n - first] = score;
        largest = std::max(largest, score);
    }
    double total = 0.0;
    for (std::int64_t n = first; n <= last; ++n)
        total += weights[n - first] = std::exp(weights[n - first] - largest);

    for (std::int64_t i = 0; i < p.values.width; ++i) {
        double sum = 0.0;
        for (std::int64_t n = first; n <= last; ++n)
            sum += weights[n - first] *
                   loadAsF32(p.values.data, p.values.dtype, rowOffset(p.values, b, kv_head, n) + i);
        p.output[row * p.values.width + i] = static_cast<float>(sum / total);
    }
}

}  // namespace

void attention(const AttentionParams& p) {
    std::vector<double> weights(static_cast<std::size_t>(p.query_position + p.query_length));
    std::vector<double> key(static_cast<std::size_t>(p.query_width));
    for (std::int64_t b = 0; b < p.batch; ++b)
        for (std::int64_t m = 0; m < p.query_length; ++m)
            for (std::int64_t h = 0; h < p.query_heads; ++h)
                attendRow(p, b, m, h, weights, key);
}

}  // namespace eigenscope::reference
