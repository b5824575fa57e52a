// SPDX-License-Identifier: Apache-2.0
// Converted models in memory: against the projected original in float64, and the lossless check at full rank.
#include "core/compression/convert.h"
#include "core/compression/folding.h"
#include "core/generation/generate.h"
#include "core/model/kv_cache.h"
#include "core/model/transformer.h"
#include "tests/core/method_rows.h"
#include "tests/support/backends.h"
#include "tests/support/id_tokenizer.h"
#include "tests/support/random_checkpoint.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

#include <cmath>
#include <cstring>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

// Logits are a few hundred float32 operations deep, each with a relative rounding error of 6e-8; low-rank
// weights are rounded to float32 once more. Of the range of the logits.
constexpr double kLogitError = 1e-5;

std::vector<TokenId> firstIds(const MethodGolden& golden, std::size_t count) {
    std::vector<TokenId> ids = golden.ids("ids");
    ids.resize(count);
    return ids;
}

std::vector<float> singles(const std::vector<double>& values) { return {values.begin(), values.end()}; }

OpenModel openRandom(const std::filesystem::path& directory, const Json& config, FileDType dtype) {
    JobContext job;
    writeRandomCheckpoint(directory, config, 17, dtype);
    OpenModel open;
    open.name = directory.filename();
    open.backend = referenceBackend();
    open.checkpoint = Checkpoint::open(directory);
    open.tokenizer = std::make_shared<IdTokenizer>(64);
    open.model = loadModel(job, *open.backend, *open.checkpoint);
    return open;
}

// Statistics that have nothing to do with the model: what is lossless must be so for any basis.
Statistics anyStatistics(const OpenModel& model) {
    const ModelConfig& c = model.model->config;
    Statistics s = randomStatistics(c.layers, c.query_heads, c.kv_heads, c.head_dim,
                                    c.position == PositionKind::Rotary, 23);
    s.model_fingerprint = model.checkpoint->fingerprint();
    return s;
}

// The spectrum's bases with a mean, and with every direction scaled up on the way in and down on the way out.
Spectrum centredAndScaled(const Spectrum& spectrum) {
    std::vector<LayerBases> layers(static_cast<std::size_t>(spectrum.layers()));
    for (int layer = 0; layer < spectrum.layers(); ++layer) {
        for (Side side : {Side::Keys, Side::Values}) {
            for (int head = 0; head < spectrum.heads(); ++head) {
                HeadBasis basis = spectrum.basis(layer, side, head);
                const auto n = static_cast<std::size_t>(basis.width);
                for (std::size_t i = 0; i < n * n; ++i) {
                    basis.encode[i] *= 0.5 + static_cast<double>(i / n);
                    basis.decode[i] /= 0.5 + static_cast<double>(i % n);
                }
                for (std::size_t i = 0; i < n; ++i)
                    basis.mean.push_back(0.3 * std::sin(static_cast<double>(i) + head + 7 * layer));
                LayerBases& bases = layers[static_cast<std::size_t>(layer)];
                (side == Side::Keys ? bases.keys : bases.values).push_back(std::move(basis));
            }
        }
    }
    return Spectrum(spectrum.method(), spectrum.options(), spectrum.basisWidth(), std::move(layers));
}

std::vector<double> elements(const Tensor& tensor) {  // of a host backend
    std::vector<double> values(static_cast<std::size_t>(tensor.shape().count()));
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = loadAsF32(tensor.data(), tensor.dtype(), static_cast<std::int64_t>(i));
    return values;
}

}  // namespace

