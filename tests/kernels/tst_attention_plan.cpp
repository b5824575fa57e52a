// SPDX-License-Identifier: Apache-2.0
// How calls of attention are split between blocks: parts cover what a query may see, temporary memory is that
// of the parts, tiles fit the device.
#include "kernels/api/error.h"
#include "kernels/cuda/attention_general.h"

#include <QTest>

using namespace eigenscope;
using namespace eigenscope::cuda;

namespace {

AttentionParams call(int query_heads, int kv_heads, int width, int queries, std::int64_t position,
                     int window) {
    AttentionParams p;
    p.batch = 2, p.query_heads = query_heads, p.kv_heads = kv_heads, p.query_width = width;
    p.query_length = queries, p.query_position = position, p.window = window;
    p.keys.batch = p.values.batch = 2;
    p.keys.heads = p.values.heads = kv_heads;
    p.keys.width = p.values.width = width;
    p.keys.capacity = p.values.capacity = position + queries;
    return p;
}

}  // namespace

class TestAttentionPlan : public QObject {
    Q_OBJECT
private slots:
    void partsCoverTheSequence() {
        const DeviceLimits limits;
        bool split = false;
        for (const int queries : {1, 2, 40})
            for (const std::int64_t position : {0, 1, 255, 256, 1000, 4095, 131071})
                for (const int window : {0, 1, 100, 5000}) {
                    const AttentionParams p = call(8, 2, 64, queries, position, window);
                    const AttentionPlan plan = planGeneral(p, limits);
                    const std::int64_t end = position + queries;
                    const std::int64_t begin =
                        window > 0 ? std::max<std::int64_t>(0, position - window + 1) : 0;
                    QVERIFY(plan.splits >= 1);
                    QVERIFY(plan.split_length > 0 && plan.split_length % plan.tile_positions == 0);
                    QVERIFY(plan.splits * plan.split_length >= end - begin);
                    QVERIFY((plan.splits - 1) * plan.split_length < end - begin);  // none is empty
                    // Output, largest score and total of each row of each part, in float32.
                    const std::int64_t rows = 2 * queries * 8;
                    const std::int64_t bytes = plan.splits > 1 ? plan.splits * rows * (64 + 2) * 4 : 0;
                    QCOMPARE(static_cast<std::int64_t>(plan.scratch_bytes), bytes);
                    split = split || plan.splits > 1;
                }
        QVERIFY(split);
    }

    void tilesFitTheDevice() {
        for (const std::size_t kib : {48, 99, 163, 227})
            for (const int width : {8, 64, 128, 256, 512, 1024}) {
                const AttentionParams p = call(32, 8, width, 64, 0, 0);
                const auto tiles = generalTiles(p, {108, kib << 10});
                if (tiles)
                    QVERIFY(generalSharedBytes(p, *tiles) <= kib << 10);
            }
        QVERIFY(generalTiles(call(32, 8, 1024, 64, 0, 0), {132, std::size_t{227} << 10}).has_value());
        QVERIFY(generalTiles(call(32, 8, 128, 64, 0, 0), {132, std::size_t{48} << 10}).has_value());
    }

    void saysWhatDoesNotFit() {
        try {
            planGeneral(call(4, 4, 8192, 1, 10, 0), {132, std::size_t{227} << 10});
            QFAIL("no error");
        } catch (const Error& error) {
            const std::string message = error.what();
            QVERIFY2(message.find("8192 wide") != std::string::npos, message.c_str());
            QVERIFY2(message.find("232448") != std::string::npos, message.c_str());
        }
    }

    // Rows that are read exactly depend on the query's position: one position a tile.
    void ringsKeepQueriesApart() {
        AttentionParams p = call(8, 2, 64, 40, 100, 0);
        QCOMPARE(generalQueriesPerTile(p, {16, 32}), 4);
        p.keys.bits = 4;
        QCOMPARE(generalQueriesPerTile(p, {16, 32}), 4);
        p.keys.recent = 8;
        QCOMPARE(generalQueriesPerTile(p, {16, 32}), 1);
    }
};

QTEST_GUILESS_MAIN(TestAttentionPlan)
#include "tst_attention_plan.moc"
