// SPDX-License-Identifier: Apache-2.0
// Divergence and layer errors against float64 in transformers, where the converted model is the original with
// its keys and values projected on the same subspaces.
#include "core/evaluation/compare.h"
#include "tests/core/method_rows.h"
#include "tests/support/backends.h"
#include "tests/support/golden_model.h"

#include <QTest>

#include <cmath>

using namespace eigenscope;
using namespace eigenscope::test;

class TestCompare : public QObject {
    Q_OBJECT
private slots:
    void divergenceEqualsTheReference_data() { addMethodRows(); }
    void divergenceEqualsTheReference();
    void layerErrorsEqualTheReference_data() { addMethodRows(); }
    void layerErrorsEqualTheReference();
    void perplexitiesArePairedWithPerplexity();
    void chunksChangeRoundingOnly();
    void aModelAgreesWithItself();
    void badInput();
    void cancels();
};

void TestCompare::divergenceEqualsTheReference() {
    const MethodGolden golden = fetchMethodGolden();
    const Conversion conversion = convertAsExpected(golden);
    JobContext job;
    const ComparisonResult result =
        compareModels(job, golden.open, conversion.converted, golden.text, goldenWindows(golden));
    const std::vector<double> expected = golden.numbers("token_kl");
    QCOMPARE(result.token_kl.size(), expected.size());
    double mean = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        // Differences of float32 logits are right to a few 1e-6, and KL changes by about that times its
        // square root.
        QVERIFY2(
            std::abs(result.token_kl[i] - expected[i]) < 2e-5,
            qPrintable(
                QStringLiteral("token %1: %2, expected %3").arg(i).arg(result.token_kl[i]).arg(expected[i])));
        mean += expected[i] / static_cast<double>(expected.size());
    }
    QVERIFY(std::abs(result.kl_divergence / mean - 1) < 1e-5);
    const double agreement = golden.expected["top1_agreement"];
    QVERIFY(std::abs(result.top1_agreement - agreement) < 1e-12);
    QVERIFY(result.kl_standard_error > 0 && result.kl_standard_error < result.kl_divergence);
}

void TestCompare::layerErrorsEqualTheReference() {
    const MethodGolden golden = fetchMethodGolden();
    const Conversion conversion = convertAsExpected(golden);
    JobContext job;
    const std::vector<double> expected = golden.numbers("layer_errors");
    const std::vector<double> found =
        layerErrors(job, golden.open, conversion.converted, conversion.statistics.probe_windows, {});
    QCOMPARE(found.size(), expected.size());
    for (std::size_t i = 0; i < found.size(); ++i)
        QVERIFY2(
            std::abs(found[i] / expected[i] - 1) < 1e-4,
            qPrintable(QStringLiteral("layer %1: %2, expected %3").arg(i).arg(found[i]).arg(expected[i])));
}

void TestCompare::perplexitiesArePairedWithPerplexity() {
    const MethodGolden golden = openMethodGolden("llama", referenceBackend());
    const Conversion conversion = convertAsExpected(golden);
    JobContext job;
    const PerplexityOptions options = goldenWindows(golden);
    const ComparisonResult both = compareModels(job, golden.open, conversion.converted, golden.text, options);
    const PerplexityResult first = perplexity(job, golden.open, golden.text, options);
    const PerplexityResult second = perplexity(job, conversion.converted, golden.text, options);
    for (std::size_t i = 0; i < first.window_nll.size(); ++i) {
        // The same logits; only the order of sums differs.
        QVERIFY(std::abs(both.first.window_nll[i] - first.window_nll[i]) < 1e-10);
        QVERIFY(std::abs(both.second.window_nll[i] - second.window_nll[i]) < 1e-10);
    }
    QVERIFY(std::abs(both.first.perplexity / first.perplexity - 1) < 1e-10);
    QVERIFY(std::abs(both.second.standard_error / second.standard_error - 1) < 1e-8);
    QCOMPARE(both.first.tokens, first.tokens);
    QCOMPARE(both.second.windows, second.windows);
    QVERIFY(both.first.perplexity != both.second.perplexity);
}

void TestCompare::chunksChangeRoundingOnly() {
    const MethodGolden golden = openMethodGolden("opt", referenceBackend());
    const Conversion conversion = convertAsExpected(golden);
    JobContext job;
    PerplexityOptions options = goldenWindows(golden);
    const ComparisonResult whole =
        compareModels(job, golden.open, conversion.converted, golden.text, options);
    options.chunk = 7;
    const ComparisonResult parts =
        compareModels(job, golden.open, conversion.converted, golden.text, options);
    QVERIFY(std::abs(parts.kl_divergence / whole.kl_divergence - 1) < 1e-5);
    QCOMPARE(parts.token_kl.size(), whole.token_kl.size());
}

void TestCompare::aModelAgreesWithItself() {
    const MethodGolden golden = openMethodGolden("mpt", referenceBackend());
    JobContext job;
    const ComparisonResult result =
        compareModels(job, golden.open, golden.open, golden.text, goldenWindows(golden));
    QCOMPARE(result.kl_divergence, 0.0);
    QCOMPARE(result.top1_agreement, 1.0);
    const std::vector<std::vector<TokenId>> windows{{1, 2, 3, 4, 5, 6, 7}, {9, 8, 7}};
    QCOMPARE(layerErrors(job, golden.open, golden.open, windows, {}), std::vector<double>(2, 0.0));
}

void TestCompare::badInput() {
    const MethodGolden golden = openMethodGolden("opt", referenceBackend());
    const GoldenModel other = openGoldenModel("opt", referenceBackend());
    JobContext job;
    const std::string message =
        errorOf([&] { compareModels(job, golden.open, other.open, golden.text, goldenWindows(golden)); });
    QVERIFY2(message.find("vocabulary of 288") != std::string::npos, message.c_str());
    QVERIFY(!errorOf([&] { layerErrors(job, golden.open, golden.open, {}, {}); }).empty());
    QVERIFY(!errorOf([&] { layerErrors(job, golden.open, golden.open, {{}}, {}); }).empty());
    const std::vector<std::vector<TokenId>> too_long{std::vector<TokenId>(65, 1)};
    QVERIFY(errorOf([&] { layerErrors(job, golden.open, golden.open, too_long, {}); }).find("65 tokens") !=
            std::string::npos);
}

void TestCompare::cancels() {
    const MethodGolden golden = openMethodGolden("llama", referenceBackend());
    for (const std::string stage : {"comparing", "measuring layer errors"}) {
        std::stop_source stop;
        std::int64_t furthest = -1;
        JobContext job(stop.get_token(), [&](const Progress& p) {
            if (p.stage == stage) {
                furthest = std::max(furthest, p.done);
                stop.request_stop();
            }
        });
        bool cancelled = false;
        try {
            if (stage == "comparing")
                compareModels(job, golden.open, golden.open, golden.text, goldenWindows(golden));
            else
                layerErrors(job, golden.open, golden.open, {{1, 2, 3}, {4, 5}}, {});
        } catch (const Cancelled&) {
            cancelled = true;
        }
        QVERIFY(cancelled);
        QCOMPARE(furthest, std::int64_t{0});
    }
}

QTEST_GUILESS_MAIN(TestCompare)
#include "tst_compare.moc"
