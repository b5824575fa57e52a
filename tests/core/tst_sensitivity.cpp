// SPDX-License-Identifier: Apache-2.0
// Sensitivity tables: each entry against the comparison of the original with a whole conversion in which only
// that rank is lower.
#include "core/calibration/calibrate.h"
#include "core/compression/convert.h"
#include "core/evaluation/compare.h"
#include "core/evaluation/sensitivity.h"
#include "core/model/transformer.h"
#include "core/spectrum/allocation.h"
#include "tests/core/method_support.h"
#include "tests/support/backends.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

#include <cmath>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

// Probabilities are float32 in the tables, relative rounding 6e-8 each; logits of both ways differ by
// rounding too.
constexpr double kKlError = 1e-6;

struct Measured {
    MethodGolden golden;
    Statistics statistics;
    std::shared_ptr<const Spectrum> spectrum;
    PerplexityOptions options;
    std::vector<std::vector<TokenId>> windows;
};

Measured prepare(const std::string& name, const std::string& method, std::shared_ptr<Backend> backend) {
    Measured m;
    m.golden = openMethodGolden(name, std::move(backend));
    JobContext job;
    CalibrationOptions calibration;
    calibration.samples = 2;
    calibration.sequence_length = 40;
    m.statistics = calibrate(job, m.golden.open, m.golden.text, calibration);
    m.spectrum = computeSpectrum(job, *m.golden.open.backend, m.statistics, method);
    m.options.sequence_length = 30;
    m.options.windows = 3;
    m.windows = evaluationWindows(job, *m.golden.open.tokenizer, m.golden.open.model->config.max_positions,
                                  m.golden.text, m.options);
    return m;
}

SensitivityTable measure(const Measured& m, const std::vector<int>& grid) {
    JobContext job;
    return measureSensitivity(job, m.golden.open, m.statistics, *m.spectrum, m.windows, grid, {});
}

}  // namespace

class TestSensitivity : public QObject {
    Q_OBJECT
private slots:
    void grids();
    void entriesEqualWholeConversions_data();
    void entriesEqualWholeConversions();
    void quantisedEntriesEqualWholeConversions();
    void badQuantisedGrids();
    void logitsOfHiddenStates();
    void filesKeepTables();
    void brokenTablesAreNamed();
    void badArguments();
    void cancels();
};

void TestSensitivity::grids() {
    QCOMPARE(rankGrid(64, 16),
             (std::vector<int>{4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60, 64}));
    QCOMPARE(rankGrid(5, 16), (std::vector<int>{1, 2, 3, 4, 5}));
    QCOMPARE(rankGrid(10, 3), (std::vector<int>{4, 7, 10}));
    QCOMPARE(rankGrid(7, 1), std::vector<int>{7});
    QVERIFY(!errorOf([] { rankGrid(8, 0); }).empty());
}

void TestSensitivity::entriesEqualWholeConversions_data() {
    QTest::addColumn<QString>("name");
    QTest::addColumn<QString>("method");
    QTest::addColumn<QString>("backend");
    for (const auto& backend : hostBackends()) {
        for (const std::string& name : methodGoldenNames()) {
            for (const char* method : {"eigen", "attention-aware"})
                QTest::addRow("%s %s on %s", name.c_str(), method, backend->info().backend.c_str())
                    << QString::fromStdString(name) << QString(method)
                    << QString::fromStdString(backend->info().backend);
        }
    }
}

void TestSensitivity::entriesEqualWholeConversions() {
    QFETCH(QString, name);
    QFETCH(QString, method);
    QFETCH(QString, backend);
    const Measured m = prepare(name.toStdString(), method.toStdString(), hostBackend(backend.toStdString()));
    const int width = m.statistics.head_dim;
    const std::vector<int> grid{2, width / 2, width - 1, width};
    const SensitivityTable table = measure(m, grid);
    QCOMPARE(table.method, method.toStdString());
    QCOMPARE(table.ranks, grid);
    QCOMPARE(table.windows, std::int64_t{3});
    QCOMPARE(table.sequence_length, std::int64_t{30});
    QCOMPARE(table.kl.size(), std::size_t{2 * 2 * 4});
    JobContext job;
    for (std::size_t layer = 0; layer < 2; ++layer) {
        for (std::size_t side = 0; side < 2; ++side) {
            QCOMPARE(table.at(layer, side, 3), 0.0);
            QVERIFY(table.at(layer, side, 0) > table.at(layer, side, 2));
            QVERIFY(table.at(layer, side, 0) > 1e-4);  // far above the error allowed below
            for (std::size_t i = 0; i < 3; ++i) {
                RankPlan plan = fullPlan(*m.spectrum, 1);
                (side == 0 ? plan.key_ranks : plan.value_ranks)[layer] = grid[i];
                const OpenModel converted =
                    convertInMemory(job, m.golden.open, m.statistics, *m.spectrum, plan);
                const double expected =
                    compareModels(job, m.golden.open, converted, m.golden.text, m.options).kl_divergence;
                const double found = table.at(layer, side, i);
                QVERIFY2(std::abs(found - expected) < kKlError + 1e-4 * expected,
                         qPrintable(QString("%1 %2 %3").arg(i).arg(found).arg(expected)));
            }
        }
    }
}

