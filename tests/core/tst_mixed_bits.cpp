// SPDX-License-Identifier: Apache-2.0
// Ranks and bits shared out together: the choices against brute force over all of them, the front, plans and
// their files.
#include "core/base/atomic_output.h"
#include "core/spectrum/allocation.h"
#include "tests/core/method_support.h"
#include "tests/support/backends.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

#include <cmath>
#include <limits>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

constexpr int kWidth = 16;

std::shared_ptr<const Spectrum> anySpectrum(int layers) {
    JobContext job;
    return computeSpectrum(job, *referenceBackend(), randomStatistics(layers, 4, 2, kWidth, true, 3),
                           "eigen");
}

// Losses that fall with the rank, and rise as bits fall: by layer and side of very different size.
SensitivityTable anyTable(std::size_t layers) {
    SensitivityTable table;
    table.method = "eigen";
    table.ranks = {4, 8, 12, 16};
    QuantisedSensitivity quantised{{.bits = {8, 4, 2}, .ranks = {8, 16}, .group = 16}, {}};
    for (std::size_t layer = 0; layer < layers; ++layer) {
        for (double size : {1.0, 0.03}) {
            const double scale = size * std::pow(5.0, static_cast<double>(layer));
            for (int rank : table.ranks)
                table.kl.push_back(scale * (std::exp(-0.4 * rank) - std::exp(-0.4 * kWidth)));
            for (int bits : quantised.grid.bits) {
                for (int rank : quantised.grid.ranks)
                    quantised.kl.push_back(scale * (std::exp(-0.4 * rank) - std::exp(-0.4 * kWidth) +
                                                    0.2 * std::exp2(-1.5 * bits)));
            }
        }
    }
    table.quantised = quantised;
    return table;
}

MeasuredTables tablesOf(const SensitivityTable& table) {
    MeasuredTables tables;
    tables.set(table);
    return tables;
}

RankPlan mixedPlan(const Spectrum& spectrum, int multiple = 4) {
    RankPlan plan = fullPlan(spectrum, multiple);
    plan.allocation = Allocation::Sensitivity;
    plan.mixed_bits = true;
    return plan;
}

// The bytes of a row as the cache's format has it: 2 an element exact; else its codes and, a group of up to
// 16 elements, a scale and a minimum of 2 bytes.
double rowBytes(int rank, int bits) {
    if (bits == kUnquantised)
        return 2.0 * rank;
    return std::ceil(rank * bits / 8.0) + 4.0 * std::ceil(rank / 16.0);
}

// The table's loss by hand at ranks that it holds.
double lossOf(const SensitivityTable& table, std::size_t layer, std::size_t side, int rank, int bits) {
    const auto of = [](const std::vector<int>& list, int value) {
        return static_cast<std::size_t>(std::ranges::find(list, value) - list.begin());
    };
    const double exact = table.at(layer, side, of(table.ranks, rank));
    if (bits == kUnquantised)
        return exact;
    const QuantisedSensitivity& q = *table.quantised;
    const std::size_t b = of(q.grid.bits, bits);
    const auto at = [&](int r) { return q.at(layer, side, b, of(q.grid.ranks, r)); };
    const double between = rank == 4 ? at(8) : rank == 12 ? (at(8) + at(16)) / 2 : at(rank);
    return std::max(exact, between);
}

// The least loss of one layer's keys and values, all choices tried, within that many bytes a position.
double bruteForce(const SensitivityTable& table, double bytes) {
    double best = std::numeric_limits<double>::infinity();
    for (int kr : table.ranks)
        for (int kb : {16, 8, 4, 2})
            for (int vr : table.ranks)
                for (int vb : {16, 8, 4, 2})
                    if (rowBytes(kr, kb) + rowBytes(vr, vb) <= bytes + 1e-9)
                        best = std::min(best, lossOf(table, 0, 0, kr, kb) + lossOf(table, 0, 1, vr, vb));
    return best;
}

}  // namespace

class TestMixedBits : public QObject {
    Q_OBJECT
private slots:
    void lossesBetweenWhatWasMeasured();
    void plansMeetTheRatio();
    void oneLayerComesCloseToTheBest();
    void neverWorseThanUniformBits();
    void fixedRanksHaveBitsToChoose();
    void uniformBitsUseTheirTables();
    void frontIsWhatPlansReach();
    void tablesAreNeeded();
    void filesKeepMixtures();
};

