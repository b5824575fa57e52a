// SPDX-License-Identifier: Apache-2.0
// Fidelity by layer and head, and the token-level diff, against float64 in transformers and numpy
// (tests/golden/method/make_fidelity.py).
#include "core/compression/convert.h"
#include "core/evaluation/fidelity.h"
#include "core/evaluation/text_diff.h"
#include "core/spectrum/rank_plan.h"
#include "tests/core/method_support.h"
#include "tests/support/backends.h"
#include "tests/support/golden_model.h"

#include <QTest>

#include <algorithm>
#include <cmath>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

void addRows() {
    QTest::addColumn<QString>("name");
    QTest::addColumn<QString>("backend");
    for (const auto& backend : hostBackends()) {
        for (const std::string& name : methodGoldenNames())
            QTest::newRow((name + " on " + backend->info().backend).c_str())
                << QString::fromStdString(name) << QString::fromStdString(backend->info().backend);
    }
}

struct Measured {
    MethodGolden golden, expected;  // expected: its data is fidelity.golden
    eigenscope::test::Conversion conversion;
    PerplexityOptions options;
};

Measured prepare(const std::string& name, std::shared_ptr<Backend> backend) {
    Measured m;
    m.golden = openMethodGolden(name, std::move(backend));
    m.expected.data =
        std::make_shared<const SafetensorsFile>(methodGoldenDirectory(name) / "fidelity.golden");
    m.conversion = convertAsExpected(m.golden);
    m.options.sequence_length = m.golden.expected["evaluation_length"];
    m.options.windows = m.golden.expected["compared_windows"];
    return m;
}

Measured fetch() {
    QFETCH(QString, name);
    QFETCH(QString, backend);
    return prepare(name.toStdString(), hostBackend(backend.toStdString()));
}

FidelityResult measure(JobContext& job, const Measured& m) {
    return measureFidelity(job, m.golden.open, m.conversion.converted, m.golden.text, m.options, {});
}

std::vector<TokenId> firstWindow(const Measured& m) {
    std::vector<TokenId> ids = m.golden.ids("ids");
    ids.resize(static_cast<std::size_t>(m.options.sequence_length));
    return ids;
}

// Float32 activations and weights are right to some 1e-6 of their range; errors of a few per cent of it to
// 1e-4 of themselves. A standard error is a difference of such figures.
void near(const MeanAndError& found, const std::vector<double>& expected, std::size_t at, const char* what) {
    QVERIFY2(std::abs(found.mean / expected[2 * at] - 1) < 1e-4,
             qPrintable(QStringLiteral("%1 %2: %3, expected %4")
                            .arg(what)
                            .arg(at)
                            .arg(found.mean)
                            .arg(expected[2 * at])));
    QVERIFY2(std::abs(found.error / expected[2 * at + 1] - 1) < 1e-3,
             qPrintable(QStringLiteral("%1 %2, standard error: %3, expected %4")
                            .arg(what)
                            .arg(at)
                            .arg(found.error)
                            .arg(expected[2 * at + 1])));
}

}  // namespace

class TestFidelity : public QObject {
    Q_OBJECT
private slots:
    void layersAndHeadsEqualTheReference_data() { addRows(); }
    void layersAndHeadsEqualTheReference();
    void qualityIsThatOfCompare();
    void meansDroppedByTheSoftmaxAreNoError_data();
    void meansDroppedByTheSoftmaxAreNoError();
    void aModelEqualsItself();
    void oneWindowHasNoSpread();
    void halfPrecisionCachesAreSeen();
    void diffEqualsTheReference_data() { addRows(); }
    void diffEqualsTheReference();
    void restoringTheOnlyChangedLayerRemovesAll();
    void modelsOfOtherDimensionsAreNotExplained();
    void explanationsFollowTheirDefinition();
    void textsOfTokensAreTheText();
    void badInput();
    void cancels();
};

