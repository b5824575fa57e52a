// SPDX-License-Identifier: Apache-2.0
// IEEE 754 binary16 and bfloat16 as bit patterns. Rounding is to nearest, ties to even; NaN stays NaN.
// Integer arithmetic alone, so the result is the same on every host and device.
#pragma once

#include "kernels/api/host_device.h"

#include <cstdint>
#include <cstring>

namespace eigenscope {

EIGENSCOPE_HOST_DEVICE inline std::uint32_t bitsOf(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}
EIGENSCOPE_HOST_DEVICE inline float floatOf(std::uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

EIGENSCOPE_HOST_DEVICE inline float fromF16(std::uint16_t bits) {
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
    const std::uint32_t exponent = (bits >> 10) & 0x1fu;
    const std::uint32_t mantissa = bits & 0x3ffu;
    if (exponent == 0x1f)  // infinity, or NaN with its payload
        return floatOf(sign | 0x7f800000u | (mantissa << 13));
    if (exponent == 0)  // zero or subnormal: mantissa * 2^-24 is exact in float32
        return floatOf(sign | bitsOf(static_cast<float>(mantissa) * 5.9604644775390625e-8f));
    return floatOf(sign | ((exponent + 112u) << 23) | (mantissa << 13));  // 112 = 127 - 15
}

EIGENSCOPE_HOST_DEVICE inline std::uint16_t toF16(float value) {
    const std::uint32_t x = bitsOf(value);
    const std::uint32_t sign = (x >> 16) & 0x8000u;
    const std::uint32_t magnitude = x & 0x7fffffffu;
    if (magnitude > 0x7f800000u) {
        const std::uint32_t payload = (magnitude >> 13) & 0x3ffu;
        return static_cast<std::uint16_t>(sign | 0x7c00u | (payload ? payload : 0x200u));
    }
    if (magnitude >= 0x477ff000u)  // 65520, half way between the largest number and the next power of two
        return static_cast<std::uint16_t>(sign | 0x7c00u);
    if (magnitude >= 0x38800000u) {  // 2^-14: normal; a carry out of the mantissa raises the exponent, as it
                                     // should
        const std::uint32_t even = (magnitude >> 13) & 1u;
        return static_cast<std::uint16_t>(sign | ((magnitude - 0x38000000u + 0xfffu + even) >> 13));
    }
    if (magnitude <= 0x33000000u)  // 2^-25 is a tie between zero and the smallest subnormal: zero is even
        return static_cast<std::uint16_t>(sign);
    const std::uint32_t shift = 126u - (magnitude >> 23);  // 14 .. 24; units of 2^-24 remain
    const std::uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
    const std::uint32_t half = 1u << (shift - 1);
    const std::uint32_t even = (mantissa >> shift) & 1u;
    return static_cast<std::uint16_t>(sign | ((mantissa + half - 1u + even) >> shift));
}

EIGENSCOPE_HOST_DEVICE inline float fromBf16(std::uint16_t bits) {
    return floatOf(static_cast<std::uint32_t>(bits) << 16);
}

EIGENSCOPE_HOST_DEVICE inline std::uint16_t toBf16(float value) {
    const std::uint32_t x = bitsOf(value);
    if ((x & 0x7fffffffu) > 0x7f800000u) {
        const std::uint32_t payload = (x >> 16) & 0x7fu;
        return static_cast<std::uint16_t>((x >> 16) | (payload ? 0u : 0x40u));
    }
    return static_cast<std::uint16_t>((x + 0x7fffu + ((x >> 16) & 1u)) >> 16);
}

}  // namespace eigenscope
