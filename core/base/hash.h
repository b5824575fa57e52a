// SPDX-License-Identifier: Apache-2.0
// Fingerprints of files and texts (64-bit FNV-1a, written as 16 hex digits): they tell apart, they do not
// secure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace eigenscope {

class Fingerprint {
public:
    void add(std::span<const std::byte> bytes);
    void add(std::string_view text);
    std::string hex() const;

private:
    std::uint64_t m_state = 14695981039346656037ull;
};

}  // namespace eigenscope
