// SPDX-License-Identifier: GPL-3.0-or-later
// What a checkpoint's headers tell, without reading weights. Plain values; any thread.
#pragma once

#include "core/checkpoint/checkpoint.h"
#include "core/model/kv_format.h"
#include "core/model/model_config.h"
#include "core/model/open_checkpoint.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace eigenscope {

struct ModelFacts {
    std::shared_ptr<const Checkpoint> checkpoint;
    ModelConfig config;
    DType dtype = DType::F32;  // of the first layer's query projection
};

// `model`: a directory or a preset.
ModelFacts readModelFacts(const std::filesystem::path& model, LoadFormat format);

// "rotary, theta 10000", "learned", "ALiBi": how the model knows positions.
std::string positionText(const ModelConfig& config);
// Label and value lines shared by `inspect` and `report`.
std::vector<std::pair<std::string, std::string>> factsText(const ModelFacts& facts, const KvFormat& kv_format,
                                                           const std::string& tokenizer);

// Of the directory's tokenizer, or empty and the reason in `problem`.
std::optional<std::string> tokenizerDescription(const ModelFacts& facts, std::string& problem);

}  // namespace eigenscope
