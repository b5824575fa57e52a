// SPDX-License-Identifier: Apache-2.0
#include "kernels/api/dtype.h"

#include <cstring>

namespace eigenscope {

namespace {

struct DTypeRow {
    DType dtype;
    std::string_view name;
};

constexpr DTypeRow kDTypes[] = {{DType::F32, "f32"}, {DType::F16, "f16"}, {DType::BF16, "bf16"}};

const DTypeRow& rowOf(DType dtype) { return kDTypes[static_cast<std::size_t>(dtype)]; }

}  // namespace

std::string_view nameOf(DType dtype) { return rowOf(dtype).name; }

std::optional<DType> dtypeFromName(std::string_view name) {
    for (const DTypeRow& row : kDTypes)
        if (row.name == name)
            return row.dtype;
    return std::nullopt;
}

float loadAsF32(const void* data, DType dtype, std::int64_t i) {
    const char* at = static_cast<const char*>(data) + i * static_cast<std::int64_t>(sizeOf(dtype));
    if (dtype == DType::F32) {
        float value;
        std::memcpy(&value, at, sizeof value);
        return value;
    }
    std::uint16_t bits;
    std::memcpy(&bits, at, sizeof bits);
    return dtype == DType::F16 ? fromF16(bits) : fromBf16(bits);
}

void storeFromF32(void* data, DType dtype, std::int64_t i, float value) {
    char* at = static_cast<char*>(data) + i * static_cast<std::int64_t>(sizeOf(dtype));
    if (dtype == DType::F32) {
        std::memcpy(at, &value, sizeof value);
        return;
    }
    const std::uint16_t bits = dtype == DType::F16 ? toF16(value) : toBf16(value);
    std::memcpy(at, &bits, sizeof bits);
}

}  // namespace eigenscope
