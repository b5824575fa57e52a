// SPDX-License-Identifier: Apache-2.0
// A family of models is one row here: how its config.json reads and what its tensors are called. A new family is one
// file and one row in family.cpp.
#pragma once

#include "core/model/model_config.h"

#include <span>
#include <string>
#include <string_view>

namespace eigenscope {

// Names of one projection's tensors. A fused source holds several projections stacked by rows; `low`/`up` are the names
// a converted checkpoint uses (design: the original name with _low / _up).
struct LayerTensorNames {
    std::string attention_norm, mlp_norm;            // + ".weight" / ".bias"
    std::string query, key, value, output;           // + ".weight" / ".bias"; query == key == value when fused
    bool fused_qkv = false;                          // rows: all queries, all keys, all values
    std::string gate, up, down;                      // gate empty unless gated
};

struct ModelTensorNames {
    std::string token_embedding, position_embedding, final_norm, output_head;  // position_embedding may be empty
};

struct Family {
    std::string_view name;                          // "llama"
    std::span<const std::string_view> model_types;  // config.json's model_type
    std::string_view title;                         // "Llama"
    ModelConfig (*read)(const JsonView& config);
    ModelTensorNames (*names)(const ModelConfig& config);
    LayerTensorNames (*layerNames)(const ModelConfig& config, int layer);
};

std::span<const Family> families();
const Family& familyOf(const ModelConfig& config);

}  // namespace eigenscope
