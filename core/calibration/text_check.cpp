// SPDX-License-Identifier: Apache-2.0
#include "core/calibration/text_check.h"

#include "core/base/fail.h"

#include <string>

namespace eigenscope {

namespace {

// Length of the UTF-8 sequence at text[i], or 0 when there is none (Unicode 15, table 3-7: no overlong forms,
// no surrogates, nothing above U+10FFFF). NUL counts as no text: it means a binary file.
std::size_t sequenceLength(std::string_view text, std::size_t i) {
    const auto byte = [&](std::size_t k) {
        return i + k < text.size() ? static_cast<unsigned char>(text[i + k]) : 0u;
    };
    const auto follows = [&](std::size_t k, unsigned low = 0x80, unsigned high = 0xBF) {
        return byte(k) >= low && byte(k) <= high;
    };
    const unsigned lead = byte(0);
    if (lead < 0x80)
        return lead == 0 ? 0 : 1;
    if (lead >= 0xC2 && lead <= 0xDF)
        return follows(1) ? 2 : 0;
    if (lead >= 0xE0 && lead <= 0xEF) {
        const unsigned low = lead == 0xE0 ? 0xA0 : 0x80, high = lead == 0xED ? 0x9F : 0xBF;
        return follows(1, low, high) && follows(2) ? 3 : 0;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        const unsigned low = lead == 0xF0 ? 0x90 : 0x80, high = lead == 0xF4 ? 0x8F : 0xBF;
        return follows(1, low, high) && follows(2) && follows(3) ? 4 : 0;
    }
    return 0;
}

}  // namespace

void checkText(std::string_view text, const std::filesystem::path& file, std::int64_t offset) {
    if (text.empty())
        failInput(file, "is empty, expected text");
    for (std::size_t i = 0; i < text.size();) {
        const std::size_t length = sequenceLength(text, i);
        if (length == 0)
            failInput(file, "is not UTF-8 text (byte " +
                                std::to_string(offset + static_cast<std::int64_t>(i)) + ")");
        i += length;
    }
}

}  // namespace eigenscope
