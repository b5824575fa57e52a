// SPDX-License-Identifier: Apache-2.0
// Ops that work row by row or element by element: embed, norm, activate, add, rope, convert.
#include "tests/kernels/op_case.h"

#include <cmath>
#include <limits>

namespace eigenscope::optest {

RotaryTable rotaryTable(OpRun& run, std::int64_t positions, std::int32_t rotary_dim) {
    std::vector<float> cos, sin;
    for (std::int64_t t = 0; t < positions; ++t)
        for (std::int32_t i = 0; i < rotary_dim / 2; ++i) {
            const double angle = static_cast<double>(t) * std::pow(10000.0, -2.0 * i / rotary_dim);
            cos.push_back(static_cast<float>(std::cos(angle)));
            sin.push_back(static_cast<float>(std::sin(angle)));
        }
    return {run.input(cos), run.input(sin), positions, rotary_dim};
}

namespace {

std::string size(std::int64_t rows, std::int64_t width) {
    return std::to_string(rows) + "x" + std::to_string(width);
}

void addEmbed(std::vector<OpCase>& cases) {
    for (DType dtype : kDTypes)
        for (bool accumulate : {false, true})
            for (auto [count, width] : {std::pair{0, 8}, {1, 1}, {1, 64}, {7, 17}, {33, 65}, {130, 31}}) {
                add(
                    cases,
                    size(count, width) + " " + std::string(nameOf(dtype)) + (accumulate ? " accumulate" : ""),
                    Op::Embed,
                    [=](OpRun& run) {
                        constexpr std::int64_t kRows = 37;
                        EmbedParams p;
                        p.table = run.input(run.normal(kRows * width), dtype);
                        p.table_dtype = dtype;
                        p.rows = kRows, p.width = width, p.count = count;
                        std::vector<TokenId> ids = run.ids(count, kRows);
                        if (count > 1)
                            ids[0] = kRows - 1, ids[1] = 0;
                        p.ids = run.input(ids);
                        p.accumulate = accumulate;
                        // A copy, or one addition: both are exact in float32's rounding.
                        p.y = accumulate ? run.update("y", kExact, run.normal(count * width))
                                         : run.output("y", kExact, count * width);
                        run.execute([&] { run.backend().embed(run.stream(), p); });
                    },
                    width == 17);
                cases.back().traits.weight = dtype;
            }
}

// The sums of a row in float32 err by about epsilon sqrt(width) relative, the rest by a few roundings; a
// common mean, eight deviations large in one case, costs eight times that in LayerNorm's subtraction.
Bound normBound(std::int64_t width, float mean) {
    const double relative = kEpsilon * (4.0 + std::sqrt(static_cast<double>(width))) * (1.0 + std::abs(mean));
    return {relative * relative, 6.0 * relative};
}

void addNorm(std::vector<OpCase>& cases) {
    for (auto kind : {NormParams::Kind::LayerNorm, NormParams::Kind::RmsNorm})
        for (auto [rows, width] : {std::pair{0, 16},
                                   {1, 1},
                                   {1, 7},
                                   {3, 17},
                                   {2, 64},
                                   {5, 65},
                                   {4, 127},
                                   {33, 96},
                                   {1, 1031},
                                   {9, 2048}})
            for (int form = 0; form < 3;
                 ++form) {  // 0: weight and bias; 1: neither, in place; 2: weight, large mean
                const float mean = form == 2 ? 8.0f : 0.0f;
                add(
                    cases,
                    std::string(kind == NormParams::Kind::LayerNorm ? "layer " : "rms ") + size(rows, width) +
                        (form == 0   ? " affine"
                         : form == 1 ? " in place"
                                     : " large mean"),
                    Op::Norm,
                    [=](OpRun& run) {
                        NormParams p;
                        p.kind = kind;
                        p.rows = rows, p.width = width;
                        p.epsilon = form == 2 ? 1e-6f : 1e-5f;
                        const std::vector<float> x = run.normal(rows * width, 1.5f, mean);
                        const Bound bound = normBound(width, mean);
                        if (form != 1)
                            p.weight = run.input(run.normal(width, 0.3f, 1.0f));
                        if (form == 0)
                            p.bias = run.input(run.normal(width));
                        p.y = form == 1 ? run.update("y", bound, x) : run.output("y", bound, rows * width);
                        p.x = form == 1 ? p.y : run.input(x);
                        run.execute([&] { run.backend().norm(run.stream(), p); });
                    },
                    width == 65);
            }
    // A row of equal elements: variance 0, so that only epsilon divides.
    add(cases, "layer constant rows", Op::Norm, [](OpRun& run) {
        NormParams p;
        p.rows = 2, p.width = 40;
        p.x = run.input(std::vector<float>(80, 3.0f));
        p.bias = run.input(run.normal(40));
        p.y = run.output("y", normBound(40, 3.0f), 80);
        run.execute([&] { run.backend().norm(run.stream(), p); });
    });
}

void addActivate(std::vector<OpCase>& cases) {
    // erf, tanh and exp in float32 are good to a few units in the last place of a result near 1; in gelu's
    // left tail the result is small and its absolute error still that of the factor near zero: hence a bound
    // relative to the RMS.
    const Bound bound{std::pow(8.0 * kEpsilon, 2.0), 64.0 * kEpsilon, 1.0};
    using Kind = ActivateParams::Kind;
    constexpr std::pair<Kind, const char*> kKinds[] = {{Kind::Relu, "relu"},
                                                       {Kind::Gelu, "gelu"},
                                                       {Kind::GeluTanh, "gelu tanh"},
                                                       {Kind::Silu, "silu"},
                                                       {Kind::Clamp, "clamp"}};
    for (auto [kind, kind_name] : kKinds) {
        for (std::int64_t count : {0, 1, 3, 7, 17, 31, 33, 63, 65, 127, 4099})
            for (bool gate : {false, true})
                for (bool in_place : {false, true})
                    add(
                        cases,
                        std::string(kind_name) + " " + std::to_string(count) + (gate ? " gated" : "") +
                            (in_place ? " in place" : ""),
                        Op::Activate,
                        [=, kind = kind](OpRun& run) {
                            ActivateParams p;
                            p.kind = kind;
                            p.limit = 1.5f;  // Clamp: half of the elements, about
                            p.count = count;
                            const std::vector<float> x = run.normal(count, 2.0f);
                            if (gate)
                                p.gate = run.input(run.normal(count));
                            p.y = in_place ? run.update("y", bound, x) : run.output("y", bound, count);
                            p.x = in_place ? p.y : run.input(x);
                            run.execute([&] { run.backend().activate(run.stream(), p); });
                        },
                        count == 33);
        // Far out, where exp overflows or underflows: no NaN, and the limits x or 0.
        add(cases, std::string(kind_name) + " extremes", Op::Activate, [=, kind = kind](OpRun& run) {
            const std::vector<float> x = {-1e30f, -200.0f, -100.0f, -90.0f, -50.0f, -20.0f, -10.0f, -0.0f,
                                          0.0f,   1e-30f,  10.0f,   20.0f,  50.0f,  90.0f,  100.0f, 200.0f};
            ActivateParams p;
            p.kind = kind;
            p.limit = 100.0f;
            p.count = static_cast<std::int64_t>(x.size());
            p.x = run.input(x);
            p.y = run.output("y", bound, p.count);
            run.execute([&] { run.backend().activate(run.stream(), p); });
        });
    }
}

void addAdd(std::vector<OpCase>& cases) {
    for (std::int64_t count : {0, 1, 3, 7, 17, 31, 33, 63, 65, 127, 5000})
        add(
            cases, std::to_string(count), Op::Add,
            [=](OpRun& run) {
                AddParams p;
                p.count = count;
                p.x = run.input(run.normal(count));
                p.y = run.update("y", kExact, run.normal(count));  // one float32 addition
                run.execute([&] { run.backend().add(run.stream(), p); });
            },
            count == 63);
}

void addRope(std::vector<OpCase>& cases) {
    struct Shape {
        std::int32_t batch, length, heads, head_dim, rotary_dim;
        std::int64_t first;
        std::int64_t room = 0;  // > 0: the position is on the device, and may be as much larger
    };
    constexpr Shape kShapes[] = {{1, 0, 2, 8, 8, 0},     {1, 1, 1, 2, 2, 0},        {1, 1, 3, 64, 64, 41},
                                 {1, 7, 4, 32, 32, 0},   {2, 5, 3, 34, 34, 9},      {2, 17, 2, 128, 128, 100},
                                 {1, 3, 5, 40, 10, 2},   {2, 33, 1, 24, 16, 31},    {1, 9, 2, 6, 6, 1},
                                 {1, 4, 7, 80, 80, 500}, {2, 1, 3, 64, 64, 41, 90}, {1, 5, 2, 32, 16, 0, 3}};
    for (const Shape& s : kShapes)
        add(
            cases,
            "batch " + std::to_string(s.batch) + " length " + std::to_string(s.length) + " heads " +
                std::to_string(s.heads) + " dim " + std::to_string(s.head_dim) + " rotary " +
                std::to_string(s.rotary_dim) + " from " + std::to_string(s.first) +
                (s.room ? " on the device, up to " + std::to_string(s.first + s.room) : ""),
            Op::Rope,
            [=](OpRun& run) {
                RopeParams p;
                p.batch = s.batch, p.length = s.length, p.heads = s.heads, p.head_dim = s.head_dim;
                p.first_position = s.first + s.room;
                p.device_position = devicePosition(run, s.room > 0, s.first);
                p.table = rotaryTable(run, s.first + s.room + s.length, s.rotary_dim);
                // Two products and a sum, each rounded once.
                p.x = run.update("x", {std::pow(2.0 * kEpsilon, 2.0), 8.0 * kEpsilon},
                                 run.normal(std::int64_t{1} * s.batch * s.length * s.heads * s.head_dim));
                run.execute([&] { run.backend().rope(run.stream(), p); });
            },
            s.head_dim == 34);
    add(cases, "refuses a short table", Op::Rope, [](OpRun& run) {
        RopeParams p;
        p.length = 4, p.heads = 1, p.head_dim = 8, p.first_position = 2;
        p.table = rotaryTable(run, 5, 8);
        p.x = run.update("x", kExact, run.normal(32));
        run.demandRefusal("5 positions for 6", [&] { run.backend().rope(run.stream(), p); });
    });
}

void addConvert(std::vector<OpCase>& cases) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    for (DType from : kDTypes)
        for (DType to : kDTypes) {
            const std::string pair = std::string(nameOf(from)) + " to " + std::string(nameOf(to));
            const auto make = [=](std::int64_t count, bool special) {
                return [=](OpRun& run) {
                    std::vector<float> x = run.normal(count, 3.0f);
                    if (special)  // ties of both 16-bit types, overflow, subnormals, infinities, NaN, zeros
                        x = {0.0f,           -0.0f,          1.0f,          1.0009765625f / 1.0f,
                             1.00048828125f, 1.00146484375f, 1.00390625f,   1.01171875f,
                             65504.0f,       65519.0f,       65520.0f,      -65520.0f,
                             1e-8f,          3e-8f,          5.96e-8f,      6.1e-5f,
                             -6.0e-5f,       3.38e38f,       3.4e38f,       1e-40f,
                             kInfinity,      -kInfinity,     std::nanf(""), -2.5f};
                    ConvertParams p;
                    p.count = static_cast<std::int64_t>(x.size());
                    p.x = run.input(x, from);
                    p.x_dtype = from, p.y_dtype = to;
                    p.y = run.update("y", kExact, std::vector<float>(x.size(), std::nanf("")), to);
                    run.execute([&] { run.backend().convert(run.stream(), p); });
                };
            };
            for (std::int64_t count : {0, 1, 3, 7, 17, 31, 33, 65, 127, 1000})
                add(cases, pair + " " + std::to_string(count), Op::Convert, make(count, false), count == 31);
            add(cases, pair + " special values", Op::Convert, make(0, true));
        }
}

}  // namespace

void addRowCases(std::vector<OpCase>& cases) {
    addEmbed(cases);
    addNorm(cases);
    addActivate(cases);
    addAdd(cases);
    addRope(cases);
    addConvert(cases);
}

}  // namespace eigenscope::optest
