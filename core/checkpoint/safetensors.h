// SPDX-License-Identifier: Apache-2.0
// The safetensors format (https://github.com/huggingface/safetensors, "Format"): 8 bytes little-endian header
// length, a JSON header {name: {dtype, shape, data_offsets}, "__metadata__": {string: string}}, then the
// data. The reader maps the file and checks everything before it hands out a byte: header length, JSON,
// dtypes, shapes, offsets in range, no gaps or overlaps, sizes that fit. Immutable after opening; any thread.
// The format does not align tensors: bytes are handed out where they lie, so who needs aligned elements
// checks the pointer and copies when it is not. A mapped file must not be truncated while it is in use (see
// mapped_file.h).
#pragma once

#include "core/checkpoint/tensor_record.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace eigenscope {

class SafetensorsFile {
public:
    explicit SafetensorsFile(const std::filesystem::path& file);

    const std::filesystem::path& path() const { return m_path; }
    const std::vector<TensorRecord>& tensors() const { return m_tensors; }  // in file order
    const TensorRecord* find(std::string_view name) const;
    const TensorRecord& at(std::string_view name) const;  // throws naming the file and the tensor
    const std::map<std::string, std::string>& metadata() const { return m_metadata; }

private:
    std::filesystem::path m_path;
    std::vector<TensorRecord> m_tensors;
    std::map<std::string, std::size_t, std::less<>> m_index;
    std::map<std::string, std::string> m_metadata;
};

// What a writer is told about a tensor before its bytes follow.
struct TensorSpec {
    std::string name;
    FileDType dtype = FileDType::F32;
    std::vector<std::int64_t> shape;
    std::size_t bytes() const;
};

// Streams a file: all specs first, then every tensor's bytes in the same order. Data start 64-byte aligned.
class SafetensorsWriter {
public:
    SafetensorsWriter(const std::filesystem::path& file, std::vector<TensorSpec> specs,
                      const std::map<std::string, std::string>& metadata);
    ~SafetensorsWriter();
    void write(std::string_view name,
               std::span<const std::byte> bytes);  // name and size are checked against the spec
    // The same for bytes that are brought in pieces, each with the offset of its first: memory is one
    // piece's.
    static constexpr std::size_t kPiece = std::size_t{16} << 20;
    void writePieces(std::string_view name,
                     const std::function<void(std::uint64_t begin, std::span<std::byte> to)>& bring);
    void commit();  // throws when tensors are missing; the file appears only now

private:
    struct State;
    const TensorSpec& nextSpec(std::string_view name);
    std::unique_ptr<State> m_state;
};

}  // namespace eigenscope
