// SPDX-License-Identifier: Apache-2.0
// Small checkpoints with random weights, written where a test wants them.
#pragma once

#include "core/base/json.h"
#include "core/checkpoint/safetensors.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace eigenscope::test {

struct CheckpointTensor {
    std::vector<std::int64_t> shape;
    std::vector<float> values;
    FileDType dtype = FileDType::F32;  // what the values are written as: F32, F16 or BF16
};
using CheckpointTensors = std::map<std::string, CheckpointTensor>;

// Configurations of the families' smallest sensible models: 2 layers, hidden 32, 4 heads, vocabulary 64, 64
// positions. Llama's have 2 key/value heads.
Json tinyLlamaConfig();
Json tinyOptConfig();
Json tinyMptConfig();

// Every tensor that a model of this configuration needs, random, the same for the same seed on every machine.
CheckpointTensors randomTensors(const Json& config, std::uint64_t seed, FileDType dtype = FileDType::F32);

// config.json and model.safetensors in `directory`, which is created.
void writeCheckpoint(const std::filesystem::path& directory, const Json& config,
                     const CheckpointTensors& tensors);

// Both at once.
void writeRandomCheckpoint(const std::filesystem::path& directory, const Json& config, std::uint64_t seed,
                           FileDType dtype = FileDType::F32);

}  // namespace eigenscope::test
