// SPDX-License-Identifier: Apache-2.0
// Activations, plain and gated.
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/activate.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eigenscope::cpu::HWY_NAMESPACE {

// c0 + c1 x + ... by Horner's rule.
template <std::size_t kCount>
HWY_INLINE Float polynomial(Float x, const float (&c)[kCount]) {
    Float r = hn::Set(kF, c[kCount - 1]);
    for (std::size_t i = kCount - 1; i-- > 0;)
        r = hn::MulAdd(r, x, hn::Set(kF, c[i]));
    return r;
}

// erf: x P(x^2) for |x| <= 1 and 1 - exp(-Q(|x|)) up to 4, where 1 - erf is below float32's resolution. P and
// Q are our own least-squares fits at 400 Chebyshev nodes (close to minimax) of erf(sqrt t) / sqrt t on [0,
// 1] and of -log erfc(x) on [1, 4]. Largest absolute error over all float32: below 2e-7.
HWY_INLINE Float erfOf(Float x) {
    static constexpr float kP[] = {1.128379127e+00f,  -3.761234978e-01f, 1.128036441e-01f,
                                   -2.671638510e-02f, 4.923277665e-03f,  -5.654105859e-04f};
    static constexpr float kQ[] = {7.569686190e-04f,  1.125925949e+00f, 6.390933195e-01f,  1.033189801e-01f,
                                   -2.262198593e-02f, 3.436867600e-03f, -3.175720348e-04f, 1.330939040e-05f};
    const Float one = hn::Set(kF, 1.0f);
    const Float magnitude = hn::Min(hn::Abs(x), hn::Set(kF, 4.0f));
    const Float near_zero = hn::Mul(x, polynomial(hn::Mul(x, x), kP));
    const Float far = hn::Sub(one, hn::Exp(kF, hn::Neg(polynomial(magnitude, kQ))));
    return hn::IfThenElse(hn::Le(magnitude, one), near_zero, hn::CopySign(far, x));
}

// x / (1 + exp(-u)): x times the logistic function of u. The clamp keeps exp finite; x / (1 + e^88) is zero
// in effect.
HWY_INLINE Float logisticTimes(Float x, Float u) {
    const Float e = hn::Exp(kF, hn::Min(hn::Neg(u), hn::Set(kF, 88.0f)));
    return hn::Div(x, hn::Add(hn::Set(kF, 1.0f), e));
}

struct Relu {
    // NaN passes through, as it does in x > 0 ? x : 0 * x.
    HWY_INLINE Float operator()(Float x) const {
        return hn::IfThenElse(hn::Lt(x, hn::Zero(kF)), hn::Zero(kF), x);
    }
};
struct Gelu {
    HWY_INLINE Float operator()(Float x) const {
        const Float e = erfOf(hn::Mul(x, hn::Set(kF, 0.70710678118654752f)));
        return hn::Mul(hn::Mul(x, hn::Set(kF, 0.5f)), hn::Add(hn::Set(kF, 1.0f), e));
    }
};
// x/2 (1 + tanh u) = x logistic(2u), u = sqrt(2/pi) (x + 0.044715 x^3).
struct GeluTanh {
    HWY_INLINE Float operator()(Float x) const {
        const Float inner = hn::MulAdd(hn::Mul(x, x), hn::Set(kF, 0.044715f), hn::Set(kF, 1.0f));
        return logisticTimes(x, hn::Mul(hn::Mul(x, inner), hn::Set(kF, 1.5957691216057308f)));
    }
};
struct Silu {
    HWY_INLINE Float operator()(Float x) const { return logisticTimes(x, x); }
};

struct Clamp {
    float limit;
    // Comparisons keep NaN, as the reference does.
    HWY_INLINE Float operator()(Float x) const {
        const Float high = hn::Set(kF, limit), low = hn::Set(kF, -limit);
        return hn::IfThenElse(hn::Lt(x, low), low, hn::IfThenElse(hn::Lt(high, x), high, x));
    }
};

template <class F>
void activateRange(const F& f, const float* x, const float* gate, float* y, std::int64_t count) {
    std::int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
        Float v = f(F32::load(x + i));
        if (gate)
            v = hn::Mul(v, F32::load(gate + i));
        F32::store(v, y + i);
    }
    if (const std::int64_t n = count - i; n > 0) {
        Float v = f(F32::loadN(x + i, n));
        if (gate)
            v = hn::Mul(v, F32::loadN(gate + i, n));
        F32::storeN(v, y + i, n);
    }
}

void ActivateRange(ActivateParams::Kind kind, float limit, const float* x, const float* gate, float* y,
                   std::int64_t count) {
    switch (kind) {
        case ActivateParams::Kind::Relu:
            activateRange(Relu(), x, gate, y, count);
            break;
        case ActivateParams::Kind::Gelu:
            activateRange(Gelu(), x, gate, y, count);
            break;
        case ActivateParams::Kind::GeluTanh:
            activateRange(GeluTanh(), x, gate, y, count);
            break;
        case ActivateParams::Kind::Silu:
            activateRange(Silu(), x, gate, y, count);
            break;
        case ActivateParams::Kind::Clamp:
            activateRange(Clamp{limit}, x, gate, y, count);
            break;
    }
}

}  // namespace eigenscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eigenscope::cpu {
namespace {
HWY_EXPORT(ActivateRange);
constexpr std::int64_t kGrain = 8192;  // elements that are worth a thread: a few microseconds
}  // namespace

void activate(CpuStream& stream, const ActivateParams& p) {
    parallelRanges(stream.threads(), p.count, kGrain, [&](std::int64_t begin, std::int64_t end, int) {
        HWY_DYNAMIC_DISPATCH(ActivateRange)
        (p.kind, p.limit, p.x + begin, p.gate ? p.gate + begin : nullptr, p.y + begin, end - begin);
    });
}

}  // namespace eigenscope::cpu
#endif
