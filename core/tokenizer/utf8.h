// SPDX-License-Identifier: Apache-2.0
// The little UTF-8 that tokenizers need. Pure functions; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace eigenscope {

// One character at the start of a text.
struct Utf8Character {
    char32_t code = 0;
    std::size_t bytes = 0;    // at least 1 for a text that is not empty
    bool valid = false;       // false: `bytes` are the longest start of a character that is broken off here
    bool incomplete = false;  // not valid, but only because the text ends
};
Utf8Character readUtf8(std::string_view text);

// Every ill-formed part becomes one U+FFFD, as the Unicode standard recommends (3.9, "maximal subparts").
std::string validUtf8(std::string_view text);

// Length of the text without a character that its end cuts in two.
std::size_t completeUtf8(std::string_view text);

void appendUtf8(std::string& text, char32_t code);

}  // namespace eigenscope
