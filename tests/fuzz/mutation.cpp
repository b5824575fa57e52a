// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/mutation.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace eigenscope::fuzz {

namespace {

constexpr std::size_t kLongest = 1 << 16;

// What formats trip over: numbers at the ends of their types, as text and as bytes, and signs of structure.
constexpr std::array<std::string_view, 30> kTokens{"0",
                                                   "-1",
                                                   "1",
                                                   "255",
                                                   "65536",
                                                   "2147483647",
                                                   "-2147483648",
                                                   "4294967296",
                                                   "9223372036854775807",
                                                   "-9223372036854775808",
                                                   "18446744073709551616",
                                                   "1e308",
                                                   "1e999",
                                                   "-0.0",
                                                   "NaN",
                                                   "null",
                                                   "true",
                                                   "\"\"",
                                                   "[]",
                                                   "{}",
                                                   "[[[[",
                                                   "{\"a\":",
                                                   ",",
                                                   "\n-----\n",
                                                   "\\u0000",
                                                   "\xef\xbf\xbf",
                                                   std::string_view("\0\0\0\0", 4),
                                                   "\xff\xff\xff\xff",
                                                   "\xff\xff\xff\x7f",
                                                   std::string_view("\0\0\0\x80", 4)};

}  // namespace

std::string Mutator::next() {
    std::string text = m_corpus[below(m_corpus.size())];
    for (std::size_t changes = 1 + below(4); changes > 0; --changes)
        change(text);
    if (text.size() > kLongest)
        text.resize(kLongest);
    return text;
}

void Mutator::change(std::string& text) {
    const std::size_t at = below(text.size() + 1),
                      length = below(std::min<std::size_t>(text.size() - at, 64) + 1);
    switch (below(9)) {
        case 0:  // a bit
            if (at < text.size())
                text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
            break;
        case 1:  // a byte
            if (at < text.size())
                text[at] = static_cast<char>(below(256));
            break;
        case 2:
            text.insert(at, 1, static_cast<char>(below(256)));
            break;
        case 3:
            text.erase(at, length);
            break;
        case 4:
            text.insert(at, std::string(text, below(text.size() + 1), length));
            break;
        case 5:
            text.insert(at, kTokens[below(kTokens.size())]);
            break;
        case 6: {
            const std::string_view token = kTokens[below(kTokens.size())];
            text.replace(at, std::min(token.size(), text.size() - at), token);
            break;
        }
        case 7:  // cut short
            text.resize(at);
            break;
        default: {  // the rest of another file
            const std::string& other = m_corpus[below(m_corpus.size())];
            text.replace(at, std::string::npos, other, below(other.size() + 1), std::string::npos);
        }
    }
}

}  // namespace eigenscope::fuzz
