// SPDX-License-Identifier: Apache-2.0
#include "kernels/api/checks.h"

#include "kernels/api/error.h"
#include "kernels/api/kv_layout.h"

#include <initializer_list>
#include <string>

namespace eigenscope {

namespace {

struct Field {
    const char* name;
    std::int64_t value;
};

[[noreturn]] void fail(Op op, const std::string& what) {
    throw Error(ErrorCode::InvalidInput, std::string(nameOf(op)) + ": " + what);
}

void require(bool ok, Op op, const std::string& what) {
    if (!ok)
        fail(op, what);
}

void atLeast(Op op, std::int64_t least, std::initializer_list<Field> fields) {
    for (const Field& field : fields)
        if (field.value < least)
            fail(op, std::string(field.name) + " is " + std::to_string(field.value) + "; expected at least " +
                         std::to_string(least));
}

// A pointer may be null only when its array is empty.
void present(Op op, const char* name, const void* pointer, std::int64_t count) {
    if (!pointer && count > 0)
        fail(op, std::string(name) + " is null; expected " + std::to_string(count) + " elements");
}

void checkTable(Op op, const RotaryTable& table, std::int64_t head_dim, std::int64_t positions) {
    require(table.rotary_dim >= 0 && table.rotary_dim % 2 == 0 && table.rotary_dim <= head_dim, op,
            "rotary_dim is " + std::to_string(table.rotary_dim) +
                "; expected an even number up to the head dimension " + std::to_string(head_dim));
    require(table.positions >= positions, op,
            "the rotary table has " + std::to_string(table.positions) + " positions; " +
                std::to_string(positions) + " are needed");
    present(op, "table.cos", table.cos, table.rotary_dim * positions);
    present(op, "table.sin", table.sin, table.rotary_dim * positions);
}

// The codes of a quantised cache, their scales and the ring of exact rows.
void checkCodes(Op op, const std::string& name, const KvView& view, std::int32_t batch, std::int64_t rows) {
    require(view.bits == 8 || view.bits == 4 || view.bits == 3 || view.bits == 2, op,
            name + ".bits is " + std::to_string(view.bits) + "; expected 8, 4, 3, 2, or 0 for a dense cache");
    require(view.group >= 8 && view.group % 8 == 0, op,
            name + ".group is " + std::to_string(view.group) + "; expected a multiple of 8");
    require(view.recent >= 0, op,
            name + ".recent is " + std::to_string(view.recent) + "; expected at least 0");
    present(op, (name + ".scales").c_str(), view.scales, batch * rows > 0 ? kvScaleBytes(view) : 0);
    if (kvNeedsRing(view))
        present(op, (name + ".exact").c_str(), view.exact, batch * rows);
}

// The ring must hold what the positions [first, first + length) need.
void checkRing(Op op, const char* name, const KvView& view, std::int64_t length) {
    const std::int64_t needed = kvRingRows(view, length);
    require(view.exact_capacity >= needed, op,
            std::string(name) + ".exact_capacity is " + std::to_string(view.exact_capacity) + " rows; " +
                std::to_string(needed) + " are needed for " + std::to_string(length) +
                " positions at a time");
}

void checkCache(Op op, const char* name, const KvView& view, std::int32_t batch, std::int64_t rows) {
    const std::string prefix = name;
    atLeast(op, 1, {{"the cache's heads", view.heads}, {"the cache's width", view.width}});
    require(view.batch == batch, op,
            prefix + ".batch is " + std::to_string(view.batch) + "; expected " + std::to_string(batch));
    require(rows <= view.capacity, op,
            prefix + ".capacity is " + std::to_string(view.capacity) + " rows; " + std::to_string(rows) +
                " are needed");
    present(op, name, view.data, rows * batch);
    if (view.bits != 0)
        checkCodes(op, prefix, view, batch, rows);
}

}  // namespace

void check(const GemmParams& p) {
    atLeast(Op::Gemm, 0, {{"m", p.m}, {"n", p.n}, {"k", p.k}});
    if (p.m == 0 || p.n == 0)
        return;
    present(Op::Gemm, "x", p.x, p.k);
    present(Op::Gemm, "weight", p.weight, p.k);
    present(Op::Gemm, "y", p.y, p.n);
}

void check(const EmbedParams& p) {
    atLeast(Op::Embed, 0, {{"rows", p.rows}, {"width", p.width}, {"count", p.count}});
    if (p.count == 0 || p.width == 0)
        return;
    atLeast(Op::Embed, 1, {{"rows", p.rows}});
    present(Op::Embed, "table", p.table, p.rows);
    present(Op::Embed, "ids", p.ids, p.count);
    present(Op::Embed, "y", p.y, p.count);
}

void check(const NormParams& p) {
    atLeast(Op::Norm, 0, {{"rows", p.rows}, {"width", p.width}});
    present(Op::Norm, "x", p.x, p.rows * p.width);
    present(Op::Norm, "y", p.y, p.rows * p.width);
}

void check(const ActivateParams& p) {
    atLeast(Op::Activate, 0, {{"count", p.count}});
    present(Op::Activate, "x", p.x, p.count);
    present(Op::Activate, "y", p.y, p.count);
    require(p.kind != ActivateParams::Kind::Clamp || p.limit >= 0.0f, Op::Activate,
            "limit is " + std::to_string(p.limit) + "; expected a number that is not negative");
}

void check(const AddParams& p) {
    atLeast(Op::Add, 0, {{"count", p.count}});
    present(Op::Add, "x", p.x, p.count);
    present(Op::Add, "y", p.y, p.count);
}

void check(const RopeParams& p) {
    atLeast(Op::Rope, 0,
            {{"batch", p.batch},
             {"length", p.length},
             {"heads", p.heads},
             {"head_dim", p.head_dim},
             {"first_position", p.first_position}});
    if (p.batch == 0 || p.length == 0 || p.heads == 0)
        return;
    present(Op::Rope, "x", p.x, p.head_dim);
    checkTable(Op::Rope, p.table, p.head_dim, p.first_position + p.length);
}

void check(const KvAppendParams& p) {
    atLeast(Op::KvAppend, 0,
            {{"length", p.length}, {"position", p.position}, {"cache.batch", p.cache.batch}});
    if (p.length == 0 || p.cache.batch == 0)
        return;
    present(Op::KvAppend, "x", p.x, p.length);
    checkCache(Op::KvAppend, "cache", p.cache, p.cache.batch, p.position + p.length);
    checkRing(Op::KvAppend, "cache", p.cache, p.length);
}

void check(const AttentionParams& p) {
    constexpr Op op = Op::Attention;
    atLeast(op, 0,
            {{"batch", p.batch},
             {"query_length", p.query_length},
             {"query_position", p.query_position},
             {"window", p.window}});
    if (p.batch == 0 || p.query_length == 0)
        return;
    atLeast(op, 1,
            {{"query_heads", p.query_heads}, {"kv_heads", p.kv_heads}, {"query_width", p.query_width}});
    require(p.query_heads % p.kv_heads == 0, op,
            std::to_string(p.query_heads) + " query heads are not a multiple of " +
                std::to_string(p.kv_heads) + " key/value heads");
    const std::int64_t rows = p.query_position + p.query_length;
    checkCache(op, "keys", p.keys, p.batch, rows);
    checkCache(op, "values", p.values, p.batch, rows);
    checkRing(op, "keys", p.keys, p.query_length);
    checkRing(op, "values", p.values, p.query_length);
    require(p.kv_heads % p.keys.heads == 0 && p.kv_heads % p.values.heads == 0, op,
            "the cache's " + std::to_string(p.keys.heads) + " key and " + std::to_string(p.values.heads) +
                " value heads do not divide kv_heads = " + std::to_string(p.kv_heads));
    present(op, "query", p.query, p.query_width);
    present(op, "output", p.output, p.values.width);
    if (p.lift) {
        present(op, "lift.basis", p.lift->basis, p.query_width);
        checkTable(op, p.lift->table, p.query_width, rows);
    } else {
        require(p.query_width == p.keys.width, op,
                "query_width is " + std::to_string(p.query_width) + "; expected the keys' width " +
                    std::to_string(p.keys.width));
    }
}

void check(const GramParams& p) {
    atLeast(Op::Gram, 0, {{"rows", p.rows}, {"heads", p.heads}, {"width", p.width}});
    atLeast(Op::Gram, 1, {{"group", p.group}});
    require(p.heads % p.group == 0, Op::Gram,
            "group " + std::to_string(p.group) + " does not divide " + std::to_string(p.heads) + " heads");
    const std::int64_t values = p.rows * p.heads * p.width;
    present(Op::Gram, "x", p.x, values);
    present(Op::Gram, "gram", p.gram, values);
}

void check(const SpreadGramParams& p) {
    constexpr Op op = Op::SpreadGram;
    atLeast(op, 0,
            {{"length", p.length},
             {"heads", p.heads},
             {"width", p.width},
             {"samples", p.samples},
             {"window", p.window}});
    atLeast(op, 1, {{"group", p.group}});
    require(p.heads % p.group == 0, op,
            "group " + std::to_string(p.group) + " does not divide " + std::to_string(p.heads) + " heads");
    const std::int64_t values = p.samples * std::int64_t{p.heads} * p.width;
    if (values == 0)
        return;
    atLeast(op, 1, {{"length", p.length}});
    present(op, "x", p.x, values);
    present(op, "positions", p.positions, p.samples);
    present(op, "weights", p.weights, p.samples);
    present(op, "gram", p.gram, p.width);
    if (p.table.rotary_dim != 0)
        checkTable(op, p.table, p.width, p.length);
}

void check(const LogitWeightsParams& p) {
    constexpr Op op = Op::LogitWeights;
    atLeast(op, 0, {{"samples", p.samples}, {"window", p.window}});
    atLeast(op, 1,
            {{"length", p.length},
             {"query_heads", p.query_heads},
             {"kv_heads", p.kv_heads},
             {"width", p.width},
             {"joint", p.joint}});
    require(p.query_heads % p.kv_heads == 0, op,
            std::to_string(p.query_heads) + " query heads are not a multiple of " +
                std::to_string(p.kv_heads) + " key/value heads");
    require(p.kv_heads % p.joint == 0, op,
            "joint " + std::to_string(p.joint) + " does not divide " + std::to_string(p.kv_heads) +
                " key/value heads");
    present(op, "queries", p.queries, p.samples);
    present(op, "keys", p.keys, p.samples);
    present(op, "values", p.values, p.samples);
    present(op, "outputs", p.outputs, p.samples);
    present(op, "roots", p.roots, p.samples);
    present(op, "positions", p.positions, p.samples);
    present(op, "weights", p.weights, p.samples);
    present(op, "by_query", p.by_query, p.samples);
    present(op, "by_key", p.by_key, p.kv_heads);
    present(op, "total", p.total, p.kv_heads);
    if (p.table.rotary_dim != 0)
        checkTable(op, p.table, p.width, p.length);
}

void check(const EighParams& p) {
    atLeast(Op::Eigh, 0, {{"count", p.count}, {"n", p.n}});
    present(Op::Eigh, "a", p.a, p.count * p.n);
    present(Op::Eigh, "values", p.values, p.count * p.n);
}

void check(const NllParams& p) {
    atLeast(Op::Nll, 0, {{"rows", p.rows}});
    if (p.rows == 0)
        return;
    atLeast(Op::Nll, 1, {{"vocab", p.vocab}});
    present(Op::Nll, "logits", p.logits, p.rows);
    present(Op::Nll, "targets", p.targets, p.rows);
    present(Op::Nll, "nll", p.nll, p.rows);
}

void check(const ArgmaxParams& p) {
    atLeast(Op::Argmax, 0, {{"rows", p.rows}});
    if (p.rows == 0)
        return;
    atLeast(Op::Argmax, 1, {{"vocab", p.vocab}});
    present(Op::Argmax, "logits", p.logits, p.rows);
    present(Op::Argmax, "index", p.index, p.rows);
}

void check(const ConvertParams& p) {
    atLeast(Op::Convert, 0, {{"count", p.count}});
    present(Op::Convert, "x", p.x, p.count);
    present(Op::Convert, "y", p.y, p.count);
}

}  // namespace eigenscope
