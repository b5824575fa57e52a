// SPDX-License-Identifier: Apache-2.0
// What attention's moments are made of: weighted gram, spreadGram, logitWeights.
#include "tests/kernels/op_case.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace eigenscope::optest {

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Doubles that an op reads and must leave as they are.
const double* inputF64(OpRun& run, const std::vector<double>& values) {
    return run.updateF64("input", kExact, values);
}

// As attention's weights are: of all sizes, many of them nothing.
std::vector<double> someWeights(OpRun& run, std::int64_t count) {
    std::vector<double> weights;
    for (const float x : run.uniform(count, -0.5f, 1.0f))
        weights.push_back(x < 0.0f ? 0.0 : std::pow(static_cast<double>(x), 12.0));
    return weights;
}

// Thousands of additions in float64, and a weight that is rounded with its row or its root.
constexpr Bound kSums{1e-28, 1e-12};

void addWeightedGram(std::vector<OpCase>& cases) {
    struct Shape {
        std::int64_t rows;
        std::int32_t heads, width, group;
        bool with_sum;
    };
    constexpr Shape kShapes[] = {{0, 2, 8, 1, true},    {1, 1, 1, 1, true},    {7, 3, 33, 3, false},
                                 {33, 6, 31, 2, true},  {17, 4, 128, 4, true}, {300, 2, 65, 1, true},
                                 {3, 8, 40, 8, false},  {700, 1, 24, 1, true}, {1030, 2, 130, 1, true},
                                 {410, 4, 256, 2, true}};
    for (const Shape& s : kShapes)
        add(
            cases,
            "weights " + std::to_string(s.rows) + " rows heads " + std::to_string(s.heads) + " width " +
                std::to_string(s.width) + " group " + std::to_string(s.group) + (s.with_sum ? " sum" : ""),
            Op::Gram,
            [=](OpRun& run) {
                GramParams p;
                p.rows = s.rows, p.heads = s.heads, p.width = s.width, p.group = s.group;
                std::vector<float> x = run.normal(s.rows * s.heads * s.width, 1.0f, 3.0f);
                const std::vector<double> weights = someWeights(run, s.rows * s.heads);
                // A row that weighs nothing may hold anything.
                for (std::int64_t i = 0; i < s.rows * s.heads; ++i)
                    if (weights[static_cast<std::size_t>(i % s.heads * s.rows + i / s.heads)] == 0.0)
                        std::fill_n(x.begin() + i * s.width, s.width, i % 2 ? std::nanf("") : INFINITY);
                p.x = run.input(x);
                p.weights = inputF64(run, weights);
                const std::int64_t sums = std::int64_t{s.heads} / s.group * s.width;
                p.gram = run.updateF64("gram", kSums,
                                       std::vector<double>(static_cast<std::size_t>(sums * s.width), 0.5));
                if (s.with_sum)
                    p.sum = run.updateF64("sum", kSums,
                                          std::vector<double>(static_cast<std::size_t>(sums), 0.25));
                run.execute([&] { run.backend().gram(run.stream(), p); });
            },
            s.width == 31);
}

struct Shape {
    std::int64_t length;
    std::int32_t heads, kv_heads, width, rotary_dim;
    std::vector<TokenId> positions;
    std::int32_t window;
    bool alibi;
    std::int32_t joint;
};

std::vector<Shape> shapes() {
    std::vector<TokenId> all, many;
    for (TokenId m = 0; m < 40; ++m)
        all.push_back(m);
    for (TokenId m = 3; m < 300; m += 7)
        many.push_back(m);
    return {{1, 1, 1, 2, 2, {0}, 0, false, 1},
            {5, 2, 1, 6, 4, {0, 4}, 0, false, 1},
            {40, 4, 2, 16, 16, all, 0, false, 2},
            {40, 4, 2, 16, 0, all, 0, true, 2},
            {70, 3, 3, 17, 0, {0, 33, 69}, 0, false, 1},
            {70, 6, 2, 31, 14, {69, 1, 64}, 9, false, 2},
            {130, 4, 4, 64, 64, {63, 64, 127, 128, 129}, 100, false, 4},
            {200, 8, 2, 65, 62, {5, 100, 199}, 64, true, 1},
            {300, 2, 2, 40, 40, many, 0, false, 1},
            {300, 2, 1, 128, 128, {0, 150, 299}, 1, false, 1},
            {150, 2, 2, 256, 256, {12, 149}, 0, false, 2},
            // So many heads that a block has several samples.
            {40, 360, 180, 6, 6, {39, 3, 8, 11, 14, 16, 19, 22, 25, 27, 30, 36, 37}, 0, false, 1},
            {20, 4, 4, 8, 8, {}, 0, false, 2}};
}

std::string nameOf(const Shape& s) {
    return std::to_string(s.length) + " rows " + std::to_string(s.positions.size()) + " samples heads " +
           std::to_string(s.heads) + "/" + std::to_string(s.kv_heads) + " width " + std::to_string(s.width) +
           " rotary " + std::to_string(s.rotary_dim) +
           (s.window > 0 ? " window " + std::to_string(s.window) : "") + (s.alibi ? " alibi" : "") +
           (s.joint > 1 ? " joint " + std::to_string(s.joint) : "");
}

