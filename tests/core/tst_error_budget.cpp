// SPDX-License-Identifier: Apache-2.0
// Tables of layer errors against PyTorch (tests/golden/method/make_allocation.py), and the ranks that an
// error budget takes from them against brute force.
#include "core/calibration/calibrate.h"
#include "core/compression/convert.h"
#include "core/evaluation/error_table.h"
#include "core/spectrum/allocation.h"
#include "core/spectrum/error_budget.h"
#include "tests/core/method_rows.h"
#include "tests/support/backends.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

#include <cmath>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

constexpr int kPoints = 6;  // as make_allocation.py measured

struct Calibrated {
    MethodGolden golden;
    std::shared_ptr<const SafetensorsFile> expected;
    Statistics statistics;
    std::shared_ptr<const Spectrum> spectrum;
};

Calibrated calibrated(const std::string& name, std::shared_ptr<Backend> backend) {
    Calibrated c{openMethodGolden(name, std::move(backend)), nullptr, {}, nullptr};
    c.expected = std::make_shared<SafetensorsFile>(methodGoldenDirectory(name) / "allocation.golden");
    JobContext job;
    c.statistics = calibrate(job, c.golden.open, c.golden.text, goldenCalibration(c.golden));
    c.spectrum = computeSpectrum(job, *c.golden.open.backend, c.statistics, "eigen");
    return c;
}

LayerErrorTable measure(const Calibrated& c, int points) {
    JobContext job;
    return measureErrorTable(job, c.golden.open, c.statistics, *c.spectrum, Criterion::Energy,
                             c.statistics.probe_windows, points, {});
}

std::shared_ptr<const Spectrum> anySpectrum(int layers, int head_dim) {
    JobContext job;
    return computeSpectrum(job, *referenceBackend(), randomStatistics(layers, 4, 2, head_dim, true, 3),
                           "eigen");
}

// Layers of very different size along straight paths; layer 1 has a bump: more rank, more error.
LayerErrorTable anyTable() {
    LayerErrorTable table;
    table.method = "eigen";
    table.criterion = "energy";
    table.windows = 1;
    table.sequence_length = 8;
    table.layers = {{{2, 1, 0.4}, {5, 3, 0.2}, {9, 8, 0.1}, {16, 16, 0}},
                    {{3, 2, 0.04}, {6, 6, 0.01}, {10, 9, 0.03}, {16, 16, 0}},
                    {{1, 4, 0.9}, {4, 9, 0.3}, {12, 12, 0.02}, {16, 16, 0}}};
    return table;
}

}  // namespace

class TestErrorBudget : public QObject {
    Q_OBJECT
private slots:
    void tablesAgreeWithPyTorch_data() { addMethodRows(); }
    void tablesAgreeWithPyTorch();
    void pathsAreOfOneThreshold();
    void smallestRanksWithinTheBudget();
    void ratiosAreMetByTheSmallestBudget();
    void fixedRanksStay();
    void plansKeepTheBudget();
    void filesKeepTables();
    void brokenTablesAreNamed();
    void badArguments();
    void cancels();
};

void TestErrorBudget::tablesAgreeWithPyTorch() {
    QFETCH(QString, name);
    QFETCH(QString, backend);
    const Calibrated c = calibrated(name.toStdString(), hostBackend(backend.toStdString()));
    const LayerErrorTable table = measure(c, kPoints);
    QCOMPARE(table.method, std::string("eigen"));
    QCOMPARE(table.criterion, std::string("energy"));
    QCOMPARE(table.windows, std::int64_t{3});
    QCOMPARE(table.layers.size(), std::size_t{2});
    const TensorRecord& record = c.expected->at("errors.ranks");
    std::vector<std::int32_t> ranks(static_cast<std::size_t>(record.count()));
    std::memcpy(ranks.data(), record.bytes.data(), record.bytes.size());
    std::vector<double> errors(ranks.size() / 2);
    std::memcpy(errors.data(), c.expected->at("errors.error").bytes.data(), errors.size() * sizeof(double));
    for (std::size_t layer = 0; layer < 2; ++layer) {
        QCOMPARE(table.layers[layer].size(), std::size_t{kPoints});
        for (std::size_t i = 0; i < kPoints; ++i) {
            const std::size_t at = layer * kPoints + i;
            const LayerErrorTable::Point& point = table.layers[layer][i];
            QCOMPARE(point.key_rank, ranks[2 * at]);
            QCOMPARE(point.value_rank, ranks[2 * at + 1]);
            // Float32 activations and bases rotated within nearly equal eigenvalues.
            QVERIFY2(std::abs(point.error - errors[at]) < 2e-5 + 1e-3 * errors[at],
                     qPrintable(QString("%1 %2: %3 %4").arg(layer).arg(i).arg(point.error).arg(errors[at])));
        }
    }
}

