// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/shown_name.h"

namespace eigenscope {

std::string shownName(std::string_view name) {
    constexpr std::size_t kLongest = 80;
    std::string text = "'";
    for (const char character : name.substr(0, kLongest))
        text += character >= 0x20 && character < 0x7f ? character : '?';
    return text + (name.size() > kLongest ? "...'" : "'");
}

}  // namespace eigenscope
