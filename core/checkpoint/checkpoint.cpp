// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/checkpoint.h"

#include "core/base/fail.h"
#include "core/base/hash.h"
#include "core/base/regular_file.h"
#include "core/checkpoint/checkpoint_files.h"
#include "core/checkpoint/hub_cache.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace eigenscope {

namespace fs = std::filesystem;

namespace {

constexpr const char* kConfigFile = "config.json";

// A tensor's start and evenly spaced blocks of the rest: reading all of a large checkpoint would take
// minutes.
void addSample(Fingerprint& fingerprint, const Checkpoint& checkpoint, const TensorRecord& tensor) {
    constexpr std::size_t kBlocks = 16, kBlockBytes = 256;
    std::array<std::byte, kBlocks * kBlockBytes> room;
    const std::uint64_t size = tensor.byteCount();
    if (size <= room.size()) {
        const std::span<std::byte> all(room.data(), size);
        checkpoint.read(tensor, 0, all);
        fingerprint.add(all);
        return;
    }
    const std::span<std::byte> block(room.data(), kBlockBytes);
    const std::uint64_t last = size - kBlockBytes;
    for (std::size_t i = 0; i < kBlocks; ++i) {
        checkpoint.read(tensor, last * i / (kBlocks - 1), block);
        fingerprint.add(block);
    }
}

// What of other programs' formats lies there instead; empty: nothing that is known.
std::string otherFormat(const fs::path& directory) {
    std::error_code error;
    for (fs::directory_iterator i(directory, error), last; !error && i != last; i.increment(error)) {
        if (i->path().extension() == ".gguf")
            return "; GGUF files are not read";
        if (i->path().extension() == ".pth")
            return "; *.pth files as Meta publishes them are not read, the hub has the same model as "
                   "'...-hf'";
    }
    return {};
}

}  // namespace

fs::path Checkpoint::directoryOf(const fs::path& path) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (!fs::exists(status))
        failInput(path, "no such file or directory");
    if (fs::is_directory(status))
        return hubSnapshot(path);
    return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

Json Checkpoint::readConfig(const fs::path& directory) {
    if (!hasRegularFile(directory / kConfigFile))
        failInput(directory, "no config.json in this directory, expected a Hugging Face checkpoint" +
                                 otherFormat(directory));
    Json config = readJsonFile(directory / kConfigFile);
    if (!config.is_object())
        failInput(directory / kConfigFile, "expected a JSON object");
    return config;
}

std::shared_ptr<const Checkpoint> Checkpoint::withDummyWeights(const fs::path& directory, Json config,
                                                               std::shared_ptr<const DummyWeights> weights,
                                                               std::string name) {
    auto checkpoint = std::make_shared<Checkpoint>();
    checkpoint->m_directory = directory;
    checkpoint->m_name = std::move(name);
    checkpoint->m_config = std::move(config);
    checkpoint->m_records.push_back(weights->records());
    checkpoint->m_dummy = std::move(weights);
    for (const TensorRecord& tensor : checkpoint->m_records.front()) {
        checkpoint->m_index.emplace(tensor.name, &tensor);
        checkpoint->m_tensors.push_back(&tensor);
    }
    return checkpoint;
}

void Checkpoint::prepareBytes() const {
    if (m_dummy)
        m_dummy->fill();
    else
        std::call_once(m_mapping, [this] { mapFiles(); });
}

void Checkpoint::mapFiles() const {
    for (std::size_t shard = 0; shard < m_files.size(); ++shard) {
        const auto mapped = m_files[shard]->map();
        for (TensorRecord& tensor : m_records[shard]) {
            if (!tensor.offset)
                continue;
            tensor.bytes = mapped->bytes().subspan(*tensor.offset, tensor.byteCount());
            tensor.owner = mapped;
        }
    }
    m_mapped = true;
}

void Checkpoint::read(const TensorRecord& tensor, std::uint64_t begin, std::span<std::byte> to) const {
    if (begin > tensor.byteCount() || to.size() > tensor.byteCount() - begin)
        failField(tensor.file, tensor.name,
                  "has no bytes " + std::to_string(begin) + " to " + std::to_string(begin + to.size()));
    if (to.empty())
        return;
    if (m_dummy) {
        m_dummy->read(tensor, begin, to);
        return;
    }
    if (tensor.offset && !m_mapped) {
        const auto shard = std::find(m_shards.begin(), m_shards.end(), tensor.file) - m_shards.begin();
        m_files[static_cast<std::size_t>(shard)]->read(*tensor.offset + begin, to);
        return;
    }
    std::memcpy(to.data(), tensor.bytes.data() + begin, to.size());
}

