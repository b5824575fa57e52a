// SPDX-License-Identifier: Apache-2.0
// A Hugging Face checkpoint directory: config.json and weights in one or many safetensors or PyTorch files.
// Opening reads headers only. Immutable; any thread.
#pragma once

#include "core/base/json.h"
#include "core/checkpoint/safetensors.h"
#include "core/checkpoint/tensor_record.h"

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace eigenscope {

class Checkpoint {
public:
    // Accepts the directory or any file in it. Throws naming what is missing and what was looked for.
    static std::shared_ptr<const Checkpoint> open(const std::filesystem::path& path);

    const std::filesystem::path& directory() const { return m_directory; }
    std::string name() const;  // the directory's name
    const Json& config() const { return m_config; }
    std::filesystem::path configFile() const { return m_directory / "config.json"; }
    const std::vector<std::filesystem::path>& shards() const { return m_shards; }

    const std::vector<const TensorRecord*>& tensors() const { return m_tensors; }
    const TensorRecord* find(std::string_view name) const;
    const TensorRecord& at(std::string_view name) const;
    std::int64_t parameterCount() const;
    std::int64_t weightBytes() const;
    // Of config.json, every tensor's name, dtype, shape and a sample of its bytes: the same weights, the same
    // text.
    std::string fingerprint() const;

private:
    std::filesystem::path m_directory;
    Json m_config;
    std::vector<std::filesystem::path> m_shards;
    std::vector<std::vector<TensorRecord>> m_records;  // by shard
    std::vector<const TensorRecord*> m_tensors;
    std::map<std::string, const TensorRecord*, std::less<>> m_index;
};

}  // namespace eigenscope
