// SPDX-License-Identifier: Apache-2.0
#include "core/tokenizer/utf8.h"

namespace eigenscope {

Utf8Character readUtf8(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    if (text.empty())
        return {};
    const unsigned first = byte(0);
    if (first < 0x80)
        return {first, 1, true, false};
    // Unicode standard, table 3-7: the second byte's range excludes overlong forms, surrogates and codes past
    // U+10FFFF.
    std::size_t length = 0;
    unsigned low = 0x80, high = 0xbf;
    if (first >= 0xc2 && first <= 0xdf) {
        length = 2;
    } else if (first >= 0xe0 && first <= 0xef) {
        length = 3;
        low = first == 0xe0 ? 0xa0 : 0x80;
        high = first == 0xed ? 0x9f : 0xbf;
    } else if (first >= 0xf0 && first <= 0xf4) {
        length = 4;
        low = first == 0xf0 ? 0x90 : 0x80;
        high = first == 0xf4 ? 0x8f : 0xbf;
    } else {
        return {0, 1, false, false};
    }
    char32_t code = first & (0x7fu >> length);
    for (std::size_t i = 1; i < length; ++i) {
        if (i == text.size())
            return {0, i, false, true};
        if (byte(i) < low || byte(i) > high)
            return {0, i, false, false};
        code = (code << 6) | (byte(i) & 0x3f);
        low = 0x80, high = 0xbf;
    }
    return {code, length, true, false};
}

std::string validUtf8(std::string_view text) {
    std::string result;
    result.reserve(text.size());
    while (!text.empty()) {
        const Utf8Character character = readUtf8(text);
        result += character.valid ? text.substr(0, character.bytes) : std::string_view("\xef\xbf\xbd");
        text.remove_prefix(character.bytes);
    }
    return result;
}

std::size_t completeUtf8(std::string_view text) {
    // Only the last three bytes can begin a character that does not end.
    for (std::size_t back = 1; back <= 3 && back <= text.size(); ++back) {
        const std::size_t start = text.size() - back;
        if ((static_cast<unsigned char>(text[start]) & 0xc0) == 0x80)
            continue;
        return readUtf8(text.substr(start)).incomplete ? start : text.size();
    }
    return text.size();
}

void appendUtf8(std::string& text, char32_t code) {
    const auto add = [&](char32_t bits) { text += static_cast<char>(bits); };
    if (code < 0x80) {
        add(code);
    } else if (code < 0x800) {
        add(0xc0 | (code >> 6));
        add(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        add(0xe0 | (code >> 12));
        add(0x80 | ((code >> 6) & 0x3f));
        add(0x80 | (code & 0x3f));
    } else {
        add(0xf0 | (code >> 18));
        add(0x80 | ((code >> 12) & 0x3f));
        add(0x80 | ((code >> 6) & 0x3f));
        add(0x80 | (code & 0x3f));
    }
}

}  // namespace eigenscope
