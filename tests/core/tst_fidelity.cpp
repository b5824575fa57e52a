// SPDX-License-Identifier: Apache-2.0
// Fidelity by layer and head, and the token-level diff, against float64 in transformers and numpy
// (tests/golden/method/make_fidelity.py, make_quantised_fidelity.py).
#include "core/calibration/calibrate.h"
#include "core/compression/convert.h"
#include "core/evaluation/attention_rows.h"
#include "core/evaluation/fidelity.h"
#include "core/evaluation/text_diff.h"
#include "core/spectrum/rank_plan.h"
#include "tests/core/method_rows.h"
#include "tests/support/backends.h"
#include "tests/support/golden_model.h"

#include <QTest>

#include <algorithm>
#include <cmath>
#include <functional>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

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
    m.options = goldenWindows(m.golden);
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
constexpr double kTolerance = 1e-4;
// An element that rounding moves across the middle between two codes changes by a whole step: one of the few
// thousand of a head is seen here.
constexpr double kCodeTolerance = 5e-4;

void near(const MeanAndError& found, const std::vector<double>& expected, std::size_t at, const char* what,
          double tolerance) {
    QVERIFY2(std::abs(found.mean / expected[2 * at] - 1) < tolerance,
             qPrintable(QStringLiteral("%1 %2: %3, expected %4")
                            .arg(what)
                            .arg(at)
                            .arg(found.mean)
                            .arg(expected[2 * at])));
    QVERIFY2(std::abs(found.error / expected[2 * at + 1] - 1) < 10 * tolerance,
             qPrintable(QStringLiteral("%1 %2, standard error: %3, expected %4")
                            .arg(what)
                            .arg(at)
                            .arg(found.error)
                            .arg(expected[2 * at + 1])));
}

void nearAll(const FidelityResult& result,
             const std::function<std::vector<double>(const std::string&)>& expected,
             double tolerance = kTolerance) {
    const auto output = expected("output_error"), propagated = expected("propagated_error"),
               scores = expected("score_error"), distance = expected("weight_distance"),
               outputs = expected("head_output_error");
    QCOMPARE(result.layers.size() * 2, output.size());
    std::size_t at = 0;
    for (std::size_t layer = 0; layer < result.layers.size(); ++layer) {
        near(result.layers[layer].output_error, output, layer, "output", tolerance);
        near(result.layers[layer].propagated_error, propagated, layer, "propagated", tolerance);
        for (const HeadFidelity& head : result.layers[layer].heads) {
            near(head.score_error, scores, at, "scores", tolerance);
            near(head.weight_distance, distance, at, "weights", tolerance);
            near(head.output_error, outputs, at, "head output", tolerance);
            ++at;
        }
    }
    QCOMPARE(at * 2, scores.size());
}

}  // namespace

