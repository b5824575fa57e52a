// SPDX-License-Identifier: Apache-2.0
// Weights of logit errors (LogitWeightsParams), a query head at a time: its keys rotated and its values put
// through the root once, then each sample's products with both. Takes 2 * length * width floats a thread.
#include "kernels/cpu/logit_weights.h"

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/parallel.h"

#include <algorithm>
#include <cmath>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/logit_weights.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/rotate-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eigenscope::cpu::HWY_NAMESPACE {

// to[r, 0..2 vectors) = x[r, :] root[:, 0..2 vectors) for kRows rows.
template <int kRows>
HWY_INLINE void projectTile(const float* x, std::int64_t stride, std::int64_t width, const float* root,
                            std::int64_t pitch, float* to) {
    Float acc[kRows][2];
    EIGENSCOPE_UNROLL
    for (int r = 0; r < kRows; ++r)
        acc[r][0] = acc[r][1] = hn::Zero(kF);
    for (std::int64_t i = 0; i < width; ++i, root += pitch) {
        const Float a = F32::load(root), b = F32::load(root + kLanes);
        EIGENSCOPE_UNROLL
        for (int r = 0; r < kRows; ++r) {
            const Float v = hn::Set(kF, x[r * stride + i]);
            acc[r][0] = hn::MulAdd(v, a, acc[r][0]);
            acc[r][1] = hn::MulAdd(v, b, acc[r][1]);
        }
    }
    EIGENSCOPE_UNROLL
    for (int r = 0; r < kRows; ++r) {
        F32::store(acc[r][0], to + r * pitch);
        F32::store(acc[r][1], to + r * pitch + kLanes);
    }
}

void projectRows(const float* x, std::int64_t stride, std::int64_t rows, std::int64_t width,
                 const LogitHead& head, float* to) {
    for (std::int64_t r = 0; r < rows;) {
        const bool four = r + 4 <= rows;
        for (std::int64_t c = 0; c < head.pitch; c += 2 * kLanes) {
            if (four)
                projectTile<4>(x + r * stride, stride, width, head.root + c, head.pitch,
                               to + r * head.pitch + c);
            else
                projectTile<1>(x + r * stride, stride, width, head.root + c, head.pitch,
                               to + r * head.pitch + c);
        }
        r += four ? 4 : 1;
    }
}

// Keys, values and root of query head h.
void PrepareHead(const LogitWeightsParams& p, std::int64_t h, const LogitHead& head) {
    const std::int64_t kv_head = h / (p.query_heads / p.kv_heads), half = p.table.rotary_dim / 2;
    const std::int64_t stride = std::int64_t{p.kv_heads} * p.width;
    for (std::int64_t i = 0; i < p.width; ++i) {
        float* row = head.root + i * head.pitch;
        std::copy_n(p.roots + (h * p.width + i) * p.width, p.width, row);
        std::fill(row + p.width, row + head.pitch, 0.0f);
    }
    for (std::int64_t n = 0; n < head.rows; ++n) {
        float* row = head.keys + n * head.pitch;
        std::copy_n(p.keys + n * stride + kv_head * p.width, p.width, row);
        std::fill(row + p.width, row + head.pitch, 0.0f);
        rotateHead(row, p.table.cos + n * half, p.table.sin + n * half, half);
    }
    projectRows(p.values + kv_head * p.width, stride, head.rows, p.width, head, head.projected);
}

// dots[n] = query . key n and changes[n] = |projected n - output|^2 for n in [first, end).
HWY_INLINE void compareKeys(const LogitHead& head, std::int64_t first, std::int64_t end) {
    for (std::int64_t n = first; n < end; n += 4) {
        Float dot[4], change[4];
        const float *keys[4], *projected[4];
        EIGENSCOPE_UNROLL
        for (int r = 0; r < 4; ++r) {
            const std::int64_t row = std::min(n + r, end - 1);  // of those past the end nothing is used
            keys[r] = head.keys + row * head.pitch;
            projected[r] = head.projected + row * head.pitch;
            dot[r] = change[r] = hn::Zero(kF);
        }
        for (std::int64_t i = 0; i < head.pitch; i += kLanes) {
            const Float q = F32::load(head.query + i), o = F32::load(head.output + i);
            EIGENSCOPE_UNROLL
            for (int r = 0; r < 4; ++r) {
                dot[r] = hn::MulAdd(q, F32::load(keys[r] + i), dot[r]);
                const Float d = hn::Sub(F32::load(projected[r] + i), o);
                change[r] = hn::MulAdd(d, d, change[r]);
            }
        }
        sum4(dot[0], dot[1], dot[2], dot[3], head.dots + n);
        sum4(change[0], change[1], change[2], change[3], head.changes + n);
    }
}

// x[i] <- exp(x[i] - largest) for `count` elements, and what is behind them up to a vector; their sum.
HWY_INLINE double exponentials(double* x, std::int64_t count, double largest) {
    const hn::ScalableTag<double> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    for (std::int64_t i = 0; i < count; i += lanes)
        hn::StoreU(hn::Exp(d, hn::Sub(hn::LoadU(d, x + i), hn::Set(d, largest))), d, x + i);
    double sum = 0.0;
    for (std::int64_t i = 0; i < count; ++i)
        sum += x[i];
    return sum;
}

