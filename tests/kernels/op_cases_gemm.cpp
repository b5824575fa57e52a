// SPDX-License-Identifier: Apache-2.0
// Matrix products: every weight dtype and arithmetic, one row (decode) and many, sizes around vector and tile
// widths.
#include "tests/kernels/op_case.h"

#include <cmath>

namespace eigenscope::optest {

namespace {

struct Gemm {
    std::int64_t m, n, k;
    DType weight = DType::F32;
    Compute compute = Compute::F32;
    bool bias = false, accumulate = false, misaligned = false;
};

// With factors of unit variance a sum of k products has deviation sqrt(k). Adding them one by one in float32
// gives an error of 0.2 epsilon sqrt(k) of that (random walk of roundings); other orders give less. The bound
// allows five times as much, and epsilon for the last rounding. In F16 and BF16 the reference rounds the
// factors in the same way, their products are exact, and what remains is the accumulation again; matrix units
// truncate instead of rounding, which does not average out: up to epsilon / 2 for every 16 products.
Bound boundOf(const Gemm& c) {
    const double k = static_cast<double>(c.k);
    double relative = kEpsilon * (2.0 + std::sqrt(k));
    if (c.compute != Compute::F32)
        relative += kEpsilon * k / 16.0;
    return {relative * relative,
            6.0 * relative};  // of thousands of elements, the worst is five deviations off
}

void runGemm(OpRun& run, const Gemm& c) {
    GemmParams p;
    p.m = c.m, p.n = c.n, p.k = c.k;
    p.weight_dtype = c.weight;
    p.compute = c.compute;
    p.accumulate = c.accumulate;
    p.x = run.input(run.normal(c.m * c.k));
    p.weight = run.input(run.normal(c.n * c.k), c.weight);
    if (c.bias)
        p.bias = run.input(run.normal(c.n));
    p.y = c.accumulate ? run.update("y", boundOf(c), run.normal(c.m * c.n))
                       : run.output("y", boundOf(c), c.m * c.n);
    run.execute([&] { run.backend().gemm(run.stream(), p); });
}

void add(std::vector<OpCase>& cases, const Gemm& c) {
    OpCase op_case;
    op_case.name = "gemm/m=" + std::to_string(c.m) + " n=" + std::to_string(c.n) +
                   " k=" + std::to_string(c.k) + " weight " + std::string(nameOf(c.weight)) + " compute " +
                   name(c.compute) + (c.bias ? " bias" : "") + (c.accumulate ? " accumulate" : "") +
                   (c.misaligned ? " misaligned" : "");
    op_case.op = Op::Gemm;
    op_case.traits.weight = c.weight;
    op_case.traits.compute = c.compute;
    op_case.misaligned = c.misaligned;
    op_case.run = [c](OpRun& run) { runGemm(run, c); };
    cases.push_back(std::move(op_case));
}

}  // namespace

void addGemmCases(std::vector<OpCase>& cases) {
    constexpr std::int64_t kShapes[][3] = {
        {1, 1, 1},    {1, 3, 7},    {1, 17, 33},   {1, 64, 127}, {1, 129, 513}, {1, 257, 64}, {1, 31, 1025},
        {2, 5, 65},   {3, 17, 31},  {4, 64, 64},   {7, 33, 17},  {8, 127, 96},  {17, 1, 63},  {31, 65, 1},
        {33, 31, 65}, {63, 63, 63}, {65, 40, 127}, {5, 160, 72}, {127, 129, 40}};
    for (DType weight : kDTypes)
        for (Compute compute : {Compute::F32, Compute::F16, Compute::BF16})
            for (const auto& s : kShapes) {
                add(cases, {s[0], s[1], s[2], weight, compute, false, false});
                // The other forms at every second shape: they share the product itself.
                if ((s[0] + s[1]) % 2 == 0)
                    add(cases, {s[0], s[1], s[2], weight, compute, true, true});
            }
    for (DType weight : kDTypes) {
        const Compute own = weight == DType::F16    ? Compute::F16
                            : weight == DType::BF16 ? Compute::BF16
                                                    : Compute::F32;
        for (std::int64_t m : {1, 9}) {
            add(cases, {m, 48, 80, weight, own, true, false});
            add(cases, {m, 48, 80, weight, own, false, true});
            add(cases, {m, 33, 47, weight, own, true, true, true});
            add(cases, {m, 64, 64, weight, Compute::F32, false, false, true});
            add(cases, {m, 33, 4096, weight, own, false, false});
        }
        // Legal nothings: no rows, no columns; an empty sum is the bias, or what was there.
        add(cases, {0, 8, 8, weight, own});
        add(cases, {8, 0, 8, weight, own});
        add(cases, {3, 5, 0, weight, own, true, false});
        add(cases, {3, 5, 0, weight, own, false, false});
        add(cases, {3, 5, 0, weight, own, true, true});
    }
    OpCase refused;
    refused.name = "gemm/refuses nonsense";
    refused.op = Op::Gemm;
    refused.run = [](OpRun& run) {
        GemmParams p;
        p.m = p.n = p.k = 4;
        run.demandRefusal("null pointers", [&] { run.backend().gemm(run.stream(), p); });
        const float* x = run.input(run.normal(16));
        p.x = x, p.weight = x, p.y = run.output("y", kExact, 16), p.m = -1;
        run.demandRefusal("m = -1", [&] { run.backend().gemm(run.stream(), p); });
    };
    cases.push_back(refused);
}

}  // namespace eigenscope::optest
