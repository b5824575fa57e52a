// SPDX-License-Identifier: Apache-2.0
// Element types of tensors, and scalar conversions between them. Pure values; safe from any thread.
#pragma once

#include "kernels/api/float16.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace eigenscope {

enum class DType : std::uint8_t { F32, F16, BF16 };

EIGENSCOPE_HOST_DEVICE inline std::size_t sizeOf(DType dtype) {  // bytes of one element
    return dtype == DType::F32 ? 4 : 2;
}
std::string_view nameOf(DType dtype);  // "f32", "f16", "bf16"
std::optional<DType> dtypeFromName(std::string_view name);

// Element i of an array of `dtype`, as float32. For slow paths and tests; kernels convert whole vectors.
float loadAsF32(const void* data, DType dtype, std::int64_t i);
void storeFromF32(void* data, DType dtype, std::int64_t i, float value);

}  // namespace eigenscope
