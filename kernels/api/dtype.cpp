// SPDX-License-Identifier: Apache-2.0
#include "kernels/api/dtype.h"

#include <bit>
#include <cstring>

namespace eigenscope {

namespace {

struct DTypeRow {
    DType dtype;
    std::string_view name;
    std::size_t size;
};

constexpr DTypeRow kDTypes[] = {{DType::F32, "f32", 4}, {DType::F16, "f16", 2}, {DType::BF16, "bf16", 2}};

const DTypeRow& rowOf(DType dtype) { return kDTypes[static_cast<std::size_t>(dtype)]; }

}  // namespace

std::size_t sizeOf(DType dtype) { return rowOf(dtype).size; }

std::string_view nameOf(DType dtype) { return rowOf(dtype).name; }

std::optional<DType> dtypeFromName(std::string_view name) {
    for (const DTypeRow& row : kDTypes)
        if (row.name == name)
            return row.dtype;
    return std::nullopt;
}

float fromF16(std::uint16_t bits) {
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
    const std::uint32_t exponent = (bits >> 10) & 0x1fu;
    const std::uint32_t mantissa = bits & 0x3ffu;
    if (exponent == 0x1f)  // infinity, or NaN with its payload
        return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
    if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24 is exact in float32
        const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
        return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
    }
    return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (mantissa << 13));  // 112 = 127 - 15
}

std::uint16_t toF16(float value) {
    const std::uint32_t x = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = (x >> 16) & 0x8000u;
    const std::uint32_t magnitude = x & 0x7fffffffu;
    if (magnitude > 0x7f800000u) {
        const std::uint32_t payload = (magnitude >> 13) & 0x3ffu;
        return static_cast<std::uint16_t>(sign | 0x7c00u | (payload ? payload : 0x200u));
    }
    if (magnitude >= 0x477ff000u)  // 65520, half way between the largest number and the next power of two
        return static_cast<std::uint16_t>(sign | 0x7c00u);
    if (magnitude >=
        0x38800000u) {  // 2^-14: normal; a carry out of the mantissa raises the exponent, as it should
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

float fromBf16(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

std::uint16_t toBf16(float value) {
    const std::uint32_t x = std::bit_cast<std::uint32_t>(value);
    if ((x & 0x7fffffffu) > 0x7f800000u) {
        const std::uint32_t payload = (x >> 16) & 0x7fu;
        return static_cast<std::uint16_t>((x >> 16) | (payload ? 0u : 0x40u));
    }
    return static_cast<std::uint16_t>((x + 0x7fffu + ((x >> 16) & 1u)) >> 16);
}

float loadAsF32(const void* data, DType dtype, std::int64_t i) {
    const char* at = static_cast<const char*>(data) + i * static_cast<std::int64_t>(sizeOf(dtype));
    if (dtype == DType::F32) {
        float value;
        std::memcpy(&value, at, sizeof value);
        return value;
    }
    std::uint16_t bits;
    std::memcpy(&bits, at, sizeof bits);
    return dtype == DType::F16 ? fromF16(bits) : fromBf16(bits);
}

void storeFromF32(void* data, DType dtype, std::int64_t i, float value) {
    char* at = static_cast<char*>(data) + i * static_cast<std::int64_t>(sizeOf(dtype));
    if (dtype == DType::F32) {
        std::memcpy(at, &value, sizeof value);
        return;
    }
    const std::uint16_t bits = dtype == DType::F16 ? toF16(value) : toBf16(value);
    std::memcpy(at, &bits, sizeof bits);
}

}  // namespace eigenscope
