// SPDX-License-Identifier: Apache-2.0
// Allocation by measured curves, against brute force over all choices.
#include "core/base/atomic_output.h"
#include "core/spectrum/allocation.h"
#include "tests/core/method_support.h"
#include "tests/support/backends.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

double lossOf(const std::vector<RankCurve>& curves, const std::vector<std::size_t>& choice) {
    double sum = 0;
    for (std::size_t i = 0; i < curves.size(); ++i)
        sum += curves[i].loss[choice[i]];
    return sum;
}

std::int64_t rankSum(const std::vector<RankCurve>& curves, const std::vector<std::size_t>& choice) {
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < curves.size(); ++i)
        sum += curves[i].ranks[choice[i]];
    return sum;
}

// The least loss of all choices within the budget.
double bruteForce(const std::vector<RankCurve>& curves, std::int64_t budget, std::size_t first = 0) {
    if (first == curves.size())
        return budget >= 0 ? 0 : std::numeric_limits<double>::infinity();
    double best = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < curves[first].ranks.size(); ++i)
        best = std::min(
            best, curves[first].loss[i] + bruteForce(curves, budget - curves[first].ranks[i], first + 1));
    return best;
}

// Four curves over ranks 1 to 6. Convex ones fall by less with each rank.
std::vector<RankCurve> randomCurves(std::mt19937_64& random, bool convex) {
    std::vector<RankCurve> curves;
    for (int c = 0; c < 4; ++c) {
        std::vector<double> falls;
        const double size = std::exp2(static_cast<double>(random() % 12));
        for (int i = 0; i < 5; ++i)
            falls.push_back(size * static_cast<double>(random() % 1000) / 1000);
        if (convex)
            std::sort(falls.begin(), falls.end(), std::greater<>());
        RankCurve curve;
        double loss = 0;
        for (double fall : falls)
            loss += fall;
        for (int rank = 1; rank <= 6; ++rank) {
            curve.ranks.push_back(rank);
            curve.loss.push_back(loss);
            if (rank < 6)
                loss -= falls[static_cast<std::size_t>(rank - 1)];
        }
        curves.push_back(std::move(curve));
    }
    return curves;
}

std::shared_ptr<const Spectrum> anySpectrum(int layers, int head_dim) {
    JobContext job;
    return computeSpectrum(job, *referenceBackend(), randomStatistics(layers, 4, 2, head_dim, true, 3),
                           "eigen");
}

// Layers' curves of very different size, keys above values.
SensitivityTable anyTable(std::size_t layers, int head_dim, const std::vector<int>& ranks) {
    SensitivityTable table;
    table.method = "eigen";
    table.ranks = ranks;
    for (std::size_t layer = 0; layer < layers; ++layer) {
        for (double size : {1.0, 0.1}) {
            for (int rank : ranks)
                table.kl.push_back(size * std::pow(4.0, static_cast<double>(layer)) *
                                   (std::exp(-4.0 * rank / head_dim) - std::exp(-4.0)));
        }
    }
    return table;
}

}  // namespace

class TestAllocation : public QObject {
    Q_OBJECT
private slots:
    void convexCurvesGetTheBest();
    void anyCurvesComeClose();
    void budgets();
    void curves();
    void plansMeetTheRatio();
    void neverWorseThanUniform();
    void pinnedRanksStay();
    void unpinnedRanksGoBackToTheAllocation();
    void missingTablesLeaveRanks();
    void impossibleTargets();
    void plansKeepTheirAllocation();
};

void TestAllocation::convexCurvesGetTheBest() {
    std::mt19937_64 random(1);
    for (int round = 0; round < 30; ++round) {
        const std::vector<RankCurve> curves = randomCurves(random, true);
        for (std::int64_t budget = 4; budget <= 24; ++budget) {
            const auto choice = allocate(curves, budget);
            const double best = bruteForce(curves, budget);
            QVERIFY(rankSum(curves, choice) <= budget);
            QVERIFY2(lossOf(curves, choice) <= best + 1e-9 * (1 + best),
                     qPrintable(QString("%1 against %2").arg(lossOf(curves, choice)).arg(best)));
        }
    }
}

