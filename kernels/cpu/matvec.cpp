// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/matvec.h"

#include "kernels/cpu/convert.h"
#include "kernels/cpu/parallel.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/matvec.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eigenscope::cpu::HWY_NAMESPACE {

inline constexpr std::int64_t kBlock = 16;  // elements of a block of packed x
inline constexpr int kVectorsPerBlock = static_cast<int>(kBlock / kLanes);

template <class W, bool kRound>
HWY_INLINE Float loadWeight(const typename W::T* p) {
    if constexpr (kRound)
        return roundToBf16(W::load(p));
    return W::load(p);
}

// The last, incomplete block of a weight row: n in [1, kBlock) elements, zero padded, as a whole vector at
// offset `at`.
template <class W, bool kRound>
HWY_INLINE Float loadWeightRest(const typename W::T* p, std::int64_t at, std::int64_t n) {
    if (at >= n)
        return hn::Zero(kF);
    const Float w = at + kLanes <= n ? W::load(p + at) : W::loadN(p + at, n - at);
    return kRound ? roundToBf16(w) : w;
}

// dots[0..4) = one row of x times four weight rows, one row after the other: a single stream through memory
// is what the hardware prefetcher follows best, as long as x stays in L1. Four accumulators hide the latency
// of the multiply-add.
template <class W, bool kRound>
HWY_INLINE void dotRows(const float* x, std::int64_t k, const typename W::T* const* rows, float* dots) {
    constexpr int kSets = 4;
    Float total[4];
    EIGENSCOPE_UNROLL
    for (int r = 0; r < 4; ++r) {
        const typename W::T* w = rows[r];
        Float acc[kSets];
        EIGENSCOPE_UNROLL
        for (int s = 0; s < kSets; ++s)
            acc[s] = hn::Zero(kF);
        std::int64_t i = 0;
        for (; i + kSets * kLanes <= k; i += kSets * kLanes) {
            EIGENSCOPE_UNROLL
            for (int s = 0; s < kSets; ++s)
                acc[s] = hn::MulAdd(loadWeight<W, kRound>(w + i + s * kLanes), F32::load(x + i + s * kLanes),
                                    acc[s]);
        }
        for (; i < k; i += kLanes) {
            const Float v =
                k - i >= kLanes ? loadWeight<W, kRound>(w + i) : loadWeightRest<W, kRound>(w + i, 0, k - i);
            acc[0] = hn::MulAdd(v, F32::load(x + i), acc[0]);
        }
        total[r] = hn::Add(hn::Add(acc[0], acc[1]), hn::Add(acc[2], acc[3]));
    }
    sum4(total[0], total[1], total[2], total[3], dots);
}

// dots[j, r] = row j of x times weight row r: kRows * kM accumulators, so that each vector of x that is
// loaded serves kRows weight rows. Rows of dots are kDots apart.
inline constexpr int kDots = 8;
template <class W, bool kRound, int kM, int kRows>
HWY_INLINE void dotTile(const float* x, std::int64_t k, const typename W::T* const* rows, float* dots) {
    constexpr int kPadRows = kRows > 4 ? 8 : 4;  // for the sums, four at a time
    Float acc[kPadRows][kM];
    EIGENSCOPE_UNROLL
    for (int r = 0; r < kPadRows; ++r) {
        EIGENSCOPE_UNROLL
        for (int j = 0; j < kM; ++j)
            acc[r][j] = hn::Zero(kF);
    }
    std::int64_t i = 0;
    for (; i + kBlock <= k; i += kBlock, x += kM * kBlock) {
        EIGENSCOPE_UNROLL
        for (int u = 0; u < kVectorsPerBlock; ++u) {
            Float w[kRows];
            EIGENSCOPE_UNROLL
            for (int r = 0; r < kRows; ++r)
                w[r] = loadWeight<W, kRound>(rows[r] + i + u * kLanes);
            EIGENSCOPE_UNROLL
            for (int j = 0; j < kM; ++j) {
                const Float v = F32::load(x + j * kBlock + u * kLanes);
                EIGENSCOPE_UNROLL
                for (int r = 0; r < kRows; ++r)
                    acc[r][j] = hn::MulAdd(w[r], v, acc[r][j]);
            }
        }
    }
    for (std::int64_t at = 0; at < k - i; at += kLanes) {
        EIGENSCOPE_UNROLL
        for (int r = 0; r < kRows; ++r) {
            const Float w = loadWeightRest<W, kRound>(rows[r] + i, at, k - i);
            EIGENSCOPE_UNROLL
            for (int j = 0; j < kM; ++j)
                acc[r][j] = hn::MulAdd(w, F32::load(x + j * kBlock + at), acc[r][j]);
        }
    }
    EIGENSCOPE_UNROLL
    for (int j = 0; j < kM; ++j) {
        sum4(acc[0][j], acc[1][j], acc[2][j], acc[3][j], dots + j * kDots);
        if constexpr (kPadRows == 8)
            sum4(acc[4][j], acc[5][j], acc[6][j], acc[7][j], dots + j * kDots + 4);
    }
}

