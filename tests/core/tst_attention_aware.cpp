// SPDX-License-Identifier: Apache-2.0
// Method `attention-aware`: its moments and spectra against sums over pairs in float64 (tests/golden/method),
// its factors against the least error there is, and the lossless check at full rank.
#include "core/base/parallel.h"
#include "core/benchmark/forwarding_backend.h"
#include "core/calibration/attention_moments.h"
#include "core/calibration/calibrate.h"
#include "core/compression/convert.h"
#include "tests/core/method_rows.h"
#include "tests/support/backends.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

#include <cmath>
#include <cstring>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

// Weights are squares of float32 differences of values from their weighted mean, which cancel where a weight
// is nearly all of the attention; such pairs weigh little. Relative to sqrt(g_ii g_jj).
constexpr double kMomentError = 2e-5;
constexpr double kEigenvalueError = 1e-5;  // of the largest
constexpr double kLogitError = 2e-5;       // of the logits' range; low-rank weights are not orthonormal here

CalibrationOptions goldenOptions(const MethodGolden& golden) {
    CalibrationOptions options = goldenCalibration(golden);
    options.attention_queries = options.sequence_length;  // all of them
    return options;
}

// Asks for a stop while its `at`-th product, attention or Gram matrix is computed, and counts those that are
// begun afterwards.
class StoppingBackend : public ForwardingBackend {
public:
    StoppingBackend(std::shared_ptr<Backend> inner, int at) : ForwardingBackend(std::move(inner)), m_at(at) {}
    void gemm(Stream& s, const GemmParams& p) override { count(), ForwardingBackend::gemm(s, p); }
    void attention(Stream& s, const AttentionParams& p) override {
        count(), ForwardingBackend::attention(s, p);
    }
    void gram(Stream& s, const GramParams& p) override { count(), ForwardingBackend::gram(s, p); }
    void spreadGram(Stream& s, const SpreadGramParams& p) override {
        count(), ForwardingBackend::spreadGram(s, p);
    }
    void logitWeights(Stream& s, const LogitWeightsParams& p) override {
        count(), ForwardingBackend::logitWeights(s, p);
    }

    std::stop_source stop;
    int begun = 0, after = 0;

private:
    void count() {
        after += stop.stop_requested() ? 1 : 0;
        if (begun++ == m_at)
            stop.request_stop();
    }
    int m_at;
};

MethodGolden fetchGolden() {
    MethodGolden golden = fetchMethodGolden();
    golden.data = std::make_shared<const SafetensorsFile>(
        methodGoldenDirectory(golden.open.model->config.family) / "attention_aware.golden");
    return golden;
}

Statistics calibrated(const MethodGolden& golden) {
    JobContext job;
    return calibrate(job, golden.open, golden.text, goldenOptions(golden));
}

double largestError(const std::vector<double>& found, const std::vector<double>& expected,
                    std::size_t width) {
    if (found.size() != expected.size())
        return INFINITY;
    double largest = 0;
    for (std::size_t k = 0; k < found.size(); ++k) {
        const std::size_t matrix = k / (width * width) * width * width, i = k / width % width, j = k % width;
        const double scale = std::sqrt(expected[matrix + i * width + i] * expected[matrix + j * width + j]);
        largest = std::max(largest, std::abs(found[k] - expected[k]) / scale);
    }
    return largest;
}

double largestRelative(const std::vector<double>& found, const std::vector<double>& expected, double scale) {
    if (found.size() != expected.size())
        return INFINITY;
    double largest = 0;
    for (std::size_t k = 0; k < found.size(); ++k)
        largest = std::max(largest, std::abs(found[k] - expected[k]) / scale);
    return largest;
}