void TestMixedBits::lossesBetweenWhatWasMeasured() {
    SensitivityTable table;
    table.ranks = {4, 8};
    table.kl = {0.5, 0.0, 0.25, 0.0};
    table.quantised =
        QuantisedSensitivity{{.bits = {4, 2}, .ranks = {4, 8}}, {0.6, 0.2, 0.4, 0.9, 1, 2, 3, 4}};
    const LayerLoss keys(table, 0, Side::Keys), values(table, 0, Side::Values);
    QCOMPARE(keys.at(4), 0.5);
    QCOMPARE(keys.at(6), 0.25);
    QCOMPARE(keys.at(6, 4), 0.4);
    QCOMPARE(keys.at(8, 2), 0.9);   // a higher rank may lose more at few bits
    QCOMPARE(keys.at(4, 2), 0.5);   // at least what exact latents lose
    QCOMPARE(keys.at(6, 3), 0.25);  // not measured: as exact
    QCOMPARE(keys.at(2, 4), 0.6);
    QCOMPARE(values.at(8, 2), 4.0);
    QCOMPARE(values.at(5, 4), 1.25);
}

void TestMixedBits::plansMeetTheRatio() {
    const auto spectrum = anySpectrum(3);
    const SensitivityTable table = anyTable(3);
    double previous = std::numeric_limits<double>::infinity();
    for (double target : {0.16, 0.19, 0.25, 0.3, 0.4, 0.6, 1.0}) {
        RankPlan plan = mixedPlan(*spectrum);
        applySensitivity(plan, *spectrum, table, target);
        double bytes = 0;
        for (std::size_t layer = 0; layer < 3; ++layer) {
            bytes += rowBytes(plan.key_ranks[layer], plan.kv_bits.keys[layer]) +
                     rowBytes(plan.value_ranks[layer], plan.kv_bits.values[layer]);
        }
        QVERIFY(std::abs(kvRatioOf(plan, kWidth) - bytes / (3 * 4 * kWidth)) < 1e-12);
        QVERIFY(kvRatioOf(plan, kWidth) <= target + 1e-9);
        QCOMPARE(plan.kv_bits.group, 16);
        QCOMPARE(plan.kv_target, std::optional(target));
        const double loss = expectedDivergence(plan, table);
        QVERIFY(loss <= previous + 1e-15);
        previous = loss;
    }
    QVERIFY(previous < 1e-12);  // all bytes: nothing is lost
    RankPlan plan = mixedPlan(*spectrum);
    const RankPlan before = plan;
    QVERIFY(errorOf([&] { applySensitivity(plan, *spectrum, table, 0.01); }).find("cannot be had") !=
            std::string::npos);
    QVERIFY(plan == before);
}

// Within one choice of the hull: the best of a slightly smaller budget is always reached.
void TestMixedBits::oneLayerComesCloseToTheBest() {
    const auto spectrum = anySpectrum(1);
    const SensitivityTable table = anyTable(1);
    int exactly = 0, tried = 0;
    for (int bytes = 10; bytes <= 64; bytes += 2) {
        RankPlan plan = mixedPlan(*spectrum);
        applySensitivity(plan, *spectrum, table, bytes / 64.0);
        const double found = expectedDivergence(plan, table), best = bruteForce(table, bytes);
        QVERIFY(found >= best - 1e-15);
        QVERIFY2(found <= bruteForce(table, bytes - 8.0) + 1e-15 || bytes < 18,
                 qPrintable(QString("%1 bytes: %2, best %3").arg(bytes).arg(found).arg(best)));
        exactly += found <= best + 1e-15 ? 1 : 0;
        ++tried;
    }
    QVERIFY2(2 * exactly >= tried, qPrintable(QString("%1 of %2").arg(exactly).arg(tried)));
}

