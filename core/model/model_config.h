// SPDX-License-Identifier: Apache-2.0
// What a config.json says, in one vocabulary for every family. Plain values.
#pragma once

#include "core/base/json.h"
#include "core/model/low_rank_description.h"
#include "kernels/api/ops.h"

#include <cstdint>
#include <optional>
#include <string>

namespace eigenscope {

enum class PositionKind : std::uint8_t { Rotary, Learned, Alibi };

struct ModelConfig {
    std::string family;         // "llama", "opt", "mpt": the row of the family table
    std::string architecture;   // "LlamaForCausalLM", as config.json names it
    std::string tensor_prefix;  // "model.": what tensor names of the checkpoint begin with
    int layers = 0, hidden_size = 0, query_heads = 0, kv_heads = 0, head_dim = 0;
    int intermediate_size = 0, vocab_size = 0, max_positions = 0;

    NormParams::Kind norm = NormParams::Kind::LayerNorm;
    float norm_epsilon = 1e-5f;
    ActivateParams::Kind activation = ActivateParams::Kind::Relu;
    bool gated_mlp = false;        // act(gate x) * (up x), SwiGLU
    bool tied_embeddings = false;  // the output projection is the token embedding
    bool norm_affine = true;       // norms have weights
    // Biases the checkpoint must have. A converted one may have more: attention's are read when they are
    // there.
    bool norm_bias = false, qkv_bias = false, output_bias = false, mlp_bias = false;

    PositionKind position = PositionKind::Learned;
    int position_offset = 0;  // rows to skip in a learned table (OPT: 2)
    double rope_theta = 10000.0;
    double alibi_bias_max = 8.0;
    float attention_scale = 1.0f;  // 1 / sqrt(head_dim) unless the configuration says otherwise

    std::optional<LowRankDescription> low_rank;  // set for converted checkpoints

    int queryWidth(int layer) const {
        return low_rank && position != PositionKind::Rotary ? keyWidth(layer) : head_dim;
    }
    int group() const { return query_heads / kv_heads; }  // query heads that share a key/value head
    // Heads of the KV cache: key/value heads, or latents that several of them share.
    int cachedHeads() const { return kv_heads / (low_rank ? low_rank->head_group : 1); }
    int keyWidth(int layer) const {
        return low_rank ? low_rank->key_ranks[static_cast<std::size_t>(layer)] : head_dim;
    }
    int valueWidth(int layer) const {
        return low_rank ? low_rank->value_ranks[static_cast<std::size_t>(layer)] : head_dim;
    }
    bool rebuildsKeys() const { return low_rank && position == PositionKind::Rotary; }
};

// Finds the family by model_type and reads; settings this program does not honour are refused by name.
ModelConfig readModelConfig(const Json& config, const std::filesystem::path& file);

}  // namespace eigenscope
