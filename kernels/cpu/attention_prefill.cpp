// SPDX-License-Identifier: Apache-2.0
// Attention with many query rows, bound by arithmetic. For a few heads at a time the keys are widened, lifted
// where they are latents, and transposed once; then tasks of query rows go over them block by block with
// register-blocked products and the online softmax.
#include "kernels/cpu/attention_prefill.h"

#include "kernels/cpu/cpu_ops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_prefill.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/attention_rows-inl.h"
#include "kernels/cpu/cache_tile-inl.h"
#include "kernels/cpu/lift-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eigenscope::cpu::HWY_NAMESPACE {

// Keys of a panel and columns of a value panel: what a register tile is wide, so that a panel stays in L1
// while all row tiles pass over it.
inline constexpr std::int64_t kKeyPanel = 2 * kLanes;
inline constexpr std::int64_t kValuePanel = 4 * kLanes;

// to[i, n] = from[n, i] for n < kKeyPanel, i < width; rows of `from` are `stride` apart.
inline void transposePanel(const float* from, std::int64_t stride, std::int64_t width, float* to) {
    std::int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
    const hn::FixedTag<float, 4> four;
    const hn::RepartitionToWide<decltype(four)> pairs;
    for (; i + 4 <= width; i += 4)
        for (std::int64_t n = 0; n < kKeyPanel; n += 4) {
            const float* x = from + n * stride + i;
            const auto a = hn::LoadU(four, x), b = hn::LoadU(four, x + stride);
            const auto c = hn::LoadU(four, x + 2 * stride), d = hn::LoadU(four, x + 3 * stride);
            const auto ab_low = hn::BitCast(pairs, hn::InterleaveLower(four, a, b));
            const auto ab_high = hn::BitCast(pairs, hn::InterleaveUpper(four, a, b));
            const auto cd_low = hn::BitCast(pairs, hn::InterleaveLower(four, c, d));
            const auto cd_high = hn::BitCast(pairs, hn::InterleaveUpper(four, c, d));
            float* y = to + i * kKeyPanel + n;
            hn::StoreU(hn::BitCast(four, hn::InterleaveLower(pairs, ab_low, cd_low)), four, y);
            hn::StoreU(hn::BitCast(four, hn::InterleaveUpper(pairs, ab_low, cd_low)), four, y + kKeyPanel);
            hn::StoreU(hn::BitCast(four, hn::InterleaveLower(pairs, ab_high, cd_high)), four,
                       y + 2 * kKeyPanel);
            hn::StoreU(hn::BitCast(four, hn::InterleaveUpper(pairs, ab_high, cd_high)), four,
                       y + 3 * kKeyPanel);
        }
#endif
    for (; i < width; ++i)
        for (std::int64_t n = 0; n < kKeyPanel; ++n)
            to[i * kKeyPanel + n] = from[n * stride + i];
}

// `width` elements of each cached row as float32 rows of `pad` elements, zero padded; rows past `count` are
// zero.
template <class E>
void widenRows(const typename E::T* from, std::int64_t stride, std::int64_t width, std::int64_t count,
               float* to, std::int64_t pad) {
    for (std::int64_t n = 0; n < count; ++n, from += stride, to += pad) {
        std::int64_t i = 0;
        for (; i + kLanes <= width; i += kLanes)
            F32::store(E::load(from + i), to + i);
        if (i < width) {
            F32::store(E::loadN(from + i, width - i), to + i);
            i += kLanes;
        }
        for (; i < pad; ++i)
            to[i] = 0.0f;
    }
    std::fill(to, to + (kKeyBlock - count) * pad, 0.0f);
}

template <class V>
void packValues(const PackedHead& h, const typename V::T* rows, std::int64_t stride, std::int64_t count,
                float* to) {
    const std::int64_t width = h.params->values.width;
    for (std::int64_t c = 0; c < h.shape->value_pad; c += kValuePanel) {
        const std::int64_t columns = std::min(kValuePanel, h.shape->value_pad - c);
        widenRows<V>(rows + c, stride, std::clamp<std::int64_t>(width - c, 0, columns), count,
                     to + c * kKeyBlock, columns);
    }
}

// Lifts latents into s.keys, zero past `count`.
void liftRows(const PackedHead& h, LatentRows latents, std::int64_t first, std::int64_t count,
              const PrefillScratch& s) {
    const AttentionParams& p = *h.params;
    const std::int64_t pad = h.shape->query_pad;
    liftBlock({h.basis, h.mean, p.keys.width, pad, p.lift->table}, latents, first, count, s.keys);
    std::fill(s.keys + count * pad, s.keys + kKeyBlock * pad, 0.0f);
}