void TestErrorBudget::pathsAreOfOneThreshold() {
    const auto spectrum = anySpectrum(2, 16);
    for (Criterion criterion : {Criterion::Energy, Criterion::SingularValues}) {
        for (int points : {1, 2, 5, 16, 32, 100}) {
            const auto path = errorPath(*spectrum, 1, criterion, points);
            QCOMPARE(path.size(), static_cast<std::size_t>(points));
            QCOMPARE(path.back(), (std::pair{16, 16}));
            for (int i = 0; i < points; ++i) {
                // The largest pair of one threshold within the point's size, tried on a fine grid.
                const double most = std::ceil(32.0 * (i + 1) / points);
                std::pair<int, int> best{0, 0};
                for (int step = 0; step <= 20000; ++step) {
                    const double t = 1 - std::pow(step / 20000.0, 4);  // fine near 1
                    const std::pair pair{spectrum->rankOf(1, Side::Keys, t, criterion, 1),
                                         spectrum->rankOf(1, Side::Values, t, criterion, 1)};
                    if (pair.first + pair.second <= most && pair > best)
                        best = pair;
                }
                if (best.first > 0)
                    QCOMPARE(path[static_cast<std::size_t>(i)], best);
                else
                    QCOMPARE(path[static_cast<std::size_t>(i)], (std::pair{1, 1}));
            }
        }
    }
    QVERIFY(!errorOf([&] { errorPath(*spectrum, 0, Criterion::Energy, 0); }).empty());
}

void TestErrorBudget::smallestRanksWithinTheBudget() {
    const auto spectrum = anySpectrum(3, 16);
    RankPlan plan = fullPlan(*spectrum, 1);
    applyErrorBudget(plan, *spectrum, anyTable(), 0.1);
    QCOMPARE(plan.key_ranks, (std::vector<int>{9, 3, 12}));
    QCOMPARE(plan.value_ranks, (std::vector<int>{8, 2, 12}));
    QCOMPARE(plan.allocation, Allocation::ErrorBudget);
    QCOMPARE(plan.error_budget, 0.1);
    QCOMPARE(measuredErrors(plan, anyTable()), (std::vector<double>{0.1, 0.04, 0.02}));
    // Within the bump nothing is promised that a larger rank breaks.
    applyErrorBudget(plan, *spectrum, anyTable(), 0.02);
    QCOMPARE(plan.key_ranks, (std::vector<int>{16, 16, 12}));
    applyErrorBudget(plan, *spectrum, anyTable(), 0.0);
    QCOMPARE(plan.key_ranks, (std::vector<int>{16, 16, 16}));
    applyErrorBudget(plan, *spectrum, anyTable(), 5);
    QCOMPARE(plan.value_ranks, (std::vector<int>{1, 2, 4}));
    plan.rank_multiple = 4;
    applyErrorBudget(plan, *spectrum, anyTable(), 0.1);
    QCOMPARE(plan.key_ranks, (std::vector<int>{12, 4, 12}));
    QCOMPARE(plan.value_ranks, (std::vector<int>{8, 4, 12}));
    // Between two points the lower one's error counts; below the first none is known.
    plan.key_ranks = {8, 7, 0};
    plan.value_ranks = {16, 6, 16};
    const std::vector<double> errors = measuredErrors(plan, anyTable());
    QCOMPARE(errors[0], 0.2);
    QCOMPARE(errors[1], 0.03);  // the bump above it
    QVERIFY(std::isnan(errors[2]));
}