// Bits on top: each entry against a whole conversion whose cache has that side alone in codes.
void TestSensitivity::quantisedEntriesEqualWholeConversions() {
    for (const std::string& name : methodGoldenNames()) {
        const Measured m = prepare(name, "attention-aware", hostBackend("cpu"));
        const int width = m.statistics.head_dim;
        const QuantisedGrid grid{.bits = {4, 2}, .ranks = {width / 2, width}, .group = 8, .recent = 4};
        JobContext job;
        const SensitivityTable table = measureSensitivity(job, m.golden.open, m.statistics, *m.spectrum,
                                                          m.windows, {width / 2, width}, {}, grid);
        QVERIFY(table.quantised && table.quantised->grid == grid);
        QCOMPARE(table.quantised->kl.size(), std::size_t{2 * 2 * 2 * 2});
        for (std::size_t layer = 0; layer < 2; ++layer) {
            for (std::size_t side = 0; side < 2; ++side) {
                for (std::size_t b = 0; b < 2; ++b) {
                    for (std::size_t r = 0; r < 2; ++r) {
                        RankPlan plan = fullPlan(*m.spectrum, 1);
                        (side == 0 ? plan.key_ranks : plan.value_ranks)[layer] = grid.ranks[r];
                        plan.kv_bits = KvBits::uniform(2, kUnquantised, kUnquantised);
                        (side == 0 ? plan.kv_bits.keys : plan.kv_bits.values)[layer] = grid.bits[b];
                        plan.kv_bits.group = 8;
                        plan.kv_bits.recent = 4;
                        const OpenModel converted =
                            convertInMemory(job, m.golden.open, m.statistics, *m.spectrum, plan);
                        const double expected =
                            compareModels(job, m.golden.open, converted, m.golden.text, m.options)
                                .kl_divergence;
                        const double found = table.quantised->at(layer, side, b, r);
                        // A code may fall to the other side of a step by rounding: a step is 1/3 of a
                        // group's range at 2 bits, of one number among many.
                        QVERIFY2(std::abs(found - expected) < kKlError + 1e-2 * expected,
                                 qPrintable(QString("%1 %2 %3 %4 %5: %6 %7")
                                                .arg(QString::fromStdString(name))
                                                .arg(layer)
                                                .arg(side)
                                                .arg(b)
                                                .arg(r)
                                                .arg(found)
                                                .arg(expected)));
                        if (grid.bits[b] == 2)
                            QVERIFY(found > 1e-5);  // far above what is allowed: the cache was quantised
                    }
                }
            }
        }
    }
}

void TestSensitivity::badQuantisedGrids() {
    const Measured m = prepare("opt", "eigen", referenceBackend());
    const auto message = [&](const QuantisedGrid& grid) {
        JobContext job;
        return errorOf([&] {
            measureSensitivity(job, m.golden.open, m.statistics, *m.spectrum, m.windows, {16}, {}, grid);
        });
    };
    QVERIFY(message({.bits = {5}, .ranks = {16}}).find("expected 8, 4, 3 or 2") != std::string::npos);
    QVERIFY(message({.bits = {0}, .ranks = {16}}).find("expected 8, 4, 3 or 2") != std::string::npos);
    QVERIFY(message({.bits = {2, 4}, .ranks = {16}}).find("descending") != std::string::npos);
    QVERIFY(message({.bits = {4}, .ranks = {8}}).find("full rank, 16") != std::string::npos);
    QVERIFY(message({.bits = {4}, .ranks = {16}, .group = 12}).find("KV group 12") != std::string::npos);
    QCOMPARE(quantisedRanks({2, 4, 6, 8}), (std::vector<int>{4, 8}));
    QCOMPARE(quantisedRanks({3, 6, 9}), (std::vector<int>{3, 9}));
    QCOMPARE(quantisedRanks({16}), std::vector<int>{16});
}

void TestSensitivity::logitsOfHiddenStates() {
    struct Last : LayerObserver {
        std::vector<float> hidden;
        std::int64_t width = 0;
        void onLayerOutput(int, const TensorView& view) override {
            hidden.assign(view.f32(), view.f32() + view.shape.count());  // host backends only
            width = view.shape[1];
        }
    };
    for (const std::string& name : methodGoldenNames()) {
        const MethodGolden golden = openMethodGolden(name, referenceBackend());
        const Transformer transformer(golden.open.backend, golden.open.model);
        Session session = transformer.createSession({.max_rows = 9, .stop = {}});
        KvCache cache = transformer.createCache(DType::F32, 9);
        std::vector<TokenId> ids = golden.ids("ids");
        ids.resize(9);
        Last last;
        const TensorView all = transformer.forward(session, ids, cache, LogitsOf::All, &last);
        const std::vector<float> expected(all.f32(), all.f32() + all.shape.count());
        Tensor hidden = makeTensor(*golden.open.backend, DType::F32, {9, last.width});
        std::copy(last.hidden.begin(), last.hidden.end(), hidden.f32());
        const TensorView found = transformer.logits(session, hidden.rows(2, 5).view());
        QCOMPARE(found.shape, (Shape{5, golden.open.model->config.vocab_size}));
        QVERIFY(std::equal(found.f32(), found.f32() + found.shape.count(),
                           expected.begin() + 2 * found.shape[1]));
        const Tensor wide = makeTensor(*golden.open.backend, DType::F32, {10, last.width});
        QVERIFY(errorOf([&] { transformer.logits(session, wide.view()); }).find("expected f32 [1 to 9") !=
                std::string::npos);
    }
}

