// SPDX-License-Identifier: Apache-2.0
// Qwen 2: Llama's form with biases on queries, keys and values; upper layers may look back over a sliding
// window (arXiv 2407.10671).
#include "core/model/families/families.h"

#include <algorithm>

namespace eigenscope {

namespace {

constexpr std::string_view kTypes[] = {"qwen2"};

// Layers from max_window_layers on, or those that `layer_types` names.
bool slides(const JsonView& json, int layer) {
    if (const auto types = json.find("layer_types");
        types && types->size() > static_cast<std::size_t>(layer)) {
        return types->at(static_cast<std::size_t>(layer)).string() == "sliding_attention";
    }
    return layer >= json.integerOr("max_window_layers", 28, 0, kMaxLayers);
}

void readWindows(const JsonView& json, ModelConfig& config) {
    if (json.booleanOr("use_sliding_window", false)) {
        const bool none = json.json().contains("sliding_window") && !json.has("sliding_window");
        const std::int64_t window =
            none ? 0 : json.integerOr("sliding_window", 4096, 1, std::int64_t{1} << 40);
        if (window > 0) {
            for (int layer = 0; layer < config.layers; ++layer) {
                config.windows.push_back(slides(json, layer)
                                             ? static_cast<int>(std::min<std::int64_t>(window, kMaxPositions))
                                             : 0);
            }
        }
    }
    checkLayerTypes(json, config);
}

ModelConfig read(const JsonView& json) {
    requireSetting(json, "attention_bias", true, "this family has biases on queries, keys and values");
    requireSetting(json, "mlp_bias", false, "biases of the MLP are not supported in this family");
    ModelConfig config = readLlamaForm(json, {.kv_heads = 32, .max_positions = 32768});
    config.qkv_bias = true;
    readWindows(json, config);
    return config;
}

}  // namespace

Family qwen2Family() {
    return {"qwen2", kTypes, "Qwen 2", kLlamaPrefixes, read, llamaNames, llamaLayerNames};
}

}  // namespace eigenscope