void TestErrorBudget::ratiosAreMetByTheSmallestBudget() {
    const auto spectrum = anySpectrum(3, 16);
    for (int multiple : {1, 4}) {
        for (double target : {0.3, 0.42, 0.5, 0.6, 0.77, 0.9, 1.0}) {
            RankPlan plan = fullPlan(*spectrum, multiple);
            applyErrorBudgetRatio(plan, *spectrum, anyTable(), target);
            QVERIFY(kvRatioOf(plan, 16) <= target + 1e-9);
            QCOMPARE(plan.kv_target, std::optional(target));
            // Any smaller budget, from a fine grid, would need more.
            for (int step = 0; step < 1000; ++step) {
                const double budget = plan.error_budget * step / 1000;
                RankPlan other = fullPlan(*spectrum, multiple);
                applyErrorBudget(other, *spectrum, anyTable(), budget);
                QVERIFY(kvRatioOf(other, 16) > target || other.key_ranks == plan.key_ranks);
            }
        }
    }
    RankPlan plan = fullPlan(*spectrum, 1);
    QCOMPARE(errorOf([&] { applyErrorBudgetRatio(plan, *spectrum, anyTable(), 0.1); }),
             std::string("KV ratio 0.1 cannot be had: the smallest ranks give 0.1354"));  // 13 of 96
    MeasuredTables tables;
    tables.set(anyTable());
    plan.allocation = Allocation::ErrorBudget;
    QCOMPARE(smallestRatio(plan, *spectrum, tables), 13.0 / 96);
}

void TestErrorBudget::fixedRanksStay() {
    const auto spectrum = anySpectrum(3, 16);
    MeasuredTables tables;
    tables.set(anyTable());
    RankPlan plan = fullPlan(*spectrum, 1);
    pinRank(plan, *spectrum, Side::Keys, 0, 1);
    setLayerThreshold(plan, *spectrum, Side::Values, 1, 0.8);
    applyErrorBudget(plan, *spectrum, anyTable(), 0.1);
    QCOMPARE(plan.key_ranks[0], 1);
    QCOMPARE(plan.value_ranks[0], 8);
    QCOMPARE(plan.value_ranks[1], spectrum->rankOf(1, Side::Values, 0.8, Criterion::Energy, 1));
    QVERIFY(std::isnan(measuredErrors(plan, anyTable())[0]));
    unpin(plan, *spectrum, tables, Side::Keys, 0);
    QCOMPARE(plan.key_ranks[0], 9);
    QCOMPARE(plan.error_budget, 0.1);
}

void TestErrorBudget::plansKeepTheBudget() {
    const auto spectrum = anySpectrum(3, 16);
    const TemporaryDirectory directory;
    RankPlan plan = fullPlan(*spectrum, 1);
    applyErrorBudgetRatio(plan, *spectrum, anyTable(), 0.6);
    savePlan(plan, directory / "p.json");
    QVERIFY(loadPlan(directory / "p.json") == plan);
}

void TestErrorBudget::filesKeepTables() {
    const TemporaryDirectory directory;
    Statistics s = randomStatistics(3, 4, 2, 16, true, 8);
    s.tables.set(anyTable());
    LayerErrorTable other = anyTable();
    other.criterion = "singular-values";
    other.options = {.share_key_basis = true, .center = true};
    other.layers[2][0].error = 0.8;
    s.tables.set(other);
    saveStatistics(s, directory / "x");
    const Statistics t = loadStatistics(directory / "x");
    QVERIFY(t.tables == s.tables);
    QVERIFY(*t.tables.findLayerErrors("eigen", other.options, "singular-values") == other);
    QVERIFY(!t.tables.findLayerErrors("eigen", other.options, "energy"));
    other.windows = 7;
    s.tables.set(other);
    QCOMPARE(s.tables.layer_errors.size(), std::size_t{2});
}

