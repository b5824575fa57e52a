// SPDX-License-Identifier: Apache-2.0
#include "core/spectrum/spectrum.h"
#include "tests/core/method_support.h"
#include "tests/support/backends.h"

#include <QTest>

#include <cmath>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

HeadBasis withEigenvalues(std::vector<double> values) {
    HeadBasis basis;
    basis.width = static_cast<int>(values.size());
    basis.eigenvalues = std::move(values);
    return basis;
}

// One layer of two heads; values' second head is dead.
Spectrum handMade() {
    LayerBases layer;
    layer.keys = {withEigenvalues({64, 16, 16, 4}), withEigenvalues({81, 9, 9, 1})};
    layer.values = {withEigenvalues({9, 1, 0, 0}), withEigenvalues({0, 0, 0, 0})};
    return Spectrum("eigen", {}, 4, {layer});
}

Statistics oneLayer(int heads, int width, bool rotary) {
    Statistics s = randomStatistics(1, heads, heads, width, rotary, 1);
    for (Moments LayerStatistics::*kind : {&LayerStatistics::keys, &LayerStatistics::queries,
                                           &LayerStatistics::values, &LayerStatistics::outputs})
        (s.layers[0].*kind).gram.assign((s.layers[0].*kind).gram.size(), 0.0);
    return s;
}

}  // namespace

class TestSpectrum : public QObject {
    Q_OBJECT
private slots:
    void sharesAndRanksAreTheDefinitions();
    void deadHeadLosesNothing();
    void layerRankIsTheLargestRoundedUp();
    void expectedErrorIsTheDroppedShare();
    void ranksNeverFallWhenTheThresholdRises();
    void rotaryBasesIgnoreQueries();
    void sharedBasisIsThatOfTheSum();
    void basesAreOrthonormalAndDiagonalise();
    void singularGramMatricesAreFine();
    void namesAreChecked();
    void mismatchedBasesAreRefused();
    void cancels();
};

void TestSpectrum::sharesAndRanksAreTheDefinitions() {
    const Spectrum s = handMade();
    QCOMPARE(s.heads(), 2);
    QCOMPARE(s.kept(0, Side::Keys, 0, 1, Criterion::Energy), 0.64);
    QCOMPARE(s.kept(0, Side::Keys, 0, 2, Criterion::Energy), 0.80);
    QCOMPARE(s.kept(0, Side::Keys, 0, 4, Criterion::Energy), 1.0);
    QCOMPARE(s.kept(0, Side::Keys, 0, 0, Criterion::Energy), 0.0);
    // Singular values 8, 4, 4, 2.
    QCOMPARE(s.kept(0, Side::Keys, 0, 1, Criterion::SingularValues), 8.0 / 18);
    QCOMPARE(s.kept(0, Side::Keys, 0, 3, Criterion::SingularValues), 16.0 / 18);
    QCOMPARE(s.rankOf(0, Side::Keys, 0, 0.0, Criterion::Energy), 1);
    QCOMPARE(s.rankOf(0, Side::Keys, 0, 0.64, Criterion::Energy), 1);
    QCOMPARE(s.rankOf(0, Side::Keys, 0, 0.6401, Criterion::Energy), 2);
    QCOMPARE(s.rankOf(0, Side::Keys, 0, 0.64, Criterion::SingularValues), 2);
    QCOMPARE(s.rankOf(0, Side::Keys, 0, 0.9999, Criterion::Energy), 4);
    QCOMPARE(s.rankOf(0, Side::Values, 0, 0.9999, Criterion::Energy), 2);
    QCOMPARE(s.rankOf(0, Side::Values, 0, 1.0, Criterion::Energy), 4);
}

void TestSpectrum::deadHeadLosesNothing() {
    const Spectrum s = handMade();
    for (Criterion criterion : {Criterion::Energy, Criterion::SingularValues}) {
        QCOMPARE(s.kept(0, Side::Values, 1, 0, criterion), 1.0);
        QCOMPARE(s.rankOf(0, Side::Values, 1, 0.99, criterion), 1);
        QCOMPARE(s.rankOf(0, Side::Values, 1, 1.0, criterion), 4);
    }
}

void TestSpectrum::layerRankIsTheLargestRoundedUp() {
    const Spectrum s = handMade();
    // At 0.85 the first key head needs 3 directions, the second 2.
    QCOMPARE(s.rankOf(0, Side::Keys, 0, 0.85, Criterion::Energy), 3);
    QCOMPARE(s.rankOf(0, Side::Keys, 1, 0.85, Criterion::Energy), 2);
    QCOMPARE(s.rankOf(0, Side::Keys, 0.85, Criterion::Energy, 1), 3);
    QCOMPARE(s.rankOf(0, Side::Keys, 0.85, Criterion::Energy, 2), 4);
    QCOMPARE(s.rankOf(0, Side::Keys, 0.0, Criterion::Energy, 3), 3);
    QCOMPARE(s.rankOf(0, Side::Keys, 0.85, Criterion::Energy, 8), 4);  // not beyond the head dimension
}