void TestFidelity::layersAndHeadsEqualTheReference() {
    const Measured m = fetch();
    JobContext job;
    const FidelityResult result = measure(job, m);
    const auto expected = [&](const char* name) { return m.expected.numbers(name); };
    const auto output = expected("output_error"), propagated = expected("propagated_error"),
               scores = expected("score_error"), distance = expected("weight_distance"),
               outputs = expected("head_output_error");
    QCOMPARE(result.layers.size() * 2, output.size());
    std::size_t at = 0;
    for (std::size_t layer = 0; layer < result.layers.size(); ++layer) {
        near(result.layers[layer].output_error, output, layer, "output");
        near(result.layers[layer].propagated_error, propagated, layer, "propagated");
        for (const HeadFidelity& head : result.layers[layer].heads) {
            near(head.score_error, scores, at, "scores");
            near(head.weight_distance, distance, at, "weights");
            near(head.output_error, outputs, at, "head output");
            ++at;
        }
    }
    QCOMPARE(at * 2, scores.size());
    const ComparisonResult& q = result.quality;
    const auto lost = expected("nll_difference"), agreement = expected("top1_agreement");
    // Means of some 150 differences of log-likelihoods, each right to a few 1e-6.
    QVERIFY(std::abs(q.nll_difference - lost[0]) < 1e-5);
    QVERIFY(std::abs(q.nll_difference_standard_error - lost[1]) < 1e-5);
    QVERIFY(std::abs(q.top1_agreement - agreement[0]) < 1e-12);
    QVERIFY(std::abs(q.top1_standard_error - agreement[1]) < 1e-12);
}

void TestFidelity::qualityIsThatOfCompare() {
    const Measured m = prepare("llama", referenceBackend());
    JobContext job;
    const ComparisonResult whole = measure(job, m).quality;
    const ComparisonResult parts =
        compareModels(job, m.golden.open, m.conversion.converted, m.golden.text, m.options);
    // The same runs, in other pieces: float32 rounding.
    QVERIFY(std::abs(whole.kl_divergence / parts.kl_divergence - 1) < 1e-5);
    QVERIFY(std::abs(whole.kl_standard_error / parts.kl_standard_error - 1) < 1e-4);
    QVERIFY(std::abs(whole.first.perplexity / parts.first.perplexity - 1) < 1e-6);
    QVERIFY(std::abs(whole.nll_difference - parts.nll_difference) < 1e-6);
    QCOMPARE(whole.token_kl.size(), parts.token_kl.size());
}

void TestFidelity::meansDroppedByTheSoftmaxAreNoError_data() {
    QTest::addColumn<QString>("name");
    for (const std::string& name : methodGoldenNames())
        QTest::newRow(name.c_str()) << QString::fromStdString(name);
}

// At full rank `attention-aware` changes nothing, but without rotary positions it drops the keys' mean, and
// it moves the values' into the bias.
void TestFidelity::meansDroppedByTheSoftmaxAreNoError() {
    QFETCH(QString, name);
    Measured m = prepare(name.toStdString(), referenceBackend());
    JobContext job;
    const auto spectrum =
        computeSpectrum(job, *m.golden.open.backend, m.conversion.statistics, "attention-aware");
    m.conversion.converted =
        convertInMemory(job, m.golden.open, m.conversion.statistics, *spectrum, fullPlan(*spectrum, 1));
    const FidelityResult result = measure(job, m);
    QVERIFY(result.quality.kl_divergence < 1e-6);
    for (const LayerFidelity& layer : result.layers) {
        // Directions of little weight are rescaled by their inverse roots, which magnifies float32 rounding.
        QVERIFY2(layer.output_error.mean < 1e-3, qPrintable(QString::number(layer.output_error.mean)));
        for (const HeadFidelity& head : layer.heads) {
            QVERIFY2(head.score_error.mean < 1e-3, qPrintable(QString::number(head.score_error.mean)));
            QVERIFY2(head.output_error.mean < 1e-3, qPrintable(QString::number(head.output_error.mean)));
            QVERIFY(head.weight_distance.mean < 1e-3);
        }
    }
}

void TestFidelity::aModelEqualsItself() {
    for (const std::string& name : methodGoldenNames()) {
        Measured m = prepare(name, referenceBackend());
        m.conversion.converted = m.golden.open;
        JobContext job;
        const FidelityResult result = measure(job, m);
        QCOMPARE(result.quality.kl_divergence, 0.0);
        QCOMPARE(result.quality.nll_difference, 0.0);
        for (const LayerFidelity& layer : result.layers) {
            QCOMPARE(layer.output_error.mean, 0.0);
            QCOMPARE(layer.propagated_error.mean, 0.0);
            for (const HeadFidelity& head : layer.heads) {
                QCOMPARE(head.score_error.mean, 0.0);
                QCOMPARE(head.weight_distance.mean, 0.0);
                QCOMPARE(head.output_error.mean, 0.0);
            }
        }
        const TextDiff diff = diffText(job, m.golden.open, m.golden.open, firstWindow(m), {}, {});
        QCOMPARE(diff.firstDivergence(), std::ptrdiff_t{-1});
        for (std::size_t t = 0; t < diff.tokens.size(); ++t) {
            QCOMPARE(diff.tokens[t].kl, 0.0);
            QCOMPARE(diff.explainingLayer(t), -1);
        }
    }
}

