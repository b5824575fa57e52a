// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cuda_runtime_api.h"
#include "kernels/api/dtype.h"

struct __nv_bfloat16 {
    std::uint16_t bits;
};
inline float __bfloat162float(__nv_bfloat16 x) { return eigenscope::fromBf16(x.bits); }
inline __nv_bfloat16 __float2bfloat16_rn(float x) { return {eigenscope::toBf16(x)}; }
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 x) { return x.bits; }
inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) { return {bits}; }
