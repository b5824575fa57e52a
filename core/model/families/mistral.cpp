// SPDX-License-Identifier: Apache-2.0
// Mistral: Llama's form without biases; attention may look back over a sliding window (arXiv 2310.06825).
#include "core/model/families/families.h"

namespace eigenscope {

namespace {

constexpr std::string_view kTypes[] = {"mistral"};

ModelConfig read(const JsonView& json) {
    requireSetting(json, "attention_bias", false, "biases of projections are not supported in this family");
    requireSetting(json, "mlp_bias", false, "biases of projections are not supported in this family");
    ModelConfig config = readLlamaForm(json, {.kv_heads = 8, .max_positions = 131072});
    // Absent is the architecture's 4096; null is none.
    std::int64_t window = json.json().contains("sliding_window") ? 0 : 4096;
    if (const auto given = json.find("sliding_window")) {
        window = given->integer(1, std::int64_t{1} << 40);
    }
    // A window as long as the context hides nothing.
    if (window > 0 && window < config.max_positions) {
        config.windows.assign(static_cast<std::size_t>(config.layers), static_cast<int>(window));
    }
    if (window == 0 || !config.windows.empty()) {
        checkLayerTypes(json, config);
    }
    return config;
}

}  // namespace

Family mistralFamily() {
    return {"mistral", kTypes, "Mistral", kLlamaPrefixes, read, llamaNames, llamaLayerNames};
}

}  // namespace eigenscope
