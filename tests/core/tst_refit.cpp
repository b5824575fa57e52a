// SPDX-License-Identifier: Apache-2.0
// Refitted output projections against numpy (tests/golden/method/make_allocation.py), the closed form against
// its normal equations, and the options of calibration and bases that the same script measured: averaged
// samples and centring.
#include "core/calibration/calibrate.h"
#include "core/compression/convert.h"
#include "core/compression/refit.h"
#include "tests/core/method_rows.h"
#include "tests/support/backends.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

#include <cmath>
#include <random>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

SafetensorsFile expectedOf(const std::string& name) {
    return SafetensorsFile(methodGoldenDirectory(name) / "allocation.golden");
}

template <typename T>
std::vector<T> read(const SafetensorsFile& file, const std::string& name) {
    const TensorRecord& record = file.at(name);
    std::vector<T> values(record.bytes.size() / sizeof(T));
    std::memcpy(values.data(), record.bytes.data(), record.bytes.size());
    return values;
}

std::vector<TokenId> firstIds(const MethodGolden& golden) {
    std::vector<TokenId> ids = golden.ids("windows");
    ids.resize(40);
    return ids;
}

std::vector<std::vector<TokenId>> windowsOf(const MethodGolden& golden) {
    const std::vector<TokenId> ids = golden.ids("windows");
    const std::size_t length = golden.expected["sequence_length"].get<std::size_t>();
    std::vector<std::vector<TokenId>> windows;
    for (std::size_t at = 0; at < ids.size(); at += length)
        windows.emplace_back(ids.begin() + static_cast<std::ptrdiff_t>(at),
                             ids.begin() + static_cast<std::ptrdiff_t>(at + length));
    return windows;
}

}  // namespace

class TestRefit : public QObject {
    Q_OBJECT
private slots:
    void logitsAgreeWithPyTorch_data() { addMethodRows(); }
    void logitsAgreeWithPyTorch();
    void normalEquationsHold_data();
    void normalEquationsHold();
    void nothingToLearnFromChangesNothing();
    void fullRankStaysTheOriginal();
    void refittedModelsAreWrittenAndRead();
    void centredBasesAgreeWithNumpy_data() { addMethodRows(); }
    void centredBasesAgreeWithNumpy();
    void centringBelongsToEigen();
    void averagedSamplesAgreeWithNumpy_data() { addMethodRows(); }
    void averagedSamplesAgreeWithNumpy();
    void averagesNeedADivisor();
    void badArguments();
    void cancels();
};

void TestRefit::logitsAgreeWithPyTorch() {
    QFETCH(QString, name);
    QFETCH(QString, backend);
    const MethodGolden golden = openMethodGolden(name.toStdString(), hostBackend(backend.toStdString()));
    const Conversion c = convertAsExpected(golden);
    JobContext job;
    const OpenModel refitted = refitOutputs(job, golden.open, c.converted, windowsOf(golden), {});
    const auto expected = read<float>(expectedOf(name.toStdString()), "refit.logits");
    const auto found = allLogits(refitted, firstIds(golden));
    // Float32 activations; the random models' logits span some 20.
    QVERIFY2(relativeDifference(found, expected) < 1e-4,
             qPrintable(QString::number(relativeDifference(found, expected))));
    // The conversion itself is far from it, so the refit is what agrees.
    QVERIFY(relativeDifference(allLogits(c.converted, firstIds(golden)), expected) > 0.02);
}

void TestRefit::normalEquationsHold_data() {
    QTest::addColumn<int>("features");
    QTest::addColumn<int>("rows");
    QTest::newRow("few") << 5 << 40;
    // Solved in several blocks, and the last ones smaller.
    QTest::newRow("many") << 700 << 900;
}

