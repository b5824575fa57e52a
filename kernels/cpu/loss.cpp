// SPDX-License-Identifier: Apache-2.0
// Negative log-likelihood and argmax of rows of logits.
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/parallel.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/loss.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eigenscope::cpu::HWY_NAMESPACE {

// The largest element; NaN is ignored where the instruction set's max ignores it.
float LargestOf(const float* x, std::int64_t count) {
    constexpr float kLowest = -std::numeric_limits<float>::infinity();
    Float a = hn::Set(kF, kLowest), b = a;
    std::int64_t i = 0;
    for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
        a = hn::Max(F32::load(x + i), a);
        b = hn::Max(F32::load(x + i + kLanes), b);
    }
    float largest = hn::GetLane(hn::MaxOfLanes(kF, hn::Max(a, b)));
    for (; i < count; ++i)
        largest = x[i] > largest ? x[i] : largest;
    return largest;
}

// The smallest index whose element equals `value`, or `count`.
std::int64_t FirstEqual(const float* x, std::int64_t count, float value) {
    const Float v = hn::Set(kF, value);
    std::int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes)
        if (const auto at = hn::FindFirstTrue(kF, hn::Eq(F32::load(x + i), v)); at >= 0)
            return i + at;
    for (; i < count; ++i)
        if (x[i] == value)
            return i;
    return count;
}

// Sum of exp(x - shift). Lanes sum at most kRun vectors in float32 before they are added up in float64, so
// the relative error stays near that of a single exp.
double SumExp(const float* x, std::int64_t count, float shift) {
    constexpr std::int64_t kRun = 32;
    const Float s = hn::Set(kF, shift);
    double total = 0.0;
    std::int64_t i = 0;
    while (i + kLanes <= count) {
        Float part = hn::Zero(kF);
        for (std::int64_t run = 0; run < kRun && i + kLanes <= count; ++run, i += kLanes)
            part = hn::Add(part, hn::Exp(kF, hn::Sub(F32::load(x + i), s)));
        total += double{sum(part)};
    }
    for (; i < count; ++i)
        total += std::exp(double{x[i]} - double{shift});
    return total;
}

}  // namespace eigenscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eigenscope::cpu {
namespace {
HWY_EXPORT(LargestOf);
HWY_EXPORT(FirstEqual);
HWY_EXPORT(SumExp);
constexpr std::int64_t kGrain = 16384;  // logits that are worth a thread: a few microseconds
}  // namespace

void nll(CpuStream& stream, const NllParams& p) {
    parallelRanges(stream.threads(), p.rows, kGrain / p.vocab + 1,
                   [&](std::int64_t begin, std::int64_t end, int) {
                       for (std::int64_t i = begin; i < end; ++i) {
                           const float* row = p.logits + i * p.vocab;
                           if (p.targets[i] < 0) {
                               p.nll[i] = 0.0;
                               continue;
                           }
                           if (p.targets[i] >=
                               p.vocab) {  // the caller's mistake, made visible without reading past the row
                               p.nll[i] = std::numeric_limits<double>::quiet_NaN();
                               continue;
                           }
                           const float shift = HWY_DYNAMIC_DISPATCH(LargestOf)(row, p.vocab);
                           const double total = HWY_DYNAMIC_DISPATCH(SumExp)(row, p.vocab, shift);
                           p.nll[i] = std::log(total) + double{shift} - double{row[p.targets[i]]};
                       }
                   });
}

void argmax(CpuStream& stream, const ArgmaxParams& p) {
    parallelRanges(stream.threads(), p.rows, kGrain / p.vocab + 1,
                   [&](std::int64_t begin, std::int64_t end, int) {
                       for (std::int64_t i = begin; i < end; ++i) {
                           const float* row = p.logits + i * p.vocab;
                           const float largest = HWY_DYNAMIC_DISPATCH(LargestOf)(row, p.vocab);
                           const std::int64_t at = HWY_DYNAMIC_DISPATCH(FirstEqual)(row, p.vocab, largest);
                           p.index[i] = static_cast<TokenId>(at < p.vocab ? at : 0);  // a row of NaN gives 0
                       }
                   });
}

}  // namespace eigenscope::cpu
#endif
