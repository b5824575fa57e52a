// SPDX-License-Identifier: Apache-2.0
// Rebuilding keys from their latents, for each instruction set: key = basis * latent + mean, then the
// rotation of the key's position (Eigen Attention with RoPE, arXiv 2408.05646, section 4.3).

#if defined(EIGENSCOPE_CPU_LIFT_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef EIGENSCOPE_CPU_LIFT_INL_H
#undef EIGENSCOPE_CPU_LIFT_INL_H
#else
#define EIGENSCOPE_CPU_LIFT_INL_H
#endif

#include "kernels/cpu/attention_plan.h"
#include "kernels/cpu/rotate-inl.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eigenscope::cpu::HWY_NAMESPACE {

// keys[r, c] = mean[c] + sum over i < rank of latents[r, i] basis[i, c], for kRows rows and kVectors vectors
// of columns. The mean is padded like the keys, or null.
template <int kRows, int kVectors>
HWY_INLINE void liftTile(const float* latents, std::int64_t latent_stride, std::int64_t rank,
                         const float* basis, const float* mean, std::int64_t pad, float* keys) {
    Float acc[kRows][kVectors];
    EIGENSCOPE_UNROLL
    for (int c = 0; c < kVectors; ++c) {
        const Float start = mean ? F32::load(mean + c * kLanes) : hn::Zero(kF);
        EIGENSCOPE_UNROLL
        for (int r = 0; r < kRows; ++r)
            acc[r][c] = start;
    }
    for (std::int64_t i = 0; i < rank; ++i, basis += pad) {
        Float b[kVectors];
        EIGENSCOPE_UNROLL
        for (int c = 0; c < kVectors; ++c)
            b[c] = F32::load(basis + c * kLanes);
        EIGENSCOPE_UNROLL
        for (int r = 0; r < kRows; ++r) {
            const Float z = hn::Set(kF, latents[r * latent_stride + i]);
            EIGENSCOPE_UNROLL
            for (int c = 0; c < kVectors; ++c)
                acc[r][c] = hn::MulAdd(z, b[c], acc[r][c]);
        }
    }
    EIGENSCOPE_UNROLL
    for (int r = 0; r < kRows; ++r)
        EIGENSCOPE_UNROLL
    for (int c = 0; c < kVectors; ++c)
        F32::store(acc[r][c], keys + r * pad + c * kLanes);
}

template <int kRows>
HWY_INLINE void liftColumns(const float* latents, std::int64_t latent_stride, std::int64_t rank,
                            const float* basis, const float* mean, std::int64_t pad, float* keys) {
    constexpr int kWide = kManyRegisters ? 4 : 2;
    const std::int64_t vectors = pad / kLanes;
    std::int64_t c = 0;
    for (; c + kWide <= vectors; c += kWide)
        liftTile<kRows, kWide>(latents, latent_stride, rank, basis + c * kLanes,
                               mean ? mean + c * kLanes : nullptr, pad, keys + c * kLanes);
    for (; c < vectors; ++c)
        liftTile<kRows, 1>(latents, latent_stride, rank, basis + c * kLanes,
                           mean ? mean + c * kLanes : nullptr, pad, keys + c * kLanes);
}

// What a lift needs of one key/value head.
struct LiftHead {
    const float* basis = nullptr;  // [rank, pad]
    const float* mean = nullptr;   // [pad] or null
    std::int64_t rank = 0, pad = 0;
    RotaryTable table;
};

// Keys of `count` <= kKeyBlock cached rows from position `first` on: keys[count, pad], rotated. `widened` is
// scratch, [kKeyBlock, padded rank]; unused for a float32 cache.
template <class E>
void liftBlock(const LiftHead& head, const typename E::T* latents, std::int64_t first, std::int64_t count,
               float* widened, float* keys) {
    const float* z = nullptr;
    std::int64_t stride = head.rank;
    if constexpr (std::is_same_v<typename E::T, float>) {
        z = latents;
    } else {
        stride = padded(head.rank);
        z = widened;
        for (std::int64_t n = 0; n < count; ++n) {
            std::int64_t i = 0;
            for (; i + kLanes <= head.rank; i += kLanes)
                F32::store(E::load(latents + n * head.rank + i), widened + n * stride + i);
            if (i < head.rank)
                F32::store(E::loadN(latents + n * head.rank + i, head.rank - i), widened + n * stride + i);
        }
    }
    std::int64_t n = 0;
    for (; n + 4 <= count; n += 4)
        liftColumns<4>(z + n * stride, stride, head.rank, head.basis, head.mean, head.pad,
                       keys + n * head.pad);
    for (; n < count; ++n)
        liftColumns<1>(z + n * stride, stride, head.rank, head.basis, head.mean, head.pad,
                       keys + n * head.pad);
    const std::int64_t half = head.table.rotary_dim / 2;
    for (n = 0; n < count; ++n)
        rotateHead(keys + n * head.pad, head.table.cos + (first + n) * half,
                   head.table.sin + (first + n) * half, half);
}

}  // namespace eigenscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
