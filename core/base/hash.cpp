// SPDX-License-Identifier: Apache-2.0
// FNV-1a, 64 bits: http://www.isthe.com/chongo/tech/comp/fnv/ (offset basis and prime from there).
#include "core/base/hash.h"

namespace eigenscope {

void Fingerprint::add(std::span<const std::byte> bytes) {
    constexpr std::uint64_t kPrime = 1099511628211ull;
    std::uint64_t state = m_state;
    for (std::byte b : bytes)
        state = (state ^ std::to_integer<std::uint64_t>(b)) * kPrime;
    m_state = state;
}

void Fingerprint::add(std::string_view text) { add(std::as_bytes(std::span(text.data(), text.size()))); }

std::string Fingerprint::hex() const {
    constexpr char kDigits[] = "0123456789abcdef";
    std::string text(16, '0');
    for (int i = 0; i < 16; ++i)
        text[i] = kDigits[(m_state >> (60 - 4 * i)) & 15];
    return text;
}

}  // namespace eigenscope
