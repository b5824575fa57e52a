// SPDX-License-Identifier: Apache-2.0
// OPT: learned positions that start at row 2 of their table, LayerNorm before each block, biases (arXiv
// 2205.01068). Its 350m model differs: LayerNorm after each sum, none at the end, and token embeddings of
// half the width, projected in and out.
#include "core/base/fail.h"
#include "core/model/families/families.h"

#include <cmath>

namespace eigenscope {

namespace {

constexpr std::string_view kTypes[] = {"opt"};
constexpr std::string_view kPrefixes[] = {"model.decoder.", "decoder."};

const ForeignSetting kForeign[] = {
    {"quantization_config", nullptr, "quantised weights are not supported"},
    {"scale_embedding", false, "scaled embeddings are not supported"},
    {"scale_embeddings", false, "scaled embeddings are not supported"},
};

ModelConfig read(const JsonView& json) {
    refuseForeignSettings(json, kForeign);
    ModelConfig config;
    config.layers = static_cast<int>(json.integer("num_hidden_layers", 1, kMaxLayers));
    config.hidden_size = static_cast<int>(json.integer("hidden_size", 1, kMaxWidth));
    config.query_heads = static_cast<int>(json.integer("num_attention_heads", 1, kMaxHeads));
    config.kv_heads = config.query_heads;
    config.head_dim = evenHeadDim(json, "hidden_size", config.hidden_size, config.query_heads);
    config.intermediate_size = static_cast<int>(json.integer("ffn_dim", 1, kMaxWidth));
    config.vocab_size = static_cast<int>(json.integer("vocab_size", 1, kMaxVocabulary));
    config.max_positions = static_cast<int>(json.integer("max_position_embeddings", 1, kMaxPositions));

    config.embedding_size =
        static_cast<int>(json.integerOr("word_embed_proj_dim", config.hidden_size, 1, kMaxWidth));
    config.norm_after = !json.booleanOr("do_layer_norm_before", true);
    config.final_norm = !config.norm_after && !json.booleanOr("_remove_final_layer_norm", false);

    config.norm = NormParams::Kind::LayerNorm;
    config.norm_epsilon = 1e-5f;
    config.norm_affine = config.norm_bias = json.booleanOr("layer_norm_elementwise_affine", true);
    config.activation = readActivation(json, "activation_function", "relu");
    config.tied_embeddings = json.booleanOr("tie_word_embeddings", true);
    config.qkv_bias = config.output_bias = config.mlp_bias = json.booleanOr("enable_bias", true);

    config.position = PositionKind::Learned;
    config.position_offset = 2;
    config.attention_scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_dim)));
    return config;
}

ModelTensorNames names(const ModelConfig& config) {
    const std::string& prefix = config.tensor_prefix;
    return {prefix + "embed_tokens", prefix + "embed_positions", prefix + "final_layer_norm", "lm_head",
            prefix + "project_in",   prefix + "project_out"};
}

LayerTensorNames layerNames(const ModelConfig& config, int layer) {
    const std::string base = config.tensor_prefix + "layers." + std::to_string(layer) + ".";
    const std::string attention = base + "self_attn.";
    const std::string low = config.low_rank ? "_low" : "";
    LayerTensorNames names;
    names.attention_norm = base + "self_attn_layer_norm";
    names.mlp_norm = base + "final_layer_norm";
    names.query = attention + "q_proj" + low;
    names.key = attention + "k_proj" + low;
    names.value = attention + "v_proj" + low;
    names.output = attention + (config.low_rank ? "out_proj_up" : "out_proj");
    names.up = base + "fc1";
    names.down = base + "fc2";
    return names;
}

}  // namespace

Family optFamily() { return {"opt", kTypes, "OPT", kPrefixes, read, names, layerNames}; }

}  // namespace eigenscope
