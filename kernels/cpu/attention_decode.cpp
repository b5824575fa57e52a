// SPDX-License-Identifier: Apache-2.0
// Attention with few query rows, bound by reading the cache: every cached row is read once for all query rows
// of its key/value head. When there are too few heads for the threads, the sequence is cut as well and the
// parts are merged by their log-sum-exp (flash-decoding), which is exact.
#include "kernels/cpu/attention_decode.h"

#include "kernels/cpu/cpu_ops.h"

#include <numeric>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_decode.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/attention_rows-inl.h"
#include "kernels/cpu/cache_tile-inl.h"
#include "kernels/cpu/lift-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eigenscope::cpu::HWY_NAMESPACE {

// The heads of the cache that a task reads.
std::int64_t keyHead(const DecodeTask& t) { return kvStoredHead(*t.params, t.params->keys, t.rows.kv_head); }
std::int64_t valueHead(const DecodeTask& t) {
    return kvStoredHead(*t.params, t.params->values, t.rows.kv_head);
}

// Scores of lifted keys.
void liftedScores(const DecodeTask& t, const DecodeScratch& s, LatentRows latents, std::int64_t first,
                  std::int64_t count) {
    const AttentionParams& p = *t.params;
    const std::int64_t rows = t.rows.count, pad = t.shape->query_pad;
    const LiftHead head{t.basis, t.mean, p.keys.width, pad, p.lift->table};
    if (canFuseLift(p.lift->table, p.query_width)) {
        liftScores(head, latents, first, count, {s.query, rows, pad}, s.scores);
        return;
    }
    liftBlock(head, latents, first, count, s.keys);
    scoreBlock<F32>(s.query, rows, pad, s.keys, pad, count, pad, s.scores);
}

template <class K>
void scoresOf(const DecodeTask& t, const DecodeScratch& s, std::int64_t first, std::int64_t count) {
    const KvView& v = t.params->keys;
    const auto* keys = headRows<K>(v, t.rows.batch, keyHead(t)) + first * v.width;
    if (t.params->lift)
        liftedScores(t, s, widenLatents<K>(keys, v.width, count, s.latents), first, count);
    else
        scoreBlock<K>(s.query, t.rows.count, t.shape->query_pad, keys, v.width, count, v.width, s.scores);
}

void scoresOfTiles(const DecodeTask& t, const DecodeScratch& s, bool exact, std::int64_t first,
                   std::int64_t count) {
    const KvView& v = t.params->keys;
    const std::int64_t pad = s.key_tile.pad;
    if (t.params->lift) {
        loadTile(v, exact, t.rows.batch, keyHead(t), first, count, s.key_tile);
        liftedScores(t, s, {s.key_tile.rows, pad}, first, count);
        return;
    }
    for (std::int64_t n = 0; n < count; n += kTileKeys) {
        const std::int64_t keys = std::min(kTileKeys, count - n);
        loadTile(v, exact, t.rows.batch, keyHead(t), first + n, keys, s.key_tile);
        scoreBlock<F32>(s.query, t.rows.count, pad, s.key_tile.rows, pad, keys, pad, s.scores + n);
    }
}

template <class V>
void addValues(const DecodeTask& t, const DecodeScratch& s, std::int64_t first, std::int64_t count) {
    const KvView& v = t.params->values;
    valueBlock<V>(s.scores, t.rows.count, headRows<V>(v, t.rows.batch, valueHead(t)) + first * v.width,
                  v.width, count, v.width, s.out, t.shape->value_pad);
}

void addValueTiles(const DecodeTask& t, const DecodeScratch& s, bool exact, std::int64_t first,
                   std::int64_t count) {
    const std::int64_t pad = s.value_tile.pad;
    for (std::int64_t n = 0; n < count; n += kTileKeys) {
        const std::int64_t values = std::min(kTileKeys, count - n);
        loadTile(t.params->values, exact, t.rows.batch, valueHead(t), first + n, values, s.value_tile);
        valueBlock<F32>(s.scores + n, t.rows.count, s.value_tile.rows, pad, values, pad, s.out, pad);
    }
}

void storePartial(const DecodeTask& t, const DecodeScratch& s, const SoftmaxState* states) {
    const std::int64_t pad = t.shape->value_pad;
    for (std::int64_t r = 0; r < t.rows.count; ++r) {
        float* partial = t.partial + r * (pad + kPadLanes);
        std::copy(s.out + r * pad, s.out + (r + 1) * pad, partial);
        partial[pad] = states[r].max;
        partial[pad + 1] = states[r].sum;
    }
}

