// SPDX-License-Identifier: Apache-2.0
// A family of models is one row here: how its config.json reads and what its tensors are called. A new family
// is one file and one row in family.cpp. Readers and writers of checkpoints take every tensor name from here.
#pragma once

#include "core/model/model_config.h"

#include <span>
#include <string>
#include <string_view>

namespace eigenscope {

// Full names, config.tensor_prefix included, without ".weight" / ".bias". When config.low_rank is set they
// are the names of the converted checkpoint (the original name with _low / _up); take the original's names by
// a configuration without it. Rows of a projection are ordered by head: [heads * width, hidden]; the output
// projection is [hidden, query_heads * value_width].
struct LayerTensorNames {
    std::string attention_norm, mlp_norm;
    std::string query, key, value, output;  // query == key == value when fused
    bool fused_qkv = false;                 // rows: all queries, all keys, all values
    std::string key_lift;                   // rebuilt keys only: weight [kv_heads * head_dim, key_width],
                                            // bias [kv_heads * head_dim] = mean, optional; else empty
    std::string gate, up, down;             // gate empty unless gated
    std::string query_norm, key_norm;       // config.qk_norm only
};

struct ModelTensorNames {
    std::string token_embedding, position_embedding, final_norm,
        output_head;                      // position_embedding may be empty
    std::string project_in, project_out;  // config.projectsEmbeddings() only
};

struct Family {
    std::string_view name;                          // "llama"
    std::span<const std::string_view> model_types;  // config.json's model_type
    std::string_view title;                         // "Llama"
    // Beginnings of tensor names in use, the usual one first: checkpoints saved without the language-model
    // head lack the outer module's name.
    std::span<const std::string_view> prefixes;
    ModelConfig (*read)(const JsonView& config);
    ModelTensorNames (*names)(const ModelConfig& config);
    LayerTensorNames (*layerNames)(const ModelConfig& config, int layer);
};

std::span<const Family> families();
const Family& familyOf(const ModelConfig& config);  // throws Unsupported when the name is in no row

}  // namespace eigenscope
