// SPDX-License-Identifier: Apache-2.0
// Calibration against float64 captures of the same windows in transformers (tests/golden/method), spectra and
// ranks against singular values of the stacked rows.
#include "core/base/atomic_output.h"
#include "core/calibration/calibrate.h"
#include "core/compression/convert.h"
#include "core/spectrum/rank_plan.h"
#include "tests/core/method_rows.h"
#include "tests/support/backends.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

#include <cmath>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

// Activations are float32 with a relative rounding error of 6e-8 an operation; a few hundred operations deep
// they are right to about 1e-6 of a row's norm. By Weyl's inequality an eigenvalue moves by no more than the
// Gram matrix does.
constexpr double kEigenvalueError = 1e-6;
constexpr double kGramError = 4e-6;  // of single elements, relative to sqrt(g_ii g_jj)

struct Kind {
    const char* name;
    Moments LayerStatistics::*moments;
};
constexpr Kind kKinds[] = {{"keys", &LayerStatistics::keys},
                           {"queries", &LayerStatistics::queries},
                           {"values", &LayerStatistics::values},
                           {"outputs", &LayerStatistics::outputs}};

double largestGramError(const Moments& found, const std::vector<double>& expected) {
    double largest = 0;
    const auto n = static_cast<std::size_t>(found.width);
    for (std::size_t head = 0; head < static_cast<std::size_t>(found.heads); ++head) {
        const double* e = expected.data() + head * n * n;
        const auto g = found.gramOf(static_cast<int>(head));
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t j = 0; j < n; ++j)
                largest = std::max(
                    largest, std::abs(g[i * n + j] - e[i * n + j]) / std::sqrt(e[i * n + i] * e[j * n + j]));
        }
    }
    return largest;
}

}  // namespace

class TestCalibration : public QObject {
    Q_OBJECT
private slots:
    void momentsEqualTheRows_data() { addMethodRows(); }
    void momentsEqualTheRows();
    void spectraAndRanksEqualTheSvd_data() { addMethodRows(); }
    void spectraAndRanksEqualTheSvd();
    void threadsChangeRoundingOnly();
    void describesTheRun();
    void lengthEndsAtTheModelsPositions();
    void progressCountsWindows();
    void cancelsInsideAWindow();
    void badTextsAndModels();
};

void TestCalibration::momentsEqualTheRows() {
    const MethodGolden golden = fetchMethodGolden();
    JobContext job;
    const Statistics s = calibrate(job, golden.open, golden.text, goldenCalibration(golden));
    for (std::size_t layer = 0; layer < s.layers.size(); ++layer) {
        for (const Kind& kind : kKinds) {
            const std::string name = "layers." + std::to_string(layer) + "." + kind.name;
            const Moments& moments = s.layers[layer].*kind.moments;
            const std::vector<double> gram = golden.numbers(name + ".gram"),
                                      sum = golden.numbers(name + ".sum");
            QCOMPARE(moments.gram.size(), gram.size());
            const double error = largestGramError(moments, gram);
            QVERIFY2(error < kGramError, (name + " " + std::to_string(error)).c_str());
            for (std::size_t i = 0; i < sum.size(); ++i) {
                // A sum of rows is bounded by sqrt(rows * g_ii).
                const auto n = static_cast<std::size_t>(moments.width);
                const double scale =
                    std::sqrt(static_cast<double>(moments.rows) * gram[(i / n * n + i % n) * n + i % n]);
                QVERIFY(std::abs(moments.sum[i] - sum[i]) < kGramError * scale);
            }
        }
    }
    const std::vector<TokenId> windows = golden.ids("windows");
    QCOMPARE(s.probe_windows.size(), std::size_t{3});
    QVERIFY(std::equal(s.probe_windows[0].begin(), s.probe_windows[0].end(), windows.begin()));
}

void TestCalibration::spectraAndRanksEqualTheSvd() {
    const MethodGolden golden = fetchMethodGolden();
    JobContext job;
    const Statistics s = calibrate(job, golden.open, golden.text, goldenCalibration(golden));
    for (bool shared : {false, true}) {
        const auto spectrum =
            computeSpectrum(job, *golden.open.backend, s, "eigen", {.share_key_basis = shared});
        const auto width = static_cast<std::size_t>(s.head_dim);
        for (int layer = 0; layer < spectrum->layers(); ++layer) {
            for (Side side : {Side::Keys, Side::Values}) {
                const bool one = shared && side == Side::Keys;
                const std::string what = side == Side::Values ? "values" : shared ? "shared" : "keys";
                const auto expected =
                    golden.numbers("layers." + std::to_string(layer) + "." + what + ".eigenvalues");
                for (int head = 0; head < spectrum->heads(); ++head) {
                    const double* e = expected.data() + (one ? 0 : static_cast<std::size_t>(head) * width);
                    for (std::size_t i = 0; i < width; ++i) {
                        const double found = spectrum->basis(layer, side, head).eigenvalues[i];
                        QVERIFY2(
                            std::abs(found - e[i]) < kEigenvalueError * e[0],
                            qPrintable(QStringLiteral("%1 layer %2 head %3 eigenvalue %4: %5, expected %6")
                                           .arg(what.c_str())
                                           .arg(layer)
                                           .arg(head)
                                           .arg(i)
                                           .arg(found)
                                           .arg(e[i])));
                    }
                }
            }
        }
        for (const Json& row : golden.expected["ranks"]) {
            if (row["share_key_basis"] != shared)
                continue;
            RankPlan plan = fullPlan(*spectrum, row["rank_multiple"]);
            plan.criterion = criterionFromName(row["criterion"].get<std::string>());
            applyThresholds(plan, *spectrum, row["threshold"], row["threshold"]);
            QVERIFY2(plan.key_ranks == row["key_ranks"].get<std::vector<int>>(), row.dump().c_str());
            QVERIFY2(plan.value_ranks == row["value_ranks"].get<std::vector<int>>(), row.dump().c_str());
        }
    }
}