class TestConvert : public QObject {
    Q_OBJECT
private slots:
    void logitsEqualTheProjectedOriginal_data() { addMethodRows(); }
    void logitsEqualTheProjectedOriginal();
    void fullRankIsLossless_data() { addMethodRows(); }
    void fullRankIsLossless();
    void fullRankIsLosslessWithAnyBasis_data();
    void fullRankIsLosslessWithAnyBasis();
    void decodeEqualsPrefill();
    void kvRatioIsThatOfTheBytesAllocated();
    void plannedBitsSpreadLatentsAndChangeNothingElse();
    void overlaySharesEverythingElse();
    void weightsKeepTheirDtypeAndAreRoundedOnce_data();
    void weightsKeepTheirDtypeAndAreRoundedOnce();
    void queriesOfAGroupShareTheirKeysBasis();
    void roundingIsToNearest();
    void describesTheConversion();
    void mismatchesAreRefused();
    void cancels();
};

void TestConvert::logitsEqualTheProjectedOriginal() {
    const MethodGolden golden = fetchMethodGolden();
    const auto count = static_cast<std::size_t>(golden.record("converted.logits").shape[0]);
    const std::vector<TokenId> ids = firstIds(golden, count);
    const std::vector<float> original = singles(golden.numbers("original.logits"));
    const std::vector<float> expected = singles(golden.numbers("converted.logits"));
    QVERIFY(relativeDifference(allLogits(golden.open, ids), original) < kLogitError);
    const Conversion conversion = convertAsExpected(golden);
    const std::vector<float> found = allLogits(conversion.converted, ids);
    const double difference = relativeDifference(found, expected);
    QVERIFY2(difference < kLogitError, qPrintable(QString::number(difference)));
    QVERIFY(relativeDifference(found, original) > 0.01);  // the ranks are low enough to matter
}

void TestConvert::fullRankIsLossless() {
    const MethodGolden golden = fetchMethodGolden();
    const Conversion low = convertAsExpected(golden);
    const std::vector<TokenId> ids = firstIds(golden, 60);
    const std::vector<float> expected = allLogits(golden.open, ids);
    JobContext job;
    for (bool shared : {false, true}) {
        const auto spectrum =
            computeSpectrum(job, *golden.open.backend, low.statistics, "eigen", {.share_key_basis = shared});
        const RankPlan plan = fullPlan(*spectrum);
        const OpenModel converted = convertInMemory(job, golden.open, low.statistics, *spectrum, plan);
        const double difference = relativeDifference(allLogits(converted, ids), expected);
        QVERIFY2(difference < kLogitError, qPrintable(QString::number(difference)));
        QCOMPARE(converted.model->config.low_rank->kv_ratio, 1.0);
    }
}

void TestConvert::fullRankIsLosslessWithAnyBasis_data() {
    QTest::addColumn<QString>("family");
    QTest::addColumn<bool>("centred");
    for (const char* family : {"llama", "opt", "mpt"}) {
        for (bool centred : {false, true})
            QTest::addRow("%s%s", family, centred ? ", centred and scaled" : "")
                << QString(family) << centred;
    }
}

void TestConvert::fullRankIsLosslessWithAnyBasis() {
    QFETCH(QString, family);
    QFETCH(bool, centred);
    const TemporaryDirectory directory;
    const Json config = family == "llama" ? tinyLlamaConfig()
                        : family == "opt" ? tinyOptConfig()
                                          : tinyMptConfig();
    const OpenModel original = openRandom(directory / "model", config, FileDType::F32);
    const Statistics statistics = anyStatistics(original);
    JobContext job;
    const auto computed = computeSpectrum(job, *original.backend, statistics, "eigen");
    const Spectrum spectrum = centred ? centredAndScaled(*computed) : *computed;
    const OpenModel converted = convertInMemory(job, original, statistics, spectrum, fullPlan(spectrum));
    const std::vector<TokenId> ids{5, 1, 63, 7, 7, 22, 40, 3, 0, 18, 31, 55};
    const double difference = relativeDifference(allLogits(converted, ids), allLogits(original, ids));
    // Scaling by up to 8 amplifies rounding.
    QVERIFY2(difference < (centred ? 10 : 1) * kLogitError, qPrintable(QString::number(difference)));
    const AttentionWeights& attention = converted.model->layers[0].attention;
    QCOMPARE(!attention.lift_basis.empty(), family == "llama");
    QCOMPARE(!attention.lift_mean.empty(), family == "llama" && centred);
    if (centred)
        QVERIFY(!attention.key.bias.empty() && !attention.value.bias.empty() &&
                !attention.output.bias.empty());
}

