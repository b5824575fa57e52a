// SPDX-License-Identifier: Apache-2.0
#include "kernels/reference/reference_ops.h"

#include "kernels/api/kv_layout.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace eigenscope::reference {

namespace {

// Element i of row t of head (b, h), as the query at `position` reads it.
double cachedElement(const KvView& v, std::int64_t position, std::int64_t b, std::int64_t h, std::int64_t t,
                     std::int64_t i) {
    const std::int64_t head = b * v.heads + h;
    if (v.bits == 0)
        return loadAsF32(v.data, v.dtype, (head * v.capacity + t) * v.width + i);
    if (t >= kvStoredEnd(v, position))
        return loadAsF32(v.exact, v.dtype, (head * v.exact_capacity + t % v.exact_capacity) * v.width + i);
    const auto* row = static_cast<const unsigned char*>(v.data) + (head * v.capacity + t) * kvRowBytes(v);
    int code = 0;
    for (std::int64_t bit = 0; bit < v.bits; ++bit) {
        const std::int64_t at = i * v.bits + bit;
        code |= ((row[at / 8] >> (at % 8)) & 1) << bit;
    }
    const std::int64_t stride = kvScaleStride(v);
    const bool by_token = v.grouping == KvGrouping::Token;
    const std::int64_t at =
        (head * kvScaleRows(v) + (by_token ? t : t / v.group)) * stride + (by_token ? i / v.group : i);
    return loadAsF32(v.scales, DType::F16, at + stride / 2) +
           static_cast<double>(loadAsF32(v.scales, DType::F16, at)) * code;
}

// Row t of head h as the query at `position` sees it: the cached key itself, or lifted and rotated. key:
// [query_width].
void loadKey(const AttentionParams& p, std::int64_t position, std::int64_t b, std::int64_t h, std::int64_t t,
             std::vector<double>& key) {
    const std::int64_t rank = p.keys.width, width = p.query_width;
    const std::int64_t stored = kvStoredHead(p, p.keys, h);
    if (!p.lift) {
        for (std::int64_t i = 0; i < width; ++i)
            key[i] = cachedElement(p.keys, position, b, stored, t, i);
        return;
    }
    const KeyLift& lift = *p.lift;
    std::vector<double> latent(static_cast<std::size_t>(rank));
    for (std::int64_t r = 0; r < rank; ++r)
        latent[r] = cachedElement(p.keys, position, b, stored, t, r);
    for (std::int64_t i = 0; i < width; ++i) {
        double sum = lift.mean ? lift.mean[h * width + i] : 0.0;
        for (std::int64_t r = 0; r < rank; ++r)
            sum += static_cast<double>(lift.basis[(h * width + i) * rank + r]) * latent[r];
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
    const std::int64_t value_head = kvStoredHead(p, p.values, kv_head);
    const std::int64_t last = p.query_position + m;
    const std::int64_t first = p.window > 0 ? std::max<std::int64_t>(0, last - p.window + 1) : 0;
    const std::int64_t row = (b * p.query_length + m) * p.query_heads + h;
    const float* query = p.query + row * p.query_width;

    double largest = -INFINITY;
    for (std::int64_t n = first; n <= last; ++n) {
        loadKey(p, last, b, kv_head, n, key);
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
            sum += weights[n - first] * cachedElement(p.values, last, b, value_head, n, i);
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
