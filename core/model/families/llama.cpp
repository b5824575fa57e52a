// SPDX-License-Identifier: Apache-2.0
// Llama: RMSNorm, rotary positions in half-split order, grouped-query attention, SwiGLU (arXiv 2302.13971,
// 2307.09288).
#include "core/base/fail.h"
#include "core/model/families/families.h"

#include <cmath>

namespace eigenscope {

namespace {

constexpr std::string_view kTypes[] = {"llama"};
constexpr std::string_view kPrefixes[] = {"model.", ""};

// Newer configurations keep theta and scaling in `rope_parameters`, older ones in `rope_theta` and
// `rope_scaling`.
double readRopeTheta(const JsonView& config) {
    for (const char* key : {"rope_parameters", "rope_scaling"}) {
        if (const auto rope = config.find(key)) {
            requireSetting(*rope, "rope_type", "default", "scaled rotary positions are not supported");
            requireSetting(*rope, "type", "default", "scaled rotary positions are not supported");
            requireSetting(*rope, "partial_rotary_factor", 1.0, "partly rotated heads are not supported");
        }
    }
    requireSetting(config, "partial_rotary_factor", 1.0, "partly rotated heads are not supported");
    double theta = config.numberOr("rope_theta", 10000.0);
    if (const auto rope = config.find("rope_parameters")) {
        theta = rope->numberOr("rope_theta", theta);
    }
    if (!(theta > 0.0) || !std::isfinite(theta)) {
        failField(config.file(), "rope_theta", "expected a positive number");
    }
    return theta;
}

void refuseSlidingWindow(const JsonView& config, int max_positions) {
    const auto window = config.find("sliding_window");
    if (window && config.booleanOr("use_sliding_window", true) &&
        window->integer(1, std::int64_t{1} << 40) < max_positions) {
        refuseSetting(*window, "attention over a sliding window is not supported");
    }
}

ModelConfig read(const JsonView& json) {
    ModelConfig config;
    config.layers = static_cast<int>(json.integer("num_hidden_layers", 1, kMaxLayers));
    config.hidden_size = static_cast<int>(json.integer("hidden_size", 1, kMaxWidth));
    config.query_heads = static_cast<int>(json.integer("num_attention_heads", 1, kMaxHeads));
    config.kv_heads =
        static_cast<int>(json.integerOr("num_key_value_heads", config.query_heads, 1, kMaxHeads));
    config.head_dim = json.has("head_dim")
                          ? static_cast<int>(json.integer("head_dim", 1, kMaxHeadDim))
                          : evenHeadDim(json, "hidden_size", config.hidden_size, config.query_heads);
    config.intermediate_size = static_cast<int>(json.integer("intermediate_size", 1, kMaxWidth));
    config.vocab_size = static_cast<int>(json.integer("vocab_size", 1, kMaxVocabulary));
    config.max_positions =
        static_cast<int>(json.integerOr("max_position_embeddings", 2048, 1, kMaxPositions));

    config.norm = NormParams::Kind::RmsNorm;
    config.norm_epsilon = static_cast<float>(json.numberOr("rms_norm_eps", 1e-6));
    config.activation = readActivation(json, "hidden_act", "silu");
    config.gated_mlp = true;
    config.tied_embeddings = json.booleanOr("tie_word_embeddings", false);
    config.qkv_bias = config.output_bias = json.booleanOr("attention_bias", false);
    config.mlp_bias = json.booleanOr("mlp_bias", false);

    config.position = PositionKind::Rotary;
    config.rope_theta = readRopeTheta(json);
    config.attention_scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_dim)));
    refuseSlidingWindow(json, config.max_positions);
    return config;
}

ModelTensorNames names(const ModelConfig& config) {
    const std::string& prefix = config.tensor_prefix;
    return {prefix + "embed_tokens", "", prefix + "norm", "lm_head"};
}

LayerTensorNames layerNames(const ModelConfig& config, int layer) {
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

}  // namespace

Family llamaFamily() { return {"llama", kTypes, "Llama", kPrefixes, read, names, layerNames}; }

}  // namespace eigenscope