void TestSensitivity::filesKeepTables() {
    const Measured m = prepare("llama", "eigen", referenceBackend());
    Statistics s = m.statistics;
    SensitivityTable table = measure(m, {4, 16});
    table.text = "text.txt";
    table.fingerprint = "0123456789abcdef";
    s.tables.set(table);
    SensitivityTable shared = table;
    shared.options.share_key_basis = true;
    shared.ranks = {16};
    shared.kl = {0, 0, 0, 0};
    s.tables.set(shared);
    const TemporaryDirectory directory;
    saveStatistics(s, directory / "x");
    Statistics t = loadStatistics(directory / "x");
    QVERIFY(t.tables == s.tables);
    QVERIFY(*t.tables.findSensitivity("eigen", {}) == table);
    QVERIFY(*t.tables.findSensitivity("eigen", {.share_key_basis = true, .center = false}) == shared);
    QVERIFY(!t.tables.findSensitivity("attention-aware", {}));
    QCOMPARE(t.layers[1].logit_queries.gram, s.layers[1].logit_queries.gram);  // what else there was is kept
    table.windows = 5;
    t.tables.set(table);
    QCOMPARE(t.tables.sensitivity.size(), std::size_t{2});
    QCOMPARE(t.tables.findSensitivity("eigen", {})->windows, std::int64_t{5});
}

void TestSensitivity::brokenTablesAreNamed() {
    const TemporaryDirectory directory;
    Statistics s = randomStatistics(2, 4, 2, 5, true, 8);
    SensitivityTable table;
    table.method = "eigen";
    table.windows = 1;
    table.sequence_length = 2;
    table.ranks = {2, 5};
    table.kl = {1, 0, 1, 0, 1, 0, 1, 0};
    s.tables.sensitivity = {table};
    const auto message = [&](const SensitivityTable& broken) {
        s.tables.sensitivity = {broken};
        saveStatistics(s, directory / "x");
        return errorOf([&] { loadStatistics(directory / "x"); });
    };
    QCOMPARE(message(table), std::string());
    SensitivityTable broken = table;
    broken.ranks = {2, 4};
    QVERIFY(message(broken).find("sensitivity.0.ranks: expected the full rank, 5") != std::string::npos);
    broken.ranks = {5, 5};
    QVERIFY(message(broken).find("sensitivity.0.ranks: expected ascending") != std::string::npos);
    broken = table;
    broken.kl[3] = -1;
    QVERIFY(message(broken).find("sensitivity.0.kl: holds a negative") != std::string::npos);
    broken.kl[3] = NAN;
    QVERIFY(message(broken).find("sensitivity.0.kl: holds a number that is not finite") != std::string::npos);
    broken = table;
    broken.windows = 0;
    QVERIFY(message(broken).find("sensitivity.0.windows") != std::string::npos);
    s.tables.sensitivity = {table};
    s.tables.sensitivity[0].kl.pop_back();
    QVERIFY(!errorOf([&] { saveStatistics(s, directory / "y"); }).empty());
}

void TestSensitivity::badArguments() {
    Measured m = prepare("opt", "eigen", referenceBackend());
    QVERIFY(errorOf([&] { measure(m, {}); }).find("grid") != std::string::npos);
    QVERIFY(errorOf([&] { measure(m, {4, 4, 16}); }).find("grid") != std::string::npos);
    QVERIFY(errorOf([&] { measure(m, {4, 12}); }).find("full rank, 16") != std::string::npos);
    m.windows[1].pop_back();
    QVERIFY(errorOf([&] { measure(m, {4, 16}); }).find("a window of 29 tokens") != std::string::npos);
    m.windows.clear();
    QVERIFY(errorOf([&] { measure(m, {4, 16}); }).find("no windows") != std::string::npos);
    Measured other = prepare("llama", "eigen", referenceBackend());
    other.statistics = m.statistics;
    QVERIFY(errorOf([&] { measure(other, {4, 16}); }).find("whose weights differ") != std::string::npos);
}

void TestSensitivity::cancels() {
    const Measured m = prepare("mpt", "eigen", referenceBackend());
    std::stop_source stop;
    JobContext job(stop.get_token(), [&](const Progress& p) {
        if (p.stage == "measuring sensitivity")
            stop.request_stop();
    });
    QVERIFY_EXCEPTION_THROWN(
        measureSensitivity(job, m.golden.open, m.statistics, *m.spectrum, m.windows, {4, 12}, {}), Cancelled);
}

QTEST_GUILESS_MAIN(TestSensitivity)
#include "tst_sensitivity.moc"
