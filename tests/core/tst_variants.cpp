// SPDX-License-Identifier: Apache-2.0
// The whole method on every configuration as it occurs: calibrate, convert, write, read back. (Their logits
// are compared with transformers' by tst_transformer.)
#include "core/base/atomic_output.h"
#include "core/calibration/calibrate.h"
#include "core/compression/convert.h"
#include "core/model/expected_tensors.h"
#include "tests/core/method_support.h"
#include "tests/support/backends.h"
#include "tests/support/golden_model.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

#include <algorithm>
#include <cmath>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

// Converted weights are rounded once to the checkpoint's f16: 2^-11 of each, through two layers.
constexpr double kRoundedTolerance = 8e-3;

std::vector<std::string> originals() {
    std::vector<std::string> names = goldenModelNames();
    std::erase_if(names, [](const std::string& name) { return name.ends_with("low-rank"); });
    return names;
}

// A text of random ids, for the tokenizer that reads ids.
std::filesystem::path writeIds(const std::filesystem::path& file, const GoldenModel& golden) {
    std::string text;
    std::uint32_t state = 7;
    for (int i = 0; i < 400; ++i) {
        state = state * 1664525u + 1013904223u;
        text += std::to_string((state >> 8) % static_cast<std::uint32_t>(golden.open.tokenizer->size())) + " ";
    }
    writeTextFile(file, text);
    return file;
}

Statistics statisticsOf(const GoldenModel& golden, const std::filesystem::path& text) {
    JobContext job;
    CalibrationOptions options;
    options.samples = 3;
    options.sequence_length = 40;
    options.attention_queries = 8;
    return calibrate(job, golden.open, text, options);
}

}  // namespace

class TestVariants : public QObject {
    Q_OBJECT
private slots:
    void convertsAndReadsBack_data() {
        QTest::addColumn<QString>("model");
        QTest::addColumn<QString>("backend");
        for (const auto& backend : hostBackends()) {
            for (const std::string& name : originals())
                QTest::newRow((name + " on " + backend->info().backend).c_str())
                    << QString::fromStdString(name) << QString::fromStdString(backend->info().backend);
        }
    }
    void convertsAndReadsBack() {
        QFETCH(QString, model);
        QFETCH(QString, backend);
        const GoldenModel golden = openGoldenModel(model.toStdString(), hostBackend(backend.toStdString()));
        const TemporaryDirectory directory;
        const Statistics statistics = statisticsOf(golden, writeIds(directory / "ids.txt", golden));
        JobContext job;
        for (const char* method : {"eigen", "attention-aware"}) {
            const auto spectrum = computeSpectrum(job, *golden.open.backend, statistics, method);
            RankPlan plan = fullPlan(*spectrum, 1);
            if (!golden.open.model->config.linearProjections()) {
                const char* key = golden.open.model->config.qk_norm ? "qk_ln" : "clip_qkv";
                QCOMPARE(
                    errorOf([&] { convertInMemory(job, golden.open, statistics, *spectrum, plan); }),
                    golden.open.name + ": " + key +
                        " stands between its projections and attention, so no basis can be folded into them; "
                        "this model cannot be converted");
                continue;
            }
            const OpenModel full = convertInMemory(job, golden.open, statistics, *spectrum, plan);
            const double error = golden.relativeError(allLogits(full, golden.ids));
            QVERIFY2(error < kRoundedTolerance, qPrintable(QString("%1: %2").arg(method).arg(error)));
            for (int& rank : plan.key_ranks)
                rank = std::max(1, rank - 2);
            for (int& rank : plan.value_ranks)
                rank = std::max(1, rank - 1);
            const OpenModel low = convertInMemory(job, golden.open, statistics, *spectrum, plan);
            const auto target = directory / method;
            writeConverted(job, golden.open, low, target);
            OpenModel read = low;
            read.checkpoint = Checkpoint::open(target);
            read.model = loadModel(job, *read.backend, *read.checkpoint);
            QCOMPARE(read.model->config.windows, golden.open.model->config.windows);
            const auto logits = allLogits(read, golden.ids);
            QCOMPARE(logits, allLogits(low, golden.ids));
            const double lost = golden.relativeError(logits);
            QVERIFY2(lost > error && lost < 1.0, qPrintable(QString("%1: %2").arg(method).arg(lost)));
        }
    }

    // A dynamic rotation follows the cache's room in a converted model too.
    void longTextsOfAConvertedModel() {
        const GoldenModel golden = openGoldenModel("llama-rope-dynamic", referenceBackend());
        const TemporaryDirectory directory;
        const Statistics statistics = statisticsOf(golden, writeIds(directory / "ids.txt", golden));
        JobContext job;
        const auto spectrum = computeSpectrum(job, *golden.open.backend, statistics, "attention-aware");
        const OpenModel full =
            convertInMemory(job, golden.open, statistics, *spectrum, fullPlan(*spectrum, 1));
        QVERIFY(relativeDifference(allLogits(full, golden.long_ids), golden.long_logits) < kRoundedTolerance);
    }

    // The list that random weights are made from is what these checkpoints hold.
    void tensorsAreAsListed_data() {
        QTest::addColumn<QString>("model");
        for (const std::string& name : goldenModelNames())
            QTest::newRow(name.c_str()) << QString::fromStdString(name);
    }
    void tensorsAreAsListed() {
        QFETCH(QString, model);
        const GoldenModel golden = openGoldenModel(model.toStdString(), referenceBackend());
        const ModelConfig& config = golden.open.model->config;
        std::map<std::string, std::vector<std::int64_t>> listed, held;
        for (const DummyTensor& tensor : expectedTensors(config))
            listed[tensor.name] = tensor.shape;
        for (const TensorRecord* tensor : golden.open.checkpoint->tensors()) {
            const bool optional = (config.optional_biases || config.low_rank) && tensor->name.ends_with(".bias");
            if (!optional || listed.contains(tensor->name))
                held[tensor->name] = tensor->shape;
        }
        QVERIFY(listed == held);
    }
};

QTEST_GUILESS_MAIN(TestVariants)
#include "tst_variants.moc"
