// SPDX-License-Identifier: Apache-2.0
// Second-moment statistics in float64, of rows and of rows spread over distances: rows are widened a block at
// a time, then a register-blocked symmetric update adds them to the upper triangle; the lower one is mirrored
// at the end.
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/parallel.h"

#include <algorithm>
#include <cmath>

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

void AddToSum(const double* x, const double* factors, std::int64_t count, std::int64_t pad,
              std::int64_t width, double* sum) {
    for (std::int64_t n = 0; n < count; ++n, x += pad)
        for (std::int64_t i = 0; i < width; ++i)
            sum[i] += factors[n] * x[i];
}

// to[r] = root of weights[r] times x rotated to position first + r, for `count` rows r.
void SpreadRow(const float* HWY_RESTRICT x, const RotaryTable& table, std::int64_t first, std::int64_t count,
               const double* weights, std::int64_t width, std::int64_t pad, double* HWY_RESTRICT to) {
    const std::int64_t half = table.rotary_dim / 2;
    for (std::int64_t r = 0; r < count; ++r, to += pad) {
        const double root = std::sqrt(weights[r]);
        const float* HWY_RESTRICT cos = table.cos + (first + r) * half;
        const float* HWY_RESTRICT sin = table.sin + (first + r) * half;
        if (root == 0.0) {
            std::fill(to, to + pad, 0.0);
            continue;
        }
        for (std::int64_t i = 0; i < half; ++i) {
            to[i] = root * (x[i] * cos[i] - x[half + i] * sin[i]);
            to[half + i] = root * (x[half + i] * cos[i] + x[i] * sin[i]);
        }
        for (std::int64_t i = 2 * half; i < width; ++i)
            to[i] = root * x[i];
        std::fill(to + width, to + pad, 0.0);
    }
}

}  // namespace eigenscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eigenscope::cpu {
namespace {
HWY_EXPORT(GramBand);
HWY_EXPORT(AddToSum);
HWY_EXPORT(SpreadRow);

constexpr std::int64_t kPadDoubles = 32;         // the widest tile
constexpr std::int64_t kScratchBytes = 4 << 20;  // of widened rows: stays in a cache
constexpr std::int64_t kBand = 32;               // matrix rows of a task
constexpr std::int64_t kWorthThreads = 1 << 16;  // multiply-adds: about 5 microseconds of one core

// Row n of group g in the widened block: position n / group, head n % group of the group. Weighted rows are
// multiplied by the root of their weight, which makes the weight their products'.
void widenRows(const GramParams& p, std::int64_t g, std::int64_t first, std::int64_t count, std::int64_t pad,
               double* to, double* root) {
    for (std::int64_t n = first; n < first + count; ++n, to += pad) {
        const std::int64_t position = n / p.group, head = g * p.group + n % p.group;
        const float* from = p.x + (position * p.heads + head) * p.width;
        if (!p.weights) {
            for (std::int64_t i = 0; i < p.width; ++i)
                to[i] = double{from[i]};
        } else {
            const double r = root[n - first] = std::sqrt(p.weights[head * p.rows + position]);
            for (std::int64_t i = 0; i < p.width; ++i)
                to[i] = r == 0.0 ? 0.0 : double{from[i]} * r;
        }
        std::fill(to + p.width, to + pad, 0.0);
    }
}

void mirror(double* matrix, std::int64_t width) {
    for (std::int64_t i = 1; i < width; ++i)
        for (std::int64_t j = 0; j < i; ++j)
            matrix[i * width + j] = matrix[j * width + i];
}

struct GramSize {
    std::int64_t groups, rows, width;  // rows of a group
    double* gram;                      // [groups, width, width]
    double* sum;                       // [groups, width] or null
};

// widen(g, first, count, pad, to, root): rows [first, first + count) of group g as [count, pad], zero behind
// the width; `root` [count] is what a row was multiplied by, 1 beforehand.
template <class Widen>
void addRows(CpuStream& stream, const GramSize& size, const Widen& widen) {
    const std::int64_t groups = size.groups, rows = size.rows, width = size.width;
    double *gram = size.gram, *sum = size.sum;
    const std::int64_t pad = roundUp(width, kPadDoubles);
    if (rows == 0 || groups == 0 || width == 0)
        return;
    const std::int64_t fit = kScratchBytes / (groups * pad * static_cast<std::int64_t>(sizeof(double)));
    const std::int64_t block = std::min(rows, std::clamp<std::int64_t>(fit, 16, 1024));
    const std::int64_t bands = (width + kBand - 1) / kBand;
    double* x = stream.arena().take<double>(groups * block * pad);
    double* roots = stream.arena().take<double>(groups * block);
    std::fill_n(roots, groups * block, 1.0);
    const bool worthwhile = rows * groups * width * width / 2 >= kWorthThreads;
    for (std::int64_t first = 0; first < rows; first += block) {
        const std::int64_t count = std::min(block, rows - first);
        stream.checkStop();
        parallelTasks(stream.threads(), groups, worthwhile, [&](std::int64_t g, int) {
            double* xg = x + g * block * pad;
            double* root = roots + g * block;
            widen(g, first, count, pad, xg, root);
            if (sum)
                HWY_DYNAMIC_DISPATCH(AddToSum)(xg, root, count, pad, width, sum + g * width);
        });
        parallelTasks(stream.threads(), groups * bands, worthwhile, [&](std::int64_t task, int) {
            if (stream.stopRequested())
                return;
            const std::int64_t g = task / bands, begin = task % bands * kBand;
            HWY_DYNAMIC_DISPATCH(GramBand)
            (x + g * block * pad, count, pad, begin, std::min<std::int64_t>(begin + kBand, width),
             gram + g * width * width, width);
        });
    }
    stream.checkStop();  // tasks may have been left out
    parallelTasks(stream.threads(), groups, worthwhile,
                  [&](std::int64_t g, int) { mirror(gram + g * width * width, width); });
}

}  // namespace

