// SPDX-License-Identifier: Apache-2.0
// Cases for speed alone: shapes of a model of some billions of parameters. bytes counts what must be read and
// written once; what is in a cache already may make an op look faster than memory. Attention's are in
// op_cases_attention_bench.cpp.
#include "tests/kernels/op_codes.h"

namespace eigenscope::optest {

namespace {

constexpr Bound kAny{1.0, 1e9};  // results are not compared here

OpCase& add(std::vector<OpCase>& cases, std::string name, Op op, double bytes, double flops,
            std::function<void(OpRun&)> run) {
    OpCase op_case;
    op_case.name = std::string(nameOf(op)) + "/" + std::move(name);
    op_case.op = op;
    op_case.bench = true;
    op_case.bytes = bytes, op_case.flops = flops;
    op_case.run = std::move(run);
    cases.push_back(std::move(op_case));
    return cases.back();
}

void addGemm(std::vector<OpCase>& cases, std::int64_t m, DType weight, Compute compute,
             std::int64_t n = 4096) {
    constexpr std::int64_t k = 4096;
    OpCase& op_case = add(cases,
                          "m=" + std::to_string(m) + " " + std::to_string(n) + "x4096 " +
                              std::string(nameOf(weight)) + " compute " + name(compute),
                          Op::Gemm,
                          static_cast<double>(n * k) * static_cast<double>(sizeOf(weight)) +
                              4.0 * static_cast<double>(m * (n + k)),
                          m == 1 ? 0.0 : 2.0 * static_cast<double>(m * n * k), [=](OpRun& run) {
                              GemmParams p;
                              p.m = m, p.n = n, p.k = k;
                              p.weight_dtype = weight, p.compute = compute;
                              p.x = run.input(run.normal(m * k));
                              p.weight = run.input(run.normal(n * k), weight);
                              p.y = run.output("y", kAny, m * n);
                              run.execute([&] { run.backend().gemm(run.stream(), p); });
                          });
    op_case.traits.weight = weight;
    op_case.traits.compute = compute;
}

void addRows(std::vector<OpCase>& cases) {
    constexpr std::int64_t kRows = 512, kWidth = 4096, kCount = kRows * kWidth;
    add(cases, "rms 512x4096", Op::Norm, 8.0 * kCount, 0, [](OpRun& run) {
        NormParams p;
        p.kind = NormParams::Kind::RmsNorm;
        p.rows = kRows, p.width = kWidth;
        p.x = run.input(run.normal(kCount));
        p.weight = run.input(run.normal(kWidth));
        p.y = run.output("y", kAny, kCount);
        run.execute([&] { run.backend().norm(run.stream(), p); });
    });
    add(cases, "silu gated 512x4096", Op::Activate, 12.0 * kCount, 0, [](OpRun& run) {
        ActivateParams p;
        p.kind = ActivateParams::Kind::Silu;
        p.count = kCount;
        p.x = run.input(run.normal(kCount));
        p.gate = run.input(run.normal(kCount));
        p.y = run.output("y", kAny, kCount);
        run.execute([&] { run.backend().activate(run.stream(), p); });
    });
    add(cases, "gelu 512x4096", Op::Activate, 8.0 * kCount, 0, [](OpRun& run) {
        ActivateParams p;
        p.kind = ActivateParams::Kind::Gelu;
        p.count = kCount;
        p.x = run.input(run.normal(kCount));
        p.y = run.output("y", kAny, kCount);
        run.execute([&] { run.backend().activate(run.stream(), p); });
    });
    add(cases, "512x4096", Op::Add, 12.0 * kCount, 0, [](OpRun& run) {
        AddParams p;
        p.count = kCount;
        p.x = run.input(run.normal(kCount));
        p.y = run.update("y", kAny, std::vector<float>(kCount, 0.0f));
        run.execute([&] { run.backend().add(run.stream(), p); });
    });
    add(cases, "512 rows, 32 heads of 128", Op::Rope, 8.0 * kCount, 0, [](OpRun& run) {
        RopeParams p;
        p.length = kRows, p.heads = 32, p.head_dim = 128;
        p.table = rotaryTable(run, kRows, 128);
        p.x = run.update("x", kAny, run.normal(kCount));
        run.execute([&] { run.backend().rope(run.stream(), p); });
    });
    add(cases, "512x4096 f32 to bf16", Op::Convert, 6.0 * kCount, 0, [](OpRun& run) {
        ConvertParams p;
        p.count = kCount;
        p.x = run.input(run.normal(kCount));
        p.y = run.update("y", kAny, std::vector<float>(kCount, 0.0f), DType::BF16);
        p.y_dtype = DType::BF16;
        run.execute([&] { run.backend().convert(run.stream(), p); });
    });
    for (std::int32_t bits : {8, 4, 3, 2}) {
        add(cases, "512 rows, 32 heads of 128, q" + std::to_string(bits), Op::KvAppend, 4.5 * kCount, 0,
            [=](OpRun& run) {
                KvAppendParams p;
                p.length = kRows;
                p.x = run.input(run.normal(kCount));
                p.cache = {nullptr, DType::F32, 1, 32, 128, 2 * kRows, bits};
                p.cache.data = run.updateBytes("codes", run.bytes(kvDataBytes(p.cache)));
                p.cache.scales = run.updateBytes("scales", run.bytes(kvScaleBytes(p.cache)));
                run.execute([&] { run.backend().kvAppend(run.stream(), p); });
            })
            .traits.quantised = true;
    }
    add(cases, "512 rows, 32 heads of 128, bf16", Op::KvAppend, 6.0 * kCount, 0, [](OpRun& run) {
        KvAppendParams p;
        p.length = kRows;
        p.x = run.input(run.normal(kCount));
        p.cache = {run.update("cache", kAny, std::vector<float>(2 * kCount, 0.0f), DType::BF16),
                   DType::BF16,
                   1,
                   32,
                   128,
                   2 * kRows};
        run.execute([&] { run.backend().kvAppend(run.stream(), p); });
    }).traits.cache = DType::BF16;
}

void addStatistics(std::vector<OpCase>& cases) {
    add(cases, "512 rows, 32 heads of 128, group 4", Op::Gram, 4.0 * 512 * 4096, 512.0 * 32 * 128 * 129,
        [](OpRun& run) {
            GramParams p;
            p.rows = 512, p.heads = 32, p.width = 128, p.group = 4;
            p.x = run.input(run.normal(512 * 4096));
            p.gram = run.updateF64("gram", kAny, std::vector<double>(8 * 128 * 128, 0.0));
            p.sum = run.updateF64("sum", kAny, std::vector<double>(8 * 128, 0.0));
            run.execute([&] { run.backend().gram(run.stream(), p); });
        });
    // As calibration has them: a layer of 32 heads, a window of 2048 tokens, 32 sampled positions.
    constexpr std::int64_t kWindow = 2048, kSamples = 32, kHeads = 32, kWidth = 128;
    constexpr double kPairs = kSamples * kHeads * (kWindow / 2.0);
    std::vector<TokenId> positions;
    for (TokenId s = 0; s < kSamples; ++s)
        positions.push_back(64 * s + 32);
    add(cases, "2048 rows, 32 heads of 128, weights", Op::Gram, kWindow * kHeads * (4.0 * kWidth + 8.0),
        1.0 * kWindow * kHeads * kWidth * (kWidth + 1), [](OpRun& run) {
            GramParams p;
            p.rows = kWindow, p.heads = kHeads, p.width = kWidth;
            p.x = run.input(run.normal(kWindow * kHeads * kWidth));
            p.weights = run.updateF64("weights", kAny, std::vector<double>(kWindow * kHeads, 0.5));
            p.gram = run.updateF64("gram", kAny, std::vector<double>(kHeads * kWidth * kWidth, 0.0));
            p.sum = run.updateF64("sum", kAny, std::vector<double>(kHeads * kWidth, 0.0));
            run.execute([&] { run.backend().gram(run.stream(), p); });
        });
    add(cases, "32 samples of 2048 rows, 32 heads of 128", Op::SpreadGram, kPairs * 8.0,
        kPairs * kWidth * (kWidth + 1), [=](OpRun& run) {
            SpreadGramParams p;
            p.length = kWindow, p.heads = kHeads, p.width = kWidth, p.samples = kSamples;
            p.x = run.input(run.normal(kWindow * kHeads * kWidth));
            p.positions = run.input(positions);
            p.table = rotaryTable(run, kWindow, kWidth);
            p.weights = run.updateF64("weights", kAny, std::vector<double>(kHeads * kSamples * kWindow, 0.5));
            p.gram = run.updateF64("gram", kAny, std::vector<double>(kHeads * kWidth * kWidth, 0.0));
            run.execute([&] { run.backend().spreadGram(run.stream(), p); });
        });
    add(cases, "32 samples of 2048 rows, 32 heads of 128", Op::LogitWeights,
        4.0 * kWindow * kHeads * kWidth * 2 + kPairs * 8.0,
        2.0 * kWindow * kHeads * kWidth * kWidth + kPairs * kWidth * 5, [=](OpRun& run) {
            LogitWeightsParams p;
            p.length = kWindow, p.query_heads = p.kv_heads = kHeads, p.width = kWidth;
            p.samples = kSamples, p.scale = 0.1f;
            const std::int64_t count = kWindow * kHeads * kWidth;
            p.queries = run.input(run.normal(count)), p.keys = run.input(run.normal(count));
            p.values = run.input(run.normal(count)), p.outputs = run.input(run.normal(count));
            p.roots = run.input(run.normal(kHeads * kWidth * kWidth));
            p.positions = run.input(positions);
            p.table = rotaryTable(run, kWindow, kWidth);
            p.weights = run.outputF64("weights", kAny, kHeads * kSamples * kWindow);
            p.by_query = run.outputF64("by query", kAny, kHeads * kSamples);
            p.by_key = run.outputF64("by key", kAny, kHeads * kWindow);
            p.total = run.updateF64("total", kAny, std::vector<double>(kHeads, 0.0));
            run.execute([&] { run.backend().logitWeights(run.stream(), p); });
        });
    constexpr std::int64_t kVocab = 32000;
    add(cases, "64x32000", Op::Nll, 4.0 * 64 * kVocab, 0, [](OpRun& run) {
        NllParams p;
        p.rows = 64, p.vocab = kVocab;
        p.logits = run.input(run.normal(64 * kVocab));
        p.targets = run.input(run.ids(64, kVocab));
        p.nll = run.outputF64("nll", kAny, 64);
        run.execute([&] { run.backend().nll(run.stream(), p); });
    });
    add(cases, "64x32000", Op::Argmax, 4.0 * 64 * kVocab, 0, [](OpRun& run) {
        ArgmaxParams p;
        p.rows = 64, p.vocab = kVocab;
        p.logits = run.input(run.normal(64 * kVocab));
        p.index = run.outputIds("index", 64);
        run.execute([&] { run.backend().argmax(run.stream(), p); });
    });
}

}  // namespace

void addBenchCases(std::vector<OpCase>& cases) {
    for (std::int64_t m : {1, 16, 512}) {
        addGemm(cases, m, DType::F32, Compute::F32);
        addGemm(cases, m, DType::F16, Compute::F16);
        addGemm(cases, m, DType::BF16, Compute::F32);
        addGemm(cases, m, DType::BF16, Compute::BF16);
    }
    // More than a GPU's caches hold. One row has a kernel of its own on some backends, two have not.
    for (std::int64_t m : {1, 2})
        addGemm(cases, m, DType::BF16, Compute::BF16, 28672);
    addComposedBenchCases(cases);
    addAttentionBenchCases(cases);
    addRows(cases);
    addStatistics(cases);
}

}  // namespace eigenscope::optest
