// SPDX-License-Identifier: Apache-2.0
// MPT: one fused projection for queries, keys and values, ALiBi (arXiv 2108.12409), exact GELU, usually no
// biases.
#include "core/base/fail.h"
#include "core/model/families/families.h"

#include <cmath>

namespace eigenscope {

namespace {

constexpr std::string_view kTypes[] = {"mpt"};
constexpr std::string_view kPrefixes[] = {"transformer.", ""};

void readAttention(const JsonView& json, ModelConfig& config) {
    requireSetting(json, "attn_type", "multihead_attention", "shared key/value heads are not supported");
    requireSetting(json, "alibi", true, "positions other than ALiBi are not supported");
    requireSetting(json, "rope", false, "rotary positions are not supported in this family");
    requireSetting(json, "qk_ln", false, "norms of queries and keys are not supported");
    requireSetting(json, "prefix_lm", false, "attention that is not causal is not supported");
    if (const auto clip = json.find("clip_qkv")) {
        refuseSetting(*clip, "clipped projections are not supported");
    }
    config.alibi_bias_max = json.numberOr("alibi_bias_max", 8.0);
    if (!(config.alibi_bias_max > 0.0) || !std::isfinite(config.alibi_bias_max)) {
        json.at("alibi_bias_max").fail("expected a positive number");
    }
    config.attention_scale = static_cast<float>(
        json.numberOr("softmax_scale", 1.0 / std::sqrt(static_cast<double>(config.head_dim))));
}

int readIntermediate(const JsonView& json, int hidden) {
    const double width = json.numberOr("expansion_ratio", 4.0) * hidden;
    if (!(width >= 1.0 && width <= kMaxWidth) || width != std::floor(width)) {
        failField(json.file(), "expansion_ratio", "does not give a whole MLP width");
    }
    return static_cast<int>(width);
}

ModelConfig read(const JsonView& json) {
    ModelConfig config;
    config.layers = static_cast<int>(json.integer("n_layers", 1, kMaxLayers));
    config.hidden_size = static_cast<int>(json.integer("d_model", 1, kMaxWidth));
    config.query_heads = static_cast<int>(json.integer("n_heads", 1, kMaxHeads));
    config.kv_heads = config.query_heads;
    config.head_dim = evenHeadDim(json, "d_model", config.hidden_size, config.query_heads);
    config.intermediate_size = readIntermediate(json, config.hidden_size);
    config.vocab_size = static_cast<int>(json.integer("vocab_size", 1, kMaxVocabulary));
    config.max_positions = static_cast<int>(json.integer("max_seq_len", 1, kMaxPositions));

    const std::string norm = json.stringOr("norm_type", "low_precision_layernorm");
    if (norm != "low_precision_layernorm" && norm != "layernorm") {
        refuseSetting(json.at("norm_type"), "this norm is not supported in this family");
    }
    config.norm = NormParams::Kind::LayerNorm;
    config.norm_epsilon = static_cast<float>(json.numberOr("layer_norm_epsilon", 1e-5));
    config.activation = ActivateParams::Kind::Gelu;
    config.tied_embeddings = json.booleanOr("tie_word_embeddings", true);
    const bool bias = !json.booleanOr("no_bias", true);
    config.norm_bias = config.qkv_bias = config.output_bias = config.mlp_bias = bias;
    if (const auto scale = json.find("logit_scale")) {
        refuseSetting(*scale, "scaled logits are not supported");
    }
    if (const auto mlp = json.find("ffn_config")) {
        requireSetting(*mlp, "ffn_type", "mptmlp", "other MLPs are not supported");
    }

    config.position = PositionKind::Alibi;
    static const Json kDefaults = Json::object();
    readAttention(json.find("attn_config").value_or(JsonView(kDefaults, json.file(), "attn_config")), config);
    return config;
}

ModelTensorNames names(const ModelConfig& config) {
    const std::string& prefix = config.tensor_prefix;
    return {prefix + "wte", "", prefix + "norm_f", "lm_head"};
}

LayerTensorNames layerNames(const ModelConfig& config, int layer) {
    const std::string base = config.tensor_prefix + "blocks." + std::to_string(layer) + ".";
    LayerTensorNames names;
    names.attention_norm = base + "norm_1";
    names.mlp_norm = base + "norm_2";
    names.query = names.key = names.value = base + (config.low_rank ? "attn.Wqkv_low" : "attn.Wqkv");
    names.fused_qkv = true;
    names.output = base + (config.low_rank ? "attn.out_proj_up" : "attn.out_proj");
    names.up = base + "ffn.up_proj";
    names.down = base + "ffn.down_proj";
    return names;
}

}  // namespace

Family mptFamily() { return {"mpt", kTypes, "MPT", kPrefixes, read, names, layerNames}; }

}  // namespace eigenscope
