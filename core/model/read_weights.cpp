// SPDX-License-Identifier: Apache-2.0
#include "core/model/read_weights.h"

#include "core/model/family.h"

#include <array>
#include <utility>

namespace eigenscope {

namespace {

// The three projections of a layer, cut from one tensor when they are fused.
void readProjections(WeightReader& reader, const ModelConfig& config, const LayerTensorNames& names,
                     AttentionWeights& attention) {
    const std::int64_t hidden = config.hidden_size;
    const std::int64_t query_rows = std::int64_t{config.query_heads} * attention.query_width;
    const std::int64_t key_rows = std::int64_t{config.cachedHeads()} * attention.key_width;
    const std::int64_t value_rows = std::int64_t{config.cachedHeads()} * attention.value_width;
    // A basis with a mean gives a converted projection a bias that the original has not.
    const bool optional_bias = config.low_rank.has_value() || config.optional_biases;
    if (!names.fused_qkv) {
        attention.query = reader.linear(names.query, query_rows, hidden, config.qkv_bias, optional_bias);
        attention.key = reader.linear(names.key, key_rows, hidden, config.qkv_bias, optional_bias);
        attention.value = reader.linear(names.value, value_rows, hidden, config.qkv_bias, optional_bias);
        return;
    }
    const Linear fused = reader.linear(names.query, query_rows + key_rows + value_rows, hidden,
                                       config.qkv_bias, optional_bias);
    std::int64_t begin = 0;
    for (auto [part, rows] : {std::pair{&attention.query, query_rows}, std::pair{&attention.key, key_rows},
                              std::pair{&attention.value, value_rows}}) {
        part->weight = reader.rows(fused.weight, begin, rows);
        if (!fused.bias.empty()) {
            part->bias = reader.rows(fused.bias, begin, rows);
        }
        begin += rows;
    }
}

AttentionWeights readAttention(WeightReader& reader, const ModelConfig& config, const LayerTensorNames& names,
                               int layer) {
    AttentionWeights attention;
    attention.query_width = config.queryWidth(layer);
    attention.key_width = config.keyWidth(layer);
    attention.value_width = config.valueWidth(layer);
    readProjections(reader, config, names, attention);
    attention.output = reader.linear(
        names.output, config.hidden_size, std::int64_t{config.query_heads} * attention.value_width,
        config.output_bias, config.low_rank.has_value() || config.optional_biases);
    if (config.qk_norm) {
        attention.query_norm =
            reader.norm(names.query_norm, std::int64_t{config.query_heads} * config.head_dim,
                        config.norm_affine, config.norm_bias, config.optional_biases);
        attention.key_norm = reader.norm(names.key_norm, std::int64_t{config.kv_heads} * config.head_dim,
                                         config.norm_affine, config.norm_bias, config.optional_biases);
    }
    if (config.rebuildsKeys()) {
        const std::int64_t rows = std::int64_t{config.kv_heads} * config.head_dim;
        attention.lift_basis =
            reader.f32(names.key_lift + ".weight", std::array{rows, std::int64_t{attention.key_width}},
                       {config.kv_heads, config.head_dim, attention.key_width});
        if (reader.has(names.key_lift + ".bias")) {
            attention.lift_mean =
                reader.f32(names.key_lift + ".bias", std::array{rows}, {config.kv_heads, config.head_dim});
        }
    }
    return attention;
}

}  // namespace

std::string findPrefix(const WeightReader& reader, const ModelConfig& config) {
    const Family& family = familyOf(config);
    ModelConfig candidate = config;
    for (std::string_view prefix : family.prefixes) {
        candidate.tensor_prefix = prefix;
        if (reader.has(family.names(candidate).token_embedding + ".weight")) {
            return candidate.tensor_prefix;
        }
    }
    return std::string(family.prefixes.front());
}

EmbeddingWeights readEmbedding(WeightReader& reader, const ModelConfig& config) {
    const ModelTensorNames names = familyOf(config).names(config);
    EmbeddingWeights weights;
    weights.tokens =
        reader.matrix(names.token_embedding + ".weight", config.vocab_size, config.embedding_size);
    if (config.projectsEmbeddings()) {
        weights.project_in =
            reader.linear(names.project_in, config.hidden_size, config.embedding_size, false);
    }
    if (config.position == PositionKind::Learned) {
        weights.positions =
            reader.matrix(names.position_embedding + ".weight",
                          std::int64_t{config.max_positions} + config.position_offset, config.hidden_size);
    }
    return weights;
}

LayerWeights readLayer(WeightReader& reader, const ModelConfig& config, int layer) {
    const LayerTensorNames names = familyOf(config).layerNames(config, layer);
    const std::int64_t hidden = config.hidden_size, intermediate = config.intermediate_size;
    LayerWeights weights;
    const bool optional = config.optional_biases;
    weights.attention_norm =
        reader.norm(names.attention_norm, hidden, config.norm_affine, config.norm_bias, optional);
    weights.mlp_norm = reader.norm(names.mlp_norm, hidden, config.norm_affine, config.norm_bias, optional);
    weights.attention = readAttention(reader, config, names, layer);
    if (config.gated_mlp) {
        weights.gate = reader.linear(names.gate, intermediate, hidden, config.mlp_bias, optional);
    }
    weights.up = reader.linear(names.up, intermediate, hidden, config.mlp_bias, optional);
    weights.down = reader.linear(names.down, hidden, intermediate, config.mlp_bias, optional);
    return weights;
}

HeadWeights readHead(WeightReader& reader, const ModelConfig& config, const EmbeddingWeights* embedding) {
    const ModelTensorNames names = familyOf(config).names(config);
    HeadWeights weights;
    if (config.final_norm) {
        weights.norm = reader.norm(names.final_norm, config.hidden_size, config.norm_affine, config.norm_bias,
                                   config.optional_biases);
    }
    if (config.projectsEmbeddings()) {
        weights.project_out =
            reader.linear(names.project_out, config.embedding_size, config.hidden_size, false);
    }
    if (!config.tied_embeddings) {
        weights.output = reader.linear(names.output_head, config.vocab_size, config.embedding_size, false);
    } else if (embedding != nullptr) {
        weights.output.weight = embedding->tokens;
    } else {
        weights.output.weight =
            reader.matrix(names.token_embedding + ".weight", config.vocab_size, config.embedding_size);
    }
    return weights;
}

}  // namespace eigenscope
