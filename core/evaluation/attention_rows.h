// SPDX-License-Identifier: Apache-2.0
// One layer's attention of two models on the same tokens, head by head: how much its scores, its weights and
// its output differ. For whole sequences from position 0, on the host. One thread at a time.
#pragma once

#include "core/model/transformer.h"

#include <vector>

namespace eigenscope {

// Queries and keys as they meet: positions applied, low-rank keys rebuilt where attention rebuilds them.
struct AttentionRows {
    std::int64_t tokens = 0;
    int query_heads = 0, query_width = 0, value_width = 0;
    int key_heads = 0;  // dividing query_heads: key/value heads, or latents that several of them share
    std::int64_t hidden = 0;
    float scale = 1.0f;
    int window = 0;              // > 0: keys a query sees, its own position's included
    std::vector<float> queries;  // [query_heads, tokens, query_width]
    std::vector<float> keys;     // [key_heads, tokens, query_width]
    // Where a quantised cache reads a key exactly or from its codes, as its distance from the query has it:
    // query t takes keys from exact_from[t] on from exact_keys, those before from keys. Empty: keys alone.
    std::vector<float> exact_keys;         // [key_heads, tokens, query_width]
    std::vector<std::int64_t> exact_from;  // [tokens]
    std::vector<float> outputs;            // [query_heads, tokens, value_width]
    std::vector<float> output_weight;      // [hidden, query_heads * value_width]
    std::vector<float> slopes;             // [query_heads] ALiBi, or empty
};

// Keys are read from the cache, as attention reads them: what its format rounds is part of the rows.
class AttentionReader {
public:
    AttentionReader(Backend& backend, Stream& stream, const Model& model);
    // The trace holds the first trace.queries.shape[0] positions of the cache.
    AttentionRows read(int layer, const AttentionTrace& trace, const KvCache& cache);

private:
    std::vector<float> download(const void* data, DType dtype, std::int64_t count);
    // [heads, tokens, width], `rows` of them a head from the start of each head's `capacity` rows.
    std::vector<float> denseRows(const void* data, const KvView& view, std::int64_t capacity,
                                 std::int64_t rows);
    // As the codes give them; zero where a group of positions is not complete.
    std::vector<float> decodedRows(const KvView& view, std::int64_t tokens);
    void rotate(float* x, std::int64_t tokens) const;  // [tokens, head_dim], from 0
    std::vector<float> lifted(const AttentionWeights& weights, const std::vector<float>& latents, int stored,
                              std::int64_t tokens);

    Backend& m_backend;
    Stream& m_stream;
    const Model& m_model;
    std::vector<float> m_cos, m_sin;  // [positions, head_dim / 2]
    std::vector<float> m_slopes;
};

// Sums over a window, for one query head.
//
// Scores are scale * q . k of every query and the keys it sees, each as the cache gives it to that query
// (ALiBi's bias, which no conversion changes, is left out), less their mean over these keys: softmax ignores
// a constant added to a query's scores, and conversions drop it. Weights are the softmax of the scores and
// ALiBi's bias; their distance is the total variation, half the sum of absolute differences. Outputs are the
// head's part of the layer's attention output, its columns of W_o times its weighted values, less their mean
// over the window: a constant part may be in any head or in the bias.
struct HeadDifference {
    double score_difference = 0, score_norm = 0;    // sums of squares of s - s' and s
    double weight_distance = 0;                     // mean over queries, in [0, 1]
    double output_difference = 0, output_norm = 0;  // sums of squares of c - c' and c
};
// [query_heads]; both sides have the same tokens and query heads.
std::vector<HeadDifference> compareHeads(const JobContext& job, const AttentionRows& first,
                                         const AttentionRows& second, int threads);

}  // namespace eigenscope
