// SPDX-License-Identifier: Apache-2.0
// The rotation of one head by a row of the rotary table, for each instruction set.

#if defined(EIGENSCOPE_CPU_ROTATE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef EIGENSCOPE_CPU_ROTATE_INL_H
#undef EIGENSCOPE_CPU_ROTATE_INL_H
#else
#define EIGENSCOPE_CPU_ROTATE_INL_H
#endif

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eigenscope::cpu::HWY_NAMESPACE {

// (x[i], x[i + half]) <- (x[i] cos[i] - x[i + half] sin[i], x[i + half] cos[i] + x[i] sin[i]) for i < half.
HWY_INLINE void rotateHead(float* x, const float* cos, const float* sin, std::int64_t half) {
    std::int64_t i = 0;
    for (; i + kLanes <= half; i += kLanes) {
        const Float a = F32::load(x + i), b = F32::load(x + half + i);
        const Float c = F32::load(cos + i), s = F32::load(sin + i);
        F32::store(hn::NegMulAdd(b, s, hn::Mul(a, c)), x + i);
        F32::store(hn::MulAdd(a, s, hn::Mul(b, c)), x + half + i);
    }
    for (; i < half; ++i) {
        const float a = x[i], b = x[half + i];
        x[i] = a * cos[i] - b * sin[i];
        x[half + i] = b * cos[i] + a * sin[i];
    }
}

}  // namespace eigenscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