void TestMixedBits::neverWorseThanUniformBits() {
    const auto spectrum = anySpectrum(4);
    const SensitivityTable table = anyTable(4);
    for (int bits : {8, 4, 2}) {
        for (int rank : {8, 12, 16}) {
            RankPlan uniform = fullPlan(*spectrum, 4);
            uniform.kv_bits = KvBits::uniform(4, bits, bits);
            uniform.kv_bits.group = 16;
            uniform.key_ranks.assign(4, rank);
            uniform.value_ranks.assign(4, rank);
            RankPlan plan = mixedPlan(*spectrum);
            applySensitivity(plan, *spectrum, table, kvRatioOf(uniform, kWidth));
            QVERIFY(expectedDivergence(plan, table) <= expectedDivergence(uniform, table) + 1e-15);
        }
    }
}

void TestMixedBits::fixedRanksHaveBitsToChoose() {
    const auto spectrum = anySpectrum(3);
    const SensitivityTable table = anyTable(3);
    RankPlan plan = mixedPlan(*spectrum);
    pinRank(plan, *spectrum, Side::Keys, 0, 16);
    pinRank(plan, *spectrum, Side::Values, 2, 4);
    applySensitivity(plan, *spectrum, table, 0.2);
    QCOMPARE(plan.key_ranks[0], 16);
    QCOMPARE(plan.value_ranks[2], 4);
    QVERIFY(plan.kv_bits.keys[0] < kUnquantised);  // 16 exact would take a third of the budget for the least
    QVERIFY(kvRatioOf(plan, kWidth) <= 0.2 + 1e-9);
}

void TestMixedBits::uniformBitsUseTheirTables() {
    const auto spectrum = anySpectrum(2);
    SensitivityTable table = anyTable(2);
    RankPlan plan = fullPlan(*spectrum, 4);
    plan.kv_bits = KvBits::uniform(2, 2, 2);
    plan.kv_bits.group = 16;
    applySensitivity(plan, *spectrum, table, 0.19);
    QCOMPARE(plan.kv_bits.keys, (std::vector<int>{2, 2}));
    double sum = 0;
    for (std::size_t layer = 0; layer < 2; ++layer)
        sum += lossOf(table, layer, 0, plan.key_ranks[layer], 2) +
               lossOf(table, layer, 1, plan.value_ranks[layer], 2);
    QVERIFY(std::abs(expectedDivergence(plan, table) - sum) < 1e-12 * sum);
    QVERIFY(sum > 0.01);  // two bits cost something at any rank
}

void TestMixedBits::frontIsWhatPlansReach() {
    const auto spectrum = anySpectrum(3);
    const SensitivityTable table = anyTable(3);
    const RankPlan plan = mixedPlan(*spectrum);
    const std::vector<FrontPoint> front = expectedFront(plan, *spectrum, table, 20);
    QVERIFY(front.size() > 10);
    QVERIFY(std::abs(front.front().kv_ratio - smallestRatio(plan, *spectrum, tablesOf(table))) < 1e-12);
    QVERIFY(front.back().divergence < 1e-12);
    for (std::size_t i = 0; i < front.size(); ++i) {
        RankPlan reached = plan;
        applySensitivity(reached, *spectrum, table, front[i].kv_ratio);
        QVERIFY(expectedDivergence(reached, table) <= front[i].divergence + 1e-15);
        if (i > 0) {
            QVERIFY(front[i].kv_ratio > front[i - 1].kv_ratio);
            QVERIFY(front[i].divergence <= front[i - 1].divergence);
        }
    }
    // Ranks alone get to no ratio as low and lose more.
    RankPlan ranks = plan;
    ranks.mixed_bits = false;
    const std::vector<FrontPoint> exact = expectedFront(ranks, *spectrum, table, 20);
    QVERIFY(exact.front().kv_ratio > 1.5 * front.front().kv_ratio);
    RankPlan mixed = plan;
    applySensitivity(mixed, *spectrum, table, exact.front().kv_ratio);
    QVERIFY(expectedDivergence(mixed, table) < exact.front().divergence / 2);
}