// Every layer made awkward: a head whose rows are all zero, another whose last two dimensions are dead.
void damage(Statistics& s) {
    const auto n = static_cast<std::size_t>(s.head_dim);
    for (LayerStatistics& layer : s.layers) {
        for (std::vector<double>* gram :
             {&layer.logit_queries.gram, &layer.logit_keys.gram, &layer.outputs.gram}) {
            std::fill(gram->begin(), gram->begin() + static_cast<std::ptrdiff_t>(n * n), 0.0);
            for (std::size_t k = n * n; k < 2 * n * n; ++k) {
                if (k / n % n >= n - 2 || k % n >= n - 2)
                    (*gram)[k] = 0;
            }
        }
        for (std::vector<double>* sum : {&layer.logit_keys.sum, &layer.outputs.sum}) {
            std::fill(sum->begin(), sum->begin() + static_cast<std::ptrdiff_t>(n), 0.0);
            std::fill(sum->begin() + static_cast<std::ptrdiff_t>(2 * n - 2),
                      sum->begin() + static_cast<std::ptrdiff_t>(2 * n), 0.0);
        }
        layer.logit_weights[0] = 0;
    }
}

}  // namespace

class TestAttentionAware : public QObject {
    Q_OBJECT
private slots:
    void momentsEqualTheSumsOverPairs_data() { addMethodRows(); }
    void momentsEqualTheSumsOverPairs();
    void spectraEqualTheSvd_data() { addMethodRows(); }
    void spectraEqualTheSvd();
    void droppedEigenvaluesAreTheError();
    void meansAreWhereTheyBelong();
    void fullRankIsLossless_data() { addMethodRows(); }
    void fullRankIsLossless();
    void deadDimensionsStayFinite();
    void sampledPositions();
    void withoutMoments();
    void filesHoldAllOrNothing();
    void stopsWithinAWindow();
    void parallelLoops();
};

void TestAttentionAware::momentsEqualTheSumsOverPairs() {
    const MethodGolden golden = fetchGolden();
    const Statistics s = calibrated(golden);
    const auto n = static_cast<std::size_t>(s.head_dim);
    for (std::size_t i = 0; i < s.layers.size(); ++i) {
        const std::string layer = "layers." + std::to_string(i) + ".";
        const LayerStatistics& found = s.layers[i];
        const std::pair<const char*, const std::vector<double>*> grams[] = {
            {"logit_queries.gram", &found.logit_queries.gram},
            {"logit_keys.gram", &found.logit_keys.gram},
            {"projection", &found.projection}};
        for (const auto& [name, gram] : grams) {
            const double error = largestError(*gram, golden.numbers(layer + name), n);
            QVERIFY2(error < kMomentError, qPrintable(QString("%1 %2").arg(name).arg(error)));
        }
        const std::vector<double> weights = golden.numbers(layer + "logit_weights");
        QCOMPARE(found.logit_weights.size(), weights.size());
        const std::vector<double> keys = golden.numbers(layer + "logit_keys.gram");
        const std::vector<double> sums = golden.numbers(layer + "logit_keys.sum");
        QCOMPARE(found.logit_keys.sum.size(), sums.size());
        for (std::size_t g = 0; g < weights.size(); ++g) {
            QVERIFY(std::abs(found.logit_weights[g] - weights[g]) < kMomentError * weights[g]);
            for (std::size_t k = 0; k < n; ++k) {
                const double scale = std::sqrt(weights[g] * keys[(g * n + k) * n + k]);
                QVERIFY(std::abs(found.logit_keys.sum[g * n + k] - sums[g * n + k]) < kMomentError * scale);
            }
        }
    }
}

void TestAttentionAware::spectraEqualTheSvd() {
    const MethodGolden golden = fetchGolden();
    const Statistics s = calibrated(golden);
    JobContext job;
    const auto spectrum = computeSpectrum(job, *golden.open.backend, s, "attention-aware");
    const auto n = static_cast<std::size_t>(s.head_dim);
    for (int layer = 0; layer < spectrum->layers(); ++layer) {
        for (Side side : {Side::Keys, Side::Values}) {
            const std::vector<double> expected =
                golden.numbers("layers." + std::to_string(layer) +
                               (side == Side::Keys ? ".keys" : ".values") + ".eigenvalues");
            for (int head = 0; head < spectrum->heads(); ++head) {
                const auto begin = expected.begin() + head * s.head_dim;
                const std::vector<double> part(begin, begin + static_cast<std::ptrdiff_t>(n));
                const double error =
                    largestRelative(spectrum->basis(layer, side, head).eigenvalues, part, part[0]);
                QVERIFY2(error < kEigenvalueError, qPrintable(QString::number(error)));
            }
        }
    }
}