void gram(CpuStream& stream, const GramParams& p) {
    stream.arena().reset();
    addRows(stream, {p.heads / p.group, p.rows * p.group, p.width, p.gram, p.sum},
            [&](std::int64_t g, std::int64_t first, std::int64_t count, std::int64_t pad, double* to,
                double* root) { widenRows(p, g, first, count, pad, to, root); });
}

void spreadGram(CpuStream& stream, const SpreadGramParams& p) {
    stream.arena().reset();
    // A group's rows: its heads one after the other, of each the samples, of each the copies.
    std::int64_t* starts = stream.arena().take<std::int64_t>(p.samples + 1);
    starts[0] = 0;
    for (std::int32_t s = 0; s < p.samples; ++s) {
        const std::int64_t m = p.positions[s];
        starts[s + 1] = starts[s] + (p.window > 0 ? std::min<std::int64_t>(p.window, m + 1) : m + 1);
    }
    const std::int64_t copies = starts[p.samples];
    addRows(
        stream, {p.heads / p.group, copies * p.group, p.width, p.gram, nullptr},
        [&](std::int64_t g, std::int64_t first, std::int64_t count, std::int64_t pad, double* to, double*) {
            for (std::int64_t n = first; n < first + count;) {
                const std::int64_t hg = n / copies, copy = n % copies;
                const auto s = std::upper_bound(starts, starts + p.samples + 1, copy) - starts - 1;
                const std::int64_t run = std::min(first + count - n, starts[s + 1] - copy);
                const std::int64_t head = g * p.group + hg, t = copy - starts[s];
                HWY_DYNAMIC_DISPATCH(SpreadRow)
                (p.x + (p.positions[s] * p.heads + head) * p.width, p.table, t, run,
                 p.weights + (head * p.samples + s) * p.length + t, p.width, pad, to);
                n += run, to += run * pad;
            }
        });
}

}  // namespace eigenscope::cpu
#endif