std::int64_t Checkpoint::heldBytes() const {
    if (m_dummy)
        return static_cast<std::int64_t>(m_dummy->poolBytes());
    std::int64_t bytes = 0;
    for (const TensorRecord* tensor : m_tensors) {
        if (!tensor->offset)
            bytes += static_cast<std::int64_t>(tensor->byteCount());
    }
    return bytes;
}

std::shared_ptr<const Checkpoint> Checkpoint::open(const fs::path& path, Access access) {
    auto checkpoint = std::make_shared<Checkpoint>();
    const fs::path directory = directoryOf(path);
    checkpoint->m_directory = directory;
    checkpoint->m_config = readConfig(directory);

    WeightFiles files = findWeightFiles(directory);
    checkpoint->m_shards = files.shards;
    for (const fs::path& shard : files.shards) {
        if (access == Access::Headers)
            checkpoint->m_files.push_back(InputFile::open(shard));
        checkpoint->m_records.push_back(readWeightFile(shard));
        for (TensorRecord& tensor : checkpoint->m_records.back()) {
            if (access == Access::Headers && tensor.offset) {
                tensor.bytes = {};
                tensor.owner.reset();
            }
        }
    }
    checkpoint->m_mapped = access == Access::Mapped;
    for (std::size_t shard = 0; shard < files.shards.size(); ++shard) {
        for (const TensorRecord& tensor : checkpoint->m_records[shard]) {
            const auto mapped = files.weight_map.find(tensor.name);
            // With an index, it decides; tensors it does not name are left out.
            if (!files.weight_map.empty() && (mapped == files.weight_map.end() || mapped->second != shard))
                continue;
            if (!checkpoint->m_index.emplace(tensor.name, &tensor).second)
                failField(tensor.file, tensor.name, "is in more than one file of the checkpoint");
            checkpoint->m_tensors.push_back(&tensor);
        }
    }
    for (const auto& [name, shard] : files.weight_map) {
        if (!checkpoint->find(name))
            failField(files.index, "weight_map." + name,
                      "the file '" + files.shards[shard].filename().string() + "' has no such tensor");
    }
    return checkpoint;
}

std::string Checkpoint::name() const {
    if (!m_name.empty())
        return m_name;
    std::error_code error;
    const fs::path canonical = fs::canonical(m_directory, error);
    const fs::path& full = error ? m_directory : canonical;
    const std::string repository = hubName(full);
    return repository.empty() ? full.filename().string() : repository;
}

const TensorRecord* Checkpoint::find(std::string_view name) const {
    const auto found = m_index.find(name);
    return found == m_index.end() ? nullptr : found->second;
}

const TensorRecord& Checkpoint::at(std::string_view name) const {
    if (const TensorRecord* found = find(name))
        return *found;
    failInput(m_directory, "there is no tensor '" + std::string(name) + "' in the weights");
}

std::int64_t Checkpoint::parameterCount() const {
    std::int64_t count = 0;
    for (const TensorRecord* tensor : m_tensors) {
        if (engineDType(tensor->dtype))  // integer and boolean buffers are no parameters
            count += tensor->count();
    }
    return count;
}

std::int64_t Checkpoint::weightBytes() const {
    std::int64_t bytes = 0;
    for (const TensorRecord* tensor : m_tensors)
        bytes += static_cast<std::int64_t>(tensor->byteCount());
    return bytes;
}

std::string Checkpoint::fingerprint() const {
    std::call_once(m_fingerprinting, [this] {
        Fingerprint fingerprint;
        fingerprint.add(m_config.dump());
        for (const auto& [name, tensor] : m_index) {  // by name: sharding makes no difference
            fingerprint.add(name);
            fingerprint.add(nameOf(tensor->dtype));
            for (std::int64_t extent : tensor->shape)
                fingerprint.add(" " + std::to_string(extent));
            addSample(fingerprint, *this, *tensor);
        }
        m_fingerprint = fingerprint.hex();
    });
    return m_fingerprint;
}

}  // namespace eigenscope
