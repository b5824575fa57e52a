// SPDX-License-Identifier: Apache-2.0
// Vector helpers compiled once for each instruction set: loads that widen the stored dtype to float32, stores
// that round back, partial vectors, sums. Included by the kernels' files after foreach_target.h. No function
// reads or writes a byte outside the elements it is given.

#if defined(EIGENSCOPE_CPU_SIMD_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef EIGENSCOPE_CPU_SIMD_INL_H
#undef EIGENSCOPE_CPU_SIMD_INL_H
#else
#define EIGENSCOPE_CPU_SIMD_INL_H
#endif

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
#include "kernels/api/dtype.h"

#include <cstdint>
#include <cstring>

// Before loops over register tiles: arrays of vectors stay in registers only when such loops are unrolled,
// and the compiler's own limits stop short of that.
#undef EIGENSCOPE_UNROLL
#define EIGENSCOPE_UNROLL _Pragma("GCC unroll 16")

HWY_BEFORE_NAMESPACE();
namespace eigenscope::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using FloatTag = hn::ScalableTag<float>;
using Float = hn::Vec<FloatTag>;
using BitsTag = hn::RebindToUnsigned<FloatTag>;
using Bits = hn::Vec<BitsTag>;
using HalfBitsTag = hn::Rebind<std::uint16_t, FloatTag>;
using HalfBits = hn::Vec<HalfBitsTag>;

inline constexpr FloatTag kF{};
inline constexpr std::int64_t kLanes = static_cast<std::int64_t>(hn::MaxLanes(FloatTag{}));
// Accumulators that a register-blocked kernel may hold: 32 registers with AVX-512, 16 elsewhere.
inline constexpr bool kManyRegisters = HWY_TARGET == HWY_AVX3;

// Instruction sets whose masked loads do not touch masked-out memory.
#undef EIGENSCOPE_MASKED_32
#undef EIGENSCOPE_MASKED_16
#if HWY_TARGET == HWY_AVX3
#define EIGENSCOPE_MASKED_32 1
#define EIGENSCOPE_MASKED_16 1
#elif HWY_TARGET == HWY_AVX2
#define EIGENSCOPE_MASKED_32 1
#define EIGENSCOPE_MASKED_16 0
#else
#define EIGENSCOPE_MASKED_32 0
#define EIGENSCOPE_MASKED_16 0
#endif

HWY_INLINE Float widenBf16(HalfBits h) {
    return hn::BitCast(kF, hn::ShiftLeft<16>(hn::PromoteTo(BitsTag{}, h)));
}

HWY_INLINE Float widenF16(HalfBits h) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2
    return hn::PromoteTo(kF, hn::BitCast(hn::Rebind<hwy::float16_t, FloatTag>{}, h));
#else
    // The exponent and mantissa moved into place are the value times 2^-112; subnormals come out right as
    // well.
    const Bits bits = hn::PromoteTo(BitsTag{}, h);
    const Bits magnitude = hn::And(bits, hn::Set(BitsTag{}, 0x7fffu));
    const Bits sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(BitsTag{}, 0x8000u)));
    const Float scaled =
        hn::Mul(hn::BitCast(kF, hn::ShiftLeft<13>(magnitude)), hn::Set(kF, 5.192296858534828e33f));
    const Float special = hn::BitCast(
        kF, hn::Or(hn::ShiftLeft<13>(magnitude), hn::Set(BitsTag{}, 0x7f800000u)));  // infinity and NaN
    const auto is_special = hn::Ge(scaled, hn::Set(kF, 65536.0f));
    const Float value = hn::IfThenElse(is_special, special, scaled);
    return hn::BitCast(kF, hn::Or(hn::BitCast(BitsTag{}, value), sign));
#endif
}

// float32 bits rounded to the nearest bfloat16 (ties to even), still in the upper half of 32 bits; NaN stays
// NaN.
HWY_INLINE Bits roundBf16Bits(Float v) {
    const Bits bits = hn::BitCast(BitsTag{}, v);
    const Bits odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(BitsTag{}, 1u));
    const Bits rounded = hn::Add(hn::Add(bits, hn::Set(BitsTag{}, 0x7fffu)), odd);
    const Bits quiet = hn::Or(bits, hn::Set(BitsTag{}, 0x00400000u));
    const Bits kept = hn::IfThenElse(hn::RebindMask(BitsTag{}, hn::IsNaN(v)), quiet, rounded);
    return hn::And(kept, hn::Set(BitsTag{}, 0xffff0000u));
}
HWY_INLINE Float roundToBf16(Float v) { return hn::BitCast(kF, roundBf16Bits(v)); }

// How elements of a dtype are loaded and stored. n in loadN/storeN is in [0, kLanes); missing lanes load as
// zero.
template <DType kType>
struct Element;

template <>
struct Element<DType::F32> {
    using T = float;
    static HWY_INLINE Float load(const T* p) { return hn::LoadU(kF, p); }
    static HWY_INLINE Float loadN(const T* p, std::int64_t n) {
#if EIGENSCOPE_MASKED_32
        return hn::MaskedLoad(hn::FirstN(kF, static_cast<std::size_t>(n)), kF, p);
#else
        HWY_ALIGN float buffer[kLanes] = {};
        std::memcpy(buffer, p, static_cast<std::size_t>(n) * sizeof(T));
        return hn::Load(kF, buffer);
#endif
    }
    static HWY_INLINE void store(Float v, T* p) { hn::StoreU(v, kF, p); }
    static HWY_INLINE void storeN(Float v, T* p, std::int64_t n) {
        HWY_ALIGN float buffer[kLanes];
        hn::Store(v, kF, buffer);
        std::memcpy(p, buffer, static_cast<std::size_t>(n) * sizeof(T));
    }
};