void TestCalibration::threadsChangeRoundingOnly() {
    for (const auto& backend : hostBackends()) {
        const MethodGolden golden = openMethodGolden("llama", backend);
        JobContext job;
        CalibrationOptions options = goldenCalibration(golden);
        options.run.threads = 1;
        const Statistics one = calibrate(job, golden.open, golden.text, options);
        options.run.threads = 3;
        const Statistics three = calibrate(job, golden.open, golden.text, options);
        for (std::size_t layer = 0; layer < one.layers.size(); ++layer) {
            for (const Kind& kind : kKinds)
                QVERIFY(largestGramError(three.layers[layer].*kind.moments,
                                         (one.layers[layer].*kind.moments).gram) < kGramError);
        }
    }
}

void TestCalibration::describesTheRun() {
    const MethodGolden golden = openMethodGolden("llama", referenceBackend());
    JobContext job;
    CalibrationOptions options;
    options.samples = 6;
    options.sequence_length = 20;
    options.seed = 12345678901234567890ull;
    const Statistics s = calibrate(job, golden.open, golden.text, options);
    QCOMPARE(s.model_name, std::string("llama"));
    QCOMPARE(s.family, std::string("llama"));
    QCOMPARE(s.model_fingerprint, golden.open.checkpoint->fingerprint());
    QVERIFY(s.rotary);
    QCOMPARE(s.query_heads, 4);
    QCOMPARE(s.kv_heads, 2);
    QCOMPARE(s.head_dim, 16);
    QCOMPARE(s.tokens, std::int64_t{120});
    QCOMPARE(s.layers[0].keys.rows, std::int64_t{120});
    QCOMPARE(s.layers[1].outputs.rows, std::int64_t{240});
    QCOMPARE(s.calibration.text, std::string("text.txt"));
    QCOMPARE(s.calibration.samples, std::int64_t{6});
    QCOMPARE(s.calibration.sequence_length, std::int64_t{20});
    QCOMPARE(s.calibration.seed, 12345678901234567890ull);
    QCOMPARE(s.calibration.fingerprint.size(), std::size_t{16});
    QCOMPARE(s.probe_windows.size(), std::size_t{4});
    // What calibration makes can be kept, and says the same when it is read.
    const TemporaryDirectory directory;
    saveStatistics(s, directory / "x");
    const Statistics t = loadStatistics(directory / "x");
    QCOMPARE(t.layers[1].outputs.gram, s.layers[1].outputs.gram);
    QCOMPARE(t.probe_windows, s.probe_windows);
}

void TestCalibration::lengthEndsAtTheModelsPositions() {
    const MethodGolden golden = openMethodGolden("opt", referenceBackend());
    JobContext job;
    CalibrationOptions options;
    options.samples = 1;
    QCOMPARE(options.sequence_length, 2048);
    QCOMPARE(calibrate(job, golden.open, golden.text, options).calibration.sequence_length, std::int64_t{64});
}

void TestCalibration::progressCountsWindows() {
    const MethodGolden golden = openMethodGolden("mpt", referenceBackend());
    std::vector<Progress> seen;
    JobContext job({}, [&](const Progress& p) { seen.push_back(p); });
    CalibrationOptions options;
    options.samples = 5;
    options.sequence_length = 10;
    calibrate(job, golden.open, golden.text, options);
    QVERIFY(!seen.empty());
    QCOMPARE(seen.back().stage, std::string("calibrating"));
    QCOMPARE(seen.back().done, std::int64_t{5});
    QCOMPARE(seen.back().total, std::int64_t{5});
}

void TestCalibration::cancelsInsideAWindow() {
    const MethodGolden golden = openMethodGolden("llama", referenceBackend());
    std::stop_source stop;
    std::int64_t furthest = -1;
    JobContext job(stop.get_token(), [&](const Progress& p) {
        if (p.stage == "calibrating") {
            furthest = std::max(furthest, p.done);
            stop.request_stop();
        }
    });
    CalibrationOptions options;
    options.samples = 1;
    options.sequence_length = 500;
    QVERIFY_EXCEPTION_THROWN(calibrate(job, golden.open, golden.text, options), Cancelled);
    QCOMPARE(furthest, std::int64_t{0});  // the first window was never finished
}

void TestCalibration::badTextsAndModels() {
    const MethodGolden golden = openMethodGolden("llama", referenceBackend());
    const TemporaryDirectory directory;
    JobContext job;
    CalibrationOptions options;
    options.samples = 2;
    options.sequence_length = 50;
    const auto file = directory / "short.txt";
    writeTextFile(file, "");
    QCOMPARE(errorOf([&] { calibrate(job, golden.open, file, options); }),
             file.string() + ": is empty, expected text");
    writeTextFile(file, "Ada");
    const std::string message = errorOf([&] { calibrate(job, golden.open, file, options); });
    QVERIFY2(message.starts_with(file.string() + ": the text has ") &&
                 message.ends_with(" tokens, fewer than one window of 50"),
             message.c_str());
    const Conversion conversion = convertAsExpected(golden);
    QVERIFY(errorOf([&] {
                calibrate(job, conversion.converted, golden.text, options);
            }).find("is a converted model") != std::string::npos);
}

QTEST_GUILESS_MAIN(TestCalibration)
#include "tst_calibration.moc"
