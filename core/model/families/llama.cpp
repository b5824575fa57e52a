// SPDX-License-Identifier: Apache-2.0
// Llama: RMSNorm, rotary positions in half-split order, grouped-query attention, SwiGLU (arXiv 2302.13971,
// 2307.09288).
#include "core/base/fail.h"
#include "core/model/families/families.h"

#include <cmath>

namespace eigenscope {

namespace {

constexpr std::string_view kTypes[] = {"llama"};

// Of models that share this form's names and differ in what they compute.
const ForeignSetting kForeign[] = {
    {"quantization_config", nullptr, "quantised weights are not supported"},
    {"clip_qkv", nullptr, "clipped projections are not supported in this family"},
    {"use_qk_norm", false, "norms of queries and keys are not supported in this family"},
    {"qk_layernorm", false, "norms of queries and keys are not supported in this family"},
    {"use_parallel_residual", false, "parallel blocks are not supported"},
    {"attn_logit_softcapping", nullptr, "soft-capped scores are not supported"},
    {"final_logit_softcapping", nullptr, "soft-capped logits are not supported"},
    {"query_pre_attn_scalar", nullptr, "another scale of the scores is not supported in this family"},
    {"attention_multiplier", nullptr, "another scale of the scores is not supported in this family"},
    {"embedding_multiplier", 1.0, "scaled embeddings are not supported"},
    {"scale_emb", 1.0, "scaled embeddings are not supported"},
    {"residual_multiplier", 1.0, "scaled residuals are not supported"},
    {"scale_depth", nullptr, "scaled residuals are not supported"},
    {"logits_scaling", 1.0, "scaled logits are not supported"},
    {"logit_scale", nullptr, "scaled logits are not supported"},
    {"rope_interleave", false, "rotation of neighbouring pairs is not supported"},
    {"rope_interleaved", false, "rotation of neighbouring pairs is not supported"},
    {"no_rope_layers", nullptr, "layers without positions are not supported"},
    {"attention_chunk_size", nullptr, "attention in chunks is not supported"},
    {"use_bidirectional_attention", false, "attention that is not causal is not supported"},
    {"num_local_experts", nullptr, "mixtures of experts are not supported"},
    {"num_experts", nullptr, "mixtures of experts are not supported"},
};

ModelConfig read(const JsonView& json) {
    ModelConfig config = readLlamaForm(json, {});
    config.qkv_bias = config.output_bias = json.booleanOr("attention_bias", false);
    config.mlp_bias = json.booleanOr("mlp_bias", false);
    if (const auto window = json.find("sliding_window");
        window && json.booleanOr("use_sliding_window", true) &&
        window->integer(1, std::int64_t{1} << 40) < config.max_positions) {
        refuseSetting(*window, "attention over a sliding window is not supported in this family");
    }
    checkLayerTypes(json, config);
    return config;
}

}  // namespace

ModelConfig readLlamaForm(const JsonView& json, const LlamaDefaults& defaults) {
    refuseForeignSettings(json, kForeign);
    ModelConfig config;
    config.layers = static_cast<int>(json.integer("num_hidden_layers", 1, kMaxLayers));
    config.hidden_size = static_cast<int>(json.integer("hidden_size", 1, kMaxWidth));
    config.query_heads = static_cast<int>(json.integer("num_attention_heads", 1, kMaxHeads));
    // Absent and null differ: null is as many as there are query heads.
    const bool silent = !json.json().contains("num_key_value_heads") && defaults.kv_heads > 0;
    config.kv_heads = static_cast<int>(
        json.integerOr("num_key_value_heads", silent ? defaults.kv_heads : config.query_heads, 1, kMaxHeads));
    config.head_dim = json.has("head_dim")
                          ? static_cast<int>(json.integer("head_dim", 1, kMaxHeadDim))
                          : evenHeadDim(json, "hidden_size", config.hidden_size, config.query_heads);
    config.intermediate_size = static_cast<int>(json.integer("intermediate_size", 1, kMaxWidth));
    config.vocab_size = static_cast<int>(json.integer("vocab_size", 1, kMaxVocabulary));
    config.max_positions =
        static_cast<int>(json.integerOr("max_position_embeddings", defaults.max_positions, 1, kMaxPositions));

    config.norm = NormParams::Kind::RmsNorm;
    config.norm_epsilon = static_cast<float>(json.numberOr("rms_norm_eps", 1e-6));
    config.activation = readActivation(json, "hidden_act", "silu");
    config.gated_mlp = true;
    config.tied_embeddings = json.booleanOr("tie_word_embeddings", false);

    config.attention_scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_dim)));
    readRope(json, config);
    return config;
}

void checkLayerTypes(const JsonView& json, const ModelConfig& config) {
    const auto types = json.find("layer_types");
    if (!types) {
        return;
    }
    if (types->size() != static_cast<std::size_t>(config.layers)) {
        types->fail("has " + std::to_string(types->size()) + " entries, expected one for each of the " +
                    std::to_string(config.layers) + " layers");
    }
    for (int layer = 0; layer < config.layers; ++layer) {
        const JsonView type = types->at(static_cast<std::size_t>(layer));
        const std::string name = type.string();
        if (name != "full_attention" && name != "sliding_attention") {
            refuseSetting(type, "unknown kind of layer (known: full_attention, sliding_attention)");
        }
        if ((name == "sliding_attention") != (config.window(layer) > 0)) {
            refuseSetting(type, "contradicts the sliding window of this layer");
        }
    }
}

ModelTensorNames llamaNames(const ModelConfig& config) {
    const std::string& prefix = config.tensor_prefix;
    return {prefix + "embed_tokens", "", prefix + "norm", "lm_head", "", ""};
}

LayerTensorNames llamaLayerNames(const ModelConfig& config, int layer) {
    const std::string base = config.tensor_prefix + "layers." + std::to_string(layer) + ".";
    const std::string attention = base + "self_attn.";
    LayerTensorNames names;
    names.attention_norm = base + "input_layernorm";
    names.mlp_norm = base + "post_attention_layernorm";
    names.query = attention + "q_proj";
    names.key = attention + "k_proj";
    names.value = attention + "v_proj";
    names.output = attention + "o_proj";
    if (config.low_rank) {
        names.key = attention + "k_proj_low";
        names.key_lift = attention + "k_proj_up";
        names.value = attention + "v_proj_low";
        names.output = attention + "o_proj_up";
    }
    names.gate = base + "mlp.gate_proj";
    names.up = base + "mlp.up_proj";
    names.down = base + "mlp.down_proj";
    return names;
}

Family llamaFamily() { return {"llama", kTypes, "Llama", kLlamaPrefixes, read, llamaNames, llamaLayerNames}; }

}  // namespace eigenscope
