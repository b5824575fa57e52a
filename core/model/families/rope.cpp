// SPDX-License-Identifier: Apache-2.0
// Rotary positions as configurations write them: `rope_parameters` (newer) or `rope_scaling` with
// `rope_theta` beside it (older). Where both are present, rope_scaling counts, as in transformers.
#include "core/base/fail.h"
#include "core/model/families/families.h"

#include <algorithm>
#include <cmath>

namespace eigenscope {

namespace {

double positive(const JsonView& value) {
    const double number = value.number();
    if (!(number > 0.0) || !std::isfinite(number)) {
        value.fail("expected a positive number");
    }
    return number;
}

double positiveOr(const JsonView& json, std::string_view key, double fallback) {
    const auto value = json.find(key);
    return value ? positive(*value) : fallback;
}

double atLeastOne(const JsonView& value) {
    const double number = positive(value);
    if (number < 1.0) {
        value.fail("expected a number of at least 1");
    }
    return number;
}

// Positions of the training: a member of the configuration itself comes first, then of the scaling.
double originalPositions(const JsonView& json, const JsonView& rope, const ModelConfig& config) {
    constexpr std::string_view kKey = "original_max_position_embeddings";
    const JsonView& where = json.has(kKey) ? json : rope;
    return static_cast<double>(where.integerOr(kKey, config.max_positions, 1, kMaxPositions));
}

void extendPositions(ModelConfig& config, double positions) {
    config.max_positions = std::max(
        config.max_positions, static_cast<int>(std::min(positions, static_cast<double>(kMaxPositions))));
}

void readLlama3(const JsonView& rope, RopeScaling& scaling) {
    scaling.low_freq_factor = positive(rope.at("low_freq_factor"));
    scaling.high_freq_factor = positive(rope.at("high_freq_factor"));
    if (scaling.high_freq_factor <= scaling.low_freq_factor) {
        rope.at("high_freq_factor").fail("expected more than low_freq_factor");
    }
}

// Yet another RoPE extension, arXiv 2309.00071, section 3.4: attention is sharpened by 0.1 ln(factor) + 1.
double yarnAttentionFactor(const JsonView& rope, double factor) {
    if (const auto given = rope.find("attention_factor")) {
        return positive(*given);
    }
    const auto mscale = [factor](double weight) {
        return factor <= 1.0 ? 1.0 : 0.1 * weight * std::log(factor) + 1.0;
    };
    const double numerator = rope.numberOr("mscale", 0.0), denominator = rope.numberOr("mscale_all_dim", 0.0);
    return numerator != 0.0 && denominator != 0.0 ? mscale(numerator) / mscale(denominator) : mscale(1.0);
}

void readYarn(const JsonView& rope, ModelConfig& config) {
    RopeScaling& scaling = config.rope_scaling;
    scaling.factor = rope.has("factor")
                         ? atLeastOne(rope.at("factor"))
                         : static_cast<double>(config.max_positions) / scaling.original_positions;
    // Zero stands for the usual value, as in transformers.
    const double fast = rope.numberOr("beta_fast", 0.0), slow = rope.numberOr("beta_slow", 0.0);
    scaling.beta_fast = fast != 0.0 ? positive(rope.at("beta_fast")) : 32.0;
    scaling.beta_slow = slow != 0.0 ? positive(rope.at("beta_slow")) : 1.0;
    scaling.truncate = rope.booleanOr("truncate", true);
    const double factor = yarnAttentionFactor(rope, scaling.factor);
    if (!(factor > 0.0) || !std::isfinite(factor)) {
        rope.fail("mscale and mscale_all_dim give no positive attention factor");
    }
    config.attention_scale *= static_cast<float>(factor * factor);
    extendPositions(config, std::floor(scaling.original_positions * scaling.factor));
}

void readScaling(const JsonView& json, const JsonView& rope, ModelConfig& config) {
    using Kind = RopeScaling::Kind;
    const char* key = rope.has("rope_type") ? "rope_type" : "type";
    const std::string type = rope.stringOr(key, "default");
    RopeScaling& scaling = config.rope_scaling;
    requireSetting(rope, "partial_rotary_factor", 1.0, "partly rotated heads are not supported");
    requireSetting(rope, "mrope_section", nullptr, "positions of several axes are not supported");
    if (type == "default") {
        return;
    }
    if (type == "linear") {
        scaling.kind = Kind::Linear;
        scaling.factor = atLeastOne(rope.at("factor"));
    } else if (type == "dynamic") {
        requireSetting(rope, "alpha", nullptr, "only `factor` is supported for this rope_type");
        if (config.head_dim <= 2) {
            rope.at(key).fail("needs heads wider than 2");
        }
        scaling.kind = Kind::Dynamic;
        scaling.factor = atLeastOne(rope.at("factor"));
        scaling.original_positions = config.max_positions;
        extendPositions(config, std::floor(config.max_positions * scaling.factor));
    } else if (type == "llama3") {
        scaling.kind = Kind::Llama3;
        scaling.factor = atLeastOne(rope.at("factor"));
        scaling.original_positions = originalPositions(json, rope, config);
        readLlama3(rope, scaling);
    } else if (type == "yarn") {
        scaling.kind = Kind::Yarn;
        scaling.original_positions = originalPositions(json, rope, config);
        readYarn(rope, config);
    } else {
        refuseSetting(rope.at(key),
                      "unknown scaling of rotary positions (known: default, linear, dynamic, llama3, yarn)");
    }
}

}  // namespace

void readRope(const JsonView& json, ModelConfig& config) {
    config.position = PositionKind::Rotary;
    requireSetting(json, "partial_rotary_factor", 1.0, "partly rotated heads are not supported");
    config.rope_theta = positiveOr(json, "rope_theta", 10000.0);
    auto rope = json.find("rope_scaling");
    if (!rope || rope->json().empty()) {
        rope = json.find("rope_parameters");
    }
    if (!rope) {
        return;
    }
    if (!rope->json().is_object()) {
        rope->fail("expected an object");
    }
    for (const char* nested : {"full_attention", "sliding_attention"}) {
        if (const auto layers = rope->find(nested)) {
            refuseSetting(*layers, "rotary positions that differ by layer are not supported");
        }
    }
    config.rope_theta = positiveOr(*rope, "rope_theta", config.rope_theta);
    readScaling(json, *rope, config);
}

}  // namespace eigenscope
