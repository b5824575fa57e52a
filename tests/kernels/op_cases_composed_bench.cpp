// SPDX-License-Identifier: Apache-2.0
// Composed ops of a layer of llama-2-7b for speed, beside the same ops one by one.
#include "tests/kernels/op_case.h"

namespace eigenscope::optest {

namespace {

constexpr Bound kAny{1.0, 1e9};  // results are not compared here
constexpr std::int64_t kHidden = 4096, kIntermediate = 11008;

std::vector<std::byte> ones(std::int64_t count) {
    constexpr std::byte kOne[2] = {std::byte{0x80}, std::byte{0x3f}};  // bfloat16
    std::vector<std::byte> bytes;
    for (std::int64_t i = 0; i < count; ++i)
        bytes.insert(bytes.end(), std::begin(kOne), std::end(kOne));
    return bytes;
}

void add(std::vector<OpCase>& cases, const std::string& name, Op op, double bytes, double flops,
         std::function<void(OpRun&, bool composed)> run) {
    for (const bool composed : {true, false}) {
        OpCase op_case;
        op_case.name = std::string(nameOf(op)) + "/" + name + (composed ? "" : ", one by one");
        op_case.op = op;
        op_case.traits.weight = op_case.traits.cache = DType::BF16;
        op_case.traits.compute = Compute::BF16;
        op_case.bench = true;
        op_case.bytes = bytes, op_case.flops = flops;
        op_case.run = [=](OpRun& r) { run(r, composed); };
        cases.push_back(std::move(op_case));
    }
}

GemmParams product(OpRun& run, const float* x, float* y, std::int64_t m, std::int64_t n, std::int64_t k) {
    GemmParams p;
    p.x = x, p.y = y;
    p.weight = run.filled(n * k * 2, ones(4096));
    p.weight_dtype = DType::BF16;
    p.compute = Compute::BF16;
    p.m = m, p.n = n, p.k = k;
    return p;
}

NormParams normOf(OpRun& run, std::int64_t m) {
    NormParams norm;
    norm.kind = NormParams::Kind::RmsNorm;
    norm.x = run.input(run.normal(m * kHidden));
    norm.weight = run.input(run.normal(kHidden));
    norm.y = run.output("normed", kAny, m * kHidden);
    norm.rows = m, norm.width = kHidden;
    return norm;
}

void addProject(std::vector<OpCase>& cases, std::int64_t m) {
    const double weights = 3.0 * kHidden * kHidden;
    add(cases, "norm and projections of llama-2-7b, m=" + std::to_string(m) + " bf16", Op::Gemm,
        2.0 * weights, m == 1 ? 0.0 : 2.0 * static_cast<double>(m) * weights, [=](OpRun& run, bool composed) {
            const NormParams norm = normOf(run, m);
            ProjectParams p;
            p.norm = &norm;
            p.count = 3;
            for (GemmParams& each : p.products)
                each = product(run, norm.y, run.output("y", kAny, m * kHidden), m, kHidden, kHidden);
            run.execute([&] {
                if (composed)
                    run.backend().project(run.stream(), p);
                else
                    run.backend().Backend::project(run.stream(), p);
            });
        });
}

void addMlp(std::vector<OpCase>& cases, std::int64_t m) {
    const double weights = 3.0 * kHidden * kIntermediate;
    add(cases, "norm and mlp of llama-2-7b, m=" + std::to_string(m) + " bf16", Op::Gemm, 2.0 * weights,
        m == 1 ? 0.0 : 2.0 * static_cast<double>(m) * weights, [=](OpRun& run, bool composed) {
            const NormParams norm = normOf(run, m);
            float* gate = run.output("gate", kAny, m * kIntermediate);
            float* up = run.output("up", kAny, m * kIntermediate);
            MlpParams p;
            p.project.norm = &norm;
            p.project.count = 2;
            p.project.products[0] = product(run, norm.y, gate, m, kIntermediate, kHidden);
            p.project.products[1] = product(run, norm.y, up, m, kIntermediate, kHidden);
            p.activate = {ActivateParams::Kind::Silu, gate, up, gate, m * kIntermediate, 0.0f};
            p.down = product(run, gate, run.output("y", kAny, m * kHidden), m, kHidden, kIntermediate);
            run.execute([&] {
                if (composed) {
                    run.backend().mlp(run.stream(), p);
                } else {
                    run.backend().Backend::project(run.stream(), p.project);
                    run.backend().activate(run.stream(), p.activate);
                    run.backend().gemm(run.stream(), p.down);
                }
            });
        });
}

void addAppend(std::vector<OpCase>& cases, std::int32_t length) {
    constexpr std::int32_t kHeads = 32, kWidth = 128;
    const std::int64_t count = std::int64_t{length} * kHeads * kWidth;
    // Queries there and back, keys and values read, and written in 16 bits.
    add(cases, "rotate and append, " + std::to_string(length) + " rows, 32 heads of 128, bf16", Op::KvAppend,
        static_cast<double>(count) * (8 + 4 + 4 + 2 + 2), 0, [=](OpRun& run, bool composed) {
            RopeParams rotations[2];
            for (RopeParams& rotation : rotations) {
                rotation.x = run.update("x", kAny, run.normal(count));
                rotation.length = length, rotation.heads = kHeads, rotation.head_dim = kWidth;
                rotation.table = rotaryTable(run, length, kWidth);
            }
            const auto append = [&](const float* x) {
                KvAppendParams p;
                p.x = x;
                p.length = length;
                p.cache = {run.filled(count * 2, ones(4096)), DType::BF16, 1, kHeads, kWidth, length};
                return p;
            };
            const RotateAndAppendParams p{&rotations[0], &rotations[1], append(rotations[1].x),
                                          append(run.input(run.normal(count)))};
            run.execute([&] {
                if (composed)
                    run.backend().rotateAndAppend(run.stream(), p);
                else
                    run.backend().Backend::rotateAndAppend(run.stream(), p);
            });
        });
}

}  // namespace

void addComposedBenchCases(std::vector<OpCase>& cases) {
    for (const std::int64_t m : {1, 512}) {
        addProject(cases, m);
        addMlp(cases, m);
        addAppend(cases, static_cast<std::int32_t>(m));
    }
}

}  // namespace eigenscope::optest