void TestMixedBits::tablesAreNeeded() {
    const auto spectrum = anySpectrum(2);
    SensitivityTable table = anyTable(2);
    RankPlan plan = mixedPlan(*spectrum);
    QVERIFY(canMixBits(plan, tablesOf(table)));
    QVERIFY(canAllocate(Allocation::Sensitivity, plan, tablesOf(table)));
    table.quantised.reset();
    QVERIFY(!canMixBits(plan, tablesOf(table)));
    QVERIFY(!canAllocate(Allocation::Sensitivity, plan, tablesOf(table)));
    QVERIFY(errorOf([&] { applySensitivity(plan, *spectrum, table, 0.5); }).find("holds no bits") !=
            std::string::npos);
    plan.mixed_bits = false;
    QVERIFY(canAllocate(Allocation::Sensitivity, plan, tablesOf(table)));
    table = anyTable(2);
    table.quantised->kl.pop_back();
    plan.mixed_bits = true;
    QVERIFY(errorOf([&] { applySensitivity(plan, *spectrum, table, 0.5); }).find("other layers or ranks") !=
            std::string::npos);
    // Another allocation leaves the bits and mixes no more.
    applySensitivity(plan, *spectrum, anyTable(2), 0.3);
    const KvBits bits = plan.kv_bits;
    applyThresholds(plan, *spectrum, 0.9, 0.9);
    QVERIFY(!plan.mixed_bits);
    QVERIFY(plan.kv_bits == bits);
}

void TestMixedBits::filesKeepMixtures() {
    const auto spectrum = anySpectrum(2);
    RankPlan plan = mixedPlan(*spectrum);
    applySensitivity(plan, *spectrum, anyTable(2), 0.25);
    const TemporaryDirectory directory;
    const auto file = directory / "plan.json";
    savePlan(plan, file);
    QVERIFY(loadPlan(file) == plan);
    Json json = readJsonFile(file);
    QVERIFY(json["mixed_bits"].get<bool>());
    json["allocation"] = "threshold";
    writeTextFile(file, json.dump());
    QCOMPARE(errorOf([&] { loadPlan(file); }),
             file.string() + ": mixed_bits: belongs to allocation sensitivity");

    // The tables, in a statistics file.
    Statistics s = randomStatistics(2, 4, 2, kWidth, true, 8);
    SensitivityTable table = anyTable(2);
    table.windows = 2;
    table.sequence_length = 3;
    table.quantised->grid.keys = KvGrouping::Channel;
    table.quantised->grid.recent = 7;
    s.tables.set(table);
    saveStatistics(s, directory / "x");
    QVERIFY(loadStatistics(directory / "x").tables == s.tables);
    const auto message = [&](const std::function<void(QuantisedSensitivity&)>& spoil) {
        SensitivityTable broken = table;
        spoil(*broken.quantised);
        s.tables.sensitivity = {broken};
        saveStatistics(s, directory / "x");
        const std::string text = errorOf([&] { loadStatistics(directory / "x"); });
        return text.substr(std::min(text.size(), (directory / "x").string().size() + 2));
    };
    QCOMPARE(message([](auto&) {}), std::string());
    QCOMPARE(message([](auto& q) {
                 q.grid.bits = {8, 5, 2};
             }),
             std::string("sensitivity.0.bits: expected 8, 4, 3 or 2, descending"));
    QCOMPARE(message([](auto& q) {
                 q.grid.bits = {2, 4, 8};
             }),
             std::string("sensitivity.0.bits: expected 8, 4, 3 or 2, descending"));
    QCOMPARE(message([](auto& q) {
                 q.grid.ranks = {8, 15};
             }),
             std::string("sensitivity.0.bit_ranks: expected the full rank, 16, at the end"));
    QCOMPARE(message([](auto& q) {
                 q.grid.ranks = {16, 16};
             }),
             std::string("sensitivity.0.bit_ranks: expected ascending ranks above 0"));
    QCOMPARE(message([](auto& q) { q.kl[3] = -1; }),
             std::string("sensitivity.0.bit_kl: holds a negative divergence"));
    QCOMPARE(message([](auto& q) { q.kl[3] = NAN; }),
             std::string("sensitivity.0.bit_kl: holds a number that is not finite"));
    QVERIFY(message([](auto& q) { q.grid.group = 12; }).find("sensitivity.0.kv_group") != std::string::npos);
    QVERIFY(message([](auto& q) { q.grid.recent = -1; }).find("sensitivity.0.kv_recent") !=
            std::string::npos);
}

QTEST_GUILESS_MAIN(TestMixedBits)
#include "tst_mixed_bits.moc"
