// SPDX-License-Identifier: Apache-2.0
// The engine on a device whose memory the host cannot touch: the CUDA kernels under emulation
// (tests/kernels/emulation). An address of the device that is taken for one of the host ends the program;
// results equal transformers', or those of a host backend, which other tests hold against references.
#include "core/calibration/calibrate.h"
#include "core/compression/convert.h"
#include "core/compression/refit.h"
#include "core/evaluation/fidelity.h"
#include "core/evaluation/sensitivity.h"
#include "core/evaluation/text_diff.h"
#include "core/generation/generate.h"
#include "tests/core/method_support.h"
#include "tests/kernels/emulation/emulated_backend.h"
#include "tests/kernels/emulation/runtime.h"
#include "tests/support/backends.h"
#include "tests/support/golden_model.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

#include <cmath>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

// As tst_transformer has it: float32 on both sides, of the range of logits.
constexpr double kGoldenTolerance = 2e-4;
// Two float32 runs of the same model in another order of additions.
constexpr double kBackendTolerance = 2e-5;
// Measures of errors are differences of nearly equal numbers: rounding of 1e-7 against errors of 1e-2 and up.
constexpr double kMeasureTolerance = 1e-3;

std::shared_ptr<Backend> device() {
    static const std::shared_ptr<Backend> backend = emulation::createEmulatedCudaBackend();
    return backend;
}

void addMethodRows() {
    QTest::addColumn<QString>("name");
    for (const std::string& name : methodGoldenNames())
        QTest::newRow(name.c_str()) << QString::fromStdString(name);
}

MethodGolden openOn(std::shared_ptr<Backend> backend) {
    QFETCH(QString, name);
    return openMethodGolden(name.toStdString(), std::move(backend));
}

bool near(double found, double expected, double tolerance) {
    return std::abs(found - expected) <= tolerance * std::max(std::abs(expected), 1e-6);
}

// Of the largest.
bool nearVector(const std::vector<double>& found, const std::vector<double>& expected) {
    double largest = 0, error = 0;
    for (std::size_t i = 0; i < expected.size() && found.size() == expected.size(); ++i) {
        largest = std::max(largest, std::abs(expected[i]));
        error = std::max(error, std::abs(found[i] - expected[i]));
    }
    return found.size() == expected.size() && error <= kBackendTolerance * largest;
}

PerplexityOptions shortWindows() {
    PerplexityOptions options;
    options.sequence_length = 24;
    options.windows = 2;
    options.run.compute = Compute::F32;
    options.run.kv_format = KvFormat(DType::F32);
    return options;
}

// What a user does with a model, one thing after the other.
struct Measures {
    Conversion conversion;
    FidelityResult fidelity;
    TextDiff diff;
    SensitivityTable table;
    double refitted_nll = 0;
};

Measures measure(const MethodGolden& golden) {
    JobContext job;
    Measures m;
    m.conversion = convertAsExpected(golden);
    const PerplexityOptions options = shortWindows();
    m.fidelity = measureFidelity(job, golden.open, m.conversion.converted, golden.text, options, options.run);
    const auto windows = evaluationWindows(job, *golden.open.tokenizer,
                                           golden.open.model->config.max_positions, golden.text, options);
    m.diff = diffText(job, golden.open, m.conversion.converted, windows.front(), options.run, options.run);
    QuantisedGrid quantised;
    quantised.bits = {4};
    quantised.ranks = {m.conversion.spectrum->basisWidth()};
    m.table = measureSensitivity(job, golden.open, m.conversion.statistics, *m.conversion.spectrum,
                                 {windows.front()}, rankGrid(m.conversion.spectrum->basisWidth(), 2),
                                 options.run, quantised);
    RefitOptions refit;
    refit.run = options.run;
    const OpenModel refitted = refitOutputs(job, golden.open, m.conversion.converted, windows, refit);
    m.refitted_nll = std::log(perplexityOf(job, refitted, windows, options).perplexity);
    return m;
}

}  // namespace

class TestDevice : public QObject {
    Q_OBJECT
private slots:
    void logitsEqualTransformers_data() {
        QTest::addColumn<QString>("name");
        for (const std::string& name : goldenModelNames())
            QTest::newRow(name.c_str()) << QString::fromStdString(name);
    }
    void logitsEqualTransformers() {
        QFETCH(QString, name);
        const GoldenModel golden = openGoldenModel(name.toStdString(), device());
        const int replayed = emulation::runtimeCounts().graph_launches;
        for (const std::int64_t chunk : {std::int64_t{256}, std::int64_t{1}}) {
            const double error = golden.relativeError(allLogits(golden.open, golden.ids, chunk));
            QVERIFY2(error < kGoldenTolerance, qPrintable(QString::number(error)));
        }
        QVERIFY(emulation::runtimeCounts().graph_launches > replayed);  // steps of one token, as on a GPU
    }

