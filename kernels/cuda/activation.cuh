// SPDX-License-Identifier: Apache-2.0
// Activation functions of one element.
#pragma once

#include "kernels/api/ops.h"

#include <cuda_runtime.h>

#include <cmath>

namespace eigenscope::cuda {

template <ActivateParams::Kind kKind>
__device__ inline float activation(float x, float limit) {
    if constexpr (kKind == ActivateParams::Kind::Relu)
        return x < 0.0f ? 0.0f : x;  // NaN passes
    else if constexpr (kKind == ActivateParams::Kind::Gelu)
        return 0.5f * x * erfcf(-0.70710678f * x);  // 1 + erf(x / sqrt 2), without its cancellation for x < 0
    else if constexpr (kKind == ActivateParams::Kind::GeluTanh)
        return 0.5f * x * (1.0f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    else if constexpr (kKind == ActivateParams::Kind::Silu)
        return x / (1.0f + expf(-x));
    else
        return x < -limit ? -limit : limit < x ? limit : x;  // comparisons keep NaN
}

// Calls f with a value whose type has `kKind`.
template <ActivateParams::Kind kValue>
struct KindConstant {
    static constexpr ActivateParams::Kind kKind = kValue;
};
template <typename F>
void withKind(ActivateParams::Kind kind, F f) {
    using Kind = ActivateParams::Kind;
    switch (kind) {
        case Kind::Relu:
            return f(KindConstant<Kind::Relu>{});
        case Kind::Gelu:
            return f(KindConstant<Kind::Gelu>{});
        case Kind::GeluTanh:
            return f(KindConstant<Kind::GeluTanh>{});
        case Kind::Silu:
            return f(KindConstant<Kind::Silu>{});
        case Kind::Clamp:
            return f(KindConstant<Kind::Clamp>{});
    }
}

// The same, chosen when it runs: for kernels that need it once in a long while.
__device__ inline float activation(ActivateParams::Kind kind, float x, float limit) {
    using Kind = ActivateParams::Kind;
    switch (kind) {
        case Kind::Relu:
            return activation<Kind::Relu>(x, limit);
        case Kind::Gelu:
            return activation<Kind::Gelu>(x, limit);
        case Kind::GeluTanh:
            return activation<Kind::GeluTanh>(x, limit);
        case Kind::Silu:
            return activation<Kind::Silu>(x, limit);
        default:
            return activation<Kind::Clamp>(x, limit);
    }
}

}  // namespace eigenscope::cuda
