// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/matvec.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/matvec.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eigenscope::cpu::HWY_NAMESPACE {

template <class W, bool kRound>
HWY_INLINE Float roundIf(Float v) {
    if constexpr (kRound)
        return roundToBf16(v);
    return v;
}

// One block of kRows weight rows times kM rows of x: kRows * kM accumulators. `dots` receives [kM][kRows].
template <class W, bool kRound, int kM, int kRows>
HWY_INLINE void dotBlock(const float* x, std::int64_t k, const typename W::T* const* rows, float* dots) {
    // With one row of x two sets of accumulators hide the latency of the multiply-add.
    constexpr int kSets = kM == 1 ? 2 : 1;
    Float acc[kSets][kRows][kM];
    for (int s = 0; s < kSets; ++s)
        for (int r = 0; r < kRows; ++r)
            for (int j = 0; j < kM; ++j)
                acc[s][r][j] = hn::Zero(kF);
    std::int64_t i = 0;
    for (; i + kSets * kLanes <= k; i += kSets * kLanes) {
        for (int s = 0; s < kSets; ++s) {
            Float w[kRows];
            for (int r = 0; r < kRows; ++r)
                w[r] = roundIf<W, kRound>(W::load(rows[r] + i + s * kLanes));
            for (int j = 0; j < kM; ++j) {
                const Float v = F32::load(x + j * k + i + s * kLanes);
                for (int r = 0; r < kRows; ++r)
                    acc[s][r][j] = hn::MulAdd(w[r], v, acc[s][r][j]);
            }
        }
    }
    for (; i < k; i += kLanes) {
        const std::int64_t n = k - i < kLanes ? k - i : kLanes;
        const bool whole = n == kLanes;
        for (int r = 0; r < kRows; ++r) {
            const Float w = roundIf<W, kRound>(whole ? W::load(rows[r] + i) : W::loadN(rows[r] + i, n));
            for (int j = 0; j < kM; ++j) {
                const float* xj = x + j * k + i;
                acc[0][r][j] = hn::MulAdd(w, whole ? F32::load(xj) : F32::loadN(xj, n), acc[0][r][j]);
            }
        }
    }
    if constexpr (kSets == 2)
        for (int r = 0; r < kRows; ++r)
            acc[0][r][0] = hn::Add(acc[0][r][0], acc[1][r][0]);
    for (int j = 0; j < kM; ++j) {
        if constexpr (kRows == 4)
            sum4(acc[0][0][j], acc[0][1][j], acc[0][2][j], acc[0][3][j], dots + j * kRows);
        else
            for (int r = 0; r < kRows; ++r)
                dots[j * kRows + r] = sum(acc[0][r][j]);
    }
}

template <class W, bool kRound, int kM>
void columns(const MatvecArgs& a, std::int64_t begin, std::int64_t end) {
    constexpr int kRows = kM <= 2 ? 4 : kM <= 4 ? (kManyRegisters ? 4 : 2) : (kManyRegisters ? 2 : 1);
    const auto* weight = static_cast<const typename W::T*>(a.weight);
    for (std::int64_t c = begin; c < end; c += kRows) {
        const typename W::T* rows[kRows];
        for (int r = 0; r < kRows; ++r)  // past the end the last row is computed again and dropped
            rows[r] = weight + (c + r < end ? c + r : end - 1) * a.k;
        float dots[kM * kRows];
        dotBlock<W, kRound, kM, kRows>(a.x, a.k, rows, dots);
        for (int j = 0; j < kM; ++j)
            for (int r = 0; r < kRows && c + r < end; ++r) {
                float* y = a.y + j * a.n + c + r;
                const float value = dots[j * kRows + r] + (a.bias ? a.bias[c + r] : 0.0f);
                *y = a.accumulate ? *y + value : value;
            }
    }
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

void matvecColumns(const MatvecArgs& args, std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(MatvecColumns)(args, begin, end);
}

}  // namespace eigenscope::cpu
#endif