// On curves with flat parts the best choice is hard to find in general. What is promised is the best for the
// price reached, so at most one curve's step is lost against the convex hulls; on average it is little.
void TestAllocation::anyCurvesComeClose() {
    std::mt19937_64 random(2);
    double found = 0, least = 0;
    for (int round = 0; round < 30; ++round) {
        const std::vector<RankCurve> curves = randomCurves(random, false);
        for (std::int64_t budget = 4; budget <= 24; ++budget) {
            const auto choice = allocate(curves, budget);
            QVERIFY(rankSum(curves, choice) <= budget);
            found += lossOf(curves, choice);
            least += bruteForce(curves, budget);
        }
    }
    QVERIFY2(found < 1.03 * least, qPrintable(QString("%1 against %2").arg(found).arg(least)));
}

void TestAllocation::budgets() {
    std::mt19937_64 random(3);
    const std::vector<RankCurve> curves = randomCurves(random, true);
    QCOMPARE(allocate(curves, 4), std::vector<std::size_t>(4, 0));
    QCOMPARE(lossOf(curves, allocate(curves, 24)), lossOf(curves, {5, 5, 5, 5}));
    QCOMPARE(allocate(curves, 1000), allocate(curves, 24));
    QVERIFY(errorOf([&] { allocate(curves, 3); }).find("exceed the budget: 4 of 3") != std::string::npos);
    QVERIFY(allocate({}, 0).empty());
    // Nothing to gain: nothing is spent.
    const std::vector<RankCurve> flat{{{1, 2, 3}, {0, 0, 0}}, {{2, 4}, {1e-9, 0}}};
    QCOMPARE(allocate(flat, 7), (std::vector<std::size_t>{0, 1}));
    // Losses of any size.
    for (double scale : {1e-200, 1e-12, 1e12}) {
        const std::vector<RankCurve> scaled{{{1, 2, 3}, {3 * scale, scale, 0}},
                                            {{1, 2, 3}, {9 * scale, scale, 0}}};
        QCOMPARE(allocate(scaled, 3), (std::vector<std::size_t>{0, 1}));
        QCOMPARE(allocate(scaled, 4), (std::vector<std::size_t>{1, 1}));
    }
}

void TestAllocation::curves() {
    SensitivityTable table;
    table.ranks = {4, 8, 10};
    table.kl = {0.5, 0.7, 0.0, 0.9, 0.1, 0.0};  // keys: not monotone as measured
    const RankCurve keys = curveOf(table, 0, Side::Keys, 1);
    QCOMPARE(keys.ranks, (std::vector<int>{4, 5, 6, 7, 8, 9, 10}));
    QCOMPARE(keys.loss[0], 0.7);
    QCOMPARE(keys.loss[4], 0.7);
    QCOMPARE(keys.loss[5], 0.35);
    QCOMPARE(keys.loss[6], 0.0);
    const RankCurve values = curveOf(table, 0, Side::Values, 3);
    QCOMPARE(values.ranks, (std::vector<int>{6, 9, 10}));  // the head dimension whatever the multiple
    QVERIFY(std::abs(values.loss[0] - 0.5) < 1e-15);
    QVERIFY(std::abs(values.loss[1] - 0.05) < 1e-15);
    QCOMPARE(curveOf(table, 0, Side::Values, 64).ranks, std::vector<int>{10});
}