// What rank r leaves of the separated objective, tr(S_q D S_k D^T) with D = 1 - decode_r encode_r, is the sum
// of the eigenvalues dropped: no other factors of this rank leave less (Eckart and Young).
void TestAttentionAware::droppedEigenvaluesAreTheError() {
    const MethodGolden golden = openMethodGolden("llama", referenceBackend());
    const Statistics s = calibrated(golden);
    JobContext job;
    const auto spectrum = computeSpectrum(job, *golden.open.backend, s, "attention-aware");
    const auto n = static_cast<std::size_t>(s.head_dim);
    const LayerStatistics& layer = s.layers[1];
    const HeadBasis& basis = spectrum->basis(1, Side::Keys, 1);
    for (std::size_t rank = 1; rank < n; ++rank) {
        std::vector<double> d(n * n);
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t j = 0; j < n; ++j) {
                d[i * n + j] = i == j;
                for (std::size_t r = 0; r < rank; ++r)
                    d[i * n + j] -= basis.decode[i * n + r] * basis.encode[r * n + j];
            }
        }
        const auto product = [&](const auto& a, const auto& b, bool transpose) {
            std::vector<double> c(n * n);
            for (std::size_t i = 0; i < n; ++i) {
                for (std::size_t j = 0; j < n; ++j) {
                    for (std::size_t k = 0; k < n; ++k)
                        c[i * n + j] += a[i * n + k] * (transpose ? b[j * n + k] : b[k * n + j]);
                }
            }
            return c;
        };
        const double weight = layer.logit_weights[1];
        std::vector<double> keys(layer.logit_keys.gramOf(1).begin(), layer.logit_keys.gramOf(1).end());
        const auto sum = layer.logit_keys.sumOf(1);
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t j = 0; j < n; ++j)
                keys[i * n + j] = keys[i * n + j] / weight - sum[i] / weight * (sum[j] / weight);
        }
        const auto left =
            product(layer.logit_queries.gramOf(1), product(product(d, keys, false), d, true), false);
        double error = 0, dropped = 0;
        for (std::size_t i = 0; i < n; ++i)
            error += left[i * n + i];
        for (std::size_t i = rank; i < n; ++i)
            dropped += basis.eigenvalues[i];
        QVERIFY2(std::abs(error - dropped) < 1e-8 * basis.eigenvalues[0],
                 qPrintable(QString("%1 %2 %3").arg(rank).arg(error).arg(dropped)));
    }
}

void TestAttentionAware::meansAreWhereTheyBelong() {
    for (const std::string& name : methodGoldenNames()) {
        const MethodGolden golden = openMethodGolden(name, referenceBackend());
        const Statistics s = calibrated(golden);
        JobContext job;
        for (bool shared : {false, true}) {
            const auto spectrum =
                computeSpectrum(job, *golden.open.backend, s, "attention-aware", {.share_key_basis = shared});
            const HeadBasis &first = spectrum->basis(0, Side::Keys, 0),
                            &second = spectrum->basis(0, Side::Keys, 1);
            QCOMPARE(first.mean.empty(), !s.rotary);
            QCOMPARE(first.encode == second.encode, shared);
            if (s.rotary)
                QVERIFY(first.mean != second.mean);  // each head has its own, whoever shares the directions
            const HeadBasis& values = spectrum->basis(1, Side::Values, 0);
            const auto rows = static_cast<double>(s.layers[1].outputs.rows);
            for (std::size_t i = 0; i < values.mean.size(); ++i)
                QVERIFY(std::abs(values.mean[i] - s.layers[1].outputs.sumOf(0)[i] / rows) < 1e-12);
        }
    }
}