// Rows of a dense cache into s.keys as the queries see them.
template <class K>
void readKeys(const PackedHead& h, std::int64_t first, std::int64_t count, const PrefillScratch& s) {
    const KvView& v = h.params->keys;
    const auto* rows = headRows<K>(v, h.batch, kvStoredHead(*h.params, v, h.kv_head)) + first * v.width;
    if (h.params->lift)
        liftRows(h, widenLatents<K>(rows, v.width, count, s.latents), first, count, s);
    else
        widenRows<K>(rows, v.width, v.width, count, s.keys, h.shape->query_pad);
}

// The same of a quantised one.
void readKeyTile(const PackedHead& h, bool exact, std::int64_t first, std::int64_t count,
                 const PrefillScratch& s) {
    const KvView& v = h.params->keys;
    const CacheTile& tile = s.key_tile;
    loadTile(v, exact, h.batch, kvStoredHead(*h.params, v, h.kv_head), first, count, tile);
    if (h.params->lift)
        liftRows(h, {tile.rows, tile.pad}, first, count, s);
    else
        std::fill(tile.rows + count * tile.pad, tile.rows + kKeyBlock * tile.pad, 0.0f);
}

void PackHeadBlock(const PackedHead& h, std::int64_t block, const PrefillScratch& s) {
    const AttentionParams& p = *h.params;
    const PackedKeys* part = h.parts->parts;
    while (block >= part->block + part->blocks())
        ++part;
    const std::int64_t first = part->begin + (block - part->block) * kKeyBlock;
    const std::int64_t count = std::min(kKeyBlock, part->end - first);
    if (p.keys.bits != 0)
        readKeyTile(h, part->source.keys_exact, first, count, s);
    else
        withElement(p.keys.dtype, [&](auto e) { readKeys<decltype(e)>(h, first, count, s); });
    float* keys = h.keys + block * p.query_width * kKeyBlock;
    const std::int64_t pad = h.shape->query_pad;
    for (std::int64_t n = 0; n < kKeyBlock; n += kKeyPanel)
        transposePanel(s.keys + n * pad, pad, p.query_width, keys + n * p.query_width);

    float* values = h.values + block * kKeyBlock * h.shape->value_pad;
    const std::int64_t value_head = kvStoredHead(p, p.values, h.kv_head);
    if (p.values.bits != 0) {
        loadTile(p.values, part->source.values_exact, h.batch, value_head, first, count, s.value_tile);
        packValues<F32>(h, s.value_tile.rows, s.value_tile.pad, count, values);
    } else {
        withElement(p.values.dtype, [&](auto e) {
            using V = decltype(e);
            packValues<V>(h, headRows<V>(p.values, h.batch, value_head) + first * p.values.width,
                          p.values.width, count, values);
        });
    }
}

// scores[r, 0..kKeyPanel) = query row r times a panel of keys, for kScoreRows rows by two vectors.
inline constexpr std::int64_t kScoreRows = kManyRegisters ? 8 : 4;
HWY_INLINE void scorePanelTile(const float* query, std::int64_t query_pad, const float* keys,
                               std::int64_t width, float* scores) {
    constexpr int kRows = static_cast<int>(kScoreRows);
    Float low[kRows], high[kRows];
    EIGENSCOPE_UNROLL
    for (int r = 0; r < kRows; ++r)
        low[r] = high[r] = hn::Zero(kF);
    for (std::int64_t i = 0; i < width; ++i, keys += kKeyPanel) {
        const Float a = F32::load(keys), b = F32::load(keys + kLanes);
        EIGENSCOPE_UNROLL
        for (int r = 0; r < kRows; ++r) {
            const Float q = hn::Set(kF, query[r * query_pad + i]);
            low[r] = hn::MulAdd(q, a, low[r]);
            high[r] = hn::MulAdd(q, b, high[r]);
        }
    }
    EIGENSCOPE_UNROLL
    for (int r = 0; r < kRows; ++r) {
        F32::store(low[r], scores + r * kKeyBlock);
        F32::store(high[r], scores + r * kKeyBlock + kLanes);
    }
}

// A block of keys as one task's rows see it: causality cuts it short for all but the last rows.
struct BlockView {
    std::int64_t index = 0;     // of the block in the packed head
    std::int64_t first = 0;     // position of its first key
    std::int64_t count = 0;     // keys that the task's last row sees
    std::int64_t position = 0;  // of the call's first query
    std::int64_t row_offset = 0, group = 1, rows = 0;

    // Keys that rows [r, r + tile) need.
    std::int64_t needed(std::int64_t r, std::int64_t tile) const {
        const std::int64_t last = std::min(r + tile, rows) - 1;
        return std::clamp<std::int64_t>(position + (row_offset + last) / group + 1 - first, 0, count);
    }
};