void TestAllocation::plansMeetTheRatio() {
    const auto spectrum = anySpectrum(3, 16);
    const SensitivityTable table = anyTable(3, 16, {1, 2, 4, 8, 12, 16});
    for (int multiple : {1, 2, 4}) {
        double previous = INFINITY;
        for (double target : {0.26, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9, 1.0}) {
            RankPlan plan = fullPlan(*spectrum, multiple);
            applySensitivity(plan, *spectrum, table, target);
            const double ratio = kvRatioOf(plan, 16);
            QVERIFY(ratio <= target + 1e-9);
            QVERIFY(ratio >
                    target - static_cast<double>(multiple) / (3 * 2 * 16) - 1e-9);  // no rank fits any more
            QCOMPARE(plan.allocation, Allocation::Sensitivity);
            for (int rank : plan.key_ranks)
                QCOMPARE(rank % multiple, 0);
            QVERIFY(plan.key_ranks[2] >= plan.key_ranks[0]);  // costs 16 times as much
            QVERIFY(plan.key_ranks[1] >= plan.value_ranks[1]);
            const double loss = expectedDivergence(plan, table);
            QVERIFY(loss <= previous);
            previous = loss;
        }
        QVERIFY(previous < 1e-12);  // ratio 1 loses nothing
    }
}

void TestAllocation::neverWorseThanUniform() {
    const auto spectrum = anySpectrum(4, 16);
    const SensitivityTable table = anyTable(4, 16, {1, 3, 6, 9, 13, 16});
    for (int rank = 1; rank <= 16; ++rank) {
        RankPlan uniform = fullPlan(*spectrum, 1), plan = uniform;
        uniform.key_ranks.assign(4, rank);
        uniform.value_ranks.assign(4, rank);
        applySensitivity(plan, *spectrum, table, rank / 16.0);
        QVERIFY(expectedDivergence(plan, table) <= expectedDivergence(uniform, table) + 1e-12);
    }
}

void TestAllocation::pinnedRanksStay() {
    const auto spectrum = anySpectrum(3, 16);
    const SensitivityTable table = anyTable(3, 16, {2, 4, 8, 12, 16});
    RankPlan plan = fullPlan(*spectrum, 4);
    pinRank(plan, *spectrum, Side::Keys, 0, 15);
    pinRank(plan, *spectrum, Side::Values, 2, 1);  // below the table's smallest rank
    applySensitivity(plan, *spectrum, table, 0.5);
    QCOMPARE(plan.key_ranks[0], 15);
    QCOMPARE(plan.value_ranks[2], 1);
    QVERIFY(kvRatioOf(plan, 16) <= 0.5);
    QVERIFY(kvRatioOf(plan, 16) > 0.5 - 4.0 / 96);
}

void TestAllocation::unpinnedRanksGoBackToTheAllocation() {
    const auto spectrum = anySpectrum(3, 16);
    MeasuredTables tables;
    tables.set(anyTable(3, 16, {2, 4, 8, 12, 16}));
    RankPlan plan = fullPlan(*spectrum, 2);
    plan.allocation = Allocation::Sensitivity;
    applyTarget(plan, *spectrum, tables, 0.5);
    const RankPlan before = plan;
    pinRank(plan, *spectrum, Side::Keys, 0, 15);
    unpin(plan, *spectrum, tables, Side::Keys, 0);
    QVERIFY(plan == before);
    // One pin is left: it stays, and the rest is what the allocation gives beside it.
    pinRank(plan, *spectrum, Side::Keys, 0, 15);
    pinRank(plan, *spectrum, Side::Values, 1, 2);
    RankPlan expected = before;
    pinRank(expected, *spectrum, Side::Values, 1, 2);
    applyTarget(expected, *spectrum, tables, 0.5);
    unpin(plan, *spectrum, tables, Side::Keys, 0);
    QVERIFY(plan == expected);
    // A multiple that makes the target impossible is met as nearly as can be; the target is not forgotten.
    plan.rank_multiple = 16;
    reallocate(plan, *spectrum, tables);
    QCOMPARE(plan.key_ranks, (std::vector<int>{16, 16, 16}));
    QCOMPARE(plan.kv_target, std::optional(0.5));
    plan.rank_multiple = 2;
    reallocate(plan, *spectrum, tables);
    QVERIFY(plan == expected);
    QCOMPARE(smallestRatio(before, *spectrum, tables), 2.0 / 16);
}