void TestRefit::normalEquationsHold() {
    QFETCH(const int, features);
    QFETCH(const int, rows);
    JobContext job;
    std::mt19937 random(5);
    const auto number = [&] { return static_cast<float>(random() % 2001) / 1000.0f - 1.0f; };
    constexpr int kOutputs = 3;
    const auto n = static_cast<std::size_t>(features);
    std::vector<float> f(static_cast<std::size_t>(rows) * n), r(static_cast<std::size_t>(rows) * kOutputs);
    for (float& x : f)
        x = number() + 0.5f;
    for (float& x : r)
        x = number() - 0.25f;
    RefitSums sums(features, kOutputs);
    sums.add(job, f.data(), r.data(), 11);
    sums.add(job, f.data() + 11 * n, r.data() + 11 * kOutputs, rows - 11);
    const double ridge = 0.05;
    const RefitChange change = solveRefit(job, sums, ridge);
    // The gradient of sum |r - D f - b|^2 + lambda |D|^2, from the rows themselves.
    std::vector<double> mean(n, 0.0);
    double trace = 0;
    for (std::size_t i = 0; i < f.size(); ++i)
        mean[i % n] += f[i] / static_cast<double>(rows);
    for (std::size_t i = 0; i < f.size(); ++i)
        trace += std::pow(f[i] - mean[i % n], 2);
    const double lambda = ridge * trace / features;
    for (int o = 0; o < kOutputs; ++o) {
        double bias_gradient = 0;
        std::vector<double> gradient(n, 0.0);
        for (int row = 0; row < rows; ++row) {
            double rest = static_cast<double>(r[static_cast<std::size_t>(row * kOutputs + o)]) -
                          change.bias[static_cast<std::size_t>(o)];
            const float* of_row = f.data() + static_cast<std::size_t>(row) * n;
            const double* weight = change.weight.data() + static_cast<std::size_t>(o) * n;
            for (std::size_t j = 0; j < n; ++j)
                rest -= weight[j] * static_cast<double>(of_row[j]);
            bias_gradient += rest;
            for (std::size_t j = 0; j < n; ++j)
                gradient[j] += rest * static_cast<double>(of_row[j]);
        }
        // Float64 sums of that many numbers near 1.
        QVERIFY(std::abs(bias_gradient) < 1e-10);
        for (std::size_t j = 0; j < n; ++j)
            QVERIFY(std::abs(gradient[j] - lambda * change.weight[static_cast<std::size_t>(o) * n + j]) <
                    1e-10);
    }
}

void TestRefit::nothingToLearnFromChangesNothing() {
    JobContext job;
    const RefitSums none(3, 2);
    QCOMPARE(solveRefit(job, none, 1e-3).weight, std::vector<double>(6, 0.0));
    RefitSums constant(2, 1);
    const float f[] = {1, 2, 1, 2}, r[] = {3, 5};
    constant.add(job, f, r, 2);
    const RefitChange change = solveRefit(job, constant, 1e-3);
    QCOMPARE(change.weight, std::vector<double>(2, 0.0));  // features that never vary explain nothing
    QCOMPARE(change.bias, std::vector<double>{4.0});
}

void TestRefit::fullRankStaysTheOriginal() {
    for (const std::string& name : methodGoldenNames()) {
        const MethodGolden golden = openMethodGolden(name, referenceBackend());
        JobContext job;
        const Statistics statistics = calibrate(job, golden.open, golden.text, goldenCalibration(golden));
        const auto spectrum = computeSpectrum(job, *golden.open.backend, statistics, "eigen");
        const OpenModel full = convertInMemory(job, golden.open, statistics, *spectrum, fullPlan(*spectrum));
        const OpenModel refitted = refitOutputs(job, golden.open, full, windowsOf(golden), {});
        // Rounding of float32 only: there is nothing to refit.
        QVERIFY(relativeDifference(allLogits(refitted, firstIds(golden)),
                                   allLogits(golden.open, firstIds(golden))) < 2e-5);
    }
}