void TestFidelity::oneWindowHasNoSpread() {
    Measured m = prepare("opt", referenceBackend());
    m.options.windows = 1;
    JobContext job;
    const FidelityResult result = measure(job, m);
    QVERIFY(std::isnan(result.layers[0].output_error.error));
    QVERIFY(std::isnan(result.layers[0].heads[0].score_error.error));
    QVERIFY(std::isnan(result.quality.nll_difference_standard_error));
    QVERIFY(result.layers[0].output_error.mean > 0);
}

// Each side has a cache of its own format, and what the format rounds counts as error.
void TestFidelity::halfPrecisionCachesAreSeen() {
    Measured m = prepare("llama", referenceBackend());
    JobContext job;
    RunOptions half;
    half.kv_format = DType::BF16;
    const FidelityResult result =
        measureFidelity(job, m.golden.open, m.golden.open, m.golden.text, m.options, half);
    for (const LayerFidelity& layer : result.layers) {
        for (const HeadFidelity& head : layer.heads) {
            // bfloat16 rounds each element by at most 2^-8 of it.
            QVERIFY(head.score_error.mean > 1e-4 && head.score_error.mean < 1.0 / 128);
        }
    }
}

void TestFidelity::diffEqualsTheReference() {
    const Measured m = fetch();
    JobContext job;
    const TextDiff diff = diffText(job, m.golden.open, m.conversion.converted, firstWindow(m), {}, {});
    const auto kl = m.expected.numbers("diff.kl"), restored = m.expected.numbers("diff.restored_kl"),
               first_nll = m.expected.numbers("diff.first_nll"),
               second_nll = m.expected.numbers("diff.second_nll"),
               first_top = m.expected.numbers("diff.first_top"),
               second_top = m.expected.numbers("diff.second_top");
    QCOMPARE(diff.tokens.size(), kl.size());
    QCOMPARE(diff.restored_kl.size(), restored.size());
    // As in tst_compare: float32 logits are right to a few 1e-6.
    constexpr double kTolerance = 2e-5;
    std::ptrdiff_t expected_divergence = -1;
    for (std::size_t t = 0; t < kl.size(); ++t) {
        const TokenDiff& token = diff.tokens[t];
        QCOMPARE(token.id, diff.ids[t + 1]);
        QVERIFY(std::abs(token.kl - kl[t]) < kTolerance);
        QVERIFY(std::abs(token.first_nll - first_nll[t]) < kTolerance);
        QVERIFY(std::abs(token.second_nll - second_nll[t]) < kTolerance);
        QCOMPARE(static_cast<double>(token.first_top), first_top[t]);
        QCOMPARE(static_cast<double>(token.second_top), second_top[t]);
        if (expected_divergence < 0 && first_top[t] != second_top[t])
            expected_divergence = static_cast<std::ptrdiff_t>(t);
    }
    QVERIFY(expected_divergence >= 0);
    QCOMPARE(diff.firstDivergence(), expected_divergence);
    for (std::size_t i = 0; i < restored.size(); ++i)
        QVERIFY2(std::abs(diff.restored_kl[i] - restored[i]) < kTolerance,
                 qPrintable(
                     QStringLiteral("%1: %2, expected %3").arg(i).arg(diff.restored_kl[i]).arg(restored[i])));
    const auto at = static_cast<std::size_t>(expected_divergence);
    const bool upper = restored[kl.size() + at] < restored[at];
    QCOMPARE(diff.explainingLayer(at), upper ? 1 : 0);
}

void TestFidelity::restoringTheOnlyChangedLayerRemovesAll() {
    const Measured m = prepare("opt", referenceBackend());
    JobContext job;
    for (int layer = 0; layer < 2; ++layer) {
        const OpenModel one = convertOneLayer(job, m.golden.open, m.conversion.statistics,
                                              *m.conversion.spectrum, layer, 2, std::nullopt);
        const TextDiff diff = diffText(job, m.golden.open, one, firstWindow(m), {}, {});
        for (std::size_t t = 1; t < diff.tokens.size(); ++t) {
            // Restored, it is the original: rounding is left (KL is quadratic in it).
            QVERIFY(std::abs(diff.removed(layer, t) - diff.tokens[t].kl) < 1e-9);
            QVERIFY(std::abs(diff.removed(1 - layer, t)) < 1e-9);
            QCOMPARE(diff.explainingLayer(t), layer);
        }
        QVERIFY(diff.meanRemoved(layer) > 0);
    }
}

