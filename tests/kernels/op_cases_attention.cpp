// SPDX-License-Identifier: Apache-2.0
// Attention: dense, low-rank and lifted keys; decode and prefill; every cache dtype; GQA, ALiBi, windows,
// batches. Rows of the cache past the end hold NaN: reading one, even with weight zero, shows.
#include "tests/kernels/op_case.h"

#include <cmath>

namespace eigenscope::optest {

namespace {

struct Lift {
    std::int32_t head_dim = 0;  // 0: no lift
    std::int32_t rotary_dim = 0;
    bool mean = false;
};

struct Attention {
    std::int32_t query_heads, kv_heads, key_width, value_width;
    std::int32_t query_length;
    std::int64_t position;
    std::int32_t batch = 1, window = 0;
    bool alibi = false;
    Lift lift = {};
    DType key_dtype = DType::F32, value_dtype = DType::F32;
    float sharpness = 1.0f;  // multiplies the usual scale: large scores, weights near zero and one
    bool misaligned = false;
    std::int32_t shared = 1;  // key/value heads that read the same rows of the cache
    Compute compute = Compute::F32;
    std::int64_t room = 0;  // > 0: the position is on the device, and may be as much larger
};

// Of 16-bit factors: a query, a key, a basis and a weight are each off by up to half a spacing, of terms
// whose sum has the score's size; what they add up to is a few spacings of the output.
double roundingOf(Compute compute) {
    return compute == Compute::F32 ? 0.0 : 4.0 * (compute == Compute::F16 ? 1.0 / 1024 : 1.0 / 128);
}

// An output is a mean of values under weights exp(score). A score's error in float32 is a few epsilon of its
// largest terms, a little more for wider sums, and turns into the same relative error of the weight; exp
// itself adds a few units in the last place. Errors of different weights are independent, so they average out
// as the values do. The caches' dtypes add nothing: the reference reads the same rounded numbers.
Bound boundOf(const Attention& c) {
    const double width = c.lift.head_dim ? c.lift.head_dim + c.key_width : c.key_width;
    const double relative =
        kEpsilon * (16.0 + 2.0 * std::sqrt(width)) * c.sharpness + roundingOf(c.compute) * c.sharpness;
    return {relative * relative, 8.0 * relative};
}

KvView cacheView(OpRun& run, const Attention& c, std::int32_t width, DType dtype) {
    const std::int64_t rows = c.position + c.query_length, capacity = rows + c.room + 3;
    const std::int32_t heads = c.kv_heads / c.shared;
    std::vector<float> values = run.normal(std::int64_t{1} * c.batch * heads * capacity * width);
    for (std::int64_t head = 0; head < std::int64_t{1} * c.batch * heads; ++head)
        for (std::int64_t i = rows * width; i < capacity * width; ++i)
            values[static_cast<std::size_t>(head * capacity * width + i)] = std::nanf("");
    return {const_cast<void*>(run.input(values, dtype)), dtype, c.batch, heads, width, capacity};
}

void runAttention(OpRun& run, const Attention& c) {
    AttentionParams p;
    p.batch = c.batch, p.query_heads = c.query_heads, p.kv_heads = c.kv_heads;
    p.query_length = c.query_length, p.query_position = c.position + c.room, p.window = c.window;
    p.device_position = devicePosition(run, c.room > 0, c.position);
    p.query_width = c.lift.head_dim ? c.lift.head_dim : c.key_width;
    p.scale = c.sharpness / std::sqrt(static_cast<float>(p.query_width));
    const std::int64_t query_rows = std::int64_t{1} * c.batch * c.query_length * c.query_heads;
    p.query = run.input(run.normal(query_rows * p.query_width));
    p.keys = cacheView(run, c, c.key_width, c.key_dtype);
    p.values = cacheView(run, c, c.value_width, c.value_dtype);
    if (c.alibi) {
        std::vector<float> slopes;
        for (std::int32_t h = 0; h < c.query_heads; ++h)
            slopes.push_back(
                std::exp2(-8.0f * static_cast<float>(h + 1) / static_cast<float>(c.query_heads)));
        p.alibi_slopes = run.input(slopes);
    }
    KeyLift lift;
    if (c.lift.head_dim) {
        const float deviation = 1.0f / std::sqrt(static_cast<float>(c.key_width));
        lift.basis =
            run.input(run.normal(std::int64_t{1} * c.kv_heads * c.lift.head_dim * c.key_width, deviation));
        if (c.lift.mean)
            lift.mean = run.input(run.normal(std::int64_t{1} * c.kv_heads * c.lift.head_dim));
        lift.table = rotaryTable(run, c.position + c.room + c.query_length, c.lift.rotary_dim);
        p.lift = &lift;
    }
    p.compute = c.compute;
    p.output = run.output("output", boundOf(c), query_rows * c.value_width);
    run.execute([&] { run.backend().attention(run.stream(), p); });
}

std::string describe(const Attention& c) {
    const auto n = [](std::int64_t value) { return std::to_string(value); };
    std::string text = "attention/heads " + n(c.query_heads) + ":" + n(c.kv_heads) + " widths " +
                       n(c.key_width) + "/" + n(c.value_width) + " queries " + n(c.query_length) + " at " +
                       n(c.position);
    if (c.shared != 1)
        text += " shared by " + n(c.shared);
    if (c.batch != 1)
        text += " batch " + n(c.batch);
    if (c.window)
        text += " window " + n(c.window);
    if (c.alibi)
        text += " alibi";
    if (c.lift.head_dim)
        text += " lift to " + n(c.lift.head_dim) + " rotary " + n(c.lift.rotary_dim) +
                (c.lift.mean ? " mean" : "");
    text += " " + std::string(nameOf(c.key_dtype)) + "/" + std::string(nameOf(c.value_dtype));
    if (c.sharpness != 1.0f)
        text += " sharp";
    if (c.compute != Compute::F32)
        text += std::string(" compute ") + name(c.compute);
    if (c.room)
        text += " on the device, up to " + n(c.position + c.room);
    return text + (c.misaligned ? " misaligned" : "");
}

void add(std::vector<OpCase>& cases, const Attention& c) {
    OpCase op_case;
    op_case.name = describe(c);
    op_case.op = Op::Attention;
    op_case.traits.cache = c.key_dtype;
    op_case.traits.lift = c.lift.head_dim != 0;
    op_case.traits.alibi = c.alibi;
    op_case.traits.compute = c.compute;
    op_case.misaligned = c.misaligned;
    op_case.run = [c](OpRun& run) { runAttention(run, c); };
    cases.push_back(std::move(op_case));
}

constexpr Attention kShapes[] = {
    // dense
    {1, 1, 1, 1, 1, 0},
    {2, 2, 64, 64, 1, 0},
    {4, 2, 64, 64, 1, 63},
    {3, 1, 17, 17, 1, 130},
    {8, 2, 128, 128, 1, 257},
    {4, 4, 32, 32, 7, 0},
    {6, 2, 40, 40, 33, 0},
    {4, 1, 64, 64, 65, 31},
    {2, 2, 80, 80, 3, 127},
    {1, 1, 256, 256, 2, 5},
    // low-rank: keys and values of other widths
    {2, 2, 24, 40, 1, 33},
    {4, 2, 7, 63, 17, 0},
    {5, 5, 33, 9, 1, 64},
    {6, 3, 8, 128, 31, 17},
    {7, 7, 65, 31, 9, 1},
    // batches and windows
    {4, 2, 32, 32, 1, 17, 2},
    {3, 3, 16, 24, 5, 3, 3},
    {2, 1, 32, 32, 1, 99, 1, 16},
    {2, 2, 24, 24, 40, 7, 2, 9},
    {2, 2, 24, 24, 20, 0, 1, 64},
    {2, 2, 16, 16, 6, 5, 1, 1},
    // ALiBi, odd head counts
    {3, 3, 32, 32, 1, 100, 1, 0, true},
    {7, 7, 24, 40, 19, 0, 1, 0, true},
    {5, 5, 33, 33, 4, 61, 2, 0, true},
    {12, 4, 16, 8, 3, 30, 1, 12, true},
    // lifted keys
    {1, 1, 1, 2, 1, 0, 1, 0, false, {2, 2, false}},
    {4, 2, 24, 64, 1, 63, 1, 0, false, {64, 64, false}},
    {4, 2, 40, 24, 1, 33, 1, 0, false, {64, 64, true}},
    {8, 2, 72, 56, 1, 131, 1, 0, false, {128, 128, true}},
    {3, 3, 17, 33, 1, 9, 1, 0, false, {34, 34, true}},
    {4, 1, 7, 32, 33, 0, 1, 0, false, {32, 32, false}},
    {6, 2, 31, 31, 17, 65, 1, 0, false, {64, 64, true}},
    {2, 2, 16, 16, 5, 3, 2, 0, false, {40, 20, true}},
    {2, 1, 64, 64, 66, 1, 1, 0, false, {64, 64, false}},
    {2, 2, 12, 20, 20, 7, 1, 6, false, {32, 32, true}},
    {2, 1, 48, 48, 1, 300, 2, 100, false, {80, 80, true}},
    {3, 3, 8, 8, 5, 20, 1, 0, true, {16, 8, true}},
    // heads that share a latent
    {4, 4, 40, 24, 1, 63, 1, 0, false, {}, DType::F32, DType::F32, 1.0f, false, 2},
    {8, 4, 72, 56, 1, 131, 2, 0, false, {64, 64, true}, DType::F32, DType::F32, 1.0f, false, 4},
    {6, 6, 31, 17, 19, 7, 1, 0, false, {32, 32, false}, DType::F32, DType::F32, 1.0f, false, 3},
};

// Widths, groups and lengths of real models, as kernels for 16-bit arithmetic are made for.
constexpr Attention kRealShapes[] = {
    {8, 2, 128, 128, 1, 700},
    {4, 4, 128, 128, 1, 63, 2},
    {16, 2, 64, 64, 1, 129},
    {4, 4, 80, 72, 1, 300},
    {8, 1, 64, 64, 3, 200},
    {4, 2, 128, 128, 70, 0},
    {8, 2, 64, 64, 33, 190},
    {4, 4, 96, 48, 130, 5},
    {4, 4, 64, 64, 65, 0, 1, 0, true},
    {4, 4, 80, 80, 1, 511, 1, 0, true},
    {4, 2, 64, 64, 140, 0, 1, 50},
    {4, 2, 64, 64, 1, 500, 2, 100},
    {8, 2, 80, 72, 1, 700, 1, 0, false, {128, 128, true}},
    {4, 4, 72, 80, 1, 259, 2, 0, false, {128, 128, false}},
    {4, 4, 48, 40, 1, 100, 1, 0, false, {64, 64, true}},
    {8, 2, 80, 72, 70, 3, 1, 0, false, {128, 128, true}},
    {4, 4, 40, 64, 129, 0, 1, 0, false, {64, 64, false}},
    {4, 2, 24, 32, 40, 30, 1, 25, false, {64, 32, true}},
    {8, 8, 160, 128, 1, 200, 1, 0, false, {128, 128, true}, DType::F32, DType::F32, 1.0f, false, 2},
    {4, 4, 256, 256, 1, 150},
    {2, 2, 256, 256, 40, 30},
    // prompts: tiles of rows, diagonals and windows within them, odd groups, more heads than run at once
    {18, 18, 16, 24, 130, 0},
    {6, 2, 64, 56, 50, 20, 2, 33, true},
    {2, 2, 136, 200, 70, 10},
    {2, 2, 72, 160, 40, 30, 1, 0, false, {96, 64, true}},
    {4, 2, 256, 256, 20, 50, 1, 0, false, {128, 128, true}, DType::F32, DType::F32, 1.0f, false, 2},
    {3, 1, 56, 48, 90, 40, 1, 45, true, {80, 48, true}},
    // and chunks of them after a long context
    {2, 1, 64, 64, 70, 1500},
    {4, 2, 32, 40, 40, 1200, 1, 600, true},
    {2, 2, 40, 80, 35, 700, 2, 0, false, {80, 32, true}},
};

// Few queries on tensor cores: up to 16 rows a key/value head, wide and odd heads, heads rotated in part.
constexpr Attention kDecodeShapes[] = {
    {12, 1, 64, 64, 1, 150},
    {4, 2, 64, 40, 5, 200, 1, 0, true},
    {16, 1, 128, 256, 1, 90},
    {9, 1, 256, 136, 1, 70, 1, 33},
    {5, 1, 72, 72, 1, 100, 2, 0, false, {128, 128, true}},
    {10, 1, 72, 80, 1, 77, 1, 0, false, {128, 128, true}},
    {2, 2, 200, 160, 1, 90, 1, 0, false, {256, 256, true}},
    {12, 1, 136, 200, 1, 60, 1, 0, false, {128, 128, false}},
    {9, 1, 120, 104, 1, 65, 1, 0, false, {128, 64, true}},
    {2, 2, 40, 48, 1, 90, 1, 0, false, {80, 32, true}},
    {2, 2, 24, 24, 1, 50, 1, 0, false, {72, 64, true}},
    {4, 4, 80, 80, 1, 300, 1, 77, true, {128, 128, true}},
    {2, 2, 24, 24, 3, 40, 1, 0, false, {64, 0, true}},
};

void addRefusals(std::vector<OpCase>& cases) {
    OpCase refused;
    refused.name = "attention/refuses nonsense";
    refused.op = Op::Attention;
    refused.run = [](OpRun& run) {
        float* memory = run.update("memory", kExact, run.normal(4096));
        AttentionParams good;
        good.query_heads = 4, good.kv_heads = 2, good.query_width = 8, good.query_length = 2;
        good.query = good.output = memory;
        good.keys = good.values = {memory, DType::F32, 1, 2, 8, 4};
        const auto refuses = [&](const char* what, auto change) {
            AttentionParams p = good;
            change(p);
            run.demandRefusal(what, [&] { run.backend().attention(run.stream(), p); });
        };
        refuses("3 query heads for 2", [](AttentionParams& p) { p.query_heads = 3; });
        refuses("query wider than keys", [](AttentionParams& p) { p.query_width = 9; });
        refuses("more rows than capacity", [](AttentionParams& p) { p.query_position = 3; });
        refuses("another batch", [](AttentionParams& p) { p.batch = 2; });
        refuses("another head count", [](AttentionParams& p) { p.values.heads = 3; });
        refuses("no output", [](AttentionParams& p) { p.output = nullptr; });
        refuses("negative window", [](AttentionParams& p) { p.window = -1; });
    };
    cases.push_back(std::move(refused));
}

}  // namespace

void addAttentionCases(std::vector<OpCase>& cases) {
    for (const Attention& shape : kShapes)
        for (DType dtype : kDTypes) {
            Attention c = shape;
            c.key_dtype = c.value_dtype = dtype;
            add(cases, c);
        }
    const auto withCompute = [&](Attention c) {
        c.key_dtype = c.value_dtype = DType::BF16;
        c.compute = Compute::BF16;
        add(cases, c);
        c.key_dtype = c.value_dtype = DType::F16;
        c.compute = Compute::F16;
        add(cases, c);
    };
    for (const Attention& shape : kShapes)
        withCompute(shape);
    for (const Attention& shape : kRealShapes)
        withCompute(shape);
    for (const Attention& shape : kDecodeShapes)
        withCompute(shape);
    // Caches of a dtype that is not the arithmetic's.
    add(cases, {4, 2, 64, 40, 1, 90, 1, 0, false, {}, DType::BF16, DType::F16, 1.0f, false, 1, Compute::F16});
    add(cases, {4,
                2,
                24,
                40,
                1,
                90,
                1,
                0,
                false,
                {64, 64, true},
                DType::F16,
                DType::BF16,
                1.0f,
                false,
                1,
                Compute::BF16});
    for (std::size_t i = 1; i < std::size(kShapes); i += 4) {
        Attention c = kShapes[i];
        c.misaligned = true;
        add(cases, c);
        c.key_dtype = DType::BF16, c.value_dtype = DType::F16;  // dtypes of keys and values are apart
        add(cases, c);
        c.misaligned = false;
        c.key_dtype = c.value_dtype = DType::F32;
        c.sharpness = 40.0f;
        add(cases, c);
    }
    add(cases, {2, 2, 8, 8, 0, 5});  // no queries: nothing to do
    // Long enough for a sequence to be split between threads or blocks, and to be merged again.
    add(cases, {2, 1, 32, 32, 1, 3001});
    add(cases, {1, 1, 32, 16, 1, 2047, 1, 0, true});
    add(cases, {2, 1, 24, 32, 1, 1500, 1, 0, false, {32, 32, true}});
    add(cases, {2, 2, 32, 32, 5, 1021, 1, 0, false, {}, DType::BF16, DType::BF16});
    withCompute({4, 2, 64, 64, 1, 3001});
    withCompute({4, 2, 64, 64, 1, 3001, 1, 0, false, {}, DType::F32, DType::F32, 10.0f});
    withCompute({4, 4, 40, 48, 1, 2047, 1, 0, true});
    withCompute({4, 2, 40, 48, 1, 1500, 1, 0, false, {64, 64, true}});
    withCompute({2, 2, 64, 64, 5, 1021});
    withCompute({2, 1, 33, 31, 1, 1500});
    // Positions on the device, as replayed steps have them: the sequence is shared out for more than is
    // there.
    for (Attention c :
         {kShapes[4], kShapes[17], kShapes[19], kShapes[31], kRealShapes[0], kRealShapes[9], kRealShapes[12]})
        for (const std::int64_t room : {1, 700, 3000}) {
            c.room = room;
            add(cases, c);
            withCompute(c);
        }
    addRefusals(cases);
}

}  // namespace eigenscope::optest
