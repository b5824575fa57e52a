// SPDX-License-Identifier: Apache-2.0
// How prefill attention is put on a device: which calls its kernels take, their tiles and shared memory, and
// when the sequence is split. Expected sizes are worked out by hand from the layout in attention_prefill.h.
#include "kernels/cuda/attention_prefill.h"

#include <QTest>

using namespace eigenscope;
using namespace eigenscope::cuda;

namespace {

constexpr DeviceLimits kH200{132, std::size_t{227} << 10};
constexpr DeviceLimits kA100{108, std::size_t{163} << 10};

alignas(16) unsigned char g_memory[64];

KvView cache(std::int32_t heads, std::int32_t width, std::int64_t capacity) {
    KvView v;
    v.data = g_memory;
    v.dtype = DType::BF16;
    v.heads = heads, v.width = width, v.capacity = capacity;
    return v;
}

AttentionParams prefill(std::int32_t query_heads, std::int32_t kv_heads, std::int32_t width,
                        std::int32_t queries, std::int64_t position = 0) {
    AttentionParams p;
    p.query_heads = query_heads, p.kv_heads = kv_heads, p.query_width = width;
    p.query_length = queries, p.query_position = position;
    p.query = reinterpret_cast<const float*>(g_memory);
    p.output = reinterpret_cast<float*>(g_memory);
    p.keys = p.values = cache(kv_heads, width, position + queries);
    p.compute = Compute::BF16;
    return p;
}

KeyLift liftOf(std::int32_t rotary_dim) {
    const auto* numbers = reinterpret_cast<const float*>(g_memory);
    return {numbers, nullptr, {numbers, numbers, 1 << 20, rotary_dim}};
}

}  // namespace

class TestPrefillPlan : public QObject {
    Q_OBJECT

private slots:
    void sharedMemoryOfDenseTiles() {
        const PrefillShared s = prefillShared(prefill(32, 8, 128, 4096), {128, 64});
        // Pitch 136 elements, 272 bytes: queries 128 rows, keys and values 2 buffers of 64 each.
        QCOMPARE(s.query_pitch, 136);
        QCOMPARE(s.queries, 128 + 8 * 128);
        QCOMPARE(s.keys, s.queries + 128 * 272);
        QCOMPARE(s.values, s.keys + 2 * 64 * 272);
        QCOMPARE(s.bytes, s.values + 2 * 64 * 272);
        // Two blocks fit on a multiprocessor of an H200 (228 KiB, one reserved for each block).
        QVERIFY(2 * (s.bytes + 1024) <= 228 * 1024);
    }

    void sharedMemoryOfLiftedTiles() {
        AttentionParams p = prefill(32, 8, 128, 4096);
        p.keys.width = 72, p.values.width = 40;
        const KeyLift lift = liftOf(128);
        p.lift = &lift;
        const PrefillShared s = prefillShared(p, {256, 64});
        QCOMPARE(s.latent_pitch, 88);  // 72 padded to 80
        QCOMPARE(s.value_pitch, 56);   // 40 padded to 48
        QCOMPARE(s.latents, s.values + 2 * 64 * 56 * 2);
        QCOMPARE(s.basis, s.latents + 2 * 64 * 88 * 2);
        QCOMPARE(s.mean, s.basis + 128 * 88 * 2);
        QCOMPARE(s.bytes, s.mean + 128 * 4);
        for (int at : {s.rows, s.queries, s.keys, s.values, s.latents, s.basis, s.mean, s.bytes})
            QCOMPARE(at % 16, 0);
    }

    void tilesOfACall_data() {
        QTest::addColumn<int>("keyWidth");
        QTest::addColumn<int>("valueWidth");
        QTest::addColumn<int>("headDim");  // 0: no lift
        QTest::addColumn<int>("queries");
        QTest::addColumn<int>("rows");
        QTest::addColumn<int>("positions");
        QTest::newRow("dense") << 128 << 128 << 0 << 4096 << 128 << 64;
        QTest::newRow("dense, wide values") << 128 << 136 << 0 << 4096 << 128 << 32;
        QTest::newRow("dense 256") << 256 << 256 << 0 << 4096 << 128 << 32;
        QTest::newRow("lifted") << 80 << 80 << 128 << 4096 << 256 << 64;
        QTest::newRow("lifted, few rows") << 80 << 80 << 128 << 32 << 128 << 64;
        QTest::newRow("shared latents") << 256 << 256 << 128 << 4096 << 128 << 32;
        QTest::newRow("wide latents, narrow values") << 256 << 64 << 128 << 4096 << 128 << 64;
    }
    void tilesOfACall() {
        QFETCH(int, keyWidth);
        QFETCH(int, valueWidth);
        QFETCH(int, headDim);
        QFETCH(int, queries);
        AttentionParams p = prefill(32, 8, headDim ? headDim : keyWidth, queries);
        p.keys.width = keyWidth, p.values.width = valueWidth;
        const KeyLift lift = liftOf(headDim);
        if (headDim)
            p.lift = &lift;
        const std::optional<PrefillTiles> tiles = prefillTiles(p, kH200);
        QVERIFY(tiles);
        QTEST(tiles->rows, "rows");
        QTEST(tiles->positions, "positions");
        QVERIFY(tiles->threads() <= 256 && tiles->threads() % 32 == 0);
        QVERIFY(static_cast<std::size_t>(prefillShared(p, *tiles).bytes) <= kH200.shared_bytes);
    }