void TestAttentionAware::fullRankIsLossless() {
    const MethodGolden golden = fetchGolden();
    std::vector<TokenId> ids = openMethodGolden(golden.open.name, golden.open.backend).ids("ids");
    ids.resize(60);
    const std::vector<float> expected = allLogits(golden.open, ids);
    JobContext job;
    Statistics s = calibrated(golden);
    for (bool damaged : {false, true}) {
        if (damaged)
            damage(s);
        for (bool shared : {false, true}) {
            const auto spectrum =
                computeSpectrum(job, *golden.open.backend, s, "attention-aware", {.share_key_basis = shared});
            RankPlan plan = fullPlan(*spectrum);
            const OpenModel full = convertInMemory(job, golden.open, s, *spectrum, plan);
            const double difference = relativeDifference(allLogits(full, ids), expected);
            QVERIFY2(difference < kLogitError, qPrintable(QString::number(difference)));
            plan.key_ranks.assign(plan.key_ranks.size(), 3);
            const OpenModel low = convertInMemory(job, golden.open, s, *spectrum, plan);
            QVERIFY(relativeDifference(allLogits(low, ids), expected) > 1e-3);  // the basis is used at all
        }
    }
}

void TestAttentionAware::deadDimensionsStayFinite() {
    const MethodGolden golden = openMethodGolden("llama", referenceBackend());
    Statistics s = calibrated(golden);
    damage(s);
    JobContext job;
    const auto spectrum = computeSpectrum(job, *golden.open.backend, s, "attention-aware");
    for (Side side : {Side::Keys, Side::Values}) {
        for (int head = 0; head < spectrum->heads(); ++head) {
            const HeadBasis& basis = spectrum->basis(0, side, head);
            for (const auto* numbers : {&basis.eigenvalues, &basis.encode, &basis.decode, &basis.mean}) {
                for (double x : *numbers)
                    QVERIFY2(std::abs(x) < 1e7, qPrintable(QString::number(x)));
            }
        }
        QCOMPARE(spectrum->basis(0, side, 0).eigenvalues[0], 0.0);
        const std::vector<double>& values = spectrum->basis(0, side, 1).eigenvalues;
        QVERIFY(values[0] > 0);
        QVERIFY(values[values.size() - 2] < 1e-9 * values[0]);
    }
}

void TestAttentionAware::sampledPositions() {
    const MethodGolden golden = openMethodGolden("opt", referenceBackend());
    JobContext job;
    CalibrationOptions options = goldenOptions(golden);
    const Statistics all = calibrate(job, golden.open, golden.text, options);
    options.attention_queries = 8;
    const Statistics some = calibrate(job, golden.open, golden.text, options);
    options.run.threads = 3;
    const Statistics again = calibrate(job, golden.open, golden.text, options);
    QCOMPARE(some.layers[1].logit_weights, again.layers[1].logit_weights);  // threads change nothing
    QVERIFY(some.layers[0].logit_weights[0] < 0.5 * all.layers[0].logit_weights[0]);
    QVERIFY(some.layers[0].logit_weights[0] > 0);
    QCOMPARE(some.layers[0].projection, all.layers[0].projection);
    // What does not depend on attention is the same with and without it, however the window is cut.
    options.attention_queries = 0;
    const Statistics none = calibrate(job, golden.open, golden.text, options);
    QVERIFY(!none.layers[0].hasAttentionMoments());
    QVERIFY(largestError(none.layers[1].keys.gram, all.layers[1].keys.gram, 16) < 1e-6);
}

void TestAttentionAware::withoutMoments() {
    JobContext job;
    const Statistics s = randomStatistics(2, 4, 2, 5, true, 4);
    QVERIFY(errorOf([&] {
                computeSpectrum(job, *referenceBackend(), s, "attention-aware");
            }).find("calibrate again") != std::string::npos);
    const MethodGolden golden = openMethodGolden("opt", referenceBackend());
    CalibrationOptions options = goldenOptions(golden);
    options.attention_queries = -1;
    QVERIFY(errorOf([&] {
                calibrate(job, golden.open, golden.text, options);
            }).find("attention queries -1") != std::string::npos);
}