void TestErrorBudget::brokenTablesAreNamed() {
    const TemporaryDirectory directory;
    Statistics s = randomStatistics(3, 4, 2, 16, true, 8);
    const auto message = [&](const std::function<void(LayerErrorTable&)>& change) {
        LayerErrorTable table = anyTable();
        change(table);
        s.tables.layer_errors = {table};
        saveStatistics(s, directory / "x");
        return errorOf([&] { loadStatistics(directory / "x"); });
    };
    QCOMPARE(message([](LayerErrorTable&) {}), std::string());
    QVERIFY(message([](LayerErrorTable& t) {
                t.layers[1][3].value_rank = 15;
            }).find("layer_errors.0.ranks: expected the full rank, 16") != std::string::npos);
    QVERIFY(message([](LayerErrorTable& t) {
                t.layers[1][1].key_rank = 2;
            }).find("layer_errors.0.ranks: expected ranks above 0 that do not fall") != std::string::npos);
    QVERIFY(message([](LayerErrorTable& t) {
                t.layers[0][0].value_rank = 0;
            }).find("layer_errors.0.ranks: expected ranks above 0") != std::string::npos);
    QVERIFY(message([](LayerErrorTable& t) {
                t.layers[2][1].error = -1;
            }).find("layer_errors.0.error: holds a negative error") != std::string::npos);
    QVERIFY(message([](LayerErrorTable& t) {
                t.layers[2][1].error = NAN;
            }).find("layer_errors.0.error: holds a number that is not finite") != std::string::npos);
    QVERIFY(message([](LayerErrorTable& t) { t.windows = 0; }).find("layer_errors.0.windows") !=
            std::string::npos);
    LayerErrorTable ragged = anyTable();
    ragged.layers[1].pop_back();
    s.tables.layer_errors = {ragged};
    QVERIFY(!errorOf([&] { saveStatistics(s, directory / "y"); }).empty());
}

void TestErrorBudget::badArguments() {
    const auto spectrum = anySpectrum(2, 16);
    RankPlan plan = fullPlan(*spectrum, 1);
    const RankPlan before = plan;
    QVERIFY(errorOf([&] { applyErrorBudget(plan, *spectrum, anyTable(), 0.1); }).find("other layers") !=
            std::string::npos);
    const auto fits = anySpectrum(3, 16);
    RankPlan three = fullPlan(*fits, 1);
    QVERIFY(errorOf([&] { applyErrorBudget(three, *fits, anyTable(), -0.1); }).find("error budget") !=
            std::string::npos);
    QVERIFY(!errorOf([&] { applyErrorBudget(three, *fits, anyTable(), NAN); }).empty());
    QVERIFY(!errorOf([&] { applyErrorBudgetRatio(three, *fits, anyTable(), 1.2); }).empty());
    QVERIFY(plan == before);
    Calibrated c = calibrated("opt", referenceBackend());
    c.statistics.probe_windows[1].pop_back();
    QVERIFY(errorOf([&] { measure(c, 3); }).find("windows of one length") != std::string::npos);
    c.statistics.probe_windows.clear();
    QVERIFY(errorOf([&] { measure(c, 3); }).find("no windows") != std::string::npos);
}

void TestErrorBudget::cancels() {
    const Calibrated c = calibrated("mpt", referenceBackend());
    std::stop_source stop;
    JobContext job(stop.get_token(), [&](const Progress& p) {
        if (p.stage == "measuring layer errors")
            stop.request_stop();
    });
    QVERIFY_EXCEPTION_THROWN(measureErrorTable(job, c.golden.open, c.statistics, *c.spectrum,
                                               Criterion::Energy, c.statistics.probe_windows, 4, {}),
                             Cancelled);
}

QTEST_GUILESS_MAIN(TestErrorBudget)
#include "tst_error_budget.moc"