void TestConvert::decodeEqualsPrefill() {
    for (const std::string& name : methodGoldenNames()) {
        const MethodGolden golden = openMethodGolden(name, referenceBackend());
        const Conversion conversion = convertAsExpected(golden);
        const std::vector<TokenId> ids = firstIds(golden, 30);
        const std::vector<float> prefill = allLogits(conversion.converted, ids);
        QVERIFY(relativeDifference(allLogits(conversion.converted, ids, 1), prefill) < kLogitError);
        QVERIFY(relativeDifference(allLogits(conversion.converted, ids, 11), prefill) < kLogitError);
    }
}

void TestConvert::kvRatioIsThatOfTheBytesAllocated() {
    for (const std::string& name : methodGoldenNames()) {
        const MethodGolden golden = openMethodGolden(name, referenceBackend());
        const Conversion conversion = convertAsExpected(golden);
        const Transformer original(golden.open.backend, golden.open.model);
        const Transformer converted(golden.open.backend, conversion.converted.model);
        for (DType format : {DType::F32, DType::BF16}) {
            const KvCache full = original.createCache(format, 40, 2),
                          low = converted.createCache(format, 40, 2);
            const double ratio = static_cast<double>(low.bytes()) / static_cast<double>(full.bytes());
            QVERIFY(ratio < 0.7);
            QVERIFY(std::abs(ratio - conversion.converted.model->config.low_rank->kv_ratio) < 1e-12);
            QVERIFY(std::abs(ratio - kvRatioOf(conversion.plan, conversion.statistics.head_dim)) < 1e-12);
            QVERIFY(std::abs(ratio - kvRatio(conversion.converted.model->config)) < 1e-12);
        }
    }
}

// With bits the latents are turned by an orthogonal matrix: the same model in an exact cache, a better one in
// codes.
void TestConvert::plannedBitsSpreadLatentsAndChangeNothingElse() {
    for (const std::string& name : methodGoldenNames()) {
        const MethodGolden golden = openMethodGolden(name, referenceBackend());
        const Conversion conversion = convertAsExpected(golden);
        const std::vector<TokenId> ids = firstIds(golden, 60);
        RankPlan plan = conversion.plan;
        plan.kv_bits = KvBits::uniform(plan.key_ranks.size(), 3, 3);
        JobContext job;
        const OpenModel spread =
            convertInMemory(job, golden.open, conversion.statistics, *conversion.spectrum, plan);
        QCOMPARE(spread.model->config.low_rank->kv_bits.keys, plan.kv_bits.keys);
        QCOMPARE(spread.model->config.low_rank->kv_ratio, kvRatioOf(plan, conversion.statistics.head_dim));
        QVERIFY(elements(spread.model->layers[0].attention.key.weight) !=
                elements(conversion.converted.model->layers[0].attention.key.weight));
        const auto logits = [&](const OpenModel& model, const KvFormat& format) {
            const Transformer transformer(model.backend, model.model);
            Session session = transformer.createSession({.threads = 1, .max_rows = 60});
            KvCache cache = transformer.createCache(format, 60);
            const TensorView view = transformer.forward(session, ids, cache, LogitsOf::All);
            return std::vector<float>(view.f32(), view.f32() + view.shape.count());
        };
        const std::vector<float> exact = logits(conversion.converted, DType::F32);
        const double difference = relativeDifference(logits(spread, DType::F32), exact);
        QVERIFY2(difference < kLogitError, qPrintable(QString::number(difference)));
        KvFormat planned(DType::F32);
        planned.planned = true;
        QVERIFY(resolveKvFormat(RunOptions(), spread) == planned);
        QVERIFY(logits(spread, planned) == logits(spread, KvFormat::quantised(3)));
        QVERIFY(logits(spread, planned) != logits(spread, DType::F32));
    }
}