void TestAttentionAware::filesHoldAllOrNothing() {
    const MethodGolden golden = openMethodGolden("mpt", referenceBackend());
    const Statistics s = calibrated(golden);
    const TemporaryDirectory directory;
    const auto file = directory / "x.stats.safetensors";
    saveStatistics(s, file);
    const Statistics t = loadStatistics(file);
    for (std::size_t i = 0; i < s.layers.size(); ++i) {
        QCOMPARE(t.layers[i].logit_queries.gram, s.layers[i].logit_queries.gram);
        QCOMPARE(t.layers[i].logit_keys.gram, s.layers[i].logit_keys.gram);
        QCOMPARE(t.layers[i].logit_keys.sum, s.layers[i].logit_keys.sum);
        QCOMPARE(t.layers[i].logit_weights, s.layers[i].logit_weights);
        QCOMPARE(t.layers[i].projection, s.layers[i].projection);
        QCOMPARE(t.layers[i].logit_keys.width, s.head_dim);
    }
    // One part left out of the file: named, not guessed.
    for (const char* missing :
         {"layers.0.logit_queries.gram", "layers.1.logit_weights", "layers.1.projection"}) {
        const SafetensorsFile whole(file);
        std::vector<TensorSpec> specs;
        for (const TensorRecord& tensor : whole.tensors()) {
            if (tensor.name != missing)
                specs.push_back({tensor.name, tensor.dtype, tensor.shape});
        }
        SafetensorsWriter writer(directory / "part", specs, whole.metadata());
        for (const TensorSpec& spec : specs)
            writer.write(spec.name, whole.at(spec.name).bytes);
        writer.commit();
        const std::string message = errorOf([&] { loadStatistics(directory / "part"); });
        QVERIFY2(message.find(missing) != std::string::npos, message.c_str());
    }
    Statistics broken = s;
    broken.layers[1].projection.pop_back();
    QVERIFY(!errorOf([&] { saveStatistics(broken, file); }).empty());
    broken = s;
    broken.layers[1].logit_queries = {};
    QVERIFY(!errorOf([&] { saveStatistics(broken, file); }).empty());
}

void TestAttentionAware::parallelLoops() {
    for (int threads : {0, 1, 2, 5}) {
        std::vector<int> visits(37);
        parallelFor(37, threads, [&](std::int64_t i) { ++visits[static_cast<std::size_t>(i)]; });
        QCOMPARE(visits, std::vector<int>(37, 1));
        QVERIFY_EXCEPTION_THROWN(parallelFor(37, threads,
                                             [](std::int64_t i) {
                                                 if (i == 20)
                                                     throw Cancelled();
                                             }),
                                 Cancelled);
        parallelFor(0, threads, [](std::int64_t) { QFAIL("nothing to visit"); });
    }
}

// Within a layer, and within its moments: the op that is under way when a stop comes sees it if it is long,
// and no other is computed.
void TestAttentionAware::stopsWithinAWindow() {
    for (const auto& host : hostBackends()) {
        if (host->info().backend != "cpu")
            continue;
        const auto run = [&](const std::shared_ptr<StoppingBackend>& backend) {
            const MethodGolden golden = openMethodGolden("llama", backend);
            CalibrationOptions options = goldenOptions(golden);
            options.samples = 1;
            options.head_group = 1;
            JobContext job(backend->stop.get_token());
            calibrate(job, golden.open, golden.text, options);
        };
        const auto whole = std::make_shared<StoppingBackend>(host, -1);
        run(whole);
        // Each layer's seven products, attention, four Gram matrices, the output projection's, and the
        // moments' weights, queries and keys.
        QVERIFY2(whole->begun >= 2 * 16, qPrintable(QString::number(whole->begun)));
        for (int at = 0; at < whole->begun; ++at) {
            const auto backend = std::make_shared<StoppingBackend>(host, at);
            try {
                run(backend);
                QCOMPARE(at, whole->begun - 1);  // the very last op: the run is over before anyone looks
            } catch (const Cancelled&) {
            }
            QVERIFY2(backend->after <= 1, qPrintable(QString("%1: %2").arg(at).arg(backend->after)));
        }
    }
}

QTEST_GUILESS_MAIN(TestAttentionAware)
#include "tst_attention_aware.moc"
