// SPDX-License-Identifier: Apache-2.0
// The cache's layout and its bytes, counted by hand.
#include "core/model/kv_cache.h"
#include "tests/support/backends.h"
#include "tests/support/random_checkpoint.h"

#include <QTest>

#include <vector>

using namespace eigenscope;
using namespace eigenscope::test;

class TestKvCache : public QObject {
    Q_OBJECT
private slots:
    void bytesByHand() {
        const ModelConfig llama = readModelConfig(tinyLlamaConfig(), "config.json");
        // 2 layers, 2 key/value heads of 8, keys and values.
        QCOMPARE(kvBytesPerToken(llama, DType::F32), std::size_t(2 * 2 * (8 + 8) * 4));
        QCOMPARE(kvBytesPerToken(llama, DType::BF16), std::size_t(2 * 2 * (8 + 8) * 2));
        QCOMPARE(kvRatio(llama), 1.0);

        ModelConfig low = llama;
        low.low_rank = LowRankDescription{};
        low.low_rank->key_ranks = {3, 5};
        low.low_rank->value_ranks = {8, 1};
        QCOMPARE(kvBytesPerToken(low, DType::F16), std::size_t(2 * ((3 + 8) + (5 + 1)) * 2));
        QCOMPARE(kvRatio(low), 17.0 / 32.0);

        const KvCache cache(*referenceBackend(), kvLayerSpecs(low, DType::F16), 3, 10);
        QCOMPARE(cache.bytes(), std::size_t(3 * 10 * 2 * ((3 + 8) + (5 + 1)) * 2));
        const KvView keys = cache.keys(1), values = cache.values(1);
        QVERIFY(keys.data != nullptr && keys.data != values.data && keys.data != cache.keys(0).data);
        QVERIFY(keys.dtype == DType::F16 && keys.batch == 3 && keys.heads == 2 && keys.capacity == 10);
        QCOMPARE(keys.width, 5);
        QCOMPARE(values.width, 1);
    }

    void lengthIsGuarded() {
        const ModelConfig config = readModelConfig(tinyOptConfig(), "config.json");
        KvCache cache(*referenceBackend(), kvLayerSpecs(config, DType::F32), 1, 10);
        QCOMPARE(cache.length(), 0);
        cache.advance(7);
        cache.advance(3);
        QCOMPARE(cache.length(), 10);
        QVERIFY_EXCEPTION_THROWN(cache.advance(1), Error);
        QVERIFY_EXCEPTION_THROWN(cache.truncate(11), Error);
        QVERIFY_EXCEPTION_THROWN(cache.truncate(-1), Error);
        cache.truncate(4);
        QCOMPARE(cache.length(), 4);
        QVERIFY_EXCEPTION_THROWN(cache.advance(-1), Error);
    }

    void impossibleSizesAreRefused() {
        const ModelConfig config = readModelConfig(tinyOptConfig(), "config.json");
        const auto make = [&](int batch, std::int64_t capacity) {
            KvCache(*referenceBackend(), kvLayerSpecs(config, DType::F32), batch, capacity);
        };
        QVERIFY_EXCEPTION_THROWN(make(0, 8), Error);
        QVERIFY_EXCEPTION_THROWN(make(1, 0), Error);
        QVERIFY_EXCEPTION_THROWN(make(1, std::int64_t{1} << 62), Error);
        QVERIFY_EXCEPTION_THROWN(make(1, std::int64_t{1} << 50), Error);  // fits 64 bits, not the machine
    }
};

QTEST_GUILESS_MAIN(TestKvCache)
#include "tst_kv_cache.moc"
