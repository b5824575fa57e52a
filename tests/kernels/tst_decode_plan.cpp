// SPDX-License-Identifier: Apache-2.0
// How decode attention is put on a CUDA device: which calls its kernels take, how the sequence is split, and
// where shared memory goes. No kernel runs here (op_check_cuda_emulated runs them).
#include "kernels/cuda/attention_decode.h"

#include <QTest>

#include <algorithm>
#include <vector>

using namespace eigenscope;
using namespace eigenscope::cuda;

namespace {

// Never read: plans look at addresses' alignment alone.
alignas(16) unsigned char g_memory[16];

struct Shape {
    std::int32_t batch, query_heads, kv_heads, key_width, value_width;
    std::int64_t context;
    std::int32_t query_length = 1, window = 0, head_dim = 0;
};

constexpr Shape kShapes[] = {
    {1, 1, 1, 8, 8, 1},
    {1, 32, 8, 128, 128, 1},
    {1, 32, 8, 128, 128, 4096},
    {1, 32, 8, 128, 128, 131072},
    {16, 32, 8, 128, 128, 4096},
    {16, 32, 32, 128, 128, 5000},
    {16, 32, 8, 80, 72, 32768, 1, 0, 128},
    {16, 32, 32, 72, 80, 131072, 1, 0, 128},
    {1, 32, 8, 72, 80, 4097, 1, 0, 128},
    {2, 16, 1, 256, 256, 777},
    {3, 9, 3, 17, 33, 100, 5},
    {1, 8, 8, 128, 128, 100000, 1, 4096},
    {1, 4, 2, 64, 64, 1000, 4, 50},
    {64, 8, 8, 200, 160, 300, 1, 0, 256},
};

struct Call {
    AttentionParams p;
    KeyLift lift;
};

void fill(Call& call, const Shape& s) {
    AttentionParams& p = call.p;
    p.batch = s.batch, p.query_heads = s.query_heads, p.kv_heads = s.kv_heads;
    p.query_length = s.query_length, p.query_position = s.context - s.query_length, p.window = s.window;
    p.query_width = s.head_dim ? s.head_dim : s.key_width;
    p.compute = Compute::BF16;
    p.keys = {g_memory, DType::BF16, s.batch, s.kv_heads, s.key_width, s.context};
    p.values = {g_memory, DType::BF16, s.batch, s.kv_heads, s.value_width, s.context};
    if (s.head_dim) {
        const auto* numbers = reinterpret_cast<const float*>(g_memory);
        call.lift = {numbers, numbers, {numbers, numbers, s.context, s.head_dim}};
        p.lift = &call.lift;
    }
}

void quantise(KvView& v, int bits, int recent = 0) {
    v.bits = bits, v.recent = recent;
    v.scales = v.exact = g_memory;
    v.exact_capacity = recent + 16;
}

// Whether a changed call still has a decode plan.
template <typename Change>
bool plans(const Shape& shape, const Change& change) {
    Call call;
    fill(call, shape);
    change(call);
    return planDecode(call.p, {}).has_value();
}

}  // namespace

class TestDecodePlan : public QObject {
    Q_OBJECT

private slots:
    void partsCoverWhatIsSeenOnce() {
        for (const Shape& shape : kShapes)
            for (const int multiprocessors : {1, 84, 132}) {
                Call call;
                fill(call, shape);
                const auto plan = planDecode(call.p, {multiprocessors, std::size_t{227} << 10});
                QVERIFY(plan.has_value());
                QCOMPARE(static_cast<int>(plan->path), static_cast<int>(AttentionPath::Decode));
                const DecodeCall laid = decodeCall(call.p, *plan, {});
                const std::int64_t first_seen =
                    shape.window
                        ? std::max<std::int64_t>(0, shape.context - shape.query_length - shape.window + 1)
                        : 0;
                QVERIFY(laid.origin >= 0 && laid.origin <= first_seen &&
                        first_seen - laid.origin < laid.kernel.chunk());
                QCOMPARE(laid.origin % laid.kernel.chunk(), 0);
                QVERIFY(plan->splits >= 1);
                QCOMPARE(plan->split_length % plan->tile_positions, std::int64_t{0});
                QVERIFY(laid.origin + (plan->splits - 1) * plan->split_length < shape.context);
                QVERIFY(laid.origin + plan->splits * plan->split_length >= shape.context);
                // Output, largest score and total of each row of each part, in float32.
                const std::int64_t rows =
                    std::int64_t{1} * shape.batch * shape.query_length * shape.query_heads;
                const std::int64_t bytes =
                    plan->splits == 1 ? 0 : plan->splits * rows * (shape.value_width + 2) * 4;
                QCOMPARE(plan->scratch_bytes, static_cast<std::size_t>(bytes));
            }
    }

