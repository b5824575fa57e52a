// SPDX-License-Identifier: Apache-2.0
// The rows of the family table, one a file, and what their readers share.
#pragma once

#include "core/model/family.h"

#include <cstdint>
#include <span>

namespace eigenscope {

// Bounds on what a config.json may claim: far above any published model, and small enough that products of
// two fit 64 bits and a lying file cannot make a loader allocate without end.
inline constexpr std::int64_t kMaxLayers = 4096;
inline constexpr std::int64_t kMaxHeads = 4096;
inline constexpr std::int64_t kMaxHeadDim = 4096;
inline constexpr std::int64_t kMaxWidth = 1 << 20;
inline constexpr std::int64_t kMaxVocabulary = 1 << 24;
inline constexpr std::int64_t kMaxPositions = 1 << 22;

// hidden / heads; throws naming `key` when it is not whole.
int evenHeadDim(const JsonView& config, std::string_view key, int hidden, int heads);

ActivateParams::Kind readActivation(const JsonView& config, std::string_view key, std::string_view fallback);
// Throws Unsupported "file: key: value: why" unless the key is absent, null or equal to `expected`.
void requireSetting(const JsonView& config, std::string_view key, const Json& expected, std::string_view why);
// The same, whatever the value.
[[noreturn]] void refuseSetting(const JsonView& value, std::string_view why);

// A setting that changes the arithmetic and that this program does not honour, with the value that changes
// nothing (null: there is none).
struct ForeignSetting {
    std::string_view key;
    Json harmless;
    std::string_view why;
};
void refuseForeignSettings(const JsonView& config, std::span<const ForeignSetting> settings);

// What a configuration of Llama's form means where it is silent.
struct LlamaDefaults {
    int kv_heads = 0;  // 0: as many as there are query heads
    int max_positions = 2048;
};
// Everything but biases and sliding windows, which the families of this form differ in.
ModelConfig readLlamaForm(const JsonView& json, const LlamaDefaults& defaults);
// `rope_parameters`, `rope_scaling` and `rope_theta` into config.rope_theta, rope_scaling, max_positions and
// attention_scale; head_dim and max_positions must be set.
void readRope(const JsonView& json, ModelConfig& config);
// `layer_types`, where present, must give each layer the window that config.windows says.
void checkLayerTypes(const JsonView& json, const ModelConfig& config);
ModelTensorNames llamaNames(const ModelConfig& config);
LayerTensorNames llamaLayerNames(const ModelConfig& config, int layer);
inline constexpr std::string_view kLlamaPrefixes[] = {"model.", ""};

Family llamaFamily();
Family mistralFamily();
Family qwen2Family();
Family optFamily();
Family mptFamily();

}  // namespace eigenscope