void TestFidelity::modelsOfOtherDimensionsAreNotExplained() {
    const Measured llama = prepare("llama", referenceBackend()), opt = prepare("opt", referenceBackend());
    JobContext job;
    QVERIFY(!sameDimensions(llama.golden.open, opt.golden.open));
    const TextDiff diff = diffText(job, llama.golden.open, opt.golden.open, firstWindow(llama), {}, {});
    QVERIFY(diff.tokens[3].kl > 0);
    QCOMPARE(diff.layers, 0);
    QCOMPARE(diff.explainingLayer(3), -1);
}

void TestFidelity::explanationsFollowTheirDefinition() {
    TextDiff diff;
    diff.ids = {1, 2, 3, 4};
    diff.tokens.resize(3);
    diff.layers = 2;
    for (std::size_t t = 0; t < 3; ++t)
        diff.tokens[t].kl = 1.0;
    diff.restored_kl = {0.5, 1.5, 1.0, 0.25, 2.0, 1.0};
    QCOMPARE(diff.explainingLayer(0), 1);
    QCOMPARE(diff.explainingLayer(1), -1);  // both make it worse
    QCOMPARE(diff.explainingLayer(2), -1);  // neither changes anything
    QCOMPARE(diff.removed(1, 0), 0.75);
    QCOMPARE(diff.meanRemoved(0), 0.0);
    QCOMPARE(diff.firstDivergence(), std::ptrdiff_t{-1});
    diff.tokens[1].second_top = 7;
    QCOMPARE(diff.firstDivergence(), std::ptrdiff_t{1});
}

void TestFidelity::textsOfTokensAreTheText() {
    const Measured m = prepare("llama", referenceBackend());
    const std::string text = "Zoë found “12 keys” 🗝.";  // characters of several tokens
    const std::vector<TokenId> ids = m.golden.open.tokenizer->encode(text);
    const std::vector<std::string> texts = tokenTexts(m.golden.open, ids);
    QCOMPARE(texts.size(), ids.size());
    std::string joined;
    for (const std::string& part : texts)
        joined += part;
    QCOMPARE(joined, text);
    JobContext job;
    const auto some = diffIds(job, m.golden.open, m.golden.open, m.golden.text, 7);
    QCOMPARE(some.size(), std::size_t{7});
    QVERIFY(std::equal(some.begin(), some.end(), m.golden.ids("ids").begin()));
}

void TestFidelity::badInput() {
    const Measured llama = prepare("llama", referenceBackend()), opt = prepare("opt", referenceBackend());
    const GoldenModel other = openGoldenModel("opt", referenceBackend());
    JobContext job;
    const auto fidelity = [&](const OpenModel& second) {
        return errorOf(
            [&] { measureFidelity(job, llama.golden.open, second, llama.golden.text, llama.options, {}); });
    };
    QVERIFY(fidelity(other.open).find("vocabulary of 288") != std::string::npos);
    QVERIFY2(fidelity(opt.golden.open).find("is not a conversion of") != std::string::npos,
             fidelity(opt.golden.open).c_str());
    const auto diff = [&](std::vector<TokenId> ids) {
        return errorOf([&] { diffText(job, opt.golden.open, opt.golden.open, ids, {}, {}); });
    };
    QVERIFY(diff({3}).find("the text has 1 tokens, expected 2 to the models' 64") != std::string::npos);
    QVERIFY(diff(std::vector<TokenId>(65, 3)).find("65 tokens") != std::string::npos);
    QVERIFY(diff({3, 4000, 5}).find("4000") != std::string::npos);
    QVERIFY(errorOf([&] {
                diffIds(job, opt.golden.open, opt.golden.open, opt.golden.text, 65);
            }).find("sequence length 65") != std::string::npos);
}

void TestFidelity::cancels() {
    const Measured m = prepare("mpt", referenceBackend());
    for (const std::string stage : {"measuring fidelity", "comparing token by token"}) {
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
            if (stage == "measuring fidelity")
                measure(job, m);
            else
                diffText(job, m.golden.open, m.conversion.converted, firstWindow(m), {}, {});
        } catch (const Cancelled&) {
            cancelled = true;
        }
        QVERIFY(cancelled);
        QCOMPARE(furthest, std::int64_t{0});
    }
}

QTEST_GUILESS_MAIN(TestFidelity)
#include "tst_fidelity.moc"