// One block of keys into the running sums.
void attendBlock(const DecodeTask& t, const DecodeScratch& s, const KeySource& source, std::int64_t first,
                 std::int64_t count, SoftmaxState* states) {
    const AttentionParams& p = *t.params;
    if (p.keys.bits != 0)
        scoresOfTiles(t, s, source.keys_exact, first, count);
    else
        withElement(p.keys.dtype, [&](auto e) { scoresOf<decltype(e)>(t, s, first, count); });
    softmaxRows(p, source, *t.shape, t.rows, first, count, s.scores, s.out, states);
    if (p.values.bits != 0)
        addValueTiles(t, s, source.values_exact, first, count);
    else
        withElement(p.values.dtype, [&](auto e) { addValues<decltype(e)>(t, s, first, count); });
}

void DecodeTaskKernel(const DecodeTask& t, const DecodeScratch& s) {
    const AttentionParams& p = *t.params;
    auto* states = reinterpret_cast<SoftmaxState*>(s.state);
    std::fill(states, states + t.rows.count, SoftmaxState{});
    std::fill(s.out, s.out + t.rows.count * t.shape->value_pad, 0.0f);
    loadQueries(p, *t.shape, t.rows, s.query);
    const std::int64_t first_position = p.query_position + t.rows.first / t.shape->group;
    const std::int64_t last_position = p.query_position + (t.rows.first + t.rows.count - 1) / t.shape->group;
    for (const KeySource& source : kKeySources) {
        if (!hasSource(p, source))
            continue;
        const KeyRange seen = visibleKeys(p, source, first_position, last_position);
        const std::int64_t end = std::min(seen.end, t.key_end);
        for (std::int64_t first = std::max(seen.begin, t.key_begin); first < end; first += kKeyBlock)
            attendBlock(t, s, source, first, std::min(kKeyBlock, end - first), states);
    }
    if (t.partial)
        storePartial(t, s, states);
    else
        writeRows(p, *t.shape, t.rows, s.out, states);
}

}  // namespace eigenscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eigenscope::cpu {
namespace {
HWY_EXPORT(DecodeTaskKernel);

constexpr std::int64_t kTaskRows = 32;  // query rows of a task: their scores and sums stay in L1
constexpr std::int64_t kShortestPart =
    256;  // keys of a part: below this the merge costs more than a thread saves
// Multiply-adds that are worth the threads: about 10 microseconds of one core.
constexpr std::int64_t kWorthThreads = 1 << 17;

struct DecodePlan {
    std::int64_t queries_per_task = 1, query_blocks = 1, heads = 0, parts = 1;
    std::int64_t tasks() const { return heads * query_blocks * parts; }
};

DecodePlan planOf(const CpuStream& stream, const AttentionParams& p, const AttentionShape& s) {
    DecodePlan plan;
    plan.queries_per_task = std::clamp<std::int64_t>(kTaskRows / s.group, 1, p.query_length);
    plan.query_blocks = (p.query_length + plan.queries_per_task - 1) / plan.queries_per_task;
    plan.heads = std::int64_t{p.batch} * p.kv_heads;
    const std::int64_t whole = plan.heads * plan.query_blocks, threads = stream.threads();
    // Parts only where whole tasks would leave threads idle for a good part of the time.
    if (whole % threads != 0 && whole < 4 * threads)
        plan.parts = std::clamp<std::int64_t>(threads / std::gcd(whole, threads), 1,
                                              std::max<std::int64_t>(1, s.kv_length / kShortestPart));
    return plan;
}

// One query row's parts into the output: each part's sums are relative to its own maximum.
void mergeRow(const float* parts, std::int64_t part_stride, std::int64_t count, std::int64_t pad,
              std::int64_t width, float* to) {
    float max = -std::numeric_limits<float>::infinity();
    for (std::int64_t i = 0; i < count; ++i)
        max = std::max(max, parts[i * part_stride + pad]);
    float total = 0.0f;
    std::fill(to, to + width, 0.0f);
    for (std::int64_t i = 0; i < count; ++i) {
        const float* part = parts + i * part_stride;
        if (part[pad + 1] == 0.0f)
            continue;  // saw no key
        const float factor = std::exp(part[pad] - max);
        total += factor * part[pad + 1];
        for (std::int64_t c = 0; c < width; ++c)
            to[c] += factor * part[c];
    }
    for (std::int64_t c = 0; c < width; ++c)
        to[c] /= total;
}

}  // namespace