void TestSpectrum::expectedErrorIsTheDroppedShare() {
    const Spectrum s = handMade();
    QCOMPARE(s.expectedError(0, Side::Keys, 4), 0.0);
    QCOMPARE(s.expectedError(0, Side::Keys, 0), 1.0);
    QCOMPARE(s.expectedError(0, Side::Keys, 1), std::sqrt((36.0 + 19.0) / 200.0));
    QCOMPARE(s.expectedError(0, Side::Values, 1), std::sqrt(1.0 / 10.0));
    QCOMPARE(s.expectedError(0, Side::Values, 2), 0.0);
}

void TestSpectrum::ranksNeverFallWhenTheThresholdRises() {
    JobContext job;
    const auto s = computeSpectrum(job, *referenceBackend(), randomStatistics(3, 4, 2, 12, true, 5), "eigen");
    for (Criterion criterion : {Criterion::Energy, Criterion::SingularValues}) {
        for (Side side : {Side::Keys, Side::Values}) {
            for (int layer = 0; layer < s->layers(); ++layer) {
                int previous = 1;
                double error = 1;
                for (int step = 0; step <= 1000; ++step) {
                    const int rank = s->rankOf(layer, side, step / 1000.0, criterion, 1);
                    QVERIFY(rank >= previous && rank <= 12);
                    QVERIFY(s->expectedError(layer, side, rank) <= error);
                    int largest = 0;
                    for (int head = 0; head < s->heads(); ++head)
                        largest = std::max(largest, s->rankOf(layer, side, head, step / 1000.0, criterion));
                    QCOMPARE(rank, largest);
                    for (int head = 0; head < s->heads(); ++head)
                        QVERIFY(s->kept(layer, side, head, rank, criterion) >= step / 1000.0);
                    previous = rank;
                    error = s->expectedError(layer, side, rank);
                }
                QCOMPARE(previous, 12);
            }
        }
    }
}

void TestSpectrum::rotaryBasesIgnoreQueries() {
    JobContext job;
    for (bool rotary : {false, true}) {
        Statistics s = oneLayer(1, 3, rotary);
        LayerStatistics& layer = s.layers[0];
        // Keys along axes 0 and 1, queries mostly along axis 2.
        layer.keys.gram = {5, 0, 0, 0, 3, 0, 0, 0, 1};
        layer.queries.gram = {1, 0, 0, 0, 1, 0, 0, 0, 9};
        layer.values.gram = {1, 0, 0, 0, 4, 0, 0, 0, 2};
        const auto spectrum = computeSpectrum(job, *referenceBackend(), s, "eigen");
        const HeadBasis& keys = spectrum->basis(0, Side::Keys, 0);
        const std::vector<double> expected =
            rotary ? std::vector<double>{5, 3, 1} : std::vector<double>{10, 6, 4};
        const int first_axis = rotary ? 0 : 2;
        for (std::size_t i = 0; i < 3; ++i)
            QVERIFY(std::abs(keys.eigenvalues[i] - expected[i]) < 1e-12);
        // Signs are settled: the largest element is positive.
        QVERIFY(std::abs(keys.encode[static_cast<std::size_t>(first_axis)] - 1.0) < 1e-12);
        QVERIFY(keys.mean.empty());
        QVERIFY(std::abs(spectrum->basis(0, Side::Values, 0).eigenvalues[0] - 4) < 1e-12);
    }
}

void TestSpectrum::sharedBasisIsThatOfTheSum() {
    JobContext job;
    Statistics s = oneLayer(2, 2, true);
    s.layers[0].keys.gram = {3, 0, 0, 1, /* head 1 */ 0, 0, 0, 7};
    s.layers[0].values.gram = {3, 0, 0, 1, /* head 1 */ 0, 0, 0, 7};
    const auto spectrum = computeSpectrum(job, *referenceBackend(), s, "eigen", {.share_key_basis = true});
    QVERIFY(spectrum->options().share_key_basis);
    for (int head = 0; head < 2; ++head) {
        const HeadBasis& keys = spectrum->basis(0, Side::Keys, head);
        QVERIFY(std::abs(keys.eigenvalues[0] - 8) < 1e-12 && std::abs(keys.eigenvalues[1] - 3) < 1e-12);
        QCOMPARE(keys.decode, spectrum->basis(0, Side::Keys, 0).decode);
    }
    QVERIFY(std::abs(spectrum->basis(0, Side::Values, 0).eigenvalues[0] - 3) < 1e-12);
    QVERIFY(std::abs(spectrum->basis(0, Side::Values, 1).eigenvalues[0] - 7) < 1e-12);
}

