// SPDX-License-Identifier: Apache-2.0
// Draws that are the same on every machine: the standard leaves the algorithms of its distributions open.
// Pure functions.
#pragma once

#include <cstdint>
#include <random>

namespace eigenscope {

// A whole number in [0, bound), every one equally likely: numbers beyond the last multiple of bound are
// rejected.
inline std::uint64_t drawBelow(std::mt19937_64& random, std::uint64_t bound) {
    const std::uint64_t rejected = (0 - bound) % bound;  // 2^64 mod bound
    for (;;) {
        const std::uint64_t number = random();
        if (number >= rejected)
            return number % bound;
    }
}

// The finaliser of SplitMix64 (Steele, Lea, Flood 2014, figure 16, with Stafford's constants): neighbouring
// numbers give unrelated ones, and no two the same.
inline std::uint64_t mixBits(std::uint64_t x) {
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

}  // namespace eigenscope
