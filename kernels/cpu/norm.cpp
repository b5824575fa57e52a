// SPDX-License-Identifier: Apache-2.0
// LayerNorm and RMSNorm, and rotary position embedding of activations.
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/parallel.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/norm.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/rotate-inl.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eigenscope::cpu::HWY_NAMESPACE {

// Sums over i of (x[i] - shift) and of its square. Two accumulators of kLanes partial sums each keep the
// rounding error far below that of a running sum.
struct RowSums {
    double first = 0.0, second = 0.0;
};
RowSums rowSums(const float* x, std::int64_t width, float shift) {
    const Float s = hn::Set(kF, shift);
    Float a = hn::Zero(kF), b = a, aa = a, bb = a;
    std::int64_t i = 0;
    for (; i + 2 * kLanes <= width; i += 2 * kLanes) {
        const Float u = hn::Sub(F32::load(x + i), s), v = hn::Sub(F32::load(x + i + kLanes), s);
        a = hn::Add(a, u);
        b = hn::Add(b, v);
        aa = hn::MulAdd(u, u, aa);
        bb = hn::MulAdd(v, v, bb);
    }
    RowSums sums{double{sum(hn::Add(a, b))}, double{sum(hn::Add(aa, bb))}};
    for (; i < width; ++i) {
        const double u = double{x[i]} - double{shift};
        sums.first += u;
        sums.second += u * u;
    }
    return sums;
}

void NormRows(const NormParams& p, std::int64_t begin, std::int64_t end) {
    const auto width = static_cast<double>(p.width);
    const bool layer = p.kind == NormParams::Kind::LayerNorm;
    for (std::int64_t row = begin; row < end; ++row) {
        const float* x = p.x + row * p.width;
        float* y = p.y + row * p.width;
        // The mean is kept in two parts, float32 and what that lost, because rows with a large mean and a
        // small variance would feel its rounding.
        const float mean = layer ? static_cast<float>(rowSums(x, p.width, 0.0f).first / width) : 0.0f;
        const RowSums sums = rowSums(x, p.width, mean);
        const double rest = layer ? sums.first / width : 0.0;
        const double variance = std::max(sums.second / width - rest * rest, 0.0);
        const double scale = 1.0 / std::sqrt(variance + double{p.epsilon});
        const auto scale32 = static_cast<float>(scale), shift = static_cast<float>(-rest * scale);
        const Float m = hn::Set(kF, mean), s = hn::Set(kF, scale32), t = hn::Set(kF, shift);
        std::int64_t i = 0;
        for (; i + kLanes <= p.width; i += kLanes) {
            Float v = hn::MulAdd(hn::Sub(F32::load(x + i), m), s, t);
            if (p.weight)
                v = hn::Mul(v, F32::load(p.weight + i));
            if (p.bias)
                v = hn::Add(v, F32::load(p.bias + i));
            F32::store(v, y + i);
        }
        for (; i < p.width; ++i)
            y[i] = ((x[i] - mean) * scale32 + shift) * (p.weight ? p.weight[i] : 1.0f) +
                   (p.bias ? p.bias[i] : 0.0f);
    }
}

void RopeRows(const RopeParams& p, std::int64_t begin, std::int64_t end) {
    const std::int64_t half = p.table.rotary_dim / 2;
    for (std::int64_t row = begin; row < end; ++row) {  // row = b * length + t
        const std::int64_t position = p.first_position + row % p.length;
        float* x = p.x + row * p.heads * p.head_dim;
        for (std::int32_t h = 0; h < p.heads; ++h, x += p.head_dim)
            rotateHead(x, p.table.cos + position * half, p.table.sin + position * half, half);
    }
}

}  // namespace eigenscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eigenscope::cpu {
namespace {
HWY_EXPORT(NormRows);
HWY_EXPORT(RopeRows);
constexpr std::int64_t kGrain = 16384;  // elements that are worth a thread: a few microseconds
}  // namespace

void norm(CpuStream& stream, const NormParams& p) {
    if (p.width == 0)
        return;
    parallelRanges(stream.threads(), p.rows, kGrain / p.width + 1,
                   [&](std::int64_t begin, std::int64_t end, int) {
                       HWY_DYNAMIC_DISPATCH(NormRows)(p, begin, end);
                   });
}

void rope(CpuStream& stream, const RopeParams& p) {
    const std::int64_t row = std::int64_t{p.heads} * p.head_dim;
    if (row == 0 || p.table.rotary_dim == 0)
        return;
    parallelRanges(stream.threads(), std::int64_t{p.batch} * p.length, kGrain / row + 1,
                   [&](std::int64_t begin, std::int64_t end, int) {
                       HWY_DYNAMIC_DISPATCH(RopeRows)(p, begin, end);
                   });
}

}  // namespace eigenscope::cpu
#endif
