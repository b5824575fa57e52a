// SPDX-License-Identifier: Apache-2.0
// MPT: one fused projection for queries, keys and values, ALiBi (arXiv 2108.12409), exact GELU, usually no
// biases. Projections may be clipped (clip_qkv), then queries and keys normalised over all heads (qk_ln).
#include "core/base/fail.h"
#include "core/model/families/families.h"

#include <cmath>

namespace eigenscope {

namespace {

constexpr std::string_view kTypes[] = {"mpt"};
constexpr std::string_view kPrefixes[] = {"transformer.", ""};

const ForeignSetting kForeign[] = {
    {"quantization_config", nullptr, "quantised weights are not supported"},
    {"logit_scale", nullptr, "scaled logits are not supported"},
    {"final_logit_softcapping", nullptr, "soft-capped logits are not supported"},
    {"block_overrides", nullptr, "layers that differ are not supported"},
};
const ForeignSetting kForeignAttention[] = {
    {"alibi", true, "positions other than ALiBi are not supported"},
    {"rope", false, "rotary positions are not supported in this family"},
    {"prefix_lm", false, "attention that is not causal is not supported"},
    {"qk_gn", false, "norms of each head's queries and keys are not supported"},
    {"fused_qkv", true, "separate projections are not supported in this family"},
    {"attn_logit_softcapping", nullptr, "soft-capped scores are not supported"},
    {"sliding_window_size", -1, "attention over a sliding window is not supported in this family"},
    {"attn_temperature_tuning", nullptr, "scores scaled by position are not supported"},
};
const ForeignSetting kForeignMlp[] = {
    {"ffn_type", "mptmlp", "other MLPs are not supported"},
    {"ffn_act_fn", nullptr, "other activations are not supported in this family"},
};

// The forms of attention that share key/value heads.
int readKvHeads(const JsonView& json, int query_heads) {
    const std::string type = json.stringOr("attn_type", "multihead_attention");
    if (type == "grouped_query_attention") {
        return static_cast<int>(json.integer("kv_n_heads", 1, query_heads));
    }
    const bool one = type == "multiquery_attention";
    if (!one && type != "multihead_attention") {
        refuseSetting(json.at("attn_type"),
                      "unknown form of attention (known: multihead_attention, "
                      "multiquery_attention, grouped_query_attention)");
    }
    const int heads = one ? 1 : query_heads;
    requireSetting(json, "kv_n_heads", heads, "contradicts attn_type");
    return heads;
}

void readAttention(const JsonView& json, ModelConfig& config) {
    refuseForeignSettings(json, kForeignAttention);
    config.kv_heads = readKvHeads(json, config.query_heads);
    config.qk_norm = json.booleanOr("qk_ln", false);
    config.qkv_clip = static_cast<float>(json.numberOr("clip_qkv", 0.0));  // zero is none
    if (!(config.qkv_clip >= 0.0f) || !std::isfinite(config.qkv_clip)) {
        json.at("clip_qkv").fail("expected a number that is not negative");
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
    refuseForeignSettings(json, kForeign);
    ModelConfig config;
    config.layers = static_cast<int>(json.integer("n_layers", 1, kMaxLayers));
    config.hidden_size = static_cast<int>(json.integer("d_model", 1, kMaxWidth));
    config.query_heads = static_cast<int>(json.integer("n_heads", 1, kMaxHeads));
    config.head_dim = evenHeadDim(json, "d_model", config.hidden_size, config.query_heads);
    config.intermediate_size = readIntermediate(json, config.hidden_size);
    config.vocab_size = static_cast<int>(json.integer("vocab_size", 1, kMaxVocabulary));
    config.max_positions = static_cast<int>(json.integer("max_seq_len", 1, kMaxPositions));

    const std::string norm = json.stringOr("norm_type", "low_precision_layernorm");
    if (norm != "low_precision_layernorm" && norm != "layernorm") {
        refuseSetting(json.at("norm_type"), "this norm is not supported in this family");
    }
    config.norm = NormParams::Kind::LayerNorm;
    config.norm_epsilon =
        static_cast<float>(json.numberOr("layer_norm_epsilon", json.numberOr("norm_eps", 1e-5)));
    config.activation = ActivateParams::Kind::Gelu;
    config.tied_embeddings = json.booleanOr("tie_word_embeddings", true);
    // Checkpoints of the original training code have biases then; transformers writes none.
    config.optional_biases = !json.booleanOr("no_bias", true);
    if (const auto mlp = json.find("ffn_config")) {
        refuseForeignSettings(*mlp, kForeignMlp);
    }

    config.position = PositionKind::Alibi;
    static const Json kDefaults = Json::object();
    readAttention(json.find("attn_config").value_or(JsonView(kDefaults, json.file(), "attn_config")), config);
    return config;
}

ModelTensorNames names(const ModelConfig& config) {
    const std::string& prefix = config.tensor_prefix;
    return {prefix + "wte", "", prefix + "norm_f", "lm_head", "", ""};
}

LayerTensorNames layerNames(const ModelConfig& config, int layer) {
    const std::string base = config.tensor_prefix + "blocks." + std::to_string(layer) + ".";
    LayerTensorNames names;
    names.attention_norm = base + "norm_1";
    names.mlp_norm = base + "norm_2";
    names.query = names.key = names.value = base + (config.low_rank ? "attn.Wqkv_low" : "attn.Wqkv");
    names.fused_qkv = true;
    names.output = base + (config.low_rank ? "attn.out_proj_up" : "attn.out_proj");
    names.query_norm = base + "attn.q_ln";
    names.key_norm = base + "attn.k_ln";
    names.up = base + "ffn.up_proj";
    names.down = base + "ffn.down_proj";
    return names;
}

}  // namespace

Family mptFamily() { return {"mpt", kTypes, "MPT", kPrefixes, read, names, layerNames}; }

}  // namespace eigenscope
