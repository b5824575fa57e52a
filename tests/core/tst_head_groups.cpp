// SPDX-License-Identifier: Apache-2.0
// One latent for several heads: spectra and logits against float64 references (tests/golden/method), the
// lossless check, files, and what is refused.
#include "core/calibration/calibrate.h"
#include "core/compression/convert.h"
#include "core/evaluation/sensitivity.h"
#include "core/model/kv_cache.h"
#include "tests/core/method_rows.h"
#include "tests/support/backends.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

#include <algorithm>
#include <cmath>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

// Rows are float32, and attention's weights squares of differences of such; the joint matrices are as well
// conditioned as the single heads' (tst_attention_aware).
constexpr double kEigenvalueError = 2e-5;  // of the largest
// Of the logits' range. Joint bases of method attention-aware are not orthonormal, and float32 weights hold
// them.
constexpr double kLogitError = 5e-5;

struct Fixture {
    MethodGolden golden;
    Statistics statistics;
    int group = 0;  // all key/value heads

    std::shared_ptr<const Spectrum> spectrum(const std::string& method) const {
        JobContext job;
        return computeSpectrum(job, *golden.open.backend, statistics, method, {.head_group = group});
    }
    OpenModel converted(const std::string& method, const RankPlan& plan) const {
        JobContext job;
        return convertInMemory(job, golden.open, statistics, *spectrum(method), plan);
    }
    std::vector<TokenId> window() const {
        const std::vector<TokenId> all = golden.ids("windows");
        return {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(golden.expected["sequence_length"])};
    }
};

Fixture fixture(const std::string& name, const std::string& backend) {
    Fixture f{openMethodGolden(name, hostBackend(backend)), {}, 0};
    f.group = f.golden.open.model->config.kv_heads;
    CalibrationOptions options = goldenCalibration(f.golden);
    options.attention_queries = options.sequence_length;  // all of them
    options.head_group = f.group;
    JobContext job;
    f.statistics = calibrate(job, f.golden.open, f.golden.text, options);
    return f;
}

Fixture fetched() {
    QFETCH_GLOBAL(QString, name);
    QFETCH_GLOBAL(QString, backend);
    return fixture(name.toStdString(), backend.toStdString());
}

std::shared_ptr<const SafetensorsFile> goldenGroups(const Fixture& f) {
    return std::make_shared<const SafetensorsFile>(methodGoldenDirectory(f.golden.open.model->config.family) /
                                                   "head_groups.golden");
}

constexpr std::pair<const char*, const char*> kMethods[] = {{"eigen", "eigen"}, {"attention-aware", "aware"}};

}  // namespace

class TestHeadGroups : public QObject {
    Q_OBJECT
private slots:
    void initTestCase_data() { addMethodRows(); }
    void spectraEqualTheSvd();
    void logitsEqualProjectedRows();
    void fullRankIsLossless();
    void decodeEqualsPrefill();
    void filesKeepEverything();
    void sensitivityCountsJointRanks();
    void whatIsRefused();
};

void TestHeadGroups::spectraEqualTheSvd() {
    Fixture f = fetched();
    f.golden.data = goldenGroups(f);
    for (const auto& [method, prefix] : kMethods) {
        const auto spectrum = f.spectrum(method);
        QCOMPARE(spectrum->heads(), 1);
        QCOMPARE(spectrum->basisWidth(), f.group * f.statistics.head_dim);
        for (int layer = 0; layer < spectrum->layers(); ++layer) {
            for (Side side : {Side::Keys, Side::Values}) {
                const std::string part = side == Side::Keys ? ".keys" : ".values";
                const std::vector<double> expected =
                    f.golden.numbers("layers." + std::to_string(layer) + "." + prefix + part);
                const std::vector<double>& found = spectrum->basis(layer, side, 0).eigenvalues;
                QCOMPARE(found.size(), expected.size());
                for (std::size_t i = 0; i < found.size(); ++i) {
                    const double error = std::abs(found[i] - expected[i]) / expected[0];
                    QVERIFY2(error < kEigenvalueError, qPrintable(QString("%1 layer %2 %3 %4: %5")
                                                                      .arg(method)
                                                                      .arg(layer)
                                                                      .arg(part.c_str())
                                                                      .arg(i)
                                                                      .arg(error)));
                }
            }
        }
    }
}

void TestHeadGroups::logitsEqualProjectedRows() {
    const Fixture f = fetched();
    MethodGolden golden = f.golden;
    golden.data = goldenGroups(f);
    for (const auto& [method, prefix] : kMethods) {
        RankPlan plan = fullPlan(*f.spectrum(method), 1);
        const int rank = golden.ids("rank").front();
        std::fill(plan.key_ranks.begin(), plan.key_ranks.end(), rank);
        std::fill(plan.value_ranks.begin(), plan.value_ranks.end(), rank);
        const std::vector<float> found = allLogits(f.converted(method, plan), f.window());
        const std::vector<double> numbers = golden.numbers(std::string(prefix) + ".logits");
        const std::vector<float> expected(numbers.begin(), numbers.end());
        QVERIFY(found.size() > expected.size());
        const std::vector<float> last(found.end() - static_cast<std::ptrdiff_t>(expected.size()),
                                      found.end());
        const double error = relativeDifference(last, expected);
        QVERIFY2(error < kLogitError, qPrintable(QString("%1: %2").arg(method).arg(error)));
    }
}

