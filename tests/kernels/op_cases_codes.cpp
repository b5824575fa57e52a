// SPDX-License-Identifier: Apache-2.0
// The quantised cache: appending is compared bit for bit, codes, scales and ring; attention reads caches
// filled with random codes, so that every code, scale and ring row counts. Rows nobody may read have NaN for
// scales.
#include "tests/kernels/op_codes.h"

#include <cmath>

namespace eigenscope::optest {

namespace {

constexpr CodeFormat kFormats[] = {
    {8},
    {4},
    {3},
    {2},
    {4, 8},
    {3, 24},
    {8, 64},
    {4, 32, KvGrouping::Token, 5},
    {3, 32, KvGrouping::Token, 40},
    {8, 8, KvGrouping::Channel},
    {4, 32, KvGrouping::Channel},
    {3, 8, KvGrouping::Channel, 3},
    {2, 16, KvGrouping::Channel, 20},
};

struct Append {
    std::int32_t batch, length, heads, width;
    std::int64_t position, capacity;
    bool on_device = false;
};

constexpr Append kAppends[] = {{1, 1, 1, 1, 0, 1},          {1, 1, 3, 40, 6, 7},
                               {2, 5, 3, 5, 3, 9},          {2, 1, 2, 24, 31, 40},
                               {1, 33, 2, 24, 0, 33},       {3, 17, 1, 65, 13, 40},
                               {1, 64, 2, 40, 63, 131},     {2, 70, 2, 128, 9, 100},
                               {2, 1, 2, 24, 31, 70, true}, {1, 40, 3, 20, 23, 90, true}};

// Numbers that make rounding hard: wide and narrow ranges, constants, halves of a step, a far minimum.
std::vector<float> awkward(OpRun& run, std::int64_t count) {
    std::vector<float> x = run.normal(count);
    for (std::size_t i = 0; i < x.size(); ++i) {
        if (i / 96 % 4 == 1)
            x[i] = std::nearbyint(2 * x[i]) / 2;
        else if (i / 96 % 4 == 2)
            x[i] = 100.0f + 0.01f * x[i];
        else if (i / 96 % 8 == 3)
            x[i] = 0.25f;
        else if (i / 96 % 8 == 7)
            x[i] *= 1e-6f;
    }
    return x;
}

void runAppend(OpRun& run, const Append& c, const CodeFormat& format) {
    KvAppendParams p;
    p.length = c.length, p.position = c.on_device ? c.capacity - c.length : c.position;
    p.device_position = devicePosition(run, c.on_device, c.position);
    p.x = run.input(awkward(run, std::int64_t{1} * c.batch * c.length * c.heads * c.width));
    KvView& v = p.cache;
    v.dtype = DType::F16;
    v.batch = c.batch, v.heads = c.heads, v.width = c.width, v.capacity = c.capacity;
    setFormat(v, format, c.length);
    v.data = run.updateBytes("codes", run.bytes(kvDataBytes(v)));
    v.scales = run.updateBytes("scales", run.bytes(kvScaleBytes(v)));
    // By channel, groups may begin in rows that were there before: numbers, not any bytes.
    v.exact = run.update("ring", kExact, run.normal(kvExactBytes(v) / 2), DType::F16);
    run.execute([&] { run.backend().kvAppend(run.stream(), p); });
}

struct Attention {
    std::int32_t query_heads, kv_heads, key_width, value_width;
    std::int32_t query_length;
    std::int64_t position;
    std::int32_t batch = 1, window = 0;
    bool alibi = false;
    std::int32_t head_dim = 0;  // of lifted keys; 0: no lift
    bool mean = false;
    std::int32_t shared = 1;  // key/value heads that read the same rows of the cache
    Compute compute = Compute::F32;
    std::int64_t room = 0;  // > 0: the position is on the device, and may be as much larger
};

constexpr Attention kAttentions[] = {
    {1, 1, 1, 1, 1, 0},
    {2, 2, 64, 64, 1, 63},
    {8, 2, 128, 128, 1, 257},
    {3, 3, 24, 40, 1, 100, 1, 0, true},
    {4, 2, 5, 24, 7, 40},
    {6, 2, 40, 5, 33, 30},
    {4, 1, 64, 64, 65, 31},
    {5, 5, 33, 9, 40, 61, 2, 0, true},
    {4, 2, 24, 24, 20, 45, 1, 12},
    {2, 1, 32, 32, 3, 99, 2, 16},
    {4, 2, 24, 64, 1, 63, 1, 0, false, 64},
    {4, 2, 40, 24, 5, 33, 1, 0, false, 64, true},
    {6, 2, 31, 31, 37, 65, 1, 0, false, 64, true},
    {4, 1, 5, 32, 33, 20, 2, 0, false, 32},
    {2, 2, 12, 20, 20, 57, 1, 6, false, 40, true},
    {2, 1, 32, 24, 1, 1500},
    {4, 4, 40, 24, 1, 63, 1, 0, false, 0, false, 2},
    {8, 4, 24, 40, 9, 33, 1, 0, false, 64, true, 4},
};

// Scales of about a step of unit normal numbers; NaN where no query may look.
std::vector<float> randomScales(OpRun& run, const KvView& v, std::int64_t end) {
    const std::int64_t stride = kvScaleStride(v), rows = kvScaleRows(v);
    const std::int64_t heads = std::int64_t{v.batch} * v.heads;
    const std::int64_t used = v.grouping == KvGrouping::Token ? end : end / v.group;
    std::vector<float> scales = run.uniform(heads * rows * stride, 0.5f, 1.5f);
    const float step = 4.0f / static_cast<float>((1 << v.bits) - 1);
    for (std::size_t i = 0; i < scales.size(); ++i) {
        const auto at = static_cast<std::int64_t>(i);
        scales[i] = at / stride % rows >= used ? std::nanf("")
                    : at % stride < stride / 2 ? step * scales[i]
                                               : -2.0f * scales[i];
    }
    return scales;
}

KvView codedView(OpRun& run, const Attention& c, std::int32_t width, const CodeFormat& format) {
    const std::int64_t rows = c.position + c.query_length;
    KvView v;
    v.dtype = DType::BF16;
    v.batch = c.batch, v.heads = c.kv_heads / c.shared, v.width = width, v.capacity = rows + c.room + 3;
    setFormat(v, format, c.query_length);
    v.data = const_cast<void*>(run.inputBytes(run.bytes(kvDataBytes(v))));
    const std::int64_t end = kvStoredEnd(v, rows - 1);
    v.scales = const_cast<void*>(run.input(randomScales(run, v, end), DType::F16));
    std::vector<float> ring = run.normal(kvExactBytes(v) / 2);
    std::vector<bool> seen(static_cast<std::size_t>(v.exact_capacity), false);
    for (std::int64_t t = kvStoredEnd(v, c.position); t < rows && !seen.empty(); ++t)
        seen[static_cast<std::size_t>(t % v.exact_capacity)] = true;
    for (std::size_t i = 0; i < ring.size(); ++i)
        if (!seen[i / static_cast<std::size_t>(width) % seen.size()])
            ring[i] = std::nanf("");
    v.exact = const_cast<void*>(run.input(ring, DType::BF16));
    return v;
}

// As for dense caches (op_cases_attention.cpp). Elements are a product and a sum of rounded numbers: one more
// rounding of the element, of at most 4 (the largest minimum, or scale times code) where the others are
// about 1.
Bound boundOf(const Attention& c) {
    const double width = c.head_dim ? c.head_dim + c.key_width : c.key_width;
    const double rounding = c.compute == Compute::F32   ? 0.0
                            : c.compute == Compute::F16 ? 1.0 / 1024
                                                        : 1.0 / 128;
    // Values of codes are rounded to the arithmetic's type as well, which those of dense caches have already.
    const double relative = kEpsilon * (20.0 + 2.0 * std::sqrt(width)) + 6.0 * rounding;
    return {relative * relative, 8.0 * relative};
}

void runAttention(OpRun& run, const Attention& c, const CodeFormat& keys, const CodeFormat& values) {
    AttentionParams p;
    p.batch = c.batch, p.query_heads = c.query_heads, p.kv_heads = c.kv_heads;
    p.query_length = c.query_length, p.query_position = c.position + c.room, p.window = c.window;
    p.device_position = devicePosition(run, c.room > 0, c.position);
    p.query_width = c.head_dim ? c.head_dim : c.key_width;
    p.scale = 1.0f / std::sqrt(static_cast<float>(p.query_width));
    const std::int64_t query_rows = std::int64_t{1} * c.batch * c.query_length * c.query_heads;
    p.query = run.input(run.normal(query_rows * p.query_width));
    const auto view = [&](std::int32_t width, const CodeFormat& format) {
        if (format.bits != 0)
            return codedView(run, c, width, format);
        const std::int64_t rows = c.position + c.query_length + c.room;
        const std::int32_t heads = c.kv_heads / c.shared;
        const std::int64_t elements = std::int64_t{1} * c.batch * heads * rows * width;
        return KvView{const_cast<void*>(run.input(run.normal(elements), DType::F16)),
                      DType::F16,
                      c.batch,
                      heads,
                      width,
                      rows};
    };
    p.keys = view(c.key_width, keys);
    p.values = view(c.value_width, values);
    if (c.alibi) {
        std::vector<float> slopes;
        for (std::int32_t h = 0; h < c.query_heads; ++h)
            slopes.push_back(
                std::exp2(-8.0f * static_cast<float>(h + 1) / static_cast<float>(c.query_heads)));
        p.alibi_slopes = run.input(slopes);
    }
    KeyLift lift;
    if (c.head_dim) {
        const float deviation = 1.0f / std::sqrt(static_cast<float>(c.key_width));
        lift.basis =
            run.input(run.normal(std::int64_t{1} * c.kv_heads * c.head_dim * c.key_width, deviation));
        if (c.mean)
            lift.mean = run.input(run.normal(std::int64_t{1} * c.kv_heads * c.head_dim));
        lift.table = rotaryTable(run, c.position + c.room + c.query_length, c.head_dim);
        p.lift = &lift;
    }
    p.compute = c.compute;
    p.output = run.output("output", boundOf(c), query_rows * c.value_width);
    run.execute([&] { run.backend().attention(run.stream(), p); });
}

void addAppend(std::vector<OpCase>& cases, const Append& c, const CodeFormat& format) {
    OpCase op_case;
    op_case.name = "kvAppend/" + describe(format) + " batch " + std::to_string(c.batch) + " length " +
                   std::to_string(c.length) + " heads " + std::to_string(c.heads) + " width " +
                   std::to_string(c.width) + " at " + std::to_string(c.position) + " of " +
                   std::to_string(c.capacity) + (c.on_device ? " on the device" : "");
    op_case.op = Op::KvAppend;
    op_case.traits.quantised = true;
    op_case.run = [=](OpRun& run) { runAppend(run, c, format); };
    cases.push_back(std::move(op_case));
}

void addAttention(std::vector<OpCase>& cases, const Attention& c, const CodeFormat& keys,
                  const CodeFormat& values) {
    const auto n = [](std::int64_t value) { return std::to_string(value); };
    OpCase op_case;
    op_case.name = "attention/" + describe(keys) + ", " + describe(values) + " heads " + n(c.query_heads) +
                   ":" + n(c.kv_heads) + " widths " + n(c.key_width) + "/" + n(c.value_width) + " queries " +
                   n(c.query_length) + " at " + n(c.position) + (c.batch != 1 ? " batch " + n(c.batch) : "") +
                   (c.window ? " window " + n(c.window) : "") + (c.alibi ? " alibi" : "") +
                   (c.head_dim ? " lift to " + n(c.head_dim) : "") + (c.mean ? " mean" : "") +
                   (c.shared != 1 ? " shared by " + n(c.shared) : "") +
                   (c.room ? " on the device, up to " + n(c.position + c.room) : "") +
                   (c.compute != Compute::F32 ? std::string(" compute ") + name(c.compute) : "");
    op_case.op = Op::Attention;
    op_case.traits.quantised = true;
    op_case.traits.lift = c.head_dim != 0;
    op_case.traits.alibi = c.alibi;
    op_case.traits.compute = c.compute;
    op_case.run = [=](OpRun& run) { runAttention(run, c, keys, values); };
    cases.push_back(std::move(op_case));
}

void addRefusals(std::vector<OpCase>& cases) {
    OpCase refused;
    refused.name = "kvAppend/refuses impossible codes";
    refused.op = Op::KvAppend;
    refused.traits.quantised = true;
    refused.run = [](OpRun& run) {
        KvAppendParams good;
        good.length = 2, good.x = run.input(run.normal(64));
        float* memory = run.update("memory", kExact, run.normal(4096));
        good.cache = {memory, DType::F32, 1, 1, 8, 64, 4, 8, KvGrouping::Channel, 4, memory, memory, 13};
        run.backend().kvAppend(run.stream(), good);
        const auto refuses = [&](const char* what, auto change) {
            KvAppendParams p = good;
            change(p.cache);
            run.demandRefusal(what, [&] { run.backend().kvAppend(run.stream(), p); });
        };
        refuses("5 bits", [](KvView& v) { v.bits = 5; });
        refuses("groups of 12", [](KvView& v) { v.group = 12; });
        refuses("no groups", [](KvView& v) { v.group = 0; });
        refuses("a negative window", [](KvView& v) { v.recent = -1; });
        refuses("no scales", [](KvView& v) { v.scales = nullptr; });
        refuses("no ring", [](KvView& v) { v.exact = nullptr; });
        refuses("a ring too short", [](KvView& v) { v.exact_capacity = 12; });
    };
    cases.push_back(std::move(refused));
}

}  // namespace

void addCodeCases(std::vector<OpCase>& cases) {
    for (const CodeFormat& format : kFormats)
        for (const Append& c : kAppends)
            addAppend(cases, c, format);
    for (const CodeFormat& format : kFormats) {
        CodeFormat values = format;  // by token always, the same window
        values.grouping = KvGrouping::Token;
        for (const Attention& c : kAttentions)
            addAttention(cases, c, format, values);
    }
    // As kernels for 16-bit arithmetic have them.
    constexpr Attention kReal[] = {
        {8, 2, 128, 128, 1, 257},
        {4, 4, 80, 72, 1, 200},
        {4, 4, 64, 64, 40, 61},
        {4, 2, 64, 64, 70, 0, 2},
        {3, 3, 24, 40, 1, 100, 1, 0, true},
        {4, 2, 24, 24, 20, 45, 1, 12},
        {4, 2, 72, 80, 1, 163, 1, 0, false, 128, true},
        {4, 2, 40, 24, 35, 33, 1, 0, false, 64, true},
        {8, 4, 24, 40, 9, 33, 1, 0, false, 64, true, 4},
    };
    for (std::size_t i = 0; i < std::size(kFormats); ++i) {
        CodeFormat values = kFormats[i];
        values.grouping = KvGrouping::Token;
        for (Attention c : kReal) {
            c.compute = i % 3 == 1 ? Compute::F16 : Compute::BF16;
            addAttention(cases, c, kFormats[i], values);
        }
        for (Attention c : {kReal[0], kReal[6]}) {  // one query, as decode replays it
            c.room = 150;
            addAttention(cases, c, kFormats[i], values);
            c.compute = i % 3 == 1 ? Compute::F16 : Compute::BF16;
            addAttention(cases, c, kFormats[i], values);
        }
    }
    // Few queries on tensor cores: codes read by several queries, 9 to 16 rows a head, wide heads, split
    // sequences, groups that are no power of two, the window and the ring together.
    const auto withCompute = [&](Attention c, const CodeFormat& keys, const CodeFormat& values) {
        for (Compute compute : {Compute::BF16, Compute::F16}) {
            c.compute = compute;
            addAttention(cases, c, keys, values);
        }
    };
    constexpr CodeFormat kChannel24{4, 24, KvGrouping::Channel, 5}, kChannel8{8, 8, KvGrouping::Channel, 30};
    withCompute({4, 2, 64, 72, 4, 150}, {4}, {8, 16});
    withCompute({12, 1, 128, 64, 1, 90}, kChannel24, {4, 32, KvGrouping::Token, 5});
    withCompute({2, 2, 256, 200, 1, 60}, {8, 64}, {2, 8});
    withCompute({2, 1, 64, 64, 1, 1500}, kChannel24, {3, 24, KvGrouping::Token, 40});
    withCompute({2, 1, 33, 24, 1, 200, 1, 90}, kChannel24, {4, 16, KvGrouping::Token, 50});
    withCompute({4, 1, 72, 80, 1, 700, 1, 0, false, 128, true}, kChannel8, {4, 32, KvGrouping::Token, 19});
    withCompute({10, 1, 136, 40, 1, 70, 1, 0, false, 128, true}, {4}, {4});
    withCompute({4, 4, 72, 80, 1, 90, 1, 0, false, 64}, {0}, {8, 32, KvGrouping::Token, 7});
    withCompute({4, 4, 64, 80, 2, 90, 1, 0, true}, {3, 8}, {0});
    // Keys and values apart, one side dense.
    for (const Attention& c : {kAttentions[3], kAttentions[5], kAttentions[7], kAttentions[12]}) {
        addAttention(cases, c, {2, 8, KvGrouping::Channel, 7}, {3, 32, KvGrouping::Token, 19});
        addAttention(cases, c, {4, 16, KvGrouping::Token, 30}, {8, 32, KvGrouping::Token, 2});
        addAttention(cases, c, {0}, {3, 32, KvGrouping::Token, 9});
        addAttention(cases, c, {4, 8, KvGrouping::Channel}, {0});
    }
    // Tiles of queries on the borders of two rings, one or both of them split from the codes before.
    for (Attention c :
         {Attention{4, 2, 40, 64, 75, 50}, Attention{2, 2, 24, 40, 90, 70, 2, 40, true},
          Attention{4, 2, 48, 40, 70, 90, 1, 0, false, 64, true}, Attention{2, 1, 32, 24, 30, 800}}) {
        c.compute = Compute::BF16;
        addAttention(cases, c, {4, 16, KvGrouping::Token, 30}, {8, 32, KvGrouping::Token, 2});
        addAttention(cases, c, {2, 8, KvGrouping::Channel, 7}, {3, 32, KvGrouping::Token, 19});
        addAttention(cases, c, {8, 16, KvGrouping::Channel}, {4, 32});
        c.compute = Compute::F16;
        addAttention(cases, c, {0}, {4, 32});
        addAttention(cases, c, {3, 32}, {0});
    }
    addRefusals(cases);
}

}  // namespace eigenscope::optest