    void fewHeadsAreSplitOverTheDevice() {
        Call call;
        fill(call, {1, 32, 8, 128, 128, 131072});
        const auto plan = planDecode(call.p, {});
        // All 132 multiprocessors have work, none much more than another.
        QVERIFY(plan->splits * 8 >= 120);
        QVERIFY(plan->splits * 8 <= 132 * 4);
        fill(call, {16, 32, 32, 128, 128, 4096});
        QCOMPARE(planDecode(call.p, {})->splits, 1);  // 512 heads fill them without
        fill(call, {1, 8, 8, 128, 128, 131072, 1, 64});
        QVERIFY(planDecode(call.p, {})->splits <= 2);  // a window of two or three tiles
    }

    void sharedMemoryHoldsTheLayout() {
        for (const Shape& shape : kShapes)
            for (const int bits : {0, 8, 4, 3, 2})
                for (const std::size_t kib : {99, 163, 227}) {
                    Call call;
                    fill(call, shape);
                    if (bits != 0)
                        quantise(call.p.keys, bits), quantise(call.p.values, bits);
                    const DeviceLimits limits{132, kib << 10};
                    const auto plan = planDecode(call.p, limits);
                    QVERIFY(plan || kib < 227);  // the widest need more than the smallest devices have
                    if (!plan)
                        continue;
                    const DecodeCall laid = decodeCall(call.p, *plan, {});
                    QVERIFY(laid.warps >= 1 && laid.warps <= 8);
                    QVERIFY(laid.shared_bytes <= limits.shared_bytes);
                    QVERIFY(
                        static_cast<std::size_t>(laid.memory.warps + laid.warps * laid.memory.warp_bytes) <=
                        laid.shared_bytes);
                    checkLayout(laid, bits != 0);
                }
    }

    void eightsAreCountedWithoutDividing() {
        for (std::int32_t width = 1; width <= kDecodeLargestWidth; ++width) {
            Call call;
            fill(call, {1, 1, 1, width, 8, 64});
            const auto plan = planDecode(call.p, {});
            const DecodeSide side = decodeCall(call.p, *plan, {}).keys;
            QCOMPARE(side.units, (width + 7) / 8);
            for (int i = 0; i < 32 * side.units; ++i)
                QCOMPARE(i * side.unit_inverse >> 16, i / side.units);
        }
        for (std::int32_t group = 8; group <= 1024; group += 8) {
            Call call;
            fill(call, {1, 1, 1, 256, 8, 64});
            quantise(call.p.keys, 4);
            call.p.keys.group = group;
            const auto plan = planDecode(call.p, {});
            const DecodeSide side = decodeCall(call.p, *plan, {}).keys;
            for (int eight = 0; eight < group / 8 + 8; ++eight)  // of a group's positions and a chunk behind
                QCOMPARE(eight * side.group_inverse >> 16, eight / (group / 8));
            for (int unit = 0; unit < 32; ++unit)  // of a row
                QCOMPARE(unit * side.group_inverse >> 16, unit / (group / 8));
        }
    }

    void picksTheKernelByTheCache() {
        const auto kernelOf = [](const Shape& shape, auto change) {
            Call call;
            fill(call, shape);
            change(call.p);
            return decodeLayout(call.p)->kernel;
        };
        const auto same = [](AttentionParams&) {};
        const Shape dense{1, 8, 2, 128, 128, 64}, lifted{1, 8, 2, 80, 72, 64, 1, 0, 128};
        QVERIFY(!kernelOf(dense, same).convert && kernelOf(dense, same).key_steps == 0);
        QVERIFY(!kernelOf(lifted, same).convert && kernelOf(lifted, same).key_steps == 5);
        QVERIFY(kernelOf(dense, [](AttentionParams& p) { p.compute = Compute::F16; }).convert);
        QVERIFY(kernelOf(dense, [](AttentionParams& p) { quantise(p.values, 4); }).convert);
        QVERIFY(kernelOf({1, 8, 2, 20, 128, 64}, same).convert);
        QCOMPARE(kernelOf({1, 8, 1, 128, 128, 64}, same).columns, 1);
        QCOMPARE(kernelOf({1, 9, 1, 128, 128, 64}, same).columns, 2);
    }