// Weights of sample s of query head h.
void WeighSample(const LogitWeightsParams& p, std::int64_t h, std::int64_t s, const LogitHead& head) {
    const std::int64_t m = p.positions[s], half = p.table.rotary_dim / 2;
    const std::int64_t seen = p.window > 0 ? std::min<std::int64_t>(p.window, m + 1) : m + 1;
    const std::int64_t row = (m * p.query_heads + h) * p.width, first = m + 1 - seen;
    std::copy_n(p.queries + row, p.width, head.query);
    std::fill(head.query + p.width, head.query + head.pitch, 0.0f);
    rotateHead(head.query, p.table.cos + m * half, p.table.sin + m * half, half);
    projectRows(p.outputs + row, 0, 1, p.width, head, head.output);
    compareKeys(head, first, m + 1);

    const double scale = double{p.scale}, slope = p.alibi_slopes ? double{p.alibi_slopes[h]} : 0.0;
    double largest = -INFINITY;
    for (std::int64_t j = 0; j < seen; ++j) {
        const double score = scale * double{head.dots[first + j]} - slope * static_cast<double>(seen - 1 - j);
        head.attention[j] = score;
        largest = std::max(largest, score);
    }
    std::fill_n(head.attention + seen, kPadFloats, largest);
    const double total = exponentials(head.attention, seen, largest);
    double* weights = p.weights + (h * p.samples + s) * p.length;
    double sum = 0.0;
    for (std::int64_t t = 0; t < seen; ++t) {
        const double a = head.attention[seen - 1 - t] / total;
        sum += weights[t] = a * a * double{head.changes[m - t]};
    }
    std::fill(weights + seen, weights + m + 1, 0.0);
    p.by_query[h * p.samples + s] = sum;
}

}  // namespace eigenscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eigenscope::cpu {
namespace {
HWY_EXPORT(PrepareHead);
HWY_EXPORT(WeighSample);

LogitHead takeHead(Arena& arena, std::int64_t rows, std::int64_t width) {
    LogitHead head;
    head.rows = rows, head.pitch = roundUp(width, kPadFloats);
    head.keys = arena.take<float>(rows * head.pitch);
    head.projected = arena.take<float>(rows * head.pitch);
    head.root = arena.take<float>(width * head.pitch);
    head.query = arena.take<float>(head.pitch);
    head.output = arena.take<float>(head.pitch);
    head.dots = arena.take<float>(rows + kPadFloats);
    head.changes = arena.take<float>(rows + kPadFloats);
    head.attention = arena.take<double>(rows + kPadFloats);
    return head;
}

// A key's weights added up in a fixed order, whoever computed them.
void sumByKey(const LogitWeightsParams& p, std::int64_t kv_head) {
    const std::int64_t group = p.query_heads / p.kv_heads;
    double* sums = p.by_key + kv_head * p.length;
    std::fill_n(sums, p.length, 0.0);
    for (std::int64_t h = kv_head * group; h < (kv_head + 1) * group; ++h)
        for (std::int64_t s = 0; s < p.samples; ++s) {
            const std::int64_t m = p.positions[s];
            const double* weights = p.weights + (h * p.samples + s) * p.length;
            for (std::int64_t n = 0; n <= m; ++n)
                sums[n] += weights[m - n];
        }
    double total = 0.0;
    for (std::int64_t n = 0; n < p.length; ++n)
        total += sums[n];
    p.total[kv_head] += total;
}

}  // namespace

void logitWeights(CpuStream& stream, const LogitWeightsParams& p) {
    stream.arena().reset();
    std::int64_t rows = 0;
    for (std::int32_t s = 0; s < p.samples; ++s)
        rows = std::max<std::int64_t>(rows, p.positions[s] + 1);
    std::vector<LogitHead> heads;
    for (int thread = 0; thread < stream.threads(); ++thread)
        heads.push_back(takeHead(stream.arena(), rows, p.width));
    if (rows > 0)
        parallelTasks(stream.threads(), p.query_heads, true, [&](std::int64_t h, int thread) {
            const LogitHead& head = heads[static_cast<std::size_t>(thread)];
            if (stream.stopRequested())
                return;
            HWY_DYNAMIC_DISPATCH(PrepareHead)(p, h, head);
            for (std::int32_t s = 0; s < p.samples && !stream.stopRequested(); ++s)
                HWY_DYNAMIC_DISPATCH(WeighSample)(p, h, s, head);
        });
    stream.checkStop();
    parallelTasks(stream.threads(), p.kv_heads, true,
                  [&](std::int64_t kv_head, int) { sumByKey(p, kv_head); });
    if (!p.joint_keys)
        return;
    for (std::int64_t i = 0; i < p.kv_heads / p.joint * p.length; ++i) {
        const double* from = p.by_key + i / p.length * p.joint * p.length + i % p.length;
        double sum = 0.0;
        for (std::int32_t k = 0; k < p.joint; ++k)
            sum += from[k * p.length];
        p.joint_keys[i] = sum;
    }
}

}  // namespace eigenscope::cpu
#endif
