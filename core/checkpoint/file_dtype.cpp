// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/safetensors.h"

#include "core/checkpoint/safetensors_header.h"

#include <array>
#include <limits>

namespace eigenscope {

namespace {

struct DTypeRow {
    FileDType dtype;
    std::string_view name;
    std::size_t size;
    std::optional<DType> engine;
};

constexpr std::array<DTypeRow, 10> kDTypes{{
    {FileDType::F64, "F64", 8, std::nullopt},
    {FileDType::F32, "F32", 4, DType::F32},
    {FileDType::F16, "F16", 2, DType::F16},
    {FileDType::BF16, "BF16", 2, DType::BF16},
    {FileDType::I64, "I64", 8, std::nullopt},
    {FileDType::I32, "I32", 4, std::nullopt},
    {FileDType::I16, "I16", 2, std::nullopt},
    {FileDType::I8, "I8", 1, std::nullopt},
    {FileDType::U8, "U8", 1, std::nullopt},
    {FileDType::Bool, "BOOL", 1, std::nullopt},
}};

const DTypeRow& rowOf(FileDType dtype) { return kDTypes[static_cast<std::size_t>(dtype)]; }

}  // namespace

std::size_t sizeOf(FileDType dtype) { return rowOf(dtype).size; }
std::string_view nameOf(FileDType dtype) { return rowOf(dtype).name; }
std::optional<DType> engineDType(FileDType dtype) { return rowOf(dtype).engine; }

std::optional<FileDType> fileDTypeFromName(std::string_view name) {
    for (const DTypeRow& row : kDTypes) {
        if (row.name == name)
            return row.dtype;
    }
    return std::nullopt;
}

std::string fileDTypeNames() {
    std::string names;
    for (const DTypeRow& row : kDTypes)
        names += (names.empty() ? "" : ", ") + std::string(row.name);
    return names;
}

std::optional<std::uint64_t> checkedTensorBytes(FileDType dtype, const std::vector<std::int64_t>& shape) {
    std::uint64_t total = sizeOf(dtype);
    bool empty = false;
    for (std::int64_t extent : shape) {
        if (extent < 0)
            return std::nullopt;
        // A zero makes the tensor empty whatever the other extents would overflow to.
        if (extent == 0)
            empty = true;
        else if (__builtin_mul_overflow(total, static_cast<std::uint64_t>(extent), &total))
            total = std::numeric_limits<std::uint64_t>::max();
    }
    if (empty)
        return 0;
    if (total > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        return std::nullopt;
    return total;
}

std::int64_t TensorRecord::count() const { return static_cast<std::int64_t>(byteCount() / sizeOf(dtype)); }

// Readers have checked that the shape is no larger than the file.
std::uint64_t TensorRecord::byteCount() const { return checkedTensorBytes(dtype, shape).value_or(0); }

std::size_t TensorSpec::bytes() const {
    std::size_t total = sizeOf(dtype);
    for (std::int64_t extent : shape)
        total *= static_cast<std::size_t>(extent);
    return total;
}

}  // namespace eigenscope
