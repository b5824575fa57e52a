// SPDX-License-Identifier: Apache-2.0
// The inner loops of attention, for each instruction set: scores of a few query rows against a block of
// cached keys, the online softmax step (Milakov and Gimelshein, arXiv 1805.02867), and the weighted sum of a
// block of values. Cached rows are widened to float32 in registers.

#if defined(EIGENSCOPE_CPU_ATTENTION_BLOCK_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef EIGENSCOPE_CPU_ATTENTION_BLOCK_INL_H
#undef EIGENSCOPE_CPU_ATTENTION_BLOCK_INL_H
#else
#define EIGENSCOPE_CPU_ATTENTION_BLOCK_INL_H
#endif

#include "kernels/cpu/attention_plan.h"
#include "kernels/cpu/rotate-inl.h"
#include "kernels/cpu/simd-inl.h"

#include <cmath>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace eigenscope::cpu::HWY_NAMESPACE {

// Rows of a register tile; with four keys or four vectors beside them the accumulators fill the registers.
inline constexpr std::int64_t kTileRows = kManyRegisters ? 4 : 2;
// Rows of a tile with eight vectors beside them.
inline constexpr std::int64_t kWideRows = kManyRegisters ? 2 : 1;

// One row of queries or kRows of them times one key, as vectors of partial sums.
template <class E, int kRows>
HWY_INLINE void scoreKey(const float* query, std::int64_t query_pad, const typename E::T* key,
                         std::int64_t width, Float* total) {
    constexpr int kSets = kRows == 1   ? 4
                          : kRows == 2 ? 2
                                       : 1;  // enough chains to hide the latency of the multiply-add
    Float acc[kSets][kRows];
    EIGENSCOPE_UNROLL
    for (int s = 0; s < kSets; ++s) {
        EIGENSCOPE_UNROLL
        for (int r = 0; r < kRows; ++r)
            acc[s][r] = hn::Zero(kF);
    }
    std::int64_t i = 0;
    for (; i + kSets * kLanes <= width; i += kSets * kLanes) {
        EIGENSCOPE_UNROLL
        for (int s = 0; s < kSets; ++s) {
            const Float k = E::load(key + i + s * kLanes);
            EIGENSCOPE_UNROLL
            for (int r = 0; r < kRows; ++r)
                acc[s][r] = hn::MulAdd(F32::load(query + r * query_pad + i + s * kLanes), k, acc[s][r]);
        }
    }
    for (; i < width; i += kLanes) {
        const Float k = width - i >= kLanes ? E::load(key + i) : E::loadN(key + i, width - i);
        EIGENSCOPE_UNROLL
        for (int r = 0; r < kRows; ++r)
            acc[0][r] = hn::MulAdd(F32::load(query + r * query_pad + i), k, acc[0][r]);
    }
    EIGENSCOPE_UNROLL
    for (int r = 0; r < kRows; ++r) {
        if constexpr (kSets == 4)
            total[r] = hn::Add(hn::Add(acc[0][r], acc[1][r]), hn::Add(acc[2][r], acc[3][r]));
        else if constexpr (kSets == 2)
            total[r] = hn::Add(acc[0][r], acc[1][r]);
        else
            total[r] = acc[0][r];
    }
}

// scores[r * kKeyBlock + 0..4) = query row r times each of four keys; query rows are padded with zeros. Key
// after key, as they lie in memory.
template <class E, int kRows>
HWY_INLINE void scoreTile(const float* query, std::int64_t query_pad, const typename E::T* const* keys,
                          std::int64_t width, float* scores) {
    Float total[4][kRows];
    EIGENSCOPE_UNROLL
    for (int j = 0; j < 4; ++j)
        scoreKey<E, kRows>(query, query_pad, keys[j], width, total[j]);
    EIGENSCOPE_UNROLL
    for (int r = 0; r < kRows; ++r)
        sum4(total[0][r], total[1][r], total[2][r], total[3][r], scores + r * kKeyBlock);
}

