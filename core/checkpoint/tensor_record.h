// SPDX-License-Identifier: Apache-2.0
// A tensor as it lies in a weight file, whatever the file's format. Values; any thread.
#pragma once

#include "kernels/api/dtype.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace eigenscope {

enum class FileDType : std::uint8_t { F64, F32, F16, BF16, I64, I32, I16, I8, U8, Bool };
std::size_t sizeOf(FileDType dtype);
std::string_view nameOf(FileDType dtype);           // as the format writes it: "F32"
std::optional<DType> engineDType(FileDType dtype);  // F32, F16, BF16; else empty

// A tensor in an open file. The bytes live as long as `owner`; they are not at hand (empty, no owner) where
// only headers were read, see Checkpoint::Access.
struct TensorRecord {
    std::string name;
    FileDType dtype = FileDType::F32;
    std::vector<std::int64_t> shape;
    std::span<const std::byte> bytes;
    std::shared_ptr<const void> owner;
    std::filesystem::path file;

    std::optional<std::uint64_t> offset{};  // of the bytes in `file`, when they lie there as they are

    std::int64_t count() const;
    std::uint64_t byteCount() const;  // whether the bytes are at hand or not
};

// The tensors of a weight file in file order: safetensors by its extension, else a PyTorch file. Throws
// naming what is wrong; reads headers only.
std::vector<TensorRecord> readWeightFile(const std::filesystem::path& file);

}  // namespace eigenscope