    // 16-bit products keep 8 or 11 bits of each factor; a row at a time and many take different kernels. As
    // tst_transformer has it for the host.
    void narrowArithmeticIsNear_data() {
        QTest::addColumn<QString>("name");
        QTest::addColumn<double>("bound");
        QTest::newRow("bfloat16") << "llama-tied-bf16" << 4e-2;
        QTest::newRow("float16") << "opt-plain-f16" << 5e-3;
    }
    void narrowArithmeticIsNear() {
        QFETCH(QString, name);
        QFETCH(double, bound);
        const GoldenModel golden = openGoldenModel(name.toStdString(), device());
        const Compute own = weightDType(*golden.open.model) == DType::BF16 ? Compute::BF16 : Compute::F16;
        const Transformer transformer(golden.open.backend, golden.open.model);
        for (const std::size_t chunk : {golden.ids.size(), std::size_t{1}}) {
            Session session = transformer.createSession({.compute = own});
            KvCache cache = transformer.createCache(KvFormat(weightDType(*golden.open.model)), 64);
            std::vector<float> logits;
            for (std::size_t at = 0; at < golden.ids.size(); at += chunk) {
                const TensorView part = transformer.forward(session, std::span(golden.ids).subspan(at, chunk),
                                                            cache, LogitsOf::All);
                const std::size_t begin = logits.size();
                logits.resize(begin + static_cast<std::size_t>(part.shape.count()));
                device()->download(session.stream(), logits.data() + begin, part.data, part.bytes());
            }
            const double error = golden.relativeError(logits);
            QVERIFY2(error > 1e-5 && error < bound, qPrintable(QString::number(error)));
        }
    }

    // Of a decode step, each launch costs some microseconds of a layer's hundred.
    void aLayerOfAStepIsSixKernels() {
        const GoldenModel golden = openGoldenModel("llama-gqa", device());
        const Transformer transformer(golden.open.backend, golden.open.model);
        Session session = transformer.createSession({.max_rows = 1});
        KvCache cache = transformer.createCache(KvFormat(DType::F32), 8);
        const TensorView hidden = transformer.embed(session, std::vector<TokenId>{3}, cache);
        for (int layer = 0; layer < golden.open.model->config.layers; ++layer) {
            const int before = emulation::runtimeCounts().kernels;
            transformer.runLayer(session, layer, hidden, 1, cache);
            QCOMPARE(emulation::runtimeCounts().kernels - before, 6);
        }
    }

    // Queries sampled, keys of heads side by side, and an interruption in the middle.
    void momentsOfAttentionEqualTheHosts_data() { addMethodRows(); }
    void momentsOfAttentionEqualTheHosts() {
        const auto calibrated = [](const MethodGolden& golden, bool interrupted) {
            CalibrationOptions options = goldenCalibration(golden);
            options.attention_queries = 9;
            options.samples = 3;
            JobContext job;
            const CalibrationPlan plan = planCalibration(job, golden.open, golden.text, options);
            CalibrationKeeper keeper;
            if (interrupted) {
                std::stop_source stop;
                JobContext stopped(stop.get_token());
                keeper.interval_seconds = 0;
                keeper.keep = [&](const PartialCalibration& partial) {
                    keeper.start = partial;
                    stop.request_stop();
                };
                try {
                    const CalibrationKeeper first = keeper;
                    runCalibration(stopped, golden.open, plan, first);
                } catch (const Cancelled&) {
                }
                keeper.keep = nullptr;
            }
            return runCalibration(job, golden.open, plan, keeper);
        };
        const Statistics found = calibrated(openOn(device()), false);
        const Statistics again = calibrated(openOn(device()), true);
        const Statistics expected = calibrated(openOn(referenceBackend()), false);
        QVERIFY(found.head_group > 1);
        for (std::size_t layer = 0; layer < expected.layers.size(); ++layer) {
            const LayerStatistics &f = found.layers[layer], &a = again.layers[layer],
                                  &e = expected.layers[layer];
            for (const auto part : {&LayerStatistics::logit_queries, &LayerStatistics::logit_keys,
                                    &LayerStatistics::joint_logit_keys}) {
                QCOMPARE((a.*part).gram, (f.*part).gram);
                QCOMPARE((a.*part).sum, (f.*part).sum);
                QVERIFY(nearVector((f.*part).gram, (e.*part).gram));
                QVERIFY(nearVector((f.*part).sum, (e.*part).sum));
            }
            QCOMPARE(a.logit_weights, f.logit_weights);
            QVERIFY(nearVector(f.logit_weights, e.logit_weights));
            QVERIFY(nearVector(f.projection, e.projection));
        }
    }