void TestConvert::overlaySharesEverythingElse() {
    const MethodGolden golden = openMethodGolden("llama", referenceBackend());
    const Conversion conversion = convertAsExpected(golden);
    const Model &a = *golden.open.model, &b = *conversion.converted.model;
    QCOMPARE(b.token_embedding.data(), a.token_embedding.data());
    QCOMPARE(b.output_head.weight.data(), a.output_head.weight.data());
    for (std::size_t i = 0; i < a.layers.size(); ++i) {
        QCOMPARE(b.layers[i].down.weight.data(), a.layers[i].down.weight.data());
        QCOMPARE(b.layers[i].attention.query.weight.data(), a.layers[i].attention.query.weight.data());
        QVERIFY(b.layers[i].attention.key.weight.data() != a.layers[i].attention.key.weight.data());
    }
    QVERIFY(b.weightBytes() < a.weightBytes());
    QVERIFY(!a.config.low_rank);
}

void TestConvert::weightsKeepTheirDtypeAndAreRoundedOnce_data() {
    QTest::addColumn<int>("dtype");
    QTest::newRow("f32") << static_cast<int>(DType::F32);
    QTest::newRow("f16") << static_cast<int>(DType::F16);
    QTest::newRow("bf16") << static_cast<int>(DType::BF16);
}

void TestConvert::weightsKeepTheirDtypeAndAreRoundedOnce() {
    QFETCH(int, dtype);
    const DType expected_dtype = static_cast<DType>(dtype);
    const FileDType file_dtype = expected_dtype == DType::F32   ? FileDType::F32
                                 : expected_dtype == DType::F16 ? FileDType::F16
                                                                : FileDType::BF16;
    const TemporaryDirectory directory;
    const OpenModel original = openRandom(directory / "model", tinyLlamaConfig(), file_dtype);
    const Statistics statistics = anyStatistics(original);
    JobContext job;
    const auto spectrum = computeSpectrum(job, *original.backend, statistics, "eigen");
    RankPlan plan = fullPlan(*spectrum, 1);
    plan.key_ranks = {3, 5};
    plan.value_ranks = {6, 2};
    const OpenModel converted = convertInMemory(job, original, statistics, *spectrum, plan);
    const auto width = static_cast<std::size_t>(statistics.head_dim);
    for (std::size_t layer = 0; layer < 2; ++layer) {
        const AttentionWeights &before = original.model->layers[layer].attention,
                               &after = converted.model->layers[layer].attention;
        const auto key_rank = static_cast<std::size_t>(plan.key_ranks[layer]);
        const auto value_rank = static_cast<std::size_t>(plan.value_ranks[layer]);
        for (const Tensor* tensor : {&after.key.weight, &after.value.weight, &after.output.weight})
            QCOMPARE(tensor->dtype(), expected_dtype);
        QCOMPARE(after.lift_basis.dtype(), DType::F32);
        const std::vector<double> key = elements(before.key.weight), new_key = elements(after.key.weight);
        const std::vector<double> output = elements(before.output.weight),
                                  new_output = elements(after.output.weight);
        const auto hidden = static_cast<std::size_t>(before.key.inputs());
        const std::size_t query_heads = 4, kv_heads = 2;
        // The exact sums, in another order than the conversion's, and their nearest numbers of the dtype. A
        // sum that lies within 1e-12 of a tie may go either way.
        const auto matches = [&](double exact, double found) {
            float low = 0, high = 0;
            storeRounded(&low, expected_dtype, 0, exact * (1 - 1e-12) - 1e-15);
            storeRounded(&high, expected_dtype, 0, exact * (1 + 1e-12) + 1e-15);
            const double a = loadAsF32(&low, expected_dtype, 0), b = loadAsF32(&high, expected_dtype, 0);
            return found == a || found == b;
        };
        for (std::size_t head = 0; head < kv_heads; ++head) {
            const HeadBasis& basis =
                spectrum->basis(static_cast<int>(layer), Side::Keys, static_cast<int>(head));
            for (std::size_t r = 0; r < key_rank; ++r) {
                for (std::size_t c = 0; c < hidden; ++c) {
                    double sum = 0;
                    for (std::size_t i = width; i-- > 0;)
                        sum += basis.encode[r * width + i] * key[(head * width + i) * hidden + c];
                    QVERIFY(matches(sum, new_key[(head * key_rank + r) * hidden + c]));
                }
            }
        }
        for (std::size_t head = 0; head < query_heads; ++head) {
            const HeadBasis& basis =
                spectrum->basis(static_cast<int>(layer), Side::Values, static_cast<int>(head / 2));
            for (std::size_t row = 0; row < hidden; ++row) {
                for (std::size_t r = 0; r < value_rank; ++r) {
                    double sum = 0;
                    for (std::size_t i = width; i-- > 0;)
                        sum += output[row * query_heads * width + head * width + i] *
                               basis.decode[i * width + r];
                    QVERIFY(matches(sum, new_output[(row * query_heads + head) * value_rank + r]));
                }
            }
        }
    }
}