class TestFidelity : public QObject {
    Q_OBJECT
private slots:
    void layersAndHeadsEqualTheReference_data() { addMethodRows(); }
    void layersAndHeadsEqualTheReference();
    void qualityIsThatOfCompare();
    void meansDroppedByTheSoftmaxAreNoError_data();
    void meansDroppedByTheSoftmaxAreNoError();
    void aModelEqualsItself();
    void oneWindowHasNoSpread();
    void halfPrecisionCachesAreSeen();
    void quantisedCachesEqualTheReference_data() { addMethodRows(); }
    void quantisedCachesEqualTheReference();
    void latentsAreReadExactlyOrFromCodes();
    void sharedLatentsAreReadByEveryHead();
    void slidingWindowsHideKeys();
    void diffEqualsTheReference_data() { addMethodRows(); }
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
    const auto expected = [&](const std::string& name) { return m.expected.numbers(name); };
    nearAll(result, expected);
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

// Keys by channel are read exactly until their group is complete and outside the recent window.
void TestFidelity::quantisedCachesEqualTheReference() {
    const Measured m = fetch();
    Measured quantised = m;
    quantised.expected.data = std::make_shared<const SafetensorsFile>(
        methodGoldenDirectory(m.golden.open.model->config.family) / "quantised_fidelity.golden");
    struct Setting {
        const char* name;
        int bits, group;
        KvGrouping keys;
        int recent;
    };
    for (const Setting& setting : {Setting{"channel", 4, 8, KvGrouping::Channel, 5},
                                   Setting{"incomplete", 3, 16, KvGrouping::Channel, 0},
                                   Setting{"recent", 2, 8, KvGrouping::Token, 6}}) {
        RunOptions run;
        run.kv_format = KvFormat::quantised(setting.bits);
        run.kv_format->group = setting.group;
        run.kv_format->keys = setting.keys;
        run.kv_format->recent = setting.recent;
        JobContext job;
        const FidelityResult result =
            measureFidelity(job, m.golden.open, m.golden.open, m.golden.text, m.options, run);
        const auto expected = [&](const std::string& name) {
            return quantised.expected.numbers(std::string(setting.name) + "." + name);
        };
        nearAll(result, expected, kCodeTolerance);
    }
}

// Of a conversion: where every position is recent, codes change nothing; else they add to its error.
void TestFidelity::latentsAreReadExactlyOrFromCodes() {
    for (const std::string& name : methodGoldenNames()) {
        const Measured m = prepare(name, referenceBackend());
        JobContext job;
        const auto with = [&](int bits, int recent) {
            RunOptions run;
            run.kv_format = KvFormat::quantised(bits);
            run.kv_format->group = 8;
            run.kv_format->keys = KvGrouping::Channel;
            run.kv_format->recent = recent;
            return measureFidelity(job, m.golden.open, m.conversion.converted, m.golden.text, m.options, run);
        };
        const FidelityResult none = measure(job, m), recent = with(2, 64), codes = with(2, 4),
                             fine = with(8, 4);
        for (std::size_t layer = 0; layer < none.layers.size(); ++layer) {
            for (std::size_t head = 0; head < none.layers[layer].heads.size(); ++head) {
                const auto error = [&](const FidelityResult& of) {
                    return of.layers[layer].heads[head].score_error.mean;
                };
                QCOMPARE(error(recent), error(none));
                QVERIFY(error(codes) > 1.05 * error(none));
                // 255 steps a group against an error of a tenth: squares add.
                QVERIFY(error(fine) != error(none) && std::abs(error(fine) / error(none) - 1) < 0.02);
            }
        }
    }
}

// Heads of a group read one latent; at full rank it is lossless.
void TestFidelity::sharedLatentsAreReadByEveryHead() {
    for (const std::string& name : methodGoldenNames()) {
        Measured m = prepare(name, referenceBackend());
        JobContext job;
        CalibrationOptions options = goldenCalibration(m.golden);
        options.head_group = m.golden.open.model->config.kv_heads;
        const Statistics statistics = calibrate(job, m.golden.open, m.golden.text, options);
        const auto spectrum = computeSpectrum(job, *m.golden.open.backend, statistics, "eigen",
                                              {.head_group = options.head_group});
        m.conversion.converted =
            convertInMemory(job, m.golden.open, statistics, *spectrum, fullPlan(*spectrum, 1));
        for (const LayerFidelity& layer : measure(job, m).layers) {
            for (const HeadFidelity& head : layer.heads)
                QVERIFY2(head.score_error.mean < 1e-4, qPrintable(QString::number(head.score_error.mean)));
        }
    }
}

// A key outside a query's sliding window is not compared, however wrong it may be.
void TestFidelity::slidingWindowsHideKeys() {
    AttentionRows rows;
    rows.tokens = 5;
    rows.query_heads = rows.key_heads = rows.query_width = rows.value_width = 1;
    rows.hidden = 1;
    rows.queries = {1, 1, 1, 1, 1};
    rows.keys = {0.5f, -1, 2, 0, 1};
    rows.outputs = {1, 2, 3, 4, 5};
    rows.output_weight = {1};
    rows.window = 2;
    AttentionRows other = rows;
    other.keys[1] += 8;  // seen by queries 1 and 2
    JobContext job;
    const HeadDifference found = compareHeads(job, rows, other, 1)[0];
    // Two keys less their mean: half their distance, twice. Differences: 8 halved, in two queries; scores:
    // queries 1 to 4 see distances 1.5, 3, 2, 1.
    QVERIFY(std::abs(found.score_difference - 2 * (2 * 4.0 * 4.0)) < 1e-4);
    QVERIFY(std::abs(found.score_norm - (1.5 * 1.5 + 3 * 3 + 2 * 2 + 1) / 2) < 1e-5);
    const auto share = [](double a, double b) { return 1 / (1 + std::exp(b - a)); };  // of the first
    const double distance =
        (std::abs(share(0.5, -1) - share(0.5, 7)) + std::abs(share(-1, 2) - share(7, 2))) / 5;
    QVERIFY(std::abs(found.weight_distance - distance) < 1e-6);
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
    constexpr double kLogitTolerance = 2e-5;
    std::ptrdiff_t expected_divergence = -1;
    for (std::size_t t = 0; t < kl.size(); ++t) {
        const TokenDiff& token = diff.tokens[t];
        QCOMPARE(token.id, diff.ids[t + 1]);
        QVERIFY(std::abs(token.kl - kl[t]) < kLogitTolerance);
        QVERIFY(std::abs(token.first_nll - first_nll[t]) < kLogitTolerance);
        QVERIFY(std::abs(token.second_nll - second_nll[t]) < kLogitTolerance);
        QCOMPARE(static_cast<double>(token.first_top), first_top[t]);
        QCOMPARE(static_cast<double>(token.second_top), second_top[t]);
        if (expected_divergence < 0 && first_top[t] != second_top[t])
            expected_divergence = static_cast<std::ptrdiff_t>(t);
    }
    QVERIFY(expected_divergence >= 0);
    QCOMPARE(diff.firstDivergence(), expected_divergence);
    for (std::size_t i = 0; i < restored.size(); ++i)
        QVERIFY2(std::abs(diff.restored_kl[i] - restored[i]) < kLogitTolerance,
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
