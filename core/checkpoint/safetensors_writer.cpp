// SPDX-License-Identifier: Apache-2.0
#include "core/base/atomic_output.h"
#include "core/base/fail.h"
#include "core/base/json.h"
#include "core/checkpoint/safetensors.h"
#include "core/checkpoint/safetensors_header.h"

#include <set>
#include <utility>

namespace eigenscope {

namespace {

constexpr std::size_t kDataAlignment = 64;  // a cache line, and the widest vector register

// The 8 bytes of length and the JSON, padded with spaces (the format allows them) up to the data.
std::string header(const std::filesystem::path& file, const std::vector<TensorSpec>& specs,
                   const std::map<std::string, std::string>& metadata) {
    nlohmann::ordered_json json = nlohmann::ordered_json::object();
    if (!metadata.empty())
        json[std::string(kSafetensorsMetadata)] = metadata;
    std::set<std::string_view> names;
    std::uint64_t offset = 0;
    for (const TensorSpec& spec : specs) {
        if (spec.name == kSafetensorsMetadata || !names.insert(spec.name).second)
            failField(file, spec.name, "a tensor of this name cannot be written: the name is taken");
        const auto bytes = checkedTensorBytes(spec.dtype, spec.shape);
        std::uint64_t end = 0;
        if (!bytes || __builtin_add_overflow(offset, *bytes, &end))
            failField(file, spec.name, "a tensor of this shape cannot be written");
        json[spec.name] = {
            {"dtype", nameOf(spec.dtype)}, {"shape", spec.shape}, {"data_offsets", {offset, end}}};
        offset = end;
    }
    std::string text;
    try {
        text = json.dump();
    } catch (const Json::exception&) {
        failInput(file, "a tensor's name or the metadata is not valid UTF-8");
    }
    text.resize((8 + text.size() + kDataAlignment - 1) / kDataAlignment * kDataAlignment - 8, ' ');
    if (text.size() > kMaxSafetensorsHeader)
        failInput(file, "the header would exceed the format's limit of 100000000 bytes");
    std::string length(8, '\0');
    for (std::size_t i = 0; i < 8; ++i)
        length[i] = static_cast<char>((std::uint64_t{text.size()} >> (8 * i)) & 0xff);
    return length + text;
}

}  // namespace

struct SafetensorsWriter::State {
    State(const std::filesystem::path& path, std::vector<TensorSpec> tensors)
        : path(path), specs(std::move(tensors)), file(path) {}

    std::filesystem::path path;
    std::vector<TensorSpec> specs;
    AtomicFile file;
    std::size_t next = 0;  // the spec whose bytes come next
};

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& file, std::vector<TensorSpec> specs,
                                     const std::map<std::string, std::string>& metadata) {
    const std::string start = header(file, specs, metadata);
    m_state = std::make_unique<State>(file, std::move(specs));
    m_state->file.write(start);
}

SafetensorsWriter::~SafetensorsWriter() = default;

const TensorSpec& SafetensorsWriter::nextSpec(std::string_view name) {
    if (m_state->next == m_state->specs.size())
        failField(m_state->path, name, "all tensors that were announced are written already");
    const TensorSpec& spec = m_state->specs[m_state->next];
    if (spec.name != name)
        failField(m_state->path, name, "written out of order, expected '" + spec.name + "'");
    return spec;
}

void SafetensorsWriter::write(std::string_view name, std::span<const std::byte> bytes) {
    const TensorSpec& spec = nextSpec(name);
    if (spec.bytes() != bytes.size())
        failField(m_state->path, name,
                  "has " + std::to_string(bytes.size()) + " bytes, its dtype and shape need " +
                      std::to_string(spec.bytes()));
    m_state->file.write(bytes);
    ++m_state->next;
}

void SafetensorsWriter::writePieces(std::string_view name,
                                    const std::function<void(std::uint64_t, std::span<std::byte>)>& bring) {
    const std::uint64_t size = nextSpec(name).bytes();
    std::vector<std::byte> piece(static_cast<std::size_t>(std::min<std::uint64_t>(size, kPiece)));
    for (std::uint64_t begin = 0; begin < size; begin += kPiece) {
        const std::span<std::byte> part(
            piece.data(), static_cast<std::size_t>(std::min<std::uint64_t>(size - begin, kPiece)));
        bring(begin, part);
        m_state->file.write(part);
    }
    ++m_state->next;
}

void SafetensorsWriter::commit() {
    if (m_state->next != m_state->specs.size())
        failField(m_state->path, m_state->specs[m_state->next].name, "was announced but not written");
    m_state->file.commit();
}

}  // namespace eigenscope