void TestSpectrum::basesAreOrthonormalAndDiagonalise() {
    JobContext job;
    const Statistics s = randomStatistics(2, 6, 3, 10, false, 9);
    const auto spectrum = computeSpectrum(job, *referenceBackend(), s, "eigen");
    const std::size_t n = 10;
    for (int layer = 0; layer < 2; ++layer) {
        for (int head = 0; head < 3; ++head) {
            const HeadBasis& basis = spectrum->basis(layer, Side::Keys, head);
            const LayerStatistics& moments = s.layers[static_cast<std::size_t>(layer)];
            for (std::size_t i = 0; i < n; ++i) {
                for (std::size_t j = 0; j < n; ++j) {
                    double product = 0, rotated = 0;
                    for (std::size_t k = 0; k < n; ++k) {
                        product += basis.encode[i * n + k] * basis.decode[k * n + j];
                        for (std::size_t l = 0; l < n; ++l)
                            rotated += basis.encode[i * n + k] * basis.decode[l * n + j] *
                                       (moments.keys.gramOf(head)[k * n + l] +
                                        moments.queries.gramOf(head)[k * n + l]);
                    }
                    QVERIFY(std::abs(product - (i == j ? 1 : 0)) < 1e-12);
                    // Relative to the largest eigenvalue: what a backward stable decomposition promises.
                    const double expected = i == j ? basis.eigenvalues[i] : 0.0;
                    QVERIFY(std::abs(rotated - expected) < 1e-12 * basis.eigenvalues[0]);
                }
            }
        }
    }
}

void TestSpectrum::singularGramMatricesAreFine() {
    JobContext job;
    Statistics s = oneLayer(1, 6, true);
    // One direction only: five eigenvalues are zero up to rounding, some of them negative before they are
    // clamped.
    const double x[6] = {0.3, -1.7, 2.9, 0.1, 1e-9, -4.4};
    for (std::size_t i = 0; i < 36; ++i)
        s.layers[0].keys.gram[i] = x[i / 6] * x[i % 6];
    const auto spectrum = computeSpectrum(job, *referenceBackend(), s, "eigen");
    const HeadBasis& keys = spectrum->basis(0, Side::Keys, 0);
    for (std::size_t i = 1; i < 6; ++i)
        QVERIFY(keys.eigenvalues[i] >= 0 && keys.eigenvalues[i] < 1e-13 * keys.eigenvalues[0]);
    QCOMPARE(spectrum->rankOf(0, Side::Keys, 0, 0.999999, Criterion::Energy), 1);
    QVERIFY(spectrum->expectedError(0, Side::Keys, 1) < 1e-6);
    // All zero: a dead head still has an orthonormal basis.
    const HeadBasis& dead = spectrum->basis(0, Side::Values, 0);
    double norm = 0;
    for (double element : dead.encode)
        norm += element * element;
    QVERIFY(std::abs(norm - 6) < 1e-12);
    QCOMPARE(spectrum->expectedError(0, Side::Values, 1), 0.0);
}

void TestSpectrum::namesAreChecked() {
    QCOMPARE(criterionFromName("energy"), Criterion::Energy);
    QCOMPARE(criterionFromName("singular-values"), Criterion::SingularValues);
    QCOMPARE(errorOf([] { criterionFromName("Energy"); }),
             std::string("unknown criterion 'Energy', expected energy or singular-values"));
    QCOMPARE(errorOf([] { basisMethod("pca"); }),
             std::string("unknown method 'pca', expected one of: eigen, attention-aware"));
    for (const BasisMethod& method : basisMethods())
        QVERIFY(basisMethod(method.name).compute == method.compute);
}

void TestSpectrum::mismatchedBasesAreRefused() {
    LayerBases layer;
    layer.keys = {withEigenvalues({1, 1})};
    layer.values = {withEigenvalues({1, 1, 1})};
    QVERIFY(errorOf([&] { Spectrum("eigen", {}, 2, {layer}); }).starts_with("spectrum: "));
}

void TestSpectrum::cancels() {
    std::stop_source stop;
    stop.request_stop();
    JobContext job(stop.get_token());
    QVERIFY_EXCEPTION_THROWN(
        computeSpectrum(job, *referenceBackend(), randomStatistics(1, 2, 2, 4, true, 1), "eigen"), Cancelled);
}

QTEST_GUILESS_MAIN(TestSpectrum)
#include "tst_spectrum.moc"