void addSpreadGram(std::vector<OpCase>& cases) {
    for (const Shape& s : shapes())
        add(
            cases, nameOf(s), Op::SpreadGram,
            [=](OpRun& run) {
                SpreadGramParams p;
                p.length = s.length, p.heads = s.heads, p.width = s.width, p.group = s.heads / s.kv_heads;
                p.samples = static_cast<std::int32_t>(s.positions.size()), p.window = s.window;
                p.x = run.input(run.normal(s.length * s.heads * s.width));
                p.positions = run.input(s.positions);
                p.table = rotaryTable(run, s.length, s.rotary_dim);
                std::vector<double> weights = someWeights(run, std::int64_t{s.heads} * p.samples * s.length);
                for (std::size_t i = 0; i < weights.size(); ++i) {
                    const auto t = static_cast<std::int64_t>(i) % s.length;
                    const std::size_t sample = i / static_cast<std::size_t>(s.length) % s.positions.size();
                    if (t > s.positions[sample] || (s.window > 0 && t >= s.window))
                        weights[i] = kNan;
                }
                p.weights = inputF64(run, weights);
                // Copies are rotated in float32.
                p.gram = run.updateF64(
                    "gram", {1e-13, 1e-6},
                    std::vector<double>(static_cast<std::size_t>(s.kv_heads * s.width * s.width), 0.125));
                run.execute([&] { run.backend().spreadGram(run.stream(), p); });
            },
            s.width == 31);
}

void addLogitWeights(std::vector<OpCase>& cases) {
    // Logits of some units err by some 1e-6 in float32, and so do weights; a change is the difference of two
    // projected rows of about its own size.
    const Bound bound{4e-12, 5e-5};
    for (const Shape& s : shapes())
        for (const bool together : {false, true})
            add(
                cases, nameOf(s) + (together ? " together" : ""), Op::LogitWeights,
                [=](OpRun& run) {
                    LogitWeightsParams p;
                    p.length = s.length, p.query_heads = s.heads, p.kv_heads = s.kv_heads, p.width = s.width;
                    p.samples = static_cast<std::int32_t>(s.positions.size()), p.window = s.window;
                    p.scale = 1.5f / std::sqrt(static_cast<float>(s.width)), p.joint = s.joint;
                    const std::int64_t row = s.length * s.width;
                    p.queries = run.input(run.normal(row * s.heads));
                    p.keys = run.input(run.normal(row * s.kv_heads, 1.0f, 0.5f));
                    p.values = run.input(run.normal(row * s.kv_heads));
                    p.outputs = run.input(run.normal(row * s.heads, 0.2f));
                    p.roots = run.input(run.normal(std::int64_t{s.heads} * s.width * s.width));
                    p.positions = run.input(s.positions);
                    if (s.rotary_dim > 0)
                        p.table = rotaryTable(run, s.length, s.rotary_dim);
                    if (s.alibi)
                        p.alibi_slopes = run.input(run.uniform(s.heads, 0.01f, 0.5f));
                    const std::int64_t queries = std::int64_t{s.heads} * p.samples;
                    p.weights = run.outputF64("weights", bound, queries * s.length);
                    p.by_query = run.outputF64("by query", bound, queries);
                    p.by_key = run.outputF64("by key", bound, s.kv_heads * s.length);
                    if (together)
                        p.joint_keys = run.outputF64("joint keys", bound, s.kv_heads / s.joint * s.length);
                    p.total = run.updateF64("total", bound,
                                            std::vector<double>(static_cast<std::size_t>(s.kv_heads), 0.5));
                    run.execute([&] { run.backend().logitWeights(run.stream(), p); });
                },
                s.width == 31);
}

void addRefusals(std::vector<OpCase>& cases) {
    add(cases, "refuses what does not fit together", Op::LogitWeights, [](OpRun& run) {
        const float* x = run.input(run.normal(64));
        double* sums = run.updateF64("sums", kExact, std::vector<double>(64, 1.0));
        const TokenId* positions = run.input(std::vector<TokenId>{1});
        LogitWeightsParams p{.length = 2,
                             .query_heads = 4,
                             .kv_heads = 2,
                             .width = 2,
                             .queries = x,
                             .keys = x,
                             .values = x,
                             .outputs = x,
                             .roots = x,
                             .positions = positions,
                             .samples = 1,
                             .table = {}};
        p.weights = p.by_query = p.by_key = p.total = sums;
        const auto refused = [&](const char* what, auto change) {
            LogitWeightsParams changed = p;
            change(changed);
            run.demandRefusal(what, [&] { run.backend().logitWeights(run.stream(), changed); });
        };
        refused("heads", [](auto& c) { c.kv_heads = 3; });
        refused("joint", [](auto& c) { c.joint = 3; });
        refused("rotary table", [](auto& c) { c.table.rotary_dim = 2; });
        refused("no roots", [](auto& c) { c.roots = nullptr; });
        SpreadGramParams q{.x = x,
                           .length = 2,
                           .heads = 3,
                           .width = 2,
                           .group = 2,
                           .positions = positions,
                           .samples = 1,
                           .table = {},
                           .weights = sums,
                           .gram = sums};
        run.demandRefusal("group", [&] { run.backend().spreadGram(run.stream(), q); });
        q.group = 3, q.weights = nullptr;
        run.demandRefusal("no weights", [&] { run.backend().spreadGram(run.stream(), q); });
    });
}

}  // namespace

void addMomentCases(std::vector<OpCase>& cases) {
    addWeightedGram(cases);
    addSpreadGram(cases);
    addLogitWeights(cases);
    addRefusals(cases);
}

}  // namespace eigenscope::optest
