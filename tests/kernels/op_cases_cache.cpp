// SPDX-License-Identifier: Apache-2.0
// Appending to the KV cache: every dtype, any position, and nothing but the addressed rows changed.
#include "tests/kernels/op_case.h"

namespace eigenscope::optest {

namespace {

struct Append {
    std::int32_t batch, length, heads, width;
    std::int64_t position, capacity;
    bool on_device = false;
};

void runAppend(OpRun& run, const Append& c, DType dtype) {
    KvAppendParams p;
    p.length = c.length, p.position = c.on_device ? c.capacity - c.length : c.position;
    p.device_position = devicePosition(run, c.on_device, c.position);
    p.x = run.input(run.normal(std::int64_t{1} * c.batch * c.length * c.heads * c.width));
    p.cache.dtype = dtype;
    p.cache.batch = c.batch, p.cache.heads = c.heads, p.cache.width = c.width, p.cache.capacity = c.capacity;
    // Exact: one rounding to nearest even. The whole cache is compared, so that a stray store shows.
    p.cache.data = run.update("cache", kExact, run.normal(c.batch * c.heads * c.capacity * c.width), dtype);
    run.execute([&] { run.backend().kvAppend(run.stream(), p); });
}

}  // namespace

void addCacheCases(std::vector<OpCase>& cases) {
    constexpr Append kShapes[] = {
        {1, 0, 2, 8, 0, 4},         {1, 1, 1, 1, 0, 1},        {1, 1, 3, 17, 6, 7},
        {1, 7, 2, 64, 0, 16},       {2, 5, 3, 33, 3, 9},       {2, 1, 4, 128, 30, 31},
        {1, 33, 5, 24, 0, 33},      {3, 17, 1, 65, 13, 40},    {1, 64, 2, 40, 63, 127},
        {2, 1, 3, 64, 5, 40, true}, {1, 7, 2, 17, 0, 20, true}};
    for (DType dtype : kDTypes)
        for (const Append& c : kShapes) {
            OpCase op_case;
            op_case.misaligned = c.width == 33;
            op_case.name = "kvAppend/" + std::string(nameOf(dtype)) + " batch " + std::to_string(c.batch) +
                           " length " + std::to_string(c.length) + " heads " + std::to_string(c.heads) +
                           " width " + std::to_string(c.width) + " at " + std::to_string(c.position) +
                           " of " + std::to_string(c.capacity) + (c.on_device ? " on the device" : "") +
                           (op_case.misaligned ? " misaligned" : "");
            op_case.op = Op::KvAppend;
            op_case.traits.cache = dtype;
            op_case.run = [=](OpRun& run) { runAppend(run, c, dtype); };
            cases.push_back(std::move(op_case));
        }
    OpCase refused;
    refused.name = "kvAppend/refuses rows beyond the capacity";
    refused.op = Op::KvAppend;
    refused.run = [](OpRun& run) {
        KvAppendParams p;
        p.length = 3, p.position = 6;
        p.x = run.input(run.normal(24));
        p.cache = {run.update("cache", kExact, run.normal(64)), DType::F32, 1, 1, 8, 8};
        run.demandRefusal("9 rows in 8", [&] { run.backend().kvAppend(run.stream(), p); });
    };
    cases.push_back(std::move(refused));
}

}  // namespace eigenscope::optest