// out[r, ..] += weights[r, ..] times a panel of values kVectors vectors wide, for kTileRows rows at a time.
template <int kVectors>
void valuePanel(const BlockView& view, const float* weights, const float* values, float* out,
                std::int64_t out_pad) {
    for (std::int64_t r = 0; r < view.rows; r += kTileRows)
        valueTile<F32, static_cast<int>(kTileRows), kVectors, false>(
            weights + r * kKeyBlock, values, kVectors * kLanes, view.needed(r, kTileRows), 0,
            out + r * out_pad, out_pad);
}

// scores[rows, kKeyBlock] of the panels that have a visible key.
void scorePackedBlock(const PackedHead& h, const PrefillScratch& s, const BlockView& view) {
    const std::int64_t width = h.params->query_width, pad = h.shape->query_pad;
    const float* keys = h.keys + view.index * width * kKeyBlock;
    for (std::int64_t n = 0; n < view.count; n += kKeyPanel)
        for (std::int64_t r = 0; r < view.rows; r += kScoreRows)
            if (n < view.needed(r, kScoreRows))
                scorePanelTile(s.query + r * pad, pad, keys + n * width, width, s.scores + r * kKeyBlock + n);
}

void addPackedValues(const PackedHead& h, const PrefillScratch& s, const BlockView& view) {
    const std::int64_t pad = h.shape->value_pad;
    const float* values = h.values + view.index * kKeyBlock * pad;
    for (std::int64_t c = 0; c < pad; c += kValuePanel) {
        const float* panel = values + c * kKeyBlock;
        switch (std::min(kValuePanel, pad - c) / kLanes) {
            case 4:
                valuePanel<4>(view, s.scores, panel, s.out + c, pad);
                break;
            case 3:
                valuePanel<3>(view, s.scores, panel, s.out + c, pad);
                break;
            case 2:
                valuePanel<2>(view, s.scores, panel, s.out + c, pad);
                break;
            default:
                valuePanel<1>(view, s.scores, panel, s.out + c, pad);
                break;
        }
    }
}

void PrefillTaskKernel(const PackedHead& h, const QueryRows& rows, const PrefillScratch& s) {
    const AttentionParams& p = *h.params;
    const AttentionShape& shape = *h.shape;
    auto* states = reinterpret_cast<SoftmaxState*>(s.state);
    const std::int64_t padded_rows = roundUp(rows.count, kScoreRows);
    std::fill(states, states + rows.count, SoftmaxState{});
    std::fill(s.out, s.out + padded_rows * shape.value_pad, 0.0f);
    loadQueries(p, shape, rows, s.query);
    std::fill(s.query + rows.count * shape.query_pad, s.query + padded_rows * shape.query_pad, 0.0f);
    const std::int64_t first_position = p.query_position + rows.first / shape.group;
    const std::int64_t last_position = p.query_position + (rows.first + rows.count - 1) / shape.group;
    for (int i = 0; i < h.parts->count; ++i) {
        const PackedKeys& part = h.parts->parts[i];
        const KeyRange seen = visibleKeys(p, part.source, first_position, last_position);
        for (std::int64_t block = (seen.begin - part.begin) / kKeyBlock;; ++block) {
            const std::int64_t first = part.begin + block * kKeyBlock;
            if (first >= seen.end)
                break;
            const BlockView view{.index = part.block + block,
                                 .first = first,
                                 .count = std::min(kKeyBlock, seen.end - first),
                                 .position = p.query_position,
                                 .row_offset = rows.first,
                                 .group = shape.group,
                                 .rows = rows.count};
            scorePackedBlock(h, s, view);
            softmaxRows(p, part.source, shape, rows, first, view.count, s.scores, s.out, states);
            addPackedValues(h, s, view);
        }
    }
    writeRows(p, shape, rows, s.out, states);
}

}  // namespace eigenscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eigenscope::cpu {
namespace {
HWY_EXPORT(PackHeadBlock);
HWY_EXPORT(PrefillTaskKernel);

// Packed keys and values of the heads that are worked on at once; one head may need more.
constexpr std::int64_t kPackedBytes = 32 << 20;

}  // namespace

PackedParts::PackedParts(const AttentionParams& p) {
    const std::int64_t last = p.query_position + p.query_length - 1;
    for (const KeySource& source : kKeySources) {
        const KeyRange seen = visibleKeys(p, source, p.query_position, last);
        if (!hasSource(p, source) || seen.end <= seen.begin)
            continue;
        PackedKeys& part = parts[count++];
        part = {source, seen.begin, seen.end, blocks};
        blocks += part.blocks();
    }
}

