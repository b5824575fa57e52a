// SPDX-License-Identifier: Apache-2.0
// What a config.json says, in one vocabulary for every family. Plain values.
#pragma once

#include "core/base/json.h"
#include "core/model/low_rank_description.h"
#include "kernels/api/ops.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace eigenscope {

enum class PositionKind : std::uint8_t { Rotary, Learned, Alibi };

// How the rotary frequencies theta^(-2i / head_dim) are changed for contexts longer than those of the
// training; positions.h has the formulas.
struct RopeScaling {
    enum class Kind : std::uint8_t { None, Linear, Dynamic, Llama3, Yarn } kind = Kind::None;
    double factor = 1.0;
    double original_positions = 0;                         // Dynamic, Llama3, Yarn: of the training
    double low_freq_factor = 1.0, high_freq_factor = 4.0;  // Llama3
    double beta_fast = 32.0, beta_slow = 1.0;              // Yarn: rotations that bound the ramp
    bool truncate = true;                                  // Yarn: the ramp's bounds are whole numbers
};

struct ModelConfig {
    std::string family;         // "llama", "opt", "mpt", ...: the row of the family table
    std::string architecture;   // "LlamaForCausalLM", as config.json names it
    std::string tensor_prefix;  // "model.": what tensor names of the checkpoint begin with
    int layers = 0, hidden_size = 0, query_heads = 0, kv_heads = 0, head_dim = 0;
    int intermediate_size = 0, vocab_size = 0, max_positions = 0;
    int embedding_size = 0;  // of the token embedding; when not hidden_size, projected in and out

    NormParams::Kind norm = NormParams::Kind::LayerNorm;
    float norm_epsilon = 1e-5f;
    ActivateParams::Kind activation = ActivateParams::Kind::Relu;
    bool gated_mlp = false;        // act(gate x) * (up x), SwiGLU
    bool tied_embeddings = false;  // the output projection is the token embedding
    bool norm_affine = true;       // norms have weights
    bool norm_after = false;       // norms follow the sums with the residual instead of preceding a block
    bool final_norm = true;        // a norm before the output projection
    bool qk_norm = false;          // a norm of all heads' queries together, and of their keys
    float qkv_clip = 0.0f;         // queries, keys and values are limited to +-this; 0: not
    // Biases the checkpoint must have. A converted one may have more: attention's are read when they are
    // there.
    bool norm_bias = false, qkv_bias = false, output_bias = false, mlp_bias = false;
    bool optional_biases = false;  // all of these are read where the checkpoint has them

    PositionKind position = PositionKind::Learned;
    int position_offset = 0;  // rows to skip in a learned table (OPT: 2)
    double rope_theta = 10000.0;
    RopeScaling rope_scaling;
    double alibi_bias_max = 8.0;
    // 1 / sqrt(head_dim) unless the configuration says otherwise. YaRN's factor on rotated queries and keys
    // is in here too, squared, so that rotations are rotations.
    float attention_scale = 1.0f;
    std::vector<int> windows;  // [layers]: positions a query sees, its own included; 0: all. Empty: all zero

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
    int window(int layer) const { return windows.empty() ? 0 : windows[static_cast<std::size_t>(layer)]; }
    bool projectsEmbeddings() const { return embedding_size != hidden_size; }
    // Of what a query, key or value goes through between its projection and the cache or the product: only
    // linear projections can be folded into a basis.
    bool linearProjections() const { return !qk_norm && qkv_clip == 0.0f; }
    bool rebuildsKeys() const { return low_rank && position == PositionKind::Rotary; }
};

// Finds the family by model_type and reads; settings this program does not honour are refused by name.
ModelConfig readModelConfig(const Json& config, const std::filesystem::path& file);

}  // namespace eigenscope
