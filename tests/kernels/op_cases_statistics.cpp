// SPDX-License-Identifier: Apache-2.0
// Ops in double precision and on logits: gram, eigh, nll, argmax.
#include "tests/kernels/op_case.h"

#include <cmath>
#include <limits>

namespace eigenscope::optest {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

void addGram(std::vector<OpCase>& cases) {
    struct Shape {
        std::int64_t rows;
        std::int32_t heads, width, group;
    };
    constexpr Shape kShapes[] = {{0, 2, 8, 1},    {1, 1, 1, 1},   {1, 4, 17, 2},   {7, 3, 33, 3},
                                 {65, 2, 64, 1},  {33, 6, 31, 2}, {17, 4, 128, 4}, {130, 1, 65, 1},
                                 {3, 8, 40, 8},   {257, 2, 7, 2}, {700, 1, 24, 1}, {410, 2, 72, 2},
                                 {600, 2, 130, 1}};
    // A product of two float32 is exact in float64; thousands of additions err by 1e-16 each, in any order.
    const Bound bound{1e-29, 1e-13};
    for (const Shape& s : kShapes)
        for (bool with_sum : {true, false})
            add(
                cases,
                std::to_string(s.rows) + " rows heads " + std::to_string(s.heads) + " width " +
                    std::to_string(s.width) + " group " + std::to_string(s.group) + (with_sum ? " sum" : ""),
                Op::Gram,
                [=](OpRun& run) {
                    GramParams p;
                    p.rows = s.rows, p.heads = s.heads, p.width = s.width, p.group = s.group;
                    // A large common mean, as keys have: sums in float32 would lose the rest.
                    p.x = run.input(run.normal(s.rows * s.heads * s.width, 1.0f, 30.0f));
                    const std::int64_t groups = s.heads / s.group, w = s.width;
                    std::vector<double> before(static_cast<std::size_t>(groups * w * w));
                    for (std::int64_t g = 0; g < groups; ++g)  // symmetric, as an earlier call left it
                        for (std::int64_t i = 0; i < w; ++i)
                            for (std::int64_t j = 0; j <= i; ++j) {
                                const double value = 1000.0 + static_cast<double>((i * 7 + j * 3) % 11);
                                before[static_cast<std::size_t>((g * w + i) * w + j)] = value;
                                before[static_cast<std::size_t>((g * w + j) * w + i)] = value;
                            }
                    p.gram = run.updateF64("gram", bound, before);
                    if (with_sum)
                        p.sum = run.updateF64(
                            "sum", bound, std::vector<double>(static_cast<std::size_t>(groups * w), 0.25));
                    run.execute([&] { run.backend().gram(run.stream(), p); });
                },
                s.width == 31);
}

// count matrices [n, n]: Gram matrices of rows whose spread falls by `decay` from one direction to the next.
std::vector<double> gramMatrices(OpRun& run, std::int64_t count, std::int64_t n, double decay,
                                 std::int64_t rank) {
    std::vector<double> a(static_cast<std::size_t>(count * n * n), 0.0);
    for (std::int64_t k = 0; k < count; ++k)
        for (std::int64_t r = 0; r < rank; ++r) {
            const std::vector<float> x =
                run.normal(n, static_cast<float>(std::pow(decay, static_cast<double>(r))));
            for (std::int64_t i = 0; i < n; ++i)
                for (std::int64_t j = 0; j < n; ++j)
                    a[static_cast<std::size_t>((k * n + i) * n + j)] +=
                        static_cast<double>(x[static_cast<std::size_t>(i)]) * x[static_cast<std::size_t>(j)];
        }
    return a;
}

// Eigenvectors are free in sign, and in any rotation where eigenvalues are equal: so A V = V L and V^T V = 1
// are demanded rather than equality with the reference's. Backward stability gives a residual of some n
// epsilon |A|.
void checkVectors(OpRun& run, const EighParams& p) {
    double residual = 0.0, orthogonality = 0.0, disorder = 0.0;
    for (std::int64_t k = 0; k < p.count; ++k) {
        const double* a = p.a + k * p.n * p.n;
        const double* v = p.vectors + k * p.n * p.n;
        const double* l = p.values + k * p.n;
        const double scale = std::max({1e-300, std::abs(l[0]), std::abs(l[p.n - 1])});
        for (std::int64_t j = 0; j < p.n; ++j) {
            if (j > 0)
                disorder = std::max(disorder, l[j] - l[j - 1]);
            for (std::int64_t i = 0; i < p.n; ++i) {
                double av = 0.0, vv = 0.0;
                for (std::int64_t c = 0; c < p.n; ++c) {
                    av += a[i * p.n + c] * v[c * p.n + j];
                    vv += v[c * p.n + i] * v[c * p.n + j];
                }
                residual = std::max(residual, std::abs(av - l[j] * v[i * p.n + j]) / scale);
                orthogonality = std::max(orthogonality, std::abs(vv - (i == j ? 1.0 : 0.0)));
            }
        }
    }
    const double limit = 1e-14 * static_cast<double>(p.n + 10);
    run.demand("residual |A v - l v| / |A|", residual, limit);
    run.demand("|V^T V - 1|", orthogonality, limit);
    run.demand("ascending eigenvalues, by", disorder, 0.0);
}

void addEigh(std::vector<OpCase>& cases) {
    struct Shape {
        const char* what;
        std::int64_t count, n;
        double decay;
        std::int64_t rank;
        bool vectors;
    };
    constexpr Shape kShapes[] = {{"none", 0, 8, 1, 8, true},
                                 {"scalar", 1, 1, 1, 1, true},
                                 {"pair", 2, 2, 0.5, 2, true},
                                 {"flat", 3, 3, 1, 9, true},
                                 {"decaying", 2, 17, 0.7, 20, true},
                                 {"decaying", 1, 33, 0.8, 40, true},
                                 {"values only", 4, 32, 0.9, 40, false},
                                 {"decaying", 3, 64, 0.85, 64, true},
                                 {"rank-deficient", 2, 31, 0.9, 5, true},
                                 {"zero", 1, 7, 1, 0, true},
                                 {"steep", 1, 40, 0.3, 40, true},
                                 {"wide", 1, 128, 0.97, 160, true}};
    for (const Shape& s : kShapes)
        add(cases, std::string(s.what) + " " + std::to_string(s.count) + " x " + std::to_string(s.n),
            Op::Eigh, [=](OpRun& run) {
                const std::vector<double> a = gramMatrices(run, s.count, s.n, s.decay, s.rank);
                constexpr std::size_t kGuard = 8;
                const std::size_t count = static_cast<std::size_t>(s.count * s.n);
                std::vector<double> values(count + kGuard, -7.0), vectors(count * s.n + kGuard, -7.0);
                EighParams p;
                p.a = a.data(), p.count = s.count, p.n = s.n;
                p.values = values.data();
                p.vectors = s.vectors ? vectors.data() : nullptr;
                run.execute([&] { run.backend().eigh(run.stream(), p); });
                if (s.vectors)
                    checkVectors(run, p);
                for (std::size_t i = 0; i < kGuard; ++i)
                    run.demand("overwritten guard",
                               std::max(std::abs(values[count + i] + 7.0),
                                        std::abs(vectors[vectors.size() - 1 - i] + 7.0)),
                               0.0);
                values.resize(count);
                // Weyl: eigenvalues move by no more than the backward error, some n epsilon |A|.
                run.report("values", {1e-26, 1e-12}, values);
            });
    add(cases, "equal eigenvalues", Op::Eigh, [](OpRun& run) {
        constexpr std::int64_t n = 12;
        std::vector<double> a(n * n, 0.0), values(n), vectors(n * n);
        for (std::int64_t i = 0; i < n; ++i)
            a[static_cast<std::size_t>(i * n + i)] = i < 5 ? 2.0 : i < 9 ? -1.0 : 0.0;
        const EighParams p{a.data(), values.data(), vectors.data(), 1, n};
        run.execute([&] { run.backend().eigh(run.stream(), p); });
        checkVectors(run, p);
        run.report("values", {1e-26, 1e-12}, values);
    });
}

void addNll(std::vector<OpCase>& cases) {
    // nll is of the order of log(vocab); exp and the sum in float32 leave an absolute error of some epsilon
    // times the logits' size, and sums of thousands of terms a little more.
    const Bound bound{std::pow(16.0 * kEpsilon, 2.0), 64.0 * kEpsilon};
    for (auto [rows, vocab] : {std::pair{0, 5},
                               {1, 1},
                               {1, 7},
                               {3, 17},
                               {2, 31},
                               {5, 65},
                               {7, 127},
                               {4, 1024},
                               {2, 4099},
                               {1, 32003}})
        for (float spread : {1.0f, 12.0f})
            add(
                cases, std::to_string(rows) + "x" + std::to_string(vocab) + (spread > 1.0f ? " wide" : ""),
                Op::Nll,
                [=](OpRun& run) {
                    NllParams p;
                    p.rows = rows, p.vocab = vocab;
                    p.logits = run.input(run.normal(std::int64_t{1} * rows * vocab, spread, spread));
                    std::vector<TokenId> targets = run.ids(rows, vocab);
                    if (rows > 2)
                        targets[1] = -1;
                    p.targets = run.input(targets);
                    p.nll = run.outputF64("nll", bound, rows);
                    run.execute([&] { run.backend().nll(run.stream(), p); });
                },
                vocab == 31);
    add(cases, "extremes", Op::Nll, [=](OpRun& run) {
        // Huge equal offsets, minus infinity (a forbidden token), one certain token, all equal.
        std::vector<float> logits(4 * 9, 0.0f);
        for (std::size_t j = 0; j < 9; ++j) {
            logits[j] = 8000.0f + static_cast<float>(j);
            logits[9 + j] = j % 2 ? -kInfinity : static_cast<float>(j);
            logits[18 + j] = j == 4 ? 500.0f : -500.0f;
        }
        NllParams p;
        p.rows = 4, p.vocab = 9;
        p.logits = run.input(logits);
        p.targets = run.input(std::vector<TokenId>{3, 2, 4, 8});
        p.nll = run.outputF64("nll", bound, 4);
        run.execute([&] { run.backend().nll(run.stream(), p); });
    });
}

void addArgmax(std::vector<OpCase>& cases) {
    for (auto [rows, vocab] : {std::pair{0, 5},
                               {1, 1},
                               {1, 7},
                               {3, 17},
                               {2, 31},
                               {5, 65},
                               {7, 127},
                               {4, 1024},
                               {2, 4099},
                               {1, 32003}})
        for (bool ties : {false, true})
            add(
                cases, std::to_string(rows) + "x" + std::to_string(vocab) + (ties ? " ties" : ""), Op::Argmax,
                [=](OpRun& run) {
                    std::vector<float> logits = run.normal(std::int64_t{1} * rows * vocab);
                    if (ties)
                        for (float& logit : logits)
                            logit = std::round(logit);
                    ArgmaxParams p;
                    p.rows = rows, p.vocab = vocab;
                    p.logits = run.input(logits);
                    p.index = run.outputIds("index", rows);
                    run.execute([&] { run.backend().argmax(run.stream(), p); });
                },
                vocab == 31);
    add(cases, "last, first, minus infinity", Op::Argmax, [](OpRun& run) {
        std::vector<float> logits(4 * 70, -3.0f);
        logits[69] = 1.0f;                                  // row 0: the last
        logits[70] = 0.0f;                                  // row 1: the first
        std::fill_n(logits.begin() + 140, 70, -kInfinity);  // row 2: all alike
        logits[210 + 33] = logits[210 + 66] = 5.0f;         // row 3: a tie far apart
        ArgmaxParams p;
        p.rows = 4, p.vocab = 70;
        p.logits = run.input(logits);
        p.index = run.outputIds("index", 4);
        run.execute([&] { run.backend().argmax(run.stream(), p); });
    });
}

}  // namespace

void addStatisticsCases(std::vector<OpCase>& cases) {
    addGram(cases);
    addEigh(cases);
    addNll(cases);
    addArgmax(cases);
}

}  // namespace eigenscope::optest
