// SPDX-License-Identifier: Apache-2.0
#include "core/base/atomic_output.h"
#include "core/evaluation/perplexity.h"
#include "tests/core/method_rows.h"
#include "tests/support/backends.h"
#include "tests/support/id_tokenizer.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

#include <cmath>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

// Float32 logits are right to about 1e-6 of their range (a few units), so a mean of log-likelihoods is too.
constexpr double kNllError = 5e-6;

PerplexityOptions optionsOf(int length, BosRule bos = BosRule::First) {
    PerplexityOptions options;
    options.sequence_length = length;
    options.bos = bos;
    return options;
}

}  // namespace

class TestPerplexity : public QObject {
    Q_OBJECT
private slots:
    void equalsTheReference_data() { addMethodRows(); }
    void equalsTheReference();
    void chunksAndThreadsChangeRoundingOnly();
    void windowsFollowTheBosRule();
    void windowsAreLimited();
    void oneWindowHasNoKnownError();
    void badInput();
    void cancels();
};

void TestPerplexity::equalsTheReference() {
    const MethodGolden golden = fetchMethodGolden();
    JobContext job;
    const int length = golden.expected["evaluation_length"];
    const PerplexityResult first = perplexity(job, golden.open, golden.text, optionsOf(length));
    const std::vector<double> nll = golden.numbers("window_nll");
    QCOMPARE(first.window_nll.size(), nll.size());
    for (std::size_t i = 0; i < nll.size(); ++i)
        QVERIFY(std::abs(first.window_nll[i] - nll[i]) < kNllError);
    const double expected = golden.expected["perplexity"], error = golden.expected["standard_error"];
    QVERIFY(std::abs(first.perplexity / expected - 1) < 1e-5);
    QVERIFY(std::abs(first.standard_error / error - 1) < 1e-4);
    QCOMPARE(first.windows, static_cast<std::int64_t>(nll.size()));
    QCOMPARE(first.tokens, first.windows * (length - 1));
    QVERIFY(first.seconds > 0);

    const PerplexityResult every =
        perplexity(job, golden.open, golden.text, optionsOf(length, BosRule::Every));
    const std::vector<double> nll_every = golden.numbers("window_nll_every");
    QCOMPARE(every.window_nll.size(), nll_every.size());
    for (std::size_t i = 0; i < nll_every.size(); ++i)
        QVERIFY(std::abs(every.window_nll[i] - nll_every[i]) < kNllError);
    const double expected_every = golden.expected["perplexity_every"];
    QVERIFY(std::abs(every.perplexity / expected_every - 1) < 1e-5);
}

void TestPerplexity::chunksAndThreadsChangeRoundingOnly() {
    for (const auto& backend : hostBackends()) {
        for (const std::string& name : methodGoldenNames()) {
            const MethodGolden golden = openMethodGolden(name, backend);
            JobContext job;
            PerplexityOptions options = optionsOf(33);
            options.windows = 3;
            const PerplexityResult whole = perplexity(job, golden.open, golden.text, options);
            for (std::int64_t chunk : {1, 5, 31, 32, 1000}) {
                options.chunk = chunk;
                options.run.threads = chunk == 5 ? 3 : 1;
                const PerplexityResult parts = perplexity(job, golden.open, golden.text, options);
                QVERIFY2(std::abs(parts.perplexity / whole.perplexity - 1) < kNllError, name.c_str());
            }
        }
    }
}