    void leavesOtherCallsToOtherPaths() {
        const Shape dense{1, 8, 2, 128, 128, 640}, lifted{1, 8, 2, 80, 72, 640, 1, 0, 128};
        QVERIFY(plans(dense, [](Call&) {}) && plans(lifted, [](Call&) {}));
        QVERIFY(!plans(dense, [](Call& c) { c.p.compute = Compute::F32; }));
        QVERIFY(!plans(dense, [](Call& c) { c.p.keys.dtype = DType::F32; }));
        QVERIFY(!plans(dense, [](Call& c) { c.p.values.dtype = DType::F32; }));
        QVERIFY(!plans({1, 17, 1, 64, 64, 640}, [](Call&) {}));
        QVERIFY(!plans({1, 8, 2, 64, 64, 640, 5}, [](Call&) {}));  // 20 rows a head
        QVERIFY(!plans({1, 8, 2, 264, 64, 640}, [](Call&) {}));
        QVERIFY(!plans({1, 8, 2, 64, 264, 640}, [](Call&) {}));
        QVERIFY(!plans(dense, [](Call& c) { c.p.keys.data = g_memory + 2; }));
        QVERIFY(!plans(lifted, [](Call& c) { c.lift.table.rotary_dim = 40; }));
        QVERIFY(!plans(lifted, [](Call& c) { c.lift.table.cos += 1; }));
        // Rows of the ring: for one query they are the same for all, for two they are not.
        const Shape two{1, 8, 2, 128, 128, 640, 2};
        QVERIFY(plans(dense, [](Call& c) { quantise(c.p.keys, 4, 32); }));
        QVERIFY(plans(two, [](Call& c) { quantise(c.p.keys, 4); }));
        QVERIFY(!plans(two, [](Call& c) { quantise(c.p.keys, 4, 32); }));
        QVERIFY(!plans(dense, [](Call& c) {
            quantise(c.p.keys, 4, 32);
            c.p.keys.dtype = DType::F32;  // of the ring
        }));
        Call call;
        fill(call, dense);
        QVERIFY(!planDecode(call.p, {132, 16 << 10}));
    }

private:
    // Regions lie in order, none over the next, at multiples of 16 bytes.
    static void checkLayout(const DecodeCall& call, bool codes) {
        const DecodeMemory& m = call.memory;
        const int chunk = call.kernel.chunk(), lifted = call.kernel.key_steps > 0;
        QCOMPARE(m.key_pitch % 32, 16);
        QCOMPARE(m.value_pitch % 32, 16);
        QVERIFY(m.key_pitch >= 2 * call.keys.width && m.value_pitch >= 2 * call.values.width);
        struct Region {
            int at, bytes;
        };
        const auto inOrder = [](const std::vector<Region>& regions, int end) {
            for (std::size_t i = 0; i < regions.size(); ++i) {
                QCOMPARE(regions[i].at % 16, 0);
                QVERIFY(regions[i].at + regions[i].bytes <=
                        (i + 1 < regions.size() ? regions[i + 1].at : end));
            }
        };
        std::vector<Region> block = {{m.queries, call.steps * call.kernel.columns * 256}};
        std::vector<Region> warp = {
            {m.keys, decodeSlots(lifted, call.kernel.convert) * chunk * m.key_pitch},
            {m.values, decodeSlots(lifted, call.kernel.convert) * chunk * m.value_pitch}};
        if (lifted) {
            block[0].bytes = call.steps * call.kernel.columns * 512;
            block.push_back({m.basis, 16 * call.steps * m.key_pitch});
            block.push_back({m.mean, 64 * call.steps});
            block.push_back({m.rotations, 32 * call.steps * chunk});
            warp.push_back({m.fragments, 256 * call.steps * call.kernel.columns});
            warp.push_back({m.angles, (call.kernel.convert ? 2 : 1) * m.angle_bytes});
        }
        if (codes) {
            // What lies in the cache, up to 15 bytes before it, and reads of whole words behind it.
            warp.push_back({m.key_rows, 15 + chunk * call.keys.row_bytes + 8});
            warp.push_back({m.key_scales, 15 + chunk * call.keys.scale_row_bytes});
            warp.push_back({m.value_rows, 15 + chunk * call.values.row_bytes + 8});
            warp.push_back({m.value_scales, 15 + chunk * call.values.scale_row_bytes});
        }
        inOrder(block, m.warps);
        inOrder(warp, m.warp_bytes);
    }
};

QTEST_GUILESS_MAIN(TestDecodePlan)
#include "tst_decode_plan.moc"