// No family has groups without rotary positions, where queries are folded; the fold must not rely on that.
void TestConvert::queriesOfAGroupShareTheirKeysBasis() {
    const auto backend = referenceBackend();
    JobContext job;
    const std::size_t heads = 4, group = 2, width = 3, rank = 2, hidden = 5;
    const auto spectrum = computeSpectrum(job, *backend, randomStatistics(1, 4, 2, 3, false, 6), "eigen");
    const std::vector<HeadBasis> bases{spectrum->basis(0, Side::Keys, 0), spectrum->basis(0, Side::Keys, 1)};
    Linear query;
    query.weight = makeTensor(*backend, DType::F32, {12, 5});
    for (std::size_t i = 0; i < heads * width * hidden; ++i)
        query.weight.f32()[i] = static_cast<float>(std::sin(1.0 + static_cast<double>(i)));
    Folder folder(*backend, job);
    const Linear folded =
        folder.transposedDecodeRows(query, bases, static_cast<int>(rank), static_cast<int>(heads));
    QCOMPARE(folded.weight.shape(), (Shape{8, 5}));
    QVERIFY(folded.bias.empty());
    for (std::size_t head = 0; head < heads; ++head) {
        for (std::size_t r = 0; r < rank; ++r) {
            for (std::size_t c = 0; c < hidden; ++c) {
                double sum = 0;
                for (std::size_t i = 0; i < width; ++i)
                    sum += bases[head / group].decode[i * width + r] *
                           query.weight.f32()[(head * width + i) * hidden + c];
                // One rounding to float32.
                QVERIFY(std::abs(folded.weight.f32()[(head * rank + r) * hidden + c] - sum) < 1.2e-7);
            }
        }
    }
}

void TestConvert::roundingIsToNearest() {
    std::uint16_t bits = 0;
    // Just above the tie between 1 and 1 + 2^-7: by way of float32 it would become the tie, and then 1.
    storeRounded(&bits, DType::BF16, 0, 1.0 + 0x1p-8 + 0x1p-40);
    QCOMPARE(fromBf16(bits), 1.0f + 0x1p-7f);
    storeRounded(&bits, DType::BF16, 0, -(1.0 + 0x1p-8 + 0x1p-40));
    QCOMPARE(fromBf16(bits), -(1.0f + 0x1p-7f));
    storeRounded(&bits, DType::BF16, 0, 1.0 + 0x1p-8);  // the tie itself goes to even
    QCOMPARE(fromBf16(bits), 1.0f);
    storeRounded(&bits, DType::BF16, 0, 1.0 + 0x1p-7 + 0x1p-8 - 0x1p-40);  // just below the next tie
    QCOMPARE(fromBf16(bits), 1.0f + 0x1p-7f);
    storeRounded(&bits, DType::F16, 0, 1.0 + 0x1p-11 + 0x1p-40);
    QCOMPARE(fromF16(bits), 1.0f + 0x1p-10f);
    storeRounded(&bits, DType::F16, 0, 0.0);
    QCOMPARE(bits, std::uint16_t{0});
    float single = 0;
    storeRounded(&single, DType::F32, 0, 0.1);
    QCOMPARE(single, 0.1f);
}