// Columns [begin, end) with kRows weight rows at a time; kSingle: one row of x, weight rows one after the
// other.
template <class W, bool kRound, int kM, int kRows, bool kSingle>
void columnsOf(const MatvecArgs& a, std::int64_t begin, std::int64_t end) {
    const auto* weight = static_cast<const typename W::T*>(a.weight);
    for (std::int64_t c = begin; c < end; c += kRows) {
        const typename W::T* rows[kRows];
        for (int r = 0; r < kRows; ++r)  // past the end the last row is computed again and dropped
            rows[r] = weight + std::min(c + r, end - 1) * a.k;
        float dots[kM * kDots];
        if constexpr (kSingle)
            dotRows<W, kRound>(a.x, a.k, rows, dots);
        else
            dotTile<W, kRound, kM, kRows>(a.x, a.k, rows, dots);
        for (int j = 0; j < kM; ++j)
            for (int r = 0; r < kRows && c + r < end; ++r) {
                float* y = a.y + j * a.n + c + r;
                const float value = dots[j * kDots + r] + (a.bias ? a.bias[c + r] : 0.0f);
                *y = a.accumulate ? *y + value : value;
            }
    }
}

template <class W, bool kRound, int kM>
void columns(const MatvecArgs& a, std::int64_t begin, std::int64_t end) {
    // kRows * kM accumulators, kRows weights and one vector of x fill the registers.
    constexpr int kMany[] = {8, 8, 6, 6, 5, 4, 3, 3}, kFew[] = {8, 4, 2, 2, 1, 1, 1, 1};
    constexpr int kRows = kManyRegisters ? kMany[kM - 1] : kFew[kM - 1];
    constexpr std::int64_t kL1Row = 4096;  // elements of x that stay in L1 beside the stream of weights
    if (kM == 1 && a.k <= kL1Row)
        columnsOf<W, kRound, 1, 4, true>(a, begin, end);
    else
        columnsOf<W, kRound, kM, kRows, false>(a, begin, end);
}

template <class W, bool kRound>
void columnsFor(const MatvecArgs& a, std::int64_t begin, std::int64_t end) {
    switch (a.m) {
        case 1:
            columns<W, kRound, 1>(a, begin, end);
            break;
        case 2:
            columns<W, kRound, 2>(a, begin, end);
            break;
        case 3:
            columns<W, kRound, 3>(a, begin, end);
            break;
        case 4:
            columns<W, kRound, 4>(a, begin, end);
            break;
        case 5:
            columns<W, kRound, 5>(a, begin, end);
            break;
        case 6:
            columns<W, kRound, 6>(a, begin, end);
            break;
        case 7:
            columns<W, kRound, 7>(a, begin, end);
            break;
        default:
            columns<W, kRound, 8>(a, begin, end);
            break;
    }
}

void MatvecColumns(const MatvecArgs& a, std::int64_t begin, std::int64_t end) {
    switch (a.weight_dtype) {
        case DType::F32:
            if (a.round_weight)
                columnsFor<Element<DType::F32>, true>(a, begin, end);
            else
                columnsFor<Element<DType::F32>, false>(a, begin, end);
            break;
        case DType::F16:
            if (a.round_weight)
                columnsFor<Element<DType::F16>, true>(a, begin, end);
            else
                columnsFor<Element<DType::F16>, false>(a, begin, end);
            break;
        case DType::BF16:
            columnsFor<Element<DType::BF16>, false>(a, begin, end);
            break;
    }
}

}  // namespace eigenscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eigenscope::cpu {
namespace {
HWY_EXPORT(MatvecColumns);
}

std::int64_t packedFloats(std::int64_t m, std::int64_t k) { return m * roundUp(k, 16); }

void packRows(const float* x, std::int64_t m, std::int64_t k, bool round, float* packed) {
    for (std::int64_t i = 0; i < k; i += 16)
        for (std::int64_t j = 0; j < m; ++j, packed += 16) {
            const std::int64_t n = std::min<std::int64_t>(16, k - i);
            std::copy(x + j * k + i, x + j * k + i + n, packed);
            std::fill(packed + n, packed + 16, 0.0f);
        }
    if (round)
        roundRowToBf16(packed - packedFloats(m, k), packed - packedFloats(m, k), packedFloats(m, k));
}

void matvecColumns(const MatvecArgs& args, std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(MatvecColumns)(args, begin, end);
}

}  // namespace eigenscope::cpu
#endif
