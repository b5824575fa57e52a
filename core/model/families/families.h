// SPDX-License-Identifier: Apache-2.0
// The rows of the family table, one a file, and what their readers share.
#pragma once

#include "core/model/family.h"

#include <cstdint>

namespace eigenscope {

// Bounds on what a config.json may claim: far above any published model, and small enough that products of
// two fit 64 bits and a lying file cannot make a loader allocate without end.
inline constexpr std::int64_t kMaxLayers = 4096;
inline constexpr std::int64_t kMaxHeads = 4096;
inline constexpr std::int64_t kMaxHeadDim = 4096;
inline constexpr std::int64_t kMaxWidth = 1 << 20;
inline constexpr std::int64_t kMaxVocabulary = 1 << 24;
inline constexpr std::int64_t kMaxPositions = 1 << 22;

// hidden / heads; throws naming `key` when it is not whole.
int evenHeadDim(const JsonView& config, std::string_view key, int hidden, int heads);

ActivateParams::Kind readActivation(const JsonView& config, std::string_view key, std::string_view fallback);
// Throws Unsupported "file: key: value: why" unless the key is absent, null or equal to `expected`.
void requireSetting(const JsonView& config, std::string_view key, const Json& expected, std::string_view why);
// The same, whatever the value.
[[noreturn]] void refuseSetting(const JsonView& value, std::string_view why);

Family llamaFamily();
Family optFamily();
Family mptFamily();

}  // namespace eigenscope