void TestHeadGroups::fullRankIsLossless() {
    const Fixture f = fetched();
    const std::vector<float> original = allLogits(f.golden.open, f.window());
    for (const auto& [method, prefix] : kMethods) {
        const double error = relativeDifference(
            allLogits(f.converted(method, fullPlan(*f.spectrum(method), 1)), f.window()), original);
        QVERIFY2(error < kLogitError, qPrintable(QString("%1: %2").arg(method).arg(error)));
    }
}

void TestHeadGroups::decodeEqualsPrefill() {
    const Fixture f = fetched();
    RankPlan plan = fullPlan(*f.spectrum("attention-aware"), 1);
    applyKvRatio(plan, *f.spectrum("attention-aware"), 0.5);
    const OpenModel converted = f.converted("attention-aware", plan);
    std::vector<TokenId> window = f.window();
    window.resize(24);
    // The same sums in another order.
    QVERIFY(relativeDifference(allLogits(converted, window, 1), allLogits(converted, window)) < 1e-5);
}

void TestHeadGroups::filesKeepEverything() {
    const Fixture f = fetched();
    const TemporaryDirectory directory;
    saveStatistics(f.statistics, directory / "a.stats.safetensors");
    const Statistics loaded = loadStatistics(directory / "a.stats.safetensors");
    QCOMPARE(loaded.head_group, f.group);
    for (std::size_t i = 0; i < loaded.layers.size(); ++i) {
        QVERIFY(loaded.layers[i].joint_keys.gram == f.statistics.layers[i].joint_keys.gram);
        QVERIFY(loaded.layers[i].joint_values.sum == f.statistics.layers[i].joint_values.sum);
        QVERIFY(loaded.layers[i].joint_logit_keys.gram == f.statistics.layers[i].joint_logit_keys.gram);
    }
    RankPlan plan = fullPlan(*f.spectrum("attention-aware"), 1);
    applyKvRatio(plan, *f.spectrum("attention-aware"), 0.4);
    savePlan(plan, directory / "plan.json");
    QVERIFY(loadPlan(directory / "plan.json") == plan);
    const OpenModel converted = f.converted("attention-aware", plan);
    JobContext job;
    writeConverted(job, f.golden.open, converted, directory / "converted");
    const OpenModel reopened = openModel(job, f.golden.open.backend, directory / "converted");
    QCOMPARE(reopened.model->config.cachedHeads(), 1);
    QVERIFY(allLogits(reopened, f.window()) == allLogits(converted, f.window()));
    // What is said is what is allocated.
    const Transformer transformer(reopened.backend, reopened.model);
    const Transformer original(f.golden.open.backend, f.golden.open.model);
    const auto bytes = [](const Transformer& t) {
        return static_cast<double>(t.createCache(DType::F32, 10).bytes());
    };
    QCOMPARE(kvRatio(reopened.model->config), bytes(transformer) / bytes(original));
    QCOMPARE(kvRatioOf(plan, f.group * f.statistics.head_dim), bytes(transformer) / bytes(original));
}

void TestHeadGroups::sensitivityCountsJointRanks() {
    const Fixture f = fetched();
    const auto spectrum = f.spectrum("attention-aware");
    const int width = spectrum->basisWidth();
    std::vector<std::vector<TokenId>> windows{f.window()};
    windows.front().resize(24);
    JobContext job;
    const SensitivityTable table = measureSensitivity(job, f.golden.open, f.statistics, *spectrum, windows,
                                                      {width / 4, width - 1, width}, {});
    QCOMPARE(table.options.head_group, f.group);
    for (std::size_t layer = 0; layer < 2; ++layer) {
        for (std::size_t side = 0; side < 2; ++side) {
            QVERIFY(table.at(layer, side, 0) > table.at(layer, side, 1));
            QCOMPARE(table.at(layer, side, 2), 0.0);
        }
    }
    // The measured cost of one layer's keys is that of the model in which they alone are of that rank.
    const OpenModel one =
        convertOneLayer(job, f.golden.open, f.statistics, *spectrum, 1, width / 4, std::nullopt);
    QCOMPARE(one.model->config.keyWidth(1), width / 4);
    QCOMPARE(one.model->config.valueWidth(1), width);
}

void TestHeadGroups::whatIsRefused() {
    const Fixture f = fetched();
    JobContext job;
    const auto compute = [&](const BasisOptions& options) {
        return errorOf([&] { computeSpectrum(job, *f.golden.open.backend, f.statistics, "eigen", options); });
    };
    const int other = f.group + 1;
    QVERIFY(compute({.head_group = other}).find(std::to_string(f.group) + " heads together") !=
            std::string::npos);
    QVERIFY(compute({.share_key_basis = true, .head_group = f.group}).find("shared") != std::string::npos);
    // A plan for single heads is not one for groups of them.
    const RankPlan single = fullPlan(*computeSpectrum(job, *f.golden.open.backend, f.statistics, "eigen"), 1);
    QVERIFY(errorOf([&] { f.converted("eigen", single); }).find("heads a latent") != std::string::npos);
    CalibrationOptions options;
    options.head_group = other;
    options.samples = 1;
    options.sequence_length = 8;
    QVERIFY(errorOf([&] { calibrate(job, f.golden.open, f.golden.text, options); }).find("head group") !=
            std::string::npos);
}

QTEST_GUILESS_MAIN(TestHeadGroups)
#include "tst_head_groups.moc"