void TestAllocation::missingTablesLeaveRanks() {
    const auto spectrum = anySpectrum(3, 16);
    RankPlan plan = fullPlan(*spectrum, 2);
    applySensitivity(plan, *spectrum, anyTable(3, 16, {2, 4, 8, 12, 16}), 0.5);
    const std::vector<int> ranks = plan.key_ranks;
    pinRank(plan, *spectrum, Side::Keys, 0, 15);
    unpin(plan, *spectrum, {}, Side::Keys, 0);
    QCOMPARE(plan.key_ranks, (std::vector<int>{15, ranks[1], ranks[2]}));
    QVERIFY(!plan.key_pinned[0]);
    QVERIFY(!canAllocate(Allocation::Sensitivity, plan, {}));
    QVERIFY(canAllocate(Allocation::Threshold, plan, {}));
    QVERIFY(errorOf([&] { applyTarget(plan, *spectrum, {}, 0.5); }).find("sensitivity") != std::string::npos);
    // Another method's or another basis' table is none.
    MeasuredTables tables;
    SensitivityTable table = anyTable(3, 16, {2, 4, 8, 12, 16});
    table.options.center = true;
    tables.set(table);
    QVERIFY(!canAllocate(Allocation::Sensitivity, plan, tables));
    plan.center = true;
    QVERIFY(canAllocate(Allocation::Sensitivity, plan, tables));
}

void TestAllocation::impossibleTargets() {
    const auto spectrum = anySpectrum(2, 16);
    const SensitivityTable table = anyTable(2, 16, {4, 8, 16});
    RankPlan plan = fullPlan(*spectrum, 1);
    const RankPlan before = plan;
    QCOMPARE(errorOf([&] { applySensitivity(plan, *spectrum, table, 0.2); }),
             std::string("KV ratio 0.2 cannot be had: the smallest ranks give 0.25"));
    QVERIFY(!errorOf([&] { applySensitivity(plan, *spectrum, table, 0.0); }).empty());
    QVERIFY(!errorOf([&] { applySensitivity(plan, *spectrum, table, NAN); }).empty());
    SensitivityTable other = anyTable(3, 16, {4, 8, 16});
    QVERIFY(errorOf([&] { applySensitivity(plan, *spectrum, other, 0.5); }).find("other layers or ranks") !=
            std::string::npos);
    other = anyTable(2, 12, {4, 8, 12});
    QVERIFY(!errorOf([&] { applySensitivity(plan, *spectrum, other, 0.5); }).empty());
    QVERIFY(plan == before);
}

void TestAllocation::plansKeepTheirAllocation() {
    const auto spectrum = anySpectrum(2, 16);
    RankPlan plan = fullPlan(*spectrum, 1);
    QCOMPARE(plan.allocation, Allocation::Threshold);
    applySensitivity(plan, *spectrum, anyTable(2, 16, {4, 8, 16}), 0.5);
    const TemporaryDirectory directory;
    const auto file = directory / "plan.json";
    savePlan(plan, file);
    QVERIFY(loadPlan(file) == plan);
    QVERIFY(readTextFile(file).find("\"allocation\": \"sensitivity\"") != std::string::npos);
    Json json = readJsonFile(file);
    json.erase("allocation");
    writeTextFile(file, json.dump());
    QCOMPARE(loadPlan(file).allocation, Allocation::Threshold);
    json["allocation"] = "guess";
    writeTextFile(file, json.dump());
    QCOMPARE(errorOf([&] { loadPlan(file); }),
             file.string() + ": allocation: expected threshold, error-budget or sensitivity");
    applyThresholds(plan, *spectrum, 0.9, 0.9);
    QCOMPARE(plan.allocation, Allocation::Threshold);
}

QTEST_GUILESS_MAIN(TestAllocation)
#include "tst_allocation.moc"