void TestPerplexity::windowsFollowTheBosRule() {
    const MethodGolden golden = openMethodGolden("llama", referenceBackend());  // its tokenizer adds bos
    JobContext job;
    const Tokenizer& tokenizer = *golden.open.tokenizer;
    const std::vector<TokenId> ids = golden.ids("ids");
    const auto first = evaluationWindows(job, tokenizer, 512, golden.text, optionsOf(10));
    const auto every = evaluationWindows(job, tokenizer, 512, golden.text, optionsOf(10, BosRule::Every));
    const auto none = evaluationWindows(job, tokenizer, 512, golden.text, optionsOf(10, BosRule::None));
    QCOMPARE(first.size(), ids.size() / 10);
    QCOMPARE(none.size(), (ids.size() - 1) / 10);
    for (std::size_t i = 0; i < first.size(); ++i) {
        for (std::size_t k = 0; k < 10; ++k) {
            QCOMPARE(first[i][k], ids[i * 10 + k]);
            QCOMPARE(every[i][k], k == 0 ? *tokenizer.bos() : ids[i * 10 + k]);
        }
    }
    for (std::size_t i = 0; i < none.size(); ++i)
        QCOMPARE(none[i].front(), ids[i * 10 + 1]);
    QCOMPARE(first[0][0], *tokenizer.bos());
}

void TestPerplexity::windowsAreLimited() {
    const MethodGolden golden = openMethodGolden("opt", referenceBackend());
    JobContext job;
    PerplexityOptions options;
    options.windows = 2;
    auto windows = evaluationWindows(job, *golden.open.tokenizer, 64, golden.text, options);
    QCOMPARE(windows.size(), std::size_t{2});
    QCOMPARE(windows[0].size(), std::size_t{64});  // the model's positions, as no length was given
    options.windows = 100000;
    windows = evaluationWindows(job, *golden.open.tokenizer, 64, golden.text, options);
    QCOMPARE(windows.size(), golden.ids("ids").size() / 64);
}

void TestPerplexity::oneWindowHasNoKnownError() {
    const MethodGolden golden = openMethodGolden("opt", referenceBackend());
    JobContext job;
    PerplexityOptions options = optionsOf(8);
    options.windows = 1;
    const PerplexityResult result = perplexity(job, golden.open, golden.text, options);
    QVERIFY(std::isfinite(result.perplexity));
    QVERIFY(std::isnan(result.standard_error));
}

void TestPerplexity::badInput() {
    const MethodGolden golden = openMethodGolden("opt", referenceBackend());
    const TemporaryDirectory directory;
    JobContext job;
    const auto message = [&](const std::filesystem::path& text, const PerplexityOptions& options) {
        return errorOf([&] { perplexity(job, golden.open, text, options); });
    };
    const auto file = directory / "text.txt";
    writeTextFile(file, "");
    QCOMPARE(message(file, optionsOf(10)), file.string() + ": is empty, expected text");
    writeTextFile(file, "abc");
    QVERIFY(message(file, optionsOf(10)).ends_with(" tokens, fewer than one window of 10"));
    QCOMPARE(message(golden.text, optionsOf(65)),
             std::string("sequence length 65: expected 2 to the model's 64 positions"));
    QVERIFY(!message(golden.text, optionsOf(1)).empty());
    QVERIFY(!message(golden.text, optionsOf(-4)).empty());
    PerplexityOptions options = optionsOf(10);
    options.windows = -1;
    QCOMPARE(message(golden.text, options), std::string("windows -1: expected 0 (all) or more"));
    const IdTokenizer without_bos(288);
    QCOMPARE(
        errorOf([&] { evaluationWindows(job, without_bos, 64, golden.text, optionsOf(10, BosRule::Every)); }),
        std::string("bos every: the tokenizer has no bos token"));
}

void TestPerplexity::cancels() {
    const MethodGolden golden = openMethodGolden("llama", referenceBackend());
    std::stop_source stop;
    std::int64_t furthest = -1;
    JobContext job(stop.get_token(), [&](const Progress& p) {
        if (p.stage == "measuring perplexity") {
            furthest = std::max(furthest, p.done);
            stop.request_stop();
        }
    });
    QVERIFY_EXCEPTION_THROWN(perplexity(job, golden.open, golden.text, optionsOf(400)), Cancelled);
    QCOMPARE(furthest, std::int64_t{0});
}

QTEST_GUILESS_MAIN(TestPerplexity)
#include "tst_perplexity.moc"
