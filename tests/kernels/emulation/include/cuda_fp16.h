// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cuda_runtime_api.h"
#include "kernels/api/dtype.h"

struct __half {
    std::uint16_t bits;
};
inline float __half2float(__half x) { return eigenscope::fromF16(x.bits); }
inline __half __float2half_rn(float x) { return {eigenscope::toF16(x)}; }
inline unsigned short __half_as_ushort(__half x) { return x.bits; }
inline __half __ushort_as_half(unsigned short bits) { return {bits}; }
