// SPDX-License-Identifier: Apache-2.0
// Where a model comes from: a directory, or a preset, a published architecture's configuration that needs
// nothing downloaded. Any thread.
#pragma once

#include "core/checkpoint/checkpoint.h"
#include "core/tokenizer/tokenizer.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace eigenscope {

struct Preset {
    std::string_view name;    // "llama-2-7b"
    std::string_view title;   // "Llama 2 7B"
    std::string_view config;  // JSON, as config.json has it
};
std::span<const Preset> presets();

inline constexpr std::string_view kPresetPrefix = "preset:";  // MODEL may be "preset:llama-2-7b"
// The name after the prefix; empty for anything else.
std::optional<std::string> presetName(const std::filesystem::path& model);

// Dummy: random weights whatever the directory has (it need only have config.json). Presets always have them.
enum class LoadFormat : std::uint8_t { Auto, Dummy };
std::shared_ptr<const Checkpoint> openCheckpoint(const std::filesystem::path& model,
                                                 LoadFormat format = LoadFormat::Auto);
// The directory's tokenizer. With random weights there may be none: then one that refuses text and says why.
std::shared_ptr<const Tokenizer> openTokenizer(const Checkpoint& checkpoint);

}  // namespace eigenscope
