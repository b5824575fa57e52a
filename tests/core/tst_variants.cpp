// SPDX-License-Identifier: Apache-2.0
// The whole method on every configuration as it occurs: calibrate, convert, write, read back. (Their logits
// are compared with transformers' by tst_transformer.)
#include "core/base/atomic_output.h"
#include "core/calibration/attention_moments.h"
#include "core/calibration/calibrate.h"
#include "core/compression/convert.h"
#include "core/model/expected_tensors.h"
#include "core/model/positions.h"
#include "core/model/transformer.h"
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
        text +=
            std::to_string((state >> 8) % static_cast<std::uint32_t>(golden.open.tokenizer->size())) + " ";
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

// Sums of one layer over all pairs of a window, straight from their definition (attention_moments.h), with
// keys and queries rotated to their own positions.
struct PairSums {
    std::vector<double> weights, keys;  // [kv_heads], [kv_heads, d, d]

    PairSums(const Model& model, int layer, const AttentionTrace& trace) {
        const ModelConfig& c = model.config;
        const auto length = trace.queries.shape[0];
        const int d = c.head_dim;
        weights.assign(static_cast<std::size_t>(c.kv_heads), 0.0);
        keys.assign(static_cast<std::size_t>(c.kv_heads * d * d), 0.0);
        const auto row = [d](const TensorView& x, std::int64_t t, int head) {
            return x.f32() + (t * x.shape[1] + head) * d;
        };
        const Tensor& output = model.layers[static_cast<std::size_t>(layer)].attention.output.weight;
        const std::vector<float> frequencies =
            c.position == PositionKind::Rotary ? rotaryFrequencies(c, length) : std::vector<float>();
        const auto rotated = [&](const float* x, std::int64_t t) {
            std::vector<double> y(x, x + d);
            for (std::size_t i = 0; i < frequencies.size(); ++i) {
                const double angle = static_cast<double>(t) * double{frequencies[i]};
                const std::size_t j = i + frequencies.size();
                y[i] = x[i] * std::cos(angle) - x[j] * std::sin(angle);
                y[j] = x[j] * std::cos(angle) + x[i] * std::sin(angle);
            }
            return y;
        };
        for (int h = 0; h < c.query_heads; ++h) {
            const int g = h / c.group();
            const double slope = model.alibi_slopes.empty() ? 0.0 : double{model.alibi_slopes.f32()[h]};
            for (std::int64_t m = 0; m < length; ++m) {
                const std::int64_t first =
                    c.window(layer) > 0 ? std::max<std::int64_t>(0, m - c.window(layer) + 1) : 0;
                const std::vector<double> q = rotated(row(trace.queries, m, h), m);
                std::vector<double> a;
                double total = 0;
                for (std::int64_t n = first; n <= m; ++n) {
                    const std::vector<double> k = rotated(row(trace.keys, n, g), n);
                    double score = 0;
                    for (std::size_t i = 0; i < k.size(); ++i)
                        score += q[i] * k[i];
                    a.push_back(
                        std::exp(score * double{c.attention_scale} + slope * static_cast<double>(n - m)));
                    total += a.back();
                }
                for (std::int64_t n = first; n <= m; ++n) {
                    const float *v = row(trace.values, n, g), *o = row(trace.outputs, m, h);
                    double moved = 0;
                    for (std::int64_t r = 0; r < output.shape()[0]; ++r) {
                        double sum = 0;
                        for (int i = 0; i < d; ++i)
                            sum += double{loadAsF32(output.data(), output.dtype(),
                                                    r * output.shape()[1] + h * d + i)} *
                                   (double{v[i]} - double{o[i]});
                        moved += sum * sum;
                    }
                    const double share = a[static_cast<std::size_t>(n - first)] / total;
                    const double w = share * share * moved;
                    const float* k = row(trace.keys, n, g);
                    weights[static_cast<std::size_t>(g)] += w;
                    for (int i = 0; i < d * d; ++i)
                        keys[static_cast<std::size_t>(g * d * d + i)] +=
                            w * double{k[i / d]} * double{k[i % d]};
                }
            }
        }
    }
};

struct MomentsObserver final : LayerObserver {
    AttentionMoments& moments;
    const Model& model;
    std::vector<PairSums> sums;

    MomentsObserver(AttentionMoments& m, const Model& of) : moments(m), model(of) {}
    void onAttention(int layer, const AttentionTrace& trace) override {
        moments.add(layer, trace, JobContext());
        sums.emplace_back(model, layer, trace);
    }
};

double worstRelative(const std::vector<double>& found, const std::vector<double>& expected) {
    double worst = 0, scale = 0;
    for (const double value : expected)
        scale = std::max(scale, std::abs(value));
    for (std::size_t i = 0; i < expected.size(); ++i)
        worst = std::max(worst, std::abs(found.at(i) - expected[i]) / scale);
    return worst;
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

    // What method `attention-aware` weighs is this model's attention: its window, rotation and shared heads.
    void momentsFollowTheVariant_data() {
        QTest::addColumn<QString>("model");
        for (const char* name : {"mistral-window", "qwen2-window", "llama-rope-dynamic", "llama-rope-yarn",
                                 "llama-rope-llama3", "mpt-grouped", "mpt-qk-ln", "opt-350m"})
            QTest::newRow(name) << QString(name);
    }
    void momentsFollowTheVariant() {
        QFETCH(QString, model);
        const GoldenModel golden = openGoldenModel(model.toStdString(), referenceBackend());
        const std::vector<TokenId>& ids = golden.long_ids.empty() ? golden.ids : golden.long_ids;
        const auto length = static_cast<std::int64_t>(ids.size());
        const Transformer transformer(golden.open.backend, golden.open.model);
        Session session = transformer.createSession({.threads = 1, .max_rows = length});
        AttentionMoments moments(*golden.open.backend, *golden.open.model, session, static_cast<int>(length),
                                 1, 1);
        moments.startWindow(length);
        KvCache cache = transformer.createCache(DType::F32, length);
        MomentsObserver observer(moments, *golden.open.model);
        transformer.forward(session, ids, cache, LogitsOf::None, &observer);
        for (int layer = 0; layer < golden.open.model->config.layers; ++layer) {
            LayerStatistics found;
            moments.finish(layer, found);
            const PairSums& sums = observer.sums[static_cast<std::size_t>(layer)];
            // Float32 differences of values from their mean, as in tst_attention_aware.
            QVERIFY(worstRelative(found.logit_weights, sums.weights) < 2e-5);
            QVERIFY(worstRelative(found.logit_keys.gram, sums.keys) < 2e-5);
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
            const bool optional =
                (config.optional_biases || config.low_rank) && tensor->name.ends_with(".bias");
            if (!optional || listed.contains(tensor->name))
                held[tensor->name] = tensor->shape;
        }
        QVERIFY(listed == held);
    }
};

QTEST_GUILESS_MAIN(TestVariants)
#include "tst_variants.moc"