    void measuresEqualTheHosts_data() { addMethodRows(); }
    void measuresEqualTheHosts() {
        const Measures found = measure(openOn(device()));
        const Measures expected = measure(openOn(referenceBackend()));
        QCOMPARE(found.conversion.plan.key_ranks, expected.conversion.plan.key_ranks);
        QCOMPARE(found.conversion.plan.value_ranks, expected.conversion.plan.value_ranks);
        QVERIFY(near(found.fidelity.quality.second.perplexity, expected.fidelity.quality.second.perplexity,
                     kBackendTolerance));
        QVERIFY(near(found.fidelity.quality.kl_divergence, expected.fidelity.quality.kl_divergence,
                     kMeasureTolerance));
        for (std::size_t layer = 0; layer < expected.fidelity.layers.size(); ++layer) {
            const LayerFidelity& f = found.fidelity.layers[layer];
            const LayerFidelity& e = expected.fidelity.layers[layer];
            QVERIFY(near(f.output_error.mean, e.output_error.mean, kMeasureTolerance));
            QVERIFY(near(f.propagated_error.mean, e.propagated_error.mean, kMeasureTolerance));
            for (std::size_t head = 0; head < e.heads.size(); ++head)
                QVERIFY(near(f.heads[head].output_error.mean, e.heads[head].output_error.mean,
                             kMeasureTolerance));
        }
        for (std::size_t i = 0; i < expected.diff.restored_kl.size(); ++i)
            QVERIFY(std::abs(found.diff.restored_kl[i] - expected.diff.restored_kl[i]) <
                    kMeasureTolerance * (1e-3 + expected.diff.restored_kl[i]));
        for (std::size_t i = 0; i < expected.table.kl.size(); ++i)
            QVERIFY(std::abs(found.table.kl[i] - expected.table.kl[i]) <
                    kMeasureTolerance * (1e-3 + expected.table.kl[i]));
        // A rounding error may move an element to the next code: a hundredth of what the codes cost at all.
        for (std::size_t i = 0; i < expected.table.quantised->kl.size(); ++i)
            QVERIFY(near(found.table.quantised->kl[i], expected.table.quantised->kl[i], 1e-2));
        QVERIFY(near(found.refitted_nll, expected.refitted_nll, kMeasureTolerance));
    }

    void writtenCheckpointsAreTheSame_data() { addMethodRows(); }
    void writtenCheckpointsAreTheSame() {
        JobContext job;
        const TemporaryDirectory directory;
        const MethodGolden golden = openOn(device());
        const Conversion conversion = convertAsExpected(golden);
        writeConverted(job, golden.open, conversion.converted, directory.path() / "converted");
        const OpenModel again = openModel(job, device(), directory.path() / "converted");
        std::vector<TokenId> ids = golden.ids("ids");
        ids.resize(20);
        QCOMPARE(relativeDifference(allLogits(again, ids), allLogits(conversion.converted, ids)), 0.0);
    }

    // Greedy texts are those of the host, from caches of every kind.
    void textsEqualTheHosts_data() {
        QTest::addColumn<QString>("name");
        QTest::addColumn<QString>("format");
        for (const std::string& name : methodGoldenNames())
            for (const std::string_view format : kKvFormatNames)
                QTest::newRow((name + " " + std::string(format)).c_str())
                    << QString::fromStdString(name)
                    << QString::fromUtf8(format.data(), static_cast<qsizetype>(format.size()));
    }
    void textsEqualTheHosts() {
        QFETCH(QString, format);
        JobContext job;
        GenerationOptions options;
        options.max_tokens = 12;
        options.stop_at_eos = false;
        options.run.compute = Compute::F32;
        options.run.kv_format = *kvFormatFromName(format.toStdString());
        if (options.run.kv_format->bits == 3) {  // with rows that are kept exactly
            options.run.kv_format->recent = 5;
            options.run.kv_format->keys = KvGrouping::Channel;
            options.run.kv_format->group = 8;
        }
        const MethodGolden found = openOn(device()), expected = openOn(referenceBackend());
        QCOMPARE(generate(job, found.open, "once upon a time", options).ids,
                 generate(job, expected.open, "once upon a time", options).ids);
    }
};

QTEST_GUILESS_MAIN(TestDevice)
#include "tst_device.moc"
