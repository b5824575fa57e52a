// SPDX-License-Identifier: Apache-2.0
// Rules that reader and writer of safetensors share. Pure functions; any thread.
#pragma once

#include "core/checkpoint/safetensors.h"

namespace eigenscope {

inline constexpr std::uint64_t kMaxSafetensorsHeader = 100'000'000;  // the format's own bound
inline constexpr std::string_view kSafetensorsMetadata = "__metadata__";

std::optional<FileDType> fileDTypeFromName(std::string_view name);
std::string fileDTypeNames();  // "F64, F32, ..." for messages

// Bytes of a tensor; empty when an extent is negative or the product exceeds what a file can hold (2^63 - 1).
std::optional<std::uint64_t> checkedTensorBytes(FileDType dtype, const std::vector<std::int64_t>& shape);

}  // namespace eigenscope
