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

// Latents of `count` <= kKeyBlock cached rows as float32 rows `stride` apart: the cache itself when it holds
// float32, else `widened`, [kKeyBlock, padded rank].
struct LatentRows {
    const float* data = nullptr;
    std::int64_t stride = 0;
};
template <class E>
LatentRows widenLatents(const typename E::T* latents, std::int64_t rank, std::int64_t count, float* widened) {
    if constexpr (std::is_same_v<typename E::T, float>)
        return {latents, rank};
    const std::int64_t stride = padded(rank);
    for (std::int64_t n = 0; n < count; ++n) {
        const typename E::T* from = latents + n * rank;
        float* to = widened + n * stride;
        std::int64_t i = 0;
        for (; i + kLanes <= rank; i += kLanes)
            F32::store(E::load(from + i), to + i);
        if (i < rank)
            F32::store(E::loadN(from + i, rank - i), to + i);
    }
    return {widened, stride};
}

// Keys of `count` cached rows from position `first` on: keys[count, pad], rotated.
inline void liftBlock(const LiftHead& head, LatentRows latents, std::int64_t first, std::int64_t count,
                      float* keys) {
    std::int64_t n = 0;
    for (; n + 4 <= count; n += 4)
        liftColumns<4>(latents.data + n * latents.stride, latents.stride, head.rank, head.basis, head.mean,
                       head.pad, keys + n * head.pad);
    for (; n < count; ++n)
        liftColumns<1>(latents.data + n * latents.stride, latents.stride, head.rank, head.basis, head.mean,
                       head.pad, keys + n * head.pad);
    const std::int64_t half = head.table.rotary_dim / 2;
    for (n = 0; n < count; ++n)
        rotateHead(keys + n * head.pad, head.table.cos + (first + n) * half,
                   head.table.sin + (first + n) * half, half);
}

// Scores without a tile of keys in memory: a register tile holds kRows keys by kPairs vectors of the first
// half of a head and the matching ones of its second half, which is closed under the rotation, and is
// multiplied with the queries at once. Possible when the whole head is rotated and half of it is a multiple
// of a vector.
inline bool canFuseLift(const RotaryTable& table, std::int64_t width) {
    return table.rotary_dim == width && width % (2 * kLanes) == 0;
}

struct FusedQueries {
    const float* data = nullptr;  // [rows, pad]
    std::int64_t rows = 0, pad = 0;
};

// Adds to (or, for the first panel, sets) scores[row, 0..kRows): the part of the columns [column, column +
// kPairs vectors) and those half a head further. keys[r] and positions[r] are rows of latents and their
// positions.
template <int kRows, int kPairs>
HWY_INLINE void liftScoreTile(const LiftHead& head, const float* const* latents,
                              const std::int64_t* positions, std::int64_t column, const FusedQueries& queries,
                              float* scores) {
    const std::int64_t half = head.table.rotary_dim / 2;
    Float acc[kRows][2 * kPairs];
    EIGENSCOPE_UNROLL
    for (int p = 0; p < kPairs; ++p) {
        const float* mean = head.mean ? head.mean + column + p * kLanes : nullptr;
        const Float low = mean ? F32::load(mean) : hn::Zero(kF),
                    high = mean ? F32::load(mean + half) : hn::Zero(kF);
        EIGENSCOPE_UNROLL
        for (int r = 0; r < kRows; ++r) {
            acc[r][p] = low;
            acc[r][kPairs + p] = high;
        }
    }
    const float* basis = head.basis + column;
    for (std::int64_t i = 0; i < head.rank; ++i, basis += head.pad) {
        Float b[2 * kPairs];
        EIGENSCOPE_UNROLL
        for (int p = 0; p < kPairs; ++p) {
            b[p] = F32::load(basis + p * kLanes);
            b[kPairs + p] = F32::load(basis + half + p * kLanes);
        }
        EIGENSCOPE_UNROLL
        for (int r = 0; r < kRows; ++r) {
            const Float z = hn::Set(kF, latents[r][i]);
            EIGENSCOPE_UNROLL
            for (int c = 0; c < 2 * kPairs; ++c)
                acc[r][c] = hn::MulAdd(z, b[c], acc[r][c]);
        }
    }
    EIGENSCOPE_UNROLL
    for (int r = 0; r < kRows; ++r) {
        const std::int64_t at = positions[r] * half + column;
        EIGENSCOPE_UNROLL
        for (int p = 0; p < kPairs; ++p) {
            const Float c = F32::load(head.table.cos + at + p * kLanes),
                        s = F32::load(head.table.sin + at + p * kLanes);
            const Float low = acc[r][p], high = acc[r][kPairs + p];
            acc[r][p] = hn::NegMulAdd(high, s, hn::Mul(low, c));
            acc[r][kPairs + p] = hn::MulAdd(low, s, hn::Mul(high, c));
        }
    }
    for (std::int64_t row = 0; row < queries.rows; ++row) {
        const float* q = queries.data + row * queries.pad + column;
        Float dot[kRows];
        EIGENSCOPE_UNROLL
        for (int p = 0; p < kPairs; ++p) {
            const Float low = F32::load(q + p * kLanes), high = F32::load(q + half + p * kLanes);
            EIGENSCOPE_UNROLL
            for (int r = 0; r < kRows; ++r) {
                dot[r] = p == 0 ? hn::Mul(low, acc[r][0]) : hn::MulAdd(low, acc[r][p], dot[r]);
                dot[r] = hn::MulAdd(high, acc[r][kPairs + p], dot[r]);
            }
        }
        float* out = scores + row * kKeyBlock;
        EIGENSCOPE_UNROLL
        for (int r = 0; r < kRows; r += 4) {
            float part[4];
            sum4(dot[r], dot[r + 1], dot[r + 2], dot[r + 3], part);
            for (int u = 0; u < 4; ++u)
                out[r + u] = column == 0 ? part[u] : out[r + u] + part[u];
        }
    }
}

template <int kRows, int kPairs>
void liftScorePanel(const LiftHead& head, LatentRows latents, std::int64_t first, std::int64_t count,
                    std::int64_t column, const FusedQueries& queries, float* scores) {
    for (std::int64_t n = 0; n < count; n += kRows) {
        const float* rows[kRows];
        std::int64_t positions[kRows];
        for (int r = 0; r < kRows;
             ++r) {  // past the end the last row is computed again; nobody reads its score
            const std::int64_t at = std::min(n + r, count - 1);
            rows[r] = latents.data + at * latents.stride;
            positions[r] = first + at;
        }
        liftScoreTile<kRows, kPairs>(head, rows, positions, column, queries, scores + n);
    }
}

// scores[row, n] = query row . lifted key n for n < count; up to 7 scores past `count` are written as well.
// Panel by panel, so that a panel of the basis stays in L1 for all keys of the block.
inline void liftScores(const LiftHead& head, LatentRows latents, std::int64_t first, std::int64_t count,
                       const FusedQueries& queries, float* scores) {
    const std::int64_t half = head.table.rotary_dim / 2;
    std::int64_t column = 0;
    if constexpr (kManyRegisters)
        for (; column + 2 * kLanes <= half; column += 2 * kLanes)
            liftScorePanel<4, 2>(head, latents, first, count, column, queries, scores);
    for (; column < half; column += kLanes)
        liftScorePanel<kManyRegisters ? 8 : 4, 1>(head, latents, first, count, column, queries, scores);
}

}  // namespace eigenscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
