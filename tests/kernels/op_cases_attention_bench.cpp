// SPDX-License-Identifier: Apache-2.0
// Attention cases for speed alone. The long ones are what a GPU backend is measured by: decode of a batch of
// 16 over contexts of 4k to 128k, dense, low-rank at a KV ratio of 0.6, and quantised, and prefill of 4k
// tokens. At head dimension 128 that ratio means 76.8 dimensions kept; as multiples of 8, keys get 80 and
// values 72, which is 152 of 256 or 0.594.
#include "core/benchmark/device_fill.h"
#include "tests/kernels/op_codes.h"

#include <algorithm>
#include <cmath>

namespace eigenscope::optest {

namespace {

constexpr Bound kAny{1.0, 1e9};  // results are not compared here
constexpr std::int32_t kQueryHeads = 32, kHeadDim = 128;
constexpr std::int64_t kBlock = std::int64_t{1} << 20;  // elements that are repeated

struct AttentionBench {
    std::int32_t batch = 1, queries = 1, kv_heads = 8, key_width = kHeadDim, value_width = kHeadDim;
    std::int64_t context = 4096;
    bool lift = false;
    DType dtype = DType::F32;
    CodeFormat format;
};

// 16-bit caches are read with 16-bit arithmetic, as models of that dtype run.
Compute computeOf(DType dtype) {
    return dtype == DType::F32 ? Compute::F32 : dtype == DType::F16 ? Compute::F16 : Compute::BF16;
}

KvView layout(const AttentionBench& a, std::int32_t width) {
    KvView view{nullptr, a.dtype, a.batch, a.kv_heads, width, a.context};
    setFormat(view, a.format, a.queries);
    return view;
}

double bytesOf(const KvView& view) { return static_cast<double>(kvDataBytes(view) + kvScaleBytes(view)); }

// A cache of random elements or codes.
KvView randomCache(OpRun& run, KvView v) {
    if (v.bits == 0) {
        v.data = run.filled(kvDataBytes(v), randomBytes(kBlock, v.dtype));
        return v;
    }
    v.data = run.filled(kvDataBytes(v), run.bytes(kBlock));
    // Small scales and minima: as float16, numbers between 0.007 and 0.03.
    std::vector<std::byte> scales(static_cast<std::size_t>(kBlock));
    const std::vector<float> numbers = run.uniform(kBlock / 2, 0.007f, 0.03f);
    for (std::size_t i = 0; i < numbers.size(); ++i)
        storeFromF32(scales.data(), DType::F16, static_cast<std::int64_t>(i), numbers[i]);
    v.scales = run.filled(kvScaleBytes(v), scales);
    if (kvExactBytes(v) > 0)
        v.exact = run.filled(kvExactBytes(v), randomBytes(kBlock, v.dtype));
    return v;
}

void runAttention(OpRun& run, const AttentionBench& a) {
    AttentionParams p;
    p.batch = a.batch, p.query_heads = kQueryHeads, p.kv_heads = a.kv_heads;
    p.query_width = a.lift ? kHeadDim : a.key_width;
    p.query_length = a.queries, p.query_position = a.context - a.queries;
    p.scale = 1.0f / std::sqrt(static_cast<float>(kHeadDim));
    const std::int64_t rows = std::int64_t{1} * a.batch * a.queries * kQueryHeads;
    p.query = static_cast<const float*>(run.filled(
        rows * p.query_width * 4, randomBytes(std::min(rows * p.query_width, kBlock), DType::F32)));
    p.keys = randomCache(run, layout(a, a.key_width));
    p.values = randomCache(run, layout(a, a.value_width));
    KeyLift lift;
    if (a.lift) {
        lift.basis = run.input(run.normal(std::int64_t{1} * a.kv_heads * kHeadDim * a.key_width, 0.1f));
        lift.table = rotaryTable(run, a.context, kHeadDim);
        p.lift = &lift;
    }
    p.compute = computeOf(a.dtype);
    p.output = static_cast<float*>(run.filled(rows * a.value_width * 4, std::vector<std::byte>(4096)));
    run.execute([&] { run.backend().attention(run.stream(), p); });
}

OpCase& add(std::vector<OpCase>& cases, const AttentionBench& a, const std::string& variant = {}) {
    const double queries = a.queries, context = static_cast<double>(a.context);
    const double pairs = a.batch * queries * (context - 0.5 * (queries - 1.0));  // causal, of one head
    double flops = 2.0 * kQueryHeads * pairs * ((a.lift ? kHeadDim : a.key_width) + a.value_width);
    if (a.lift)
        flops += 2.0 * a.batch * a.kv_heads * context * kHeadDim * a.key_width;
    const std::string width = a.key_width == a.value_width
                                  ? std::to_string(a.key_width)
                                  : std::to_string(a.key_width) + "+" + std::to_string(a.value_width);
    const std::string problem = "32:" + std::to_string(a.kv_heads) + " heads, " +
                                (a.batch > 1 ? "batch " + std::to_string(a.batch) + ", " : "") +
                                std::to_string(a.queries) + (a.queries == 1 ? " query" : " queries") +
                                ", context " + std::to_string(a.context);
    OpCase op_case;
    op_case.name = "attention/" + problem + ", width " + width + (a.lift ? " lifted to 128 " : " ") +
                   (a.format.bits != 0 ? describe(a.format) : std::string(nameOf(a.dtype)));
    op_case.op = Op::Attention;
    op_case.bench = true;
    op_case.bytes = bytesOf(layout(a, a.key_width)) + bytesOf(layout(a, a.value_width));
    op_case.memory = op_case.bytes + 4.0 * a.batch * queries * kQueryHeads * 2.0 * kHeadDim;
    op_case.flops = a.queries == 1 && !a.lift ? 0.0 : flops;
    op_case.problem = variant.empty() ? "" : problem;
    op_case.variant = variant;
    op_case.traits.cache = a.dtype;
    op_case.traits.quantised = a.format.bits != 0;
    op_case.traits.lift = a.lift;
    op_case.traits.compute = computeOf(a.dtype);
    op_case.run = [a](OpRun& run) { runAttention(run, a); };
    cases.push_back(std::move(op_case));
    return cases.back();
}

void addVariants(std::vector<OpCase>& cases, AttentionBench a, bool quantised) {
    constexpr std::int32_t kKeyRank = 80, kValueRank = 72;
    a.dtype = DType::BF16;
    add(cases, a, "dense");
    AttentionBench low = a;
    low.key_width = kKeyRank, low.value_width = kValueRank;
    add(cases, low, "low-rank");
    low.lift = true;
    add(cases, low, "low-rank, lifted");
    if (!quantised)
        return;
    for (const std::int32_t bits : {8, 4}) {
        a.format = {bits};
        add(cases, a, "q" + std::to_string(bits));
    }
}

void addShort(std::vector<OpCase>& cases, std::int32_t queries, std::int64_t context, std::int32_t rank,
              bool lift, DType dtype, const CodeFormat& format = {}) {
    AttentionBench a;
    a.queries = queries, a.context = context, a.key_width = a.value_width = rank;
    a.lift = lift, a.dtype = dtype, a.format = format;
    add(cases, a);
}

}  // namespace

void addAttentionBenchCases(std::vector<OpCase>& cases) {
    for (DType dtype : {DType::F32, DType::BF16}) {
        addShort(cases, 1, 4096, 128, false, dtype);
        addShort(cases, 1, 4096, 72, false, dtype);
        addShort(cases, 1, 4096, 72, true, dtype);
        addShort(cases, 256, 1024, 128, false, dtype);
        addShort(cases, 256, 1024, 72, true, dtype);
    }
    for (std::int32_t bits : {8, 4, 3, 2}) {
        addShort(cases, 1, 4096, 128, false, DType::F32, {bits});
        addShort(cases, 1, 4096, 72, true, DType::F32, {bits});
    }
    addShort(cases, 1, 4096, 128, false, DType::F32, {4, 32, KvGrouping::Channel, 32});
    addShort(cases, 256, 1024, 128, false, DType::F32, {4});
    for (const std::int32_t kv_heads : {8, 32}) {
        AttentionBench decode;
        decode.batch = 16, decode.kv_heads = kv_heads;
        for (const std::int64_t context : {4096, 16384, 65536, 131072}) {
            decode.context = context;
            addVariants(cases, decode, true);
        }
        AttentionBench prefill;
        prefill.queries = 4096, prefill.kv_heads = kv_heads;
        addVariants(cases, prefill, false);
    }
}

}  // namespace eigenscope::optest
