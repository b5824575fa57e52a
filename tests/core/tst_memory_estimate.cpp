// SPDX-License-Identifier: Apache-2.0
// Estimates against what sessions and caches allocate, and against sums done here by hand.
#include "core/benchmark/memory_estimate.h"
#include "core/model/transformer.h"
#include "tests/support/backends.h"
#include "tests/support/golden_model.h"
#include "tests/support/random_checkpoint.h"

#include <QTest>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

// The next multiple of a cache line, which every array in the arena begins at.
std::int64_t line(std::int64_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

class TestMemoryEstimate : public QObject {
    Q_OBJECT
private slots:
    void estimateIsWhatIsAllocated_data() {
        QTest::addColumn<QString>("model");
        for (const std::string& name : goldenModelNames()) {
            QTest::newRow(name.c_str()) << QString::fromStdString(name);
        }
    }
    void estimateIsWhatIsAllocated() {
        QFETCH(QString, model);
        const GoldenModel golden = openGoldenModel(model.toStdString(), referenceBackend());
        const ModelConfig& config = golden.open.model->config;
        const Transformer transformer(golden.open.backend, golden.open.model);
        constexpr int kBatch = 2;
        constexpr std::int64_t kContext = 20, kRows = 14;
        Session session = transformer.createSession({.max_rows = kRows});
        KvCache cache = transformer.createCache(DType::F16, kContext, kBatch);
        transformer.forward(session, std::span(golden.ids).first(kRows), cache, LogitsOf::Last);
        const MemoryEstimate estimate = estimateMemory(config, 1000, kContext, kBatch, DType::F16, kRows);
        QCOMPARE(estimate.weight_bytes, 1000);
        QCOMPARE(estimate.kv_bytes, static_cast<std::int64_t>(cache.bytes()));
        QCOMPARE(estimate.scratch_bytes, static_cast<std::int64_t>(session.activationBytes()));
        QCOMPARE(session.scratchBytes(), session.activationBytes() + session.stream().scratchBytes());
        QCOMPARE(estimate.total(), 1000 + estimate.kv_bytes + estimate.scratch_bytes);
    }

    // Codes, scales and exact rows: the estimate counts what a cache allocates.
    void quantisedCachesAreCounted() {
        for (const Json& json : {tinyLlamaConfig(), tinyOptConfig()}) {
            ModelConfig config = readModelConfig(json, "config.json");
            for (const int bits : {8, 4, 3, 2}) {
                for (const KvGrouping keys : {KvGrouping::Token, KvGrouping::Channel}) {
                    for (const int recent : {0, 5}) {
                        KvFormat format = KvFormat::quantised(bits, DType::F16);
                        format.keys = keys, format.recent = recent, format.group = 8;
                        for (const std::int64_t context : {3, 20, 61}) {
                            const KvCache cache(*referenceBackend(), kvLayerSpecs(config, format), 2, context,
                                                7);
                            QCOMPARE(estimateMemory(config, 0, context, 2, format, 14).kv_bytes,
                                     static_cast<std::int64_t>(cache.bytes()));
                        }
                        const std::int64_t found = longestContext(config, 10000, 300000, 2, format, 14);
                        QVERIFY(estimateMemory(config, 10000, found, 2, format, 14).total() <= 300000);
                        QVERIFY(estimateMemory(config, 10000, found + 1, 2, format, 14).total() > 300000);
                    }
                }
            }
        }
    }

    void scratchByHand() {
        const ModelConfig llama = readModelConfig(tinyLlamaConfig(), "config.json");
        const std::int64_t rows = 3;
        // Hidden states before and after norm, ids, and a step's position.
        const std::int64_t common = 2 * line(rows * 32 * 4) + line(rows * 4) + line(16);
        const std::int64_t attention = 2 * line(rows * 32 * 4) + 2 * line(rows * 16 * 4);
        const std::int64_t mlp = 2 * line(rows * 48 * 4);
        QCOMPARE(estimateMemory(llama, 0, 100, 1, DType::F32, rows).scratch_bytes,
                 common + std::max(attention, mlp) + 64 * 4);
        // OPT: no gate, a list of positions.
        const ModelConfig opt = readModelConfig(tinyOptConfig(), "config.json");
        QCOMPARE(estimateMemory(opt, 0, 100, 1, DType::F32, rows).scratch_bytes,
                 common + line(66 * 4) + 4 * line(rows * 32 * 4) + 64 * 4);
        // No more rows than tokens; one for each sequence at least.
        QCOMPARE(estimateMemory(llama, 0, 3, 1, DType::F32, 256).scratch_bytes,
                 estimateMemory(llama, 0, 100, 1, DType::F32, 3).scratch_bytes);
        QCOMPARE(estimateMemory(llama, 0, 100, 8, DType::F32, 1).scratch_bytes,
                 estimateMemory(llama, 0, 100, 8, DType::F32, 8).scratch_bytes);
        QVERIFY_EXCEPTION_THROWN(estimateMemory(llama, 0, 0, 1, DType::F32), Error);
        QVERIFY_EXCEPTION_THROWN(estimateMemory(llama, 0, 1, 0, DType::F32), Error);
    }

    // The longest context fits, and one position more does not.
    void longestContextIsTight() {
        ModelConfig config = readModelConfig(tinyLlamaConfig(), "config.json");
        for (const bool low_rank : {false, true}) {
            if (low_rank) {
                config.low_rank = LowRankDescription{};
                config.low_rank->key_ranks = {3, 5};
                config.low_rank->value_ranks = {8, 1};
            }
            for (const int batch : {1, 5}) {
                for (const std::int64_t memory : {20000, 150000, 1000003, 70000001}) {
                    const std::int64_t found = longestContext(config, 10000, memory, batch, DType::F16, 64);
                    const auto total = [&](std::int64_t context) {
                        return estimateMemory(config, 10000, context, batch, DType::F16, 64).total();
                    };
                    if (found > 0) {
                        QVERIFY(total(found) <= memory);
                    }
                    QVERIFY(total(found + 1) > memory);
                }
            }
        }
        QCOMPARE(longestContext(config, 10000, 10000, 1, DType::F16), 0);
        QCOMPARE(longestContext(config, 10000, 0, 1, DType::F16), 0);
    }
};

QTEST_GUILESS_MAIN(TestMemoryEstimate)
#include "tst_memory_estimate.moc"
