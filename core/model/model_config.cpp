// SPDX-License-Identifier: Apache-2.0
#include "core/model/model_config.h"

#include "core/base/fail.h"
#include "core/model/family.h"

#include <algorithm>
#include <cmath>

namespace eigenscope {

namespace {

const Family& familyOfType(const JsonView& config) {
    const std::string type = config.at("model_type").string();
    std::string known;
    for (const Family& family : families()) {
        if (std::ranges::find(family.model_types, type) != family.model_types.end()) {
            return family;
        }
        for (std::string_view name : family.model_types) {
            known += (known.empty() ? "" : ", ") + std::string(name);
        }
    }
    failUnsupported(config.file().string() + ": model_type: \"" + type +
                    "\" is not a supported architecture (supported: " + known + ")");
}

std::string architectureOf(const JsonView& config, const Family& family) {
    const auto list = config.find("architectures");
    return list && list->size() > 0 ? list->at(0).string() : std::string(family.name);
}

// What every family must agree with, whoever read it.
void checkConsistency(const ModelConfig& config, const JsonView& json) {
    if (config.query_heads % config.kv_heads != 0) {
        json.fail(std::to_string(config.query_heads) + " query heads cannot share " +
                  std::to_string(config.kv_heads) + " key/value heads evenly");
    }
    if (config.position == PositionKind::Rotary && config.head_dim % 2 != 0) {
        json.fail("rotary positions need an even head dimension, found " + std::to_string(config.head_dim));
    }
    if (!(config.norm_epsilon > 0.0f) || !std::isfinite(config.norm_epsilon)) {
        json.fail("the norms' epsilon must be a positive number");
    }
    if (!std::isfinite(config.attention_scale)) {
        json.fail("the attention scale must be a finite number");
    }
}

}  // namespace

ModelConfig readModelConfig(const Json& config, const std::filesystem::path& file) {
    const JsonView json(config, file);
    if (!config.is_object()) {
        json.fail("expected a JSON object");
    }
    const Family& family = familyOfType(json);
    ModelConfig result = family.read(json);
    if (result.embedding_size == 0) {
        result.embedding_size = result.hidden_size;
    }
    result.family = family.name;
    result.architecture = architectureOf(json, family);
    result.tensor_prefix = family.prefixes.front();
    checkConsistency(result, json);
    if (const auto low_rank = json.find("eigen_attention")) {
        if (!result.linearProjections()) {
            low_rank->fail("a model with clipped or normalised queries and keys has no low-rank form");
        }
        result.low_rank = readLowRankDescription(*low_rank, result.layers, result.kv_heads, result.head_dim);
    }
    return result;
}

}  // namespace eigenscope