// scores[r, j] = query[r] . keys[j] for j < count <= kKeyBlock; scores rows are kKeyBlock apart. Up to three
// scores past `count` are written as well.
template <class E>
void scoreBlock(const float* query, std::int64_t rows, std::int64_t query_pad, const typename E::T* keys,
                std::int64_t stride, std::int64_t count, std::int64_t width, float* scores) {
    for (std::int64_t j = 0; j < count; j += 4) {
        const typename E::T* four[4];
        for (std::int64_t u = 0; u < 4; ++u)
            four[u] = keys + std::min(j + u, count - 1) * stride;
        std::int64_t r = 0;
        for (; r + kTileRows <= rows; r += kTileRows)
            scoreTile<E, kTileRows>(query + r * query_pad, query_pad, four, width,
                                    scores + r * kKeyBlock + j);
        for (; r < rows; ++r)
            scoreTile<E, 1>(query + r * query_pad, query_pad, four, width, scores + r * kKeyBlock + j);
    }
}

// Running maximum and sum of one query row.
struct SoftmaxState {
    float max = -std::numeric_limits<float>::infinity();
    float sum = 0.0f;
};

// Turns the scores of keys first_key + [0, count) into weights relative to the new running maximum; those
// outside [begin, end) and up to kKeyBlock become zero. Returns the factor for what was accumulated before.
HWY_INLINE float softmaxStep(float* scores, std::int64_t begin, std::int64_t end, float slope, float distance,
                             SoftmaxState& state) {
    constexpr float kLowest = -std::numeric_limits<float>::infinity();
    for (std::int64_t j = 0; j < begin; ++j)
        scores[j] = kLowest;
    for (std::int64_t j = end; j < kKeyBlock; ++j)
        scores[j] = kLowest;
    Float top = hn::Set(kF, state.max);
    if (slope != 0.0f) {  // distance: of the block's first key from the query, negative
        const Float s = hn::Set(kF, slope);
        for (std::int64_t j = 0; j < kKeyBlock; j += kLanes) {
            const Float d = hn::Iota(kF, distance + static_cast<float>(j));
            const Float v = hn::MulAdd(s, d, F32::load(scores + j));
            F32::store(v, scores + j);
            top = hn::Max(top, v);
        }
    } else {
        for (std::int64_t j = 0; j < kKeyBlock; j += kLanes)
            top = hn::Max(top, F32::load(scores + j));
    }
    const float max = hn::GetLane(hn::MaxOfLanes(kF, top));
    const Float shift = hn::Set(kF, max == kLowest ? 0.0f : max);
    Float total = hn::Zero(kF);
    for (std::int64_t j = 0; j < kKeyBlock; j += kLanes) {
        const Float v = hn::Exp(kF, hn::Sub(F32::load(scores + j), shift));
        F32::store(v, scores + j);
        total = hn::Add(total, v);
    }
    const float factor = state.max == max ? 1.0f : std::exp(state.max - max);
    state.sum = state.sum * factor + sum(total);
    state.max = max;
    return factor;
}

// out[r, c] += sum over n < count of weights[r, n] values[n, c] for a tile of kRows rows and kVectors vectors
// of columns; with kRest the last vector has `rest` columns.
template <class E, int kRows, int kVectors, bool kRest>
HWY_INLINE void valueTile(const float* weights, const typename E::T* values, std::int64_t stride,
                          std::int64_t count, std::int64_t rest, float* out, std::int64_t out_pad) {
    Float acc[kRows][kVectors];
    EIGENSCOPE_UNROLL
    for (int r = 0; r < kRows; ++r)
        EIGENSCOPE_UNROLL
    for (int c = 0; c < kVectors; ++c)
        acc[r][c] = F32::load(out + r * out_pad + c * kLanes);
    for (std::int64_t n = 0; n < count; ++n, values += stride) {
        Float w[kRows];
        EIGENSCOPE_UNROLL
        for (int r = 0; r < kRows; ++r)
            w[r] = hn::Set(kF, weights[r * kKeyBlock + n]);
        EIGENSCOPE_UNROLL
        for (int c = 0; c < kVectors; ++c) {
            const bool partial = kRest && c == kVectors - 1;
            const Float v = partial ? E::loadN(values + c * kLanes, rest) : E::load(values + c * kLanes);
            EIGENSCOPE_UNROLL
            for (int r = 0; r < kRows; ++r)
                acc[r][c] = hn::MulAdd(w[r], v, acc[r][c]);
        }
    }
    EIGENSCOPE_UNROLL
    for (int r = 0; r < kRows; ++r)
        EIGENSCOPE_UNROLL
    for (int c = 0; c < kVectors; ++c)
        F32::store(acc[r][c], out + r * out_pad + c * kLanes);
}