void TestConvert::describesTheConversion() {
    const MethodGolden golden = openMethodGolden("opt", referenceBackend());
    JobContext job;
    const Conversion low = convertAsExpected(golden);
    const auto spectrum =
        computeSpectrum(job, *golden.open.backend, low.statistics, "eigen", {.share_key_basis = true});
    RankPlan plan = fullPlan(*spectrum);
    plan.criterion = Criterion::SingularValues;
    applyThresholds(plan, *spectrum, 0.8, 0.6);
    const OpenModel converted = convertInMemory(job, golden.open, low.statistics, *spectrum, plan);
    const LowRankDescription& description = *converted.model->config.low_rank;
    QCOMPARE(description.method, std::string("eigen"));
    QCOMPARE(description.criterion, std::string("singular-values"));
    QCOMPARE(description.source, std::string("opt"));
    QVERIFY(description.share_key_basis);
    QCOMPARE(description.key_ranks, plan.key_ranks);
    QCOMPARE(description.value_ranks, plan.value_ranks);
    QCOMPARE(description.calibration.text, std::string("text.txt"));
    QCOMPARE(description.calibration.samples, std::int64_t{3});
    QCOMPARE(converted.name, std::string("opt (low rank)"));
}

void TestConvert::mismatchesAreRefused() {
    const MethodGolden golden = openMethodGolden("llama", referenceBackend());
    const MethodGolden other = openMethodGolden("opt", referenceBackend());
    const Conversion c = convertAsExpected(golden);
    JobContext job;
    const auto message = [&](const OpenModel& model, const Statistics& statistics, const Spectrum& spectrum,
                             const RankPlan& plan) {
        return errorOf([&] { convertInMemory(job, model, statistics, spectrum, plan); });
    };
    QCOMPARE(message(golden.open, c.statistics, *c.spectrum, c.plan), std::string());
    QVERIFY(message(c.converted, c.statistics, *c.spectrum, c.plan).find("converted model already") !=
            std::string::npos);
    QVERIFY(message(other.open, c.statistics, *c.spectrum, c.plan).find("whose weights differ") !=
            std::string::npos);
    Statistics statistics = c.statistics;
    statistics.layers.pop_back();
    QVERIFY(message(golden.open, statistics, *c.spectrum, c.plan).find("other layers or heads") !=
            std::string::npos);
    RankPlan plan = c.plan;
    plan.share_key_basis = true;
    QVERIFY(message(golden.open, c.statistics, *c.spectrum, plan).find("shared key basis") !=
            std::string::npos);
    plan = c.plan;
    plan.key_ranks[1] = 17;
    QCOMPARE(message(golden.open, c.statistics, *c.spectrum, plan),
             std::string("plan: key_ranks[1]: rank 17: expected 1 to the full rank, 16"));
    plan.key_ranks = {1, 2, 3};
    QVERIFY(
        message(golden.open, c.statistics, *c.spectrum, plan).starts_with("plan: key_ranks: has 3 layers"));
}

void TestConvert::cancels() {
    const MethodGolden golden = openMethodGolden("llama", referenceBackend());
    const Conversion c = convertAsExpected(golden);
    std::stop_source stop;
    std::int64_t furthest = -1;
    JobContext job(stop.get_token(), [&](const Progress& p) {
        furthest = std::max(furthest, p.done);
        stop.request_stop();
    });
    QVERIFY_EXCEPTION_THROWN(convertInMemory(job, golden.open, c.statistics, *c.spectrum, c.plan), Cancelled);
    QCOMPARE(furthest, std::int64_t{0});
}

QTEST_GUILESS_MAIN(TestConvert)
#include "tst_convert.moc"
