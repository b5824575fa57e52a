// SPDX-License-Identifier: Apache-2.0
// Principal angles against 60-digit arithmetic (tests/golden/subspaces), and what whole spectra give.
#include "core/base/json.h"
#include "core/spectrum/subspaces.h"
#include "tests/core/method_support.h"
#include "tests/support/backends.h"

#include <QTest>

#include <cmath>
#include <numbers>

using namespace eigenscope;
using namespace eigenscope::test;

class TestSubspaces : public QObject {
    Q_OBJECT
private slots:
    void anglesEqualTheReference_data();
    void anglesEqualTheReference();
    void aSpectrumOverlapsWithItself();
    void ranksAreChosenByThreshold();
    void otherModelsAndRanksAreRefused();
    void csv();
    void cancels();
};

void TestSubspaces::anglesEqualTheReference_data() {
    QTest::addColumn<int>("index");
    const Json cases =
        readJsonFile(std::filesystem::path(EIGENSCOPE_SOURCE_DIR) / "tests/golden/subspaces/expected.json");
    for (std::size_t i = 0; i < cases.size(); ++i)
        QTest::newRow(cases[i]["name"].get<std::string>().c_str()) << static_cast<int>(i);
}

void TestSubspaces::anglesEqualTheReference() {
    QFETCH(int, index);
    const Json golden = readJsonFile(std::filesystem::path(EIGENSCOPE_SOURCE_DIR) /
                                     "tests/golden/subspaces/expected.json")[static_cast<std::size_t>(index)];
    const auto expected = golden["angles"].get<std::vector<double>>();
    const SubspaceComparison found = compareSubspaces(
        golden["first"].get<std::vector<double>>(), golden["second"].get<std::vector<double>>(),
        golden["width"], golden["first_rank"], golden["second_rank"]);
    QCOMPARE(found.angles.size(), expected.size());
    double overlap = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        // Float64 rounding of products of eight terms, a few times over: some 1e-15, from sine and cosine
        // alike.
        QVERIFY2(std::abs(found.angles[i] - expected[i]) < 2e-14,
                 qPrintable(QString("%1: %2, expected %3")
                                .arg(i)
                                .arg(found.angles[i], 0, 'g', 17)
                                .arg(expected[i], 0, 'g', 17)));
        overlap += std::cos(expected[i]) * std::cos(expected[i]) / static_cast<double>(expected.size());
    }
    QVERIFY(std::abs(found.overlap - overlap) < 1e-13);
    QCOMPARE(found.largest, found.angles.back());
    const int larger = std::max(golden["first_rank"].get<int>(), golden["second_rank"].get<int>());
    QCOMPARE(found.by_chance, larger / 8.0);
}

void TestSubspaces::aSpectrumOverlapsWithItself() {
    JobContext job;
    const Statistics one = randomStatistics(2, 4, 2, 8, true, 1),
                     other = randomStatistics(2, 4, 2, 8, true, 2);
    const auto a = computeSpectrum(job, *referenceBackend(), one, "eigen");
    const auto b = computeSpectrum(job, *referenceBackend(), other, "eigen");
    const auto same = compareSubspaces(job, *a, *a, {3, 0});
    const auto apart = compareSubspaces(job, *a, *b, {3, 0});
    QCOMPARE(same.size(), std::size_t{2});
    for (std::size_t layer = 0; layer < 2; ++layer) {
        for (const Side side : {Side::Keys, Side::Values}) {
            QVERIFY(std::abs(meanOverlap(same[layer].of(side)) - 1) < 1e-13);
            QVERIFY(largestAngle(same[layer].of(side)) < 1e-13);
            QVERIFY(meanOverlap(apart[layer].of(side)) < 0.99);
            QCOMPARE(apart[layer].of(side).size(), std::size_t{2});
            QCOMPARE(meanByChance(apart[layer].of(side)), 3.0 / 8);
        }
    }
}

void TestSubspaces::ranksAreChosenByThreshold() {
    JobContext job;
    const Statistics one = randomStatistics(1, 2, 2, 8, true, 1),
                     other = randomStatistics(1, 2, 2, 8, true, 2);
    const auto a = computeSpectrum(job, *referenceBackend(), one, "eigen");
    const auto b = computeSpectrum(job, *referenceBackend(), other, "eigen");
    const auto compared = compareSubspaces(job, *a, *b, {0, 0.95});
    for (const SubspaceComparison& head : compared[0].values) {
        QCOMPARE(head.first_rank, a->rankOf(0, Side::Values, 0.95, Criterion::Energy, 1));
        QCOMPARE(head.second_rank, b->rankOf(0, Side::Values, 0.95, Criterion::Energy, 1));
    }
}

void TestSubspaces::otherModelsAndRanksAreRefused() {
    JobContext job;
    const auto backend = referenceBackend();
    const auto spectrum = [&](int layers, int width, const char* method) {
        return computeSpectrum(job, *backend, randomStatistics(layers, 2, 2, width, true, 1), method);
    };
    const auto a = spectrum(1, 8, "eigen");
    const auto message = [&](const Spectrum& b, SubspaceRank rank) {
        return errorOf([&] { compareSubspaces(job, *a, b, rank); });
    };
    QVERIFY(
        message(*spectrum(2, 8, "eigen"), {3, 0}).starts_with("the bases are of different models: 1 layers"));
    QVERIFY(message(*spectrum(1, 6, "eigen"), {3, 0}).starts_with("the bases are of different models"));
    QCOMPARE(message(*a, {9, 0}), std::string("rank 9: expected 1 to the full rank, 8"));
    for (const double threshold : {0.0, -1.0, 1.5, std::nan("")})
        QCOMPARE(message(*a, {0, threshold}), std::string("threshold: expected a share above 0, at most 1"));
}

void TestSubspaces::csv() {
    JobContext job;
    const auto a = computeSpectrum(job, *referenceBackend(), randomStatistics(1, 2, 2, 4, true, 1), "eigen");
    const std::string csv = subspacesCsv(compareSubspaces(job, *a, *a, {4, 0}));
    QVERIFY(
        csv.starts_with("layer,side,head,rank,rank2,overlap,by_chance,largest_angle_degrees\n0,keys,0,4,4,"));
    QCOMPARE(std::count(csv.begin(), csv.end(), '\n'), 5);
}

void TestSubspaces::cancels() {
    JobContext job;
    const auto a = computeSpectrum(job, *referenceBackend(), randomStatistics(1, 2, 2, 4, true, 1), "eigen");
    std::stop_source stop;
    stop.request_stop();
    JobContext stopped(stop.get_token());
    QVERIFY_EXCEPTION_THROWN(compareSubspaces(stopped, *a, *a, {2, 0}), Cancelled);
}

QTEST_GUILESS_MAIN(TestSubspaces)
#include "tst_subspaces.moc"
