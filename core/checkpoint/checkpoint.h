// SPDX-License-Identifier: Apache-2.0
// A Hugging Face checkpoint directory: config.json and weights in one or many safetensors or PyTorch files.
// Opening reads headers only. Immutable; any thread.
#pragma once

#include "core/base/json.h"
#include "core/checkpoint/dummy_weights.h"
#include "core/checkpoint/input_file.h"
#include "core/checkpoint/safetensors.h"
#include "core/checkpoint/tensor_record.h"

#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace eigenscope {

class Checkpoint {
public:
    // Mapped: tensors' bytes are at hand. Headers: nothing stays mapped, whatever the size; bytes are fetched
    // with read(), or are at hand after prepareBytes(). A file is mapped while its header is read.
    enum class Access : std::uint8_t { Mapped, Headers };
    // Accepts the directory, any file in it, or a repository of the hub's cache (hub_cache.h). Throws naming
    // what is missing and what was looked for.
    static std::shared_ptr<const Checkpoint> open(const std::filesystem::path& path,
                                                  Access access = Access::Mapped);
    // Of a configuration alone. `directory` need not exist; an empty name is the directory's.
    static std::shared_ptr<const Checkpoint> withDummyWeights(const std::filesystem::path& directory,
                                                              Json config,
                                                              std::shared_ptr<const DummyWeights> weights,
                                                              std::string name);
    // The directory that open() would take, and its config.json.
    static std::filesystem::path directoryOf(const std::filesystem::path& path);
    static Json readConfig(const std::filesystem::path& directory);

    bool hasDummyWeights() const { return m_dummy != nullptr; }
    // To be called before TensorRecord::bytes are used; cheap from the second time on.
    void prepareBytes() const;
    // Copies bytes [begin, begin + to.size()) of a tensor, mapped or not.
    void read(const TensorRecord& tensor, std::uint64_t begin, std::span<std::byte> to) const;
    // What stays in memory though nothing is mapped: tensors of deflated or strided PyTorch files, which had
    // to be unpacked to be read, and the pool of random weights.
    std::int64_t heldBytes() const;

    const std::filesystem::path& directory() const { return m_directory; }
    std::string name() const;  // the directory's or the hub repository's name, or a preset's title
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
    std::string m_name;  // empty: the directory's
    Json m_config;
    std::shared_ptr<const DummyWeights> m_dummy;
    std::vector<std::filesystem::path> m_shards;
    void mapFiles() const;

    // By shard. Where only headers were read, prepareBytes() adds the bytes, once; m_mapped says so.
    mutable std::vector<std::vector<TensorRecord>> m_records;
    std::vector<std::shared_ptr<const InputFile>> m_files;  // [shards], empty when mapped from the start
    mutable std::once_flag m_mapping;
    mutable std::atomic<bool> m_mapped = true;
    mutable std::once_flag m_fingerprinting;
    mutable std::string m_fingerprint;
    std::vector<const TensorRecord*> m_tensors;
    std::map<std::string, const TensorRecord*, std::less<>> m_index;
};

}  // namespace eigenscope