void TestRefit::refittedModelsAreWrittenAndRead() {
    for (const std::string& name : methodGoldenNames()) {
        const MethodGolden golden = openMethodGolden(name, referenceBackend());
        const Conversion c = convertAsExpected(golden);
        JobContext job;
        RefitOptions options;
        options.ridge = 0.25;
        options.text = "some.txt";
        options.fingerprint = "0123";
        const OpenModel refitted = refitOutputs(job, golden.open, c.converted, windowsOf(golden), options);
        const TemporaryDirectory directory;
        writeConverted(job, golden.open, refitted, directory / "m");
        const OpenModel read = openModel(job, golden.open.backend, directory / "m");
        QVERIFY(allLogits(read, firstIds(golden)) == allLogits(refitted, firstIds(golden)));
        const auto windows = windowsOf(golden);
        const RefitSummary expected{"some.txt", "0123", static_cast<std::int64_t>(windows.size()),
                                    static_cast<std::int64_t>(windows[0].size()), 0.25};
        QVERIFY(read.model->config.low_rank->refit == expected);
        QVERIFY(!c.converted.model->config.low_rank->refit);
    }
}

void TestRefit::centredBasesAgreeWithNumpy() {
    QFETCH(QString, name);
    QFETCH(QString, backend);
    const MethodGolden golden = openMethodGolden(name.toStdString(), hostBackend(backend.toStdString()));
    const SafetensorsFile expected = expectedOf(name.toStdString());
    JobContext job;
    const Statistics statistics = calibrate(job, golden.open, golden.text, goldenCalibration(golden));
    const auto spectrum = computeSpectrum(job, *golden.open.backend, statistics, "eigen",
                                          {.share_key_basis = false, .center = true});
    for (int layer = 0; layer < 2; ++layer) {
        for (Side side : {Side::Keys, Side::Values}) {
            const auto eigenvalues =
                read<double>(expected, "layers." + std::to_string(layer) + ".centred." +
                                           (side == Side::Keys ? "keys" : "values") + ".eigenvalues");
            const auto width = static_cast<std::size_t>(spectrum->basisWidth());
            for (std::size_t i = 0; i < eigenvalues.size(); ++i) {
                const double found =
                    spectrum->basis(layer, side, static_cast<int>(i / width)).eigenvalues[i % width];
                // Float32 activations; cancellation of the mean is relative to the largest.
                QVERIFY(std::abs(found - eigenvalues[i]) < 2e-5 * eigenvalues[i / width * width]);
            }
        }
    }
    RankPlan plan = fullPlan(*spectrum, 1);
    QVERIFY(plan.center);
    applyThresholds(plan, *spectrum, golden.expected["convert_at"], golden.expected["convert_at"]);
    const auto ranks = read<std::int32_t>(expected, "centred.ranks");
    for (std::size_t layer = 0; layer < 2; ++layer) {
        QCOMPARE(plan.key_ranks[layer], ranks[2 * layer]);
        QCOMPARE(plan.value_ranks[layer], ranks[2 * layer + 1]);
    }
    const OpenModel converted = convertInMemory(job, golden.open, statistics, *spectrum, plan);
    QVERIFY(converted.model->config.low_rank->center);
    const auto found = allLogits(converted, firstIds(golden));
    const auto logits = read<float>(expected, "centred.logits");
    QVERIFY2(relativeDifference(found, logits) < 1e-4,
             qPrintable(QString::number(relativeDifference(found, logits))));
}

void TestRefit::centringBelongsToEigen() {
    JobContext job;
    QVERIFY(errorOf([&] {
                computeSpectrum(job, *referenceBackend(), randomStatistics(1, 2, 1, 4, true, 1),
                                "attention-aware", {.share_key_basis = false, .center = true});
            }).find("attention-aware has no option to centre") != std::string::npos);
}