struct HalfElement {
    using T = std::uint16_t;
    static HWY_INLINE HalfBits loadBits(const T* p) { return hn::LoadU(HalfBitsTag{}, p); }
    static HWY_INLINE HalfBits loadBitsN(const T* p, std::int64_t n) {
#if EIGENSCOPE_MASKED_16
        return hn::MaskedLoad(hn::FirstN(HalfBitsTag{}, static_cast<std::size_t>(n)), HalfBitsTag{}, p);
#else
        HWY_ALIGN T buffer[kLanes] = {};
        std::memcpy(buffer, p, static_cast<std::size_t>(n) * sizeof(T));
        return hn::Load(HalfBitsTag{}, buffer);
#endif
    }
    static HWY_INLINE void storeBitsN(HalfBits v, T* p, std::int64_t n) {
        HWY_ALIGN T buffer[kLanes];
        hn::Store(v, HalfBitsTag{}, buffer);
        std::memcpy(p, buffer, static_cast<std::size_t>(n) * sizeof(T));
    }
};

template <>
struct Element<DType::BF16> : HalfElement {
    static HWY_INLINE Float load(const T* p) { return widenBf16(loadBits(p)); }
    static HWY_INLINE Float loadN(const T* p, std::int64_t n) { return widenBf16(loadBitsN(p, n)); }
    static HWY_INLINE HalfBits narrow(Float v) {
        return hn::TruncateTo(HalfBitsTag{}, hn::ShiftRight<16>(roundBf16Bits(v)));
    }
    static HWY_INLINE void store(Float v, T* p) { hn::StoreU(narrow(v), HalfBitsTag{}, p); }
    static HWY_INLINE void storeN(Float v, T* p, std::int64_t n) { storeBitsN(narrow(v), p, n); }
};

template <>
struct Element<DType::F16> : HalfElement {
    static HWY_INLINE Float load(const T* p) { return widenF16(loadBits(p)); }
    static HWY_INLINE Float loadN(const T* p, std::int64_t n) { return widenF16(loadBitsN(p, n)); }
    static HWY_INLINE HalfBits narrow(Float v) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2
        return hn::BitCast(HalfBitsTag{}, hn::DemoteTo(hn::Rebind<hwy::float16_t, FloatTag>{}, v));
#else
        HWY_ALIGN float wide[kLanes];
        HWY_ALIGN T bits[kLanes];
        hn::Store(v, kF, wide);
        for (std::int64_t i = 0; i < kLanes; ++i)
            bits[i] = toF16(wide[i]);
        return hn::Load(HalfBitsTag{}, bits);
#endif
    }
    static HWY_INLINE void store(Float v, T* p) { hn::StoreU(narrow(v), HalfBitsTag{}, p); }
    static HWY_INLINE void storeN(Float v, T* p, std::int64_t n) { storeBitsN(narrow(v), p, n); }
};

using F32 = Element<DType::F32>;

// Runs body(i, n) over [0, count) in whole vectors (n == kLanes) and one rest (n < kLanes).
template <class Whole, class Rest>
HWY_INLINE void forVectors(std::int64_t count, Whole&& whole, Rest&& rest) {
    std::int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes)
        whole(i);
    if (i < count)
        rest(i, count - i);
}

HWY_INLINE float sum(Float v) { return hn::GetLane(hn::SumOfLanes(kF, v)); }

// out[0..4) = the sums of a, b, c and d: one transposing reduction instead of four.
HWY_INLINE void sum4(Float a, Float b, Float c, Float d, float* out) {
#if HWY_TARGET == HWY_SCALAR
    out[0] = hn::GetLane(a);
    out[1] = hn::GetLane(b);
    out[2] = hn::GetLane(c);
    out[3] = hn::GetLane(d);
#else
    const hn::RepartitionToWide<FloatTag> wide;
    const Float ab = hn::Add(hn::InterleaveLower(kF, a, b), hn::InterleaveUpper(kF, a, b));
    const Float cd = hn::Add(hn::InterleaveLower(kF, c, d), hn::InterleaveUpper(kF, c, d));
    const auto lower = hn::InterleaveLower(wide, hn::BitCast(wide, ab), hn::BitCast(wide, cd));
    const auto upper = hn::InterleaveUpper(wide, hn::BitCast(wide, ab), hn::BitCast(wide, cd));
    const Float blocks =
        hn::Add(hn::BitCast(kF, lower), hn::BitCast(kF, upper));  // [a, b, c, d] in each block
    if constexpr (kLanes == 16) {
        const hn::Half<FloatTag> half;
        const hn::Half<decltype(half)> quarter;
        const auto h = hn::Add(hn::LowerHalf(half, blocks), hn::UpperHalf(half, blocks));
        hn::StoreU(hn::Add(hn::LowerHalf(quarter, h), hn::UpperHalf(quarter, h)), quarter, out);
    } else if constexpr (kLanes == 8) {
        const hn::Half<FloatTag> half;
        hn::StoreU(hn::Add(hn::LowerHalf(half, blocks), hn::UpperHalf(half, blocks)), half, out);
    } else {
        hn::StoreU(blocks, kF, out);
    }
#endif
}

// Calls f with the Element type of a dtype.
template <class F>
HWY_INLINE void withElement(DType dtype, F&& f) {
    switch (dtype) {
        case DType::F32:
            f(Element<DType::F32>{});
            return;
        case DType::F16:
            f(Element<DType::F16>{});
            return;
        case DType::BF16:
            f(Element<DType::BF16>{});
            return;
    }
}

}  // namespace eigenscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