    void smallerDevicesTakeSmallerTiles() {
        AttentionParams p = prefill(32, 8, 128, 4096);
        p.keys.width = p.values.width = 80;
        const KeyLift lift = liftOf(128);
        p.lift = &lift;
        QCOMPARE(prefillTiles(p, kH200)->rows, 256);
        QCOMPARE(prefillTiles(p, kA100)->rows, 128);
        QVERIFY(!prefillTiles(p, DeviceLimits{108, std::size_t{48} << 10}));
        QVERIFY(!planPrefill(p, DeviceLimits{108, std::size_t{48} << 10}));
    }

    void longPromptsAreNotSplit() {
        const std::optional<AttentionPlan> plan = planPrefill(prefill(32, 8, 128, 4096), kH200);
        QVERIFY(plan && plan->path == AttentionPath::Prefill);
        QCOMPARE(plan->splits, 1);
        QCOMPARE(plan->scratch_bytes, std::size_t{0});
        QVERIFY(plan->split_length >= 4096);
    }

    // 64 queries of 4 heads are 2 tiles of 8 heads: 16 blocks where 264 fit. 16 parts of 32768 positions.
    void shortChunksOfLongContextsAreSplit() {
        const AttentionParams p = prefill(32, 8, 128, 64, 32704);
        const std::optional<AttentionPlan> plan = planPrefill(p, kH200);
        QVERIFY(plan);
        QCOMPARE(plan->splits, 16);
        QCOMPARE(plan->split_length, std::int64_t{2048});
        QCOMPARE(plan->scratch_bytes, std::size_t{16} * 64 * 32 * 130 * 4);
    }

    void partsCoverTheSequence() {
        for (const std::int64_t position : {0, 1, 63, 64, 700, 5000, 100000})
            for (const std::int32_t window : {0, 1, 100, 4096})
                for (const std::int32_t queries : {1, 7, 64, 300}) {
                    AttentionParams p = prefill(8, 2, 64, queries, position);
                    p.window = window;
                    const std::optional<AttentionPlan> plan = planPrefill(p, kH200);
                    QVERIFY(plan);
                    const PrefillTiles tiles{plan->tile_rows, plan->tile_positions};
                    const std::int64_t origin = prefillOrigin(p, tiles), end = position + queries;
                    const std::int64_t first_seen = window > 0 ? position + 1 - window : 0;
                    QCOMPARE(origin % tiles.positions, std::int64_t{0});
                    QVERIFY(origin <= std::max<std::int64_t>(0, first_seen));
                    QCOMPARE(plan->split_length % tiles.positions, std::int64_t{0});
                    QVERIFY(origin + plan->splits * plan->split_length >= end);
                    QVERIFY(origin + (plan->splits - 1) * plan->split_length < end);  // none is empty
                    QVERIFY(plan->splits == 1 || plan->split_length >= 256);
                }
    }

    void refusesWhatItsKernelsDoNotTake() {
        const auto refuses = [](auto change) {
            AttentionParams p = prefill(8, 2, 64, 100);
            KeyLift lift = liftOf(64);
            change(p, lift);
            return !planPrefill(p, kH200).has_value();
        };
        QVERIFY(!refuses([](AttentionParams&, KeyLift&) {}));
        QVERIFY(!refuses([](AttentionParams& p, KeyLift& lift) { p.lift = &lift; }));
        QVERIFY(refuses([](AttentionParams& p, KeyLift&) { p.compute = Compute::F32; }));
        QVERIFY(refuses([](AttentionParams& p, KeyLift&) { p.compute = Compute::F16; }));
        QVERIFY(refuses([](AttentionParams& p, KeyLift&) { p.values.dtype = DType::F32; }));
        QVERIFY(refuses([](AttentionParams& p, KeyLift&) { p.values.width = 36; }));
        QVERIFY(refuses([](AttentionParams& p, KeyLift&) { p.values.width = 264; }));
        QVERIFY(refuses([](AttentionParams& p, KeyLift&) { p.keys.data = g_memory + 2; }));
        QVERIFY(refuses([](AttentionParams& p, KeyLift&) { p.query += 1; }));
        QVERIFY(refuses([](AttentionParams& p, KeyLift& lift) {
            p.lift = &lift;
            lift.table.rotary_dim = 24;
        }));
    }

    void quantisedCaches() {
        AttentionParams p = prefill(8, 2, 64, 100);
        p.keys.bits = p.values.bits = 4;
        p.keys.dtype = p.values.dtype = DType::F32;  // of rings, and there are none
        p.keys.scales = p.values.scales = g_memory;
        QVERIFY(planPrefill(p, kH200));
        p.keys.recent = 16;
        p.keys.exact = g_memory;
        QVERIFY(!planPrefill(p, kH200));  // a float32 ring
        p.keys.dtype = DType::BF16;
        QVERIFY(planPrefill(p, kH200));
    }
};

QTEST_APPLESS_MAIN(TestPrefillPlan)
#include "tst_prefill_plan.moc"