void TestRefit::averagedSamplesAgreeWithNumpy() {
    QFETCH(QString, name);
    QFETCH(QString, backend);
    const MethodGolden golden = openMethodGolden(name.toStdString(), hostBackend(backend.toStdString()));
    const SafetensorsFile expected = expectedOf(name.toStdString());
    JobContext job;
    CalibrationOptions options = goldenCalibration(golden);
    options.attention_queries = 0;
    options.average_samples = 3;
    const Statistics statistics = calibrate(job, golden.open, golden.text, options);
    QCOMPARE(statistics.tokens, std::int64_t{options.sequence_length});
    QCOMPARE(statistics.calibration.average_samples, std::int64_t{3});
    for (std::size_t layer = 0; layer < 2; ++layer) {
        const LayerStatistics& s = statistics.layers[layer];
        for (const auto& [kind, moments] :
             {std::pair("keys", &s.keys), std::pair("queries", &s.queries), std::pair("values", &s.values),
              std::pair("outputs", &s.outputs)}) {
            const std::string prefix = "layers." + std::to_string(layer) + ".averaged." + kind;
            for (const auto& [part, found] :
                 {std::pair(".gram", &moments->gram), std::pair(".sum", &moments->sum)}) {
                const auto numbers = read<double>(expected, prefix + part);
                QCOMPARE(found->size(), numbers.size());
                double largest = 0, difference = 0;
                for (std::size_t i = 0; i < numbers.size(); ++i) {
                    largest = std::max(largest, std::abs(numbers[i]));
                    difference = std::max(difference, std::abs((*found)[i] - numbers[i]));
                }
                QVERIFY(difference < 2e-5 * largest);  // float32 activations
            }
        }
    }
    const TemporaryDirectory directory;
    saveStatistics(statistics, directory / "x");
    QCOMPARE(loadStatistics(directory / "x").calibration.average_samples, std::int64_t{3});
}

void TestRefit::averagesNeedADivisor() {
    const MethodGolden golden = openMethodGolden("opt", referenceBackend());
    JobContext job;
    CalibrationOptions options = goldenCalibration(golden);
    options.average_samples = 2;
    options.attention_queries = 0;
    QVERIFY(errorOf([&] { calibrate(job, golden.open, golden.text, options); }).find("a divisor of 3") !=
            std::string::npos);
    options.average_samples = 3;
    options.attention_queries = 4;
    QVERIFY(errorOf([&] { calibrate(job, golden.open, golden.text, options); }).find("attention queries") !=
            std::string::npos);
}

void TestRefit::badArguments() {
    const MethodGolden golden = openMethodGolden("llama", referenceBackend());
    const Conversion c = convertAsExpected(golden);
    JobContext job;
    auto windows = windowsOf(golden);
    QVERIFY(errorOf([&] {
                refitOutputs(job, golden.open, golden.open, windows, {});
            }).find("is not a conversion") != std::string::npos);
    QVERIFY(errorOf([&] { refitOutputs(job, golden.open, c.converted, {}, {}); }).find("no windows") !=
            std::string::npos);
    RefitOptions options;
    options.ridge = 0;
    QVERIFY(errorOf([&] { refitOutputs(job, golden.open, c.converted, windows, options); }).find("ridge") !=
            std::string::npos);
    windows[0].pop_back();
    QVERIFY(errorOf([&] {
                refitOutputs(job, golden.open, c.converted, windows, {});
            }).find("windows of one length") != std::string::npos);
}

void TestRefit::cancels() {
    const MethodGolden golden = openMethodGolden("mpt", referenceBackend());
    const Conversion c = convertAsExpected(golden);
    std::stop_source stop;
    JobContext job(stop.get_token(), [&](const Progress& p) {
        if (p.stage == "refitting")
            stop.request_stop();
    });
    QVERIFY_EXCEPTION_THROWN(refitOutputs(job, golden.open, c.converted, windowsOf(golden), {}), Cancelled);
}

QTEST_GUILESS_MAIN(TestRefit)
#include "tst_refit.moc"
