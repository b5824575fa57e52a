// SPDX-License-Identifier: Apache-2.0
// Second-moment statistics in float64: rows are widened a block at a time, then a register-blocked symmetric
// update adds them to the upper triangle; the lower one is mirrored at the end.
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/parallel.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gram.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eigenscope::cpu::HWY_NAMESPACE {

using DoubleTag = hn::ScalableTag<double>;
using Double = hn::Vec<DoubleTag>;
inline constexpr DoubleTag kD{};
inline constexpr std::int64_t kDoubles = static_cast<std::int64_t>(hn::MaxLanes(DoubleTag{}));

// gram[r, j...] += sum over `count` rows x of x[i0 + r] x[j...] for kRows consecutive i and kVectors vectors
// of j, of which `width - j0` elements are valid.
template <int kRows, int kVectors>
HWY_INLINE void gramTile(const double* x, std::int64_t count, std::int64_t pad, std::int64_t i0,
                         std::int64_t j0, double* gram, std::int64_t width) {
    Double acc[kRows][kVectors];
    EIGENSCOPE_UNROLL
    for (int r = 0; r < kRows; ++r)
        EIGENSCOPE_UNROLL
    for (int c = 0; c < kVectors; ++c)
        acc[r][c] = hn::Zero(kD);
    for (std::int64_t n = 0; n < count; ++n, x += pad) {
        Double v[kVectors];
        EIGENSCOPE_UNROLL
        for (int c = 0; c < kVectors; ++c)
            v[c] = hn::LoadU(kD, x + j0 + c * kDoubles);
        EIGENSCOPE_UNROLL
        for (int r = 0; r < kRows; ++r) {
            const Double u = hn::Set(kD, x[i0 + r]);
            EIGENSCOPE_UNROLL
            for (int c = 0; c < kVectors; ++c)
                acc[r][c] = hn::MulAdd(u, v[c], acc[r][c]);
        }
    }
    HWY_ALIGN double out[kVectors * kDoubles];
    EIGENSCOPE_UNROLL
    for (int r = 0; r < kRows; ++r) {
        EIGENSCOPE_UNROLL
        for (int c = 0; c < kVectors; ++c)
            hn::Store(acc[r][c], kD, out + c * kDoubles);
        double* row = gram + (i0 + r) * width;
        const std::int64_t end = std::min<std::int64_t>(width - j0, kVectors * kDoubles);
        for (std::int64_t j = std::max<std::int64_t>(i0 + r - j0, 0); j < end; ++j)
            row[j0 + j] += out[j];
    }
}

// Upper triangle of rows [i_begin, i_end) of one matrix; x is [count, pad], zero padded to a multiple of 32.
void GramBand(const double* x, std::int64_t count, std::int64_t pad, std::int64_t i_begin, std::int64_t i_end,
              double* gram, std::int64_t width) {
    constexpr int kVectors = kManyRegisters ? 4 : 2;
    constexpr std::int64_t kStep = kVectors * kDoubles;
    for (std::int64_t i = i_begin; i < i_end;) {
        const bool four = i + 4 <= i_end;
        for (std::int64_t j = i / kStep * kStep; j < width; j += kStep) {
            if (four)
                gramTile<4, kVectors>(x, count, pad, i, j, gram, width);
            else
                gramTile<1, kVectors>(x, count, pad, i, j, gram, width);
        }
        i += four ? 4 : 1;
    }
}

void AddToSum(const double* x, std::int64_t count, std::int64_t pad, std::int64_t width, double* sum) {
    for (std::int64_t n = 0; n < count; ++n, x += pad)
        for (std::int64_t i = 0; i < width; ++i)
            sum[i] += x[i];
}

}  // namespace eigenscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eigenscope::cpu {
namespace {
HWY_EXPORT(GramBand);
HWY_EXPORT(AddToSum);

constexpr std::int64_t kPadDoubles = 32;         // the widest tile
constexpr std::int64_t kScratchBytes = 4 << 20;  // of widened rows: stays in a cache
constexpr std::int64_t kBand = 32;               // matrix rows of a task
constexpr std::int64_t kWorthThreads = 1 << 16;  // multiply-adds: about 5 microseconds of one core

// Row n of group g in the widened block: position n / group, head n % group of the group.
void widenRows(const GramParams& p, std::int64_t g, std::int64_t first, std::int64_t count, std::int64_t pad,
               double* to) {
    for (std::int64_t n = first; n < first + count; ++n, to += pad) {
        const float* from = p.x + ((n / p.group) * p.heads + g * p.group + n % p.group) * p.width;
        for (std::int64_t i = 0; i < p.width; ++i)
            to[i] = double{from[i]};
        std::fill(to + p.width, to + pad, 0.0);
    }
}

void mirror(double* matrix, std::int64_t width) {
    for (std::int64_t i = 1; i < width; ++i)
        for (std::int64_t j = 0; j < i; ++j)
            matrix[i * width + j] = matrix[j * width + i];
}

}  // namespace

void gram(CpuStream& stream, const GramParams& p) {
    stream.arena().reset();
    const std::int64_t groups = p.heads / p.group, rows = p.rows * p.group,
                       pad = roundUp(p.width, kPadDoubles);
    if (rows == 0 || groups == 0 || p.width == 0)
        return;
    const std::int64_t fit = kScratchBytes / (groups * pad * static_cast<std::int64_t>(sizeof(double)));
    const std::int64_t block = std::min(rows, std::clamp<std::int64_t>(fit, 16, 1024));
    const std::int64_t bands = (p.width + kBand - 1) / kBand;
    double* x = stream.arena().take<double>(groups * block * pad);
    const bool worthwhile = rows * groups * p.width * p.width / 2 >= kWorthThreads;
    for (std::int64_t first = 0; first < rows; first += block) {
        const std::int64_t count = std::min(block, rows - first);
        stream.checkStop();
        parallelTasks(stream.threads(), groups, worthwhile, [&](std::int64_t g, int) {
            double* xg = x + g * block * pad;
            widenRows(p, g, first, count, pad, xg);
            if (p.sum)
                HWY_DYNAMIC_DISPATCH(AddToSum)(xg, count, pad, p.width, p.sum + g * p.width);
        });
        parallelTasks(stream.threads(), groups * bands, worthwhile, [&](std::int64_t task, int) {
            if (stream.stopRequested())
                return;
            const std::int64_t g = task / bands, begin = task % bands * kBand;
            HWY_DYNAMIC_DISPATCH(GramBand)
            (x + g * block * pad, count, pad, begin, std::min<std::int64_t>(begin + kBand, p.width),
             p.gram + g * p.width * p.width, p.width);
        });
    }
    stream.checkStop();  // tasks may have been left out
    parallelTasks(stream.threads(), groups, worthwhile,
                  [&](std::int64_t g, int) { mirror(p.gram + g * p.width * p.width, p.width); });
}

}  // namespace eigenscope::cpu
#endif
