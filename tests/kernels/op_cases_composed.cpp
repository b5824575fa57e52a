// SPDX-License-Identifier: Apache-2.0
// Composed ops against the reference backend's, which does their parts one by one: one row and many, each
// dtype and arithmetic, with and without norms, biases, gates and rotations, sizes around vector and block
// widths.
#include "tests/kernels/op_case.h"

#include "kernels/api/kv_layout.h"

#include <cmath>

namespace eigenscope::optest {

namespace {

enum class Before { Nothing, LayerNorm, RmsNorm };

struct Block {
    std::int64_t m, k, n[3];  // n: 0 for no product
    DType weight = DType::F32;
    Compute compute = Compute::F32;
    Before before = Before::RmsNorm;
    bool bias = false, misaligned = false;
};

// A norm makes rows of unit variance; what the backend rounds differently from the reference there (a unit in
// the last place of float32) can move a factor to the neighbouring number of 16 bits: each does so with a
// probability of 2^-16 * 2 / 2^-8 (bfloat16) and by 2^-8 of it, so by 2^-12 of the product's error from
// rounding, which is 2^-9 / sqrt 3 of y. The bound of many such flips stays far below the plain one's.
Bound boundOf(const Block& c, std::int64_t terms) {
    const double k = static_cast<double>(terms);
    double relative = kEpsilon * (4.0 + std::sqrt(k));
    if (c.compute != Compute::F32)
        relative += kEpsilon * k / 16.0 + (c.compute == Compute::BF16 ? 0x1p-9 : 0x1p-12) * 0.05;
    return {relative * relative, 8.0 * relative};
}

constexpr int kProducts = 3;

// The products' structs without y; norm's x and y are there already.
ProjectParams makeProject(OpRun& run, const Block& c, NormParams& norm) {
    ProjectParams p;
    const float* x = run.input(run.normal(c.m * c.k, 0.7f, 0.1f));
    if (c.before != Before::Nothing) {
        norm.kind = c.before == Before::LayerNorm ? NormParams::Kind::LayerNorm : NormParams::Kind::RmsNorm;
        norm.x = x;
        norm.weight = run.input(run.uniform(c.k, 0.5f, 1.5f));
        norm.bias = c.before == Before::LayerNorm && c.bias ? run.input(run.normal(c.k, 0.1f)) : nullptr;
        norm.rows = c.m, norm.width = c.k;
        norm.y = run.scratch(c.m * c.k);
        p.norm = &norm;
        x = norm.y;
    }
    for (int i = 0; i < kProducts && c.n[i] > 0; ++i) {
        GemmParams& product = p.products[static_cast<std::size_t>(i)];
        product.x = x;
        product.m = c.m, product.n = c.n[i], product.k = c.k;
        product.weight_dtype = c.weight;
        product.compute = c.compute;
        // Sums of unit variance, as a model's are: activations then see what they are made for.
        product.weight =
            run.input(run.normal(c.n[i] * c.k, 1.0f / std::sqrt(static_cast<float>(c.k))), c.weight);
        product.bias = c.bias ? run.input(run.normal(c.n[i])) : nullptr;
        p.count = i + 1;
    }
    return p;
}

void runProject(OpRun& run, const Block& c) {
    NormParams norm;
    ProjectParams p = makeProject(run, c, norm);
    for (std::int32_t i = 0; i < p.count; ++i)
        p.products[static_cast<std::size_t>(i)].y =
            run.output("y" + std::to_string(i), boundOf(c, c.k), c.m * c.n[i]);
    run.execute([&] { run.backend().project(run.stream(), p); });
}

void runMlp(OpRun& run, const Block& c, ActivateParams::Kind kind) {
    NormParams norm;
    MlpParams p;
    p.project = makeProject(run, c, norm);
    const bool gated = p.project.count == 2;
    for (std::int32_t i = 0; i < p.project.count; ++i)
        p.project.products[static_cast<std::size_t>(i)].y = run.scratch(c.m * c.n[0]);
    p.activate.kind = kind;
    p.activate.limit = 0.5f;
    p.activate.x = p.project.products[0].y;
    p.activate.gate = gated ? p.project.products[1].y : nullptr;
    p.activate.y = p.project.products[0].y;
    p.activate.count = c.m * c.n[0];
    p.down.x = p.activate.y;
    p.down.m = c.m, p.down.n = c.k, p.down.k = c.n[0];
    p.down.weight_dtype = c.weight;
    p.down.compute = c.compute;
    p.down.accumulate = true;
    p.down.weight =
        run.input(run.normal(c.k * c.n[0], 1.0f / std::sqrt(static_cast<float>(c.n[0]))), c.weight);
    p.down.bias = c.bias ? run.input(run.normal(c.k)) : nullptr;
    p.down.y = run.update("y", boundOf(c, c.k + c.n[0]), run.normal(c.m * c.k));
    run.execute([&] { run.backend().mlp(run.stream(), p); });
}

std::string nameOf(const Block& c) {
    const char* const before[] = {"", " layer norm", " rms norm"};
    std::string name =
        "m=" + std::to_string(c.m) + " k=" + std::to_string(c.k) + " n=" + std::to_string(c.n[0]);
    for (int i = 1; i < kProducts && c.n[i] > 0; ++i)
        name += "+" + std::to_string(c.n[i]);
    return name + " weight " + std::string(eigenscope::nameOf(c.weight)) + " compute " +
           optest::name(c.compute) + before[static_cast<int>(c.before)] + (c.bias ? " bias" : "") +
           (c.misaligned ? " misaligned" : "");
}

OpCase blockCase(const Block& c, std::string name) {
    OpCase op_case;
    op_case.name = std::move(name);
    op_case.op = Op::Gemm;
    op_case.traits.weight = c.weight;
    op_case.traits.compute = c.compute;
    op_case.misaligned = c.misaligned;
    return op_case;
}

void addProject(std::vector<OpCase>& cases, const Block& c) {
    OpCase op_case = blockCase(c, "gemm/project " + nameOf(c));
    op_case.run = [c](OpRun& run) { runProject(run, c); };
    cases.push_back(std::move(op_case));
}

void addMlp(std::vector<OpCase>& cases, const Block& c, ActivateParams::Kind kind, const char* activation) {
    OpCase op_case = blockCase(c, "gemm/mlp " + std::string(activation) + " " + nameOf(c));
    op_case.run = [c, kind](OpRun& run) { runMlp(run, c, kind); };
    cases.push_back(std::move(op_case));
}

struct Append {
    std::int32_t batch, length, query_heads, heads, key_width, value_width;
    std::int64_t position;
    DType dtype = DType::F32;
    bool rotates_queries = true, rotates_keys = true, on_device = false, misaligned = false;
    std::int32_t bits = 0;
    std::int32_t rotary_dim = 0;  // 0: of the whole head
};

// A dense cache or one of codes by token; bytes are compared for codes, elements otherwise.
KvAppendParams makeAppend(OpRun& run, const Append& c, const char* name, std::int32_t width,
                          std::int64_t capacity, const float* x) {
    KvAppendParams p;
    p.x = x;
    p.length = c.length;
    p.position = c.position;
    KvView& v = p.cache;
    v.dtype = c.dtype;
    v.batch = c.batch, v.heads = c.heads, v.width = width, v.capacity = capacity;
    v.bits = c.bits;
    if (c.bits == 0) {
        // A rotation's products are rounded in another order at most: a unit in the last place.
        const double unit = c.dtype == DType::F32 ? kEpsilon : c.dtype == DType::F16 ? 0x1p-10 : 0x1p-7;
        v.data = run.update(name, {unit * unit, 16.0 * unit},
                            run.normal(std::int64_t{1} * c.batch * c.heads * capacity * width), c.dtype);
    } else {
        v.data = run.updateBytes(name, run.bytes(kvDataBytes(v)));
        v.scales = run.updateBytes(std::string(name) + " scales", run.bytes(kvScaleBytes(v)));
    }
    return p;
}

void runAppend(OpRun& run, const Append& c) {
    const std::int64_t rows = std::int64_t{1} * c.batch * c.length, capacity = c.position + c.length + 3;
    const Bound rotated{4 * kEpsilon * kEpsilon, 8 * kEpsilon};
    float* query = c.rotates_queries
                       ? run.update("query", rotated, run.normal(rows * c.query_heads * c.key_width))
                       : nullptr;
    float* key = run.scratch(run.normal(rows * c.heads * c.key_width));  // undefined afterwards
    const float* value = run.input(run.normal(rows * c.heads * c.value_width));
    const RotaryTable table = rotaryTable(run, capacity, c.rotary_dim ? c.rotary_dim : c.key_width);
    RotateAndAppendParams p;
    p.keys = makeAppend(run, c, "keys", c.key_width, capacity, key);
    p.values = makeAppend(run, c, "values", c.value_width, capacity, value);
    const std::int64_t* position = devicePosition(run, c.on_device, c.position);
    if (c.on_device)
        p.keys.position = p.values.position = c.position + 3;
    p.keys.device_position = p.values.device_position = position;
    RopeParams rotations[2];
    for (RopeParams& rotation : rotations) {
        rotation.batch = c.batch, rotation.length = c.length;
        rotation.head_dim = c.key_width;
        rotation.first_position = p.keys.position;
        rotation.table = table;
        rotation.device_position = position;
    }
    rotations[0].x = query, rotations[0].heads = c.query_heads;
    rotations[1].x = key, rotations[1].heads = c.heads;
    p.query_rotation = c.rotates_queries ? &rotations[0] : nullptr;
    p.key_rotation = c.rotates_keys ? &rotations[1] : nullptr;
    run.execute([&] { run.backend().rotateAndAppend(run.stream(), p); });
}

void addAppend(std::vector<OpCase>& cases, const Append& c) {
    OpCase op_case;
    op_case.name =
        "kvAppend/rotateAndAppend batch=" + std::to_string(c.batch) + " length=" + std::to_string(c.length) +
        " heads=" + std::to_string(c.query_heads) + "/" + std::to_string(c.heads) +
        " widths=" + std::to_string(c.key_width) + "," + std::to_string(c.value_width) + " at " +
        std::to_string(c.position) + " " + std::string(eigenscope::nameOf(c.dtype)) +
        (c.bits ? " " + std::to_string(c.bits) + " bits" : "") +
        (c.rotates_queries ? "" : " queries as they are") + (c.rotates_keys ? "" : " keys as they are") +
        (c.rotary_dim ? " first " + std::to_string(c.rotary_dim) : "") +
        (c.on_device ? " position on the device" : "") + (c.misaligned ? " misaligned" : "");
    op_case.op = Op::KvAppend;
    op_case.traits.cache = c.dtype;
    op_case.traits.quantised = c.bits != 0;
    op_case.misaligned = c.misaligned;
    op_case.run = [c](OpRun& run) { runAppend(run, c); };
    cases.push_back(std::move(op_case));
}

void addBlocks(std::vector<OpCase>& cases) {
    using Kind = ActivateParams::Kind;
    for (DType weight : kDTypes) {
        const Compute own = weight == DType::F16    ? Compute::F16
                            : weight == DType::BF16 ? Compute::BF16
                                                    : Compute::F32;
        for (std::int64_t m : {1, 3}) {
            addProject(cases, {m, 64, {48, 16, 24}, weight, own, Before::RmsNorm, false});
            addProject(cases, {m, 64, {48, 16, 24}, weight, own, Before::LayerNorm, true});
            addProject(cases, {m, 1288, {7, 300, 1}, weight, own, Before::LayerNorm, false});
            addProject(cases, {m, 47, {33, 5, 0}, weight, own, Before::RmsNorm, true, true});
            addProject(cases, {m, 96, {65, 0, 0}, weight, own, Before::Nothing, true});
            addProject(cases, {m, 40, {9, 17, 3}, weight, Compute::F32, Before::LayerNorm, true});
            addMlp(cases, {m, 64, {176, 176, 0}, weight, own, Before::RmsNorm, false}, Kind::Silu, "silu");
            addMlp(cases, {m, 45, {99, 99, 0}, weight, own, Before::RmsNorm, true, true}, Kind::Silu, "silu");
            addMlp(cases, {m, 32, {128, 0, 0}, weight, own, Before::LayerNorm, true}, Kind::Relu, "relu");
            addMlp(cases, {m, 32, {72, 0, 0}, weight, own, Before::Nothing, true}, Kind::Gelu, "gelu");
            addMlp(cases, {m, 24, {40, 40, 0}, weight, Compute::F32, Before::RmsNorm, true}, Kind::GeluTanh,
                   "gelu tanh");
        }
        // More columns than a GPU has warps for at once.
        addProject(cases, {1, 24, {3000, 2001, 999}, weight, own, Before::RmsNorm, true});
        addProject(cases, {0, 16, {8, 8, 8}, weight, own, Before::RmsNorm});
        addMlp(cases, {17, 64, {96, 96, 0}, weight, own, Before::RmsNorm, false}, Kind::Clamp, "clamp");
    }
}

void addRefusals(std::vector<OpCase>& cases) {
    OpCase refused;
    refused.name = "gemm/project refuses what does not fit together";
    refused.op = Op::Gemm;
    refused.run = [](OpRun& run) {
        NormParams norm;
        Block c{2, 16, {8, 8, 0}};
        ProjectParams p = makeProject(run, c, norm);
        for (GemmParams& product : p.products)
            product.y = run.scratch(16);
        const auto refuses = [&](const char* what) {
            run.demandRefusal(what, [&] { run.backend().project(run.stream(), p); });
        };
        p.count = 4;
        refuses("four products");
        p.count = 2;
        p.products[1].k = 8;
        refuses("products of different k");
        p.products[1].k = 16;
        norm.width = 8;
        refuses("a norm of another width");
        norm.width = 16;
        MlpParams mlp{p, {}, {}};
        mlp.activate.x = p.products[0].y, mlp.activate.gate = p.products[1].y;
        mlp.activate.y = p.products[0].y, mlp.activate.count = 16;
        mlp.down = p.products[0];
        mlp.down.x = run.scratch(16), mlp.down.k = 8;
        run.demandRefusal("a last product of something else", [&] { run.backend().mlp(run.stream(), mlp); });
    };
    cases.push_back(refused);
}

}  // namespace

void addComposedCases(std::vector<OpCase>& cases) {
    addBlocks(cases);
    for (DType dtype : kDTypes) {
        addAppend(cases, {1, 1, 4, 2, 64, 64, 5, dtype});
        addAppend(cases, {2, 3, 4, 2, 20, 12, 0, dtype});
        addAppend(cases, {1, 5, 6, 3, 66, 7, 2, dtype, true, true, false, true});
        addAppend(cases, {1, 1, 4, 4, 128, 128, 9, dtype, true, true, true});
        addAppend(cases, {1, 2, 4, 2, 24, 40, 3, dtype, true, false});
        addAppend(cases, {2, 2, 4, 2, 24, 40, 3, dtype, false, false, true});
        addAppend(cases, {1, 2, 2, 2, 24, 16, 3, dtype, true, true, false, false, 0, 16});
    }
    addAppend(cases, {1, 3, 4, 2, 32, 32, 4, DType::BF16, true, false, false, false, 8});
    addAppend(cases, {1, 1, 4, 2, 32, 32, 4, DType::BF16, true, false, true, false, 4});
    addRefusals(cases);
}

}  // namespace eigenscope::optest
