// SPDX-License-Identifier: Apache-2.0
// Refusing what is no text. Pure function.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace eigenscope {

// Throws naming the file and the first byte, counted from `offset`, that is not UTF-8 (Unicode 15, table 3-7:
// no overlong forms, no surrogates, nothing above U+10FFFF) or is NUL, which means a binary file.
void checkText(std::string_view text, const std::filesystem::path& file, std::int64_t offset = 0);

}  // namespace eigenscope