std::int64_t DecodeScratch::floats(const AttentionParams& p, const AttentionShape& s, std::int64_t rows) {
    const std::int64_t keys =
        p.lift ? kKeyBlock * (s.query_pad + s.latent_pad) + kPadLanes : tileRows(p.keys, kTileKeys);
    return rows * (s.query_pad + kKeyBlock + s.value_pad) + padded(2 * rows) + keys +
           tileScales(p.keys, p.lift ? kKeyBlock : kTileKeys) + tileRows(p.values, kTileKeys) +
           tileScales(p.values, kTileKeys);
}

DecodeScratch::DecodeScratch(float* memory, const AttentionParams& p, const AttentionShape& s,
                             std::int64_t rows) {
    const auto take = [&](std::int64_t count) {
        float* at = memory;
        memory += count;
        return at;
    };
    query = take(rows * s.query_pad);
    scores = take(rows * kKeyBlock);
    out = take(rows * s.value_pad);
    state = take(padded(2 * rows));
    key_tile.pad = s.latent_pad;
    if (p.lift) {
        keys = take(kKeyBlock * s.query_pad);
        key_tile.rows = latents = take(kKeyBlock * s.latent_pad + kPadLanes);
    } else {
        key_tile.rows = take(tileRows(p.keys, kTileKeys));
    }
    key_tile.scales = take(tileScales(p.keys, p.lift ? kKeyBlock : kTileKeys));
    value_tile.pad = s.value_pad;
    value_tile.rows = take(tileRows(p.values, kTileKeys));
    value_tile.scales = take(tileScales(p.values, kTileKeys));
}

void runDecodeTask(const DecodeTask& task, const DecodeScratch& scratch) {
    HWY_DYNAMIC_DISPATCH(DecodeTaskKernel)(task, scratch);
}

void attentionDecode(CpuStream& stream, const AttentionParams& p) {
    const AttentionShape shape(p);
    const DecodePlan plan = planOf(stream, p, shape);
    const std::int64_t rows = plan.queries_per_task * shape.group;
    const bool lift = p.lift != nullptr;
    const LiftedBases bases = liftedBases(stream, p, shape);
    const std::int64_t floats = DecodeScratch::floats(p, shape, rows);
    float* memory = stream.arena().take<float>(floats * stream.threads());
    const std::int64_t part_stride = rows * (shape.value_pad + kPadLanes);  // of one task
    float* partials = plan.parts > 1 ? stream.arena().take<float>(plan.tasks() * part_stride) : nullptr;

    const std::int64_t work = plan.heads * p.query_length * shape.group * shape.kv_length *
                              (p.query_width + p.values.width + (lift ? p.query_width * p.keys.width : 0));
    const auto taskOf = [&](std::int64_t index) {
        DecodeTask t;
        t.params = &p;
        t.shape = &shape;
        const std::int64_t part = index % plan.parts, block = index / plan.parts % plan.query_blocks,
                           head = index / plan.parts / plan.query_blocks;
        const std::int64_t first_query = block * plan.queries_per_task;
        const std::int64_t queries = std::min(plan.queries_per_task, p.query_length - first_query);
        t.rows = {static_cast<std::int32_t>(head / p.kv_heads), static_cast<std::int32_t>(head % p.kv_heads),
                  first_query * shape.group, queries * shape.group};
        const std::int64_t position = p.query_position + first_query;
        const KeyRange seen = visibleKeys(p, position, position + queries - 1);
        const std::int64_t length = seen.end - seen.begin;
        t.key_begin = seen.begin + length * part / plan.parts;
        t.key_end = seen.begin + length * (part + 1) / plan.parts;
        t.basis = bases.basis ? bases.basis + t.rows.kv_head * p.keys.width * shape.query_pad : nullptr;
        t.mean = bases.mean ? bases.mean + t.rows.kv_head * shape.query_pad : nullptr;
        t.partial = partials ? partials + index * part_stride : nullptr;
        return t;
    };
    parallelTasks(stream.threads(), plan.tasks(), work >= kWorthThreads, [&](std::int64_t index, int thread) {
        runDecodeTask(taskOf(index), DecodeScratch(memory + thread * floats, p, shape, rows));
    });
    if (!partials)
        return;
    for (std::int64_t whole = 0; whole < plan.heads * plan.query_blocks; ++whole) {
        const DecodeTask t = taskOf(whole * plan.parts);
        for (std::int64_t r = 0; r < t.rows.count; ++r)
            mergeRow(t.partial + r * (shape.value_pad + kPadLanes), part_stride, plan.parts, shape.value_pad,
                     p.values.width, p.output + shape.rowIndex(p, t.rows, r) * p.values.width);
    }
}

}  // namespace eigenscope::cpu
#endif