template <class E, int kRows>
HWY_INLINE void valueColumns(const float* weights, const typename E::T* values, std::int64_t stride,
                             std::int64_t count, std::int64_t width, float* out, std::int64_t out_pad) {
    constexpr int kWide = kRows <= kWideRows ? 8 : 4;
    const std::int64_t whole = width / kLanes, rest = width % kLanes;
    std::int64_t c = 0;
    for (; c + kWide <= whole; c += kWide)
        valueTile<E, kRows, kWide, false>(weights, values + c * kLanes, stride, count, 0, out + c * kLanes,
                                          out_pad);
    if constexpr (kWide > 4) {
        if (c + 4 <= whole) {
            valueTile<E, kRows, 4, false>(weights, values + c * kLanes, stride, count, 0, out + c * kLanes,
                                          out_pad);
            c += 4;
        }
    }
    if (c + 2 <= whole) {
        valueTile<E, kRows, 2, false>(weights, values + c * kLanes, stride, count, 0, out + c * kLanes,
                                      out_pad);
        c += 2;
    }
    if (c < whole && rest > 0)
        valueTile<E, kRows, 2, true>(weights, values + c * kLanes, stride, count, rest, out + c * kLanes,
                                     out_pad);
    else if (c < whole)
        valueTile<E, kRows, 1, false>(weights, values + c * kLanes, stride, count, 0, out + c * kLanes,
                                      out_pad);
    else if (rest > 0)
        valueTile<E, kRows, 1, true>(weights, values + c * kLanes, stride, count, rest, out + c * kLanes,
                                     out_pad);
}

// out[rows, width] += weights[rows, count] values[count, width]; rows of weights are kKeyBlock apart. Several
// row tiles or column tiles go over a few keys at a time, so that these values are read from memory once and
// then from L1.
template <class E>
void valueBlock(const float* weights, std::int64_t rows, const typename E::T* values, std::int64_t stride,
                std::int64_t count, std::int64_t width, float* out, std::int64_t out_pad) {
    constexpr std::int64_t kStepBytes = 8192;
    const std::int64_t row_bytes = width * static_cast<std::int64_t>(sizeof(typename E::T));
    const bool one_pass = width <= 4 * kLanes ? rows <= kTileRows : rows <= kWideRows && width <= 8 * kLanes;
    const std::int64_t step = one_pass ? count : std::max<std::int64_t>(8, kStepBytes / row_bytes);
    for (std::int64_t first = 0; first < count; first += step) {
        const std::int64_t n = std::min(step, count - first);
        const typename E::T* v = values + first * stride;
        const float* w = weights + first;
        const bool wide = width > 4 * kLanes;
        std::int64_t r = 0;
        for (; !wide && r + kTileRows <= rows; r += kTileRows)
            valueColumns<E, kTileRows>(w + r * kKeyBlock, v, stride, n, width, out + r * out_pad, out_pad);
        if constexpr (kWideRows > 1)
            for (; r + kWideRows <= rows; r += kWideRows)
                valueColumns<E, kWideRows>(w + r * kKeyBlock, v, stride, n, width, out + r * out_pad,
                                           out_pad);
        for (; r < rows; ++r)
            valueColumns<E, 1>(w + r * kKeyBlock, v, stride, n, width, out + r * out_pad, out_pad);
    }
}

}  // namespace eigenscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