std::int64_t PrefillScratch::floats(const AttentionParams& p, const AttentionShape& s) {
    return kRowBlock * (s.query_pad + kKeyBlock + s.value_pad + 2) +
           kKeyBlock * (s.query_pad + s.latent_pad) + kPadLanes + tileScales(p.keys, kKeyBlock) +
           tileRows(p.values, kKeyBlock) + tileScales(p.values, kKeyBlock);
}

PrefillScratch::PrefillScratch(float* memory, const AttentionParams& p, const AttentionShape& s) {
    const auto take = [&](std::int64_t count) {
        float* at = memory;
        memory += count;
        return at;
    };
    query = take(kRowBlock * s.query_pad);
    scores = take(kRowBlock * kKeyBlock);
    out = take(kRowBlock * s.value_pad);
    state = take(kRowBlock * 2);
    keys = take(kKeyBlock * s.query_pad);
    latents = take(kKeyBlock * s.latent_pad + kPadLanes);
    key_tile = {p.lift ? latents : keys, s.latent_pad, take(tileScales(p.keys, kKeyBlock))};
    value_tile.pad = s.value_pad;
    value_tile.rows = take(tileRows(p.values, kKeyBlock));
    value_tile.scales = take(tileScales(p.values, kKeyBlock));
}

void packHeadBlock(const PackedHead& head, std::int64_t block, const PrefillScratch& scratch) {
    HWY_DYNAMIC_DISPATCH(PackHeadBlock)(head, block, scratch);
}

void runPrefillTask(const PackedHead& head, const QueryRows& rows, const PrefillScratch& scratch) {
    HWY_DYNAMIC_DISPATCH(PrefillTaskKernel)(head, rows, scratch);
}

void attentionPrefill(CpuStream& stream, const AttentionParams& p) {
    const AttentionShape shape(p);
    const LiftedBases bases = liftedBases(stream, p, shape);
    const PackedParts parts(p);
    const std::int64_t blocks = parts.blocks;
    const std::int64_t key_floats = blocks * kKeyBlock * p.query_width;
    const std::int64_t head_floats = key_floats + blocks * kKeyBlock * shape.value_pad;
    const std::int64_t heads = std::int64_t{p.batch} * p.kv_heads;
    const std::int64_t fit = kPackedBytes / (head_floats * static_cast<std::int64_t>(sizeof(float)));
    const std::int64_t wave = std::min(heads, std::max<std::int64_t>(1, fit));
    const std::int64_t floats = PrefillScratch::floats(p, shape);
    float* packed = stream.arena().take<float>(wave * head_floats);
    float* memory = stream.arena().take<float>(floats * stream.threads());

    const std::int64_t rows = p.query_length * shape.group;
    const std::int64_t row_blocks = (rows + kRowBlock - 1) / kRowBlock;
    const auto headOf = [&](std::int64_t first, std::int64_t index) {
        float* keys = packed + index * head_floats;
        const std::int64_t kv_head = (first + index) % p.kv_heads;
        return PackedHead{
            .params = &p,
            .shape = &shape,
            .batch = static_cast<std::int32_t>((first + index) / p.kv_heads),
            .kv_head = static_cast<std::int32_t>(kv_head),
            .parts = &parts,
            .basis = bases.basis ? bases.basis + kv_head * p.keys.width * shape.query_pad : nullptr,
            .mean = bases.mean ? bases.mean + kv_head * shape.query_pad : nullptr,
            .keys = keys,
            .values = keys + key_floats};
    };
    for (std::int64_t first = 0; first < heads; first += wave) {
        const std::int64_t count = std::min(wave, heads - first);
        stream.checkStop();
        parallelTasks(stream.threads(), count * blocks, true, [&](std::int64_t task, int thread) {
            packHeadBlock(headOf(first, task / blocks), task % blocks,
                          PrefillScratch(memory + thread * floats, p, shape));
        });
        // The last rows see the most keys: they go first, so that the threads finish together.
        parallelTasks(stream.threads(), count * row_blocks, true, [&](std::int64_t task, int thread) {
            if (stream.stopRequested())
                return;
            const PackedHead head = headOf(first, task % count);
            const std::int64_t begin = (row_blocks - 1 - task / count) * kRowBlock;
            runPrefillTask(head, {head.batch, head.kv_head, begin, std::min(kRowBlock, rows - begin)},
                           PrefillScratch(memory + thread * floats, p, shape));
        });
    }
    stream.checkStop();  // tasks may have been left out
}

}  // namespace eigenscope::cpu
#endif
