// SPDX-License-Identifier: Apache-2.0
// Converted checkpoints on disk: what is read back is the overlay, bit for bit, and what did not change is
// the original's.
#include "core/base/atomic_output.h"
#include "core/compression/convert.h"
#include "tests/core/method_support.h"
#include "tests/support/backends.h"
#include "tests/support/golden_model.h"
#include "tests/support/id_tokenizer.h"
#include "tests/support/random_checkpoint.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

#include <algorithm>
#include <set>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

OpenModel reopen(const std::filesystem::path& directory, const OpenModel& like) {
    JobContext job;
    OpenModel open = like;
    open.checkpoint = Checkpoint::open(directory);
    open.model = loadModel(job, *open.backend, *open.checkpoint);
    return open;
}

Statistics anyStatistics(const OpenModel& model) {
    const ModelConfig& c = model.model->config;
    Statistics s = randomStatistics(c.layers, c.query_heads, c.kv_heads, c.head_dim,
                                    c.position == PositionKind::Rotary, 29);
    s.model_fingerprint = model.checkpoint->fingerprint();
    return s;
}

// Converts with ranks that differ between layers and sides; with means when asked for.
OpenModel anyConversion(const OpenModel& original, bool centred) {
    JobContext job;
    const Statistics statistics = anyStatistics(original);
    auto spectrum = computeSpectrum(job, *original.backend, statistics, "eigen");
    if (centred) {
        std::vector<LayerBases> layers(static_cast<std::size_t>(spectrum->layers()));
        for (int layer = 0; layer < spectrum->layers(); ++layer) {
            for (int head = 0; head < spectrum->heads(); ++head) {
                LayerBases& bases = layers[static_cast<std::size_t>(layer)];
                bases.keys.push_back(spectrum->basis(layer, Side::Keys, head));
                bases.values.push_back(spectrum->basis(layer, Side::Values, head));
                for (HeadBasis* basis : {&bases.keys.back(), &bases.values.back()})
                    basis->mean.assign(static_cast<std::size_t>(basis->width), 0.01 * (1 + head));
            }
        }
        spectrum = std::make_shared<const Spectrum>("eigen", BasisOptions{}, spectrum->basisWidth(),
                                                    std::move(layers));
    }
    RankPlan plan = fullPlan(*spectrum, 1);
    for (std::size_t i = 0; i < plan.key_ranks.size(); ++i) {
        plan.key_ranks[i] = std::max(1, statistics.head_dim - 3 + static_cast<int>(i % 2));
        plan.value_ranks[i] = std::max(1, statistics.head_dim - 1 - static_cast<int>(i % 2));
    }
    return convertInMemory(job, original, statistics, *spectrum, plan);
}

}  // namespace

class TestConvertDisk : public QObject {
    Q_OBJECT
private slots:
    void opensAsTheOverlayBitForBit_data();
    void opensAsTheOverlayBitForBit();
    void generatesFromDiskAlone();
    void configKeepsEveryKey();
    void unchangedTensorsAreTheOriginalsBytes_data();
    void unchangedTensorsAreTheOriginalsBytes();
    void refusesAFilledDirectory();
    void fillsAnEmptyDirectory();
    void unwritableOutputLeavesNothing();
    void cancellingLeavesNothing();
    void otherModelsAreRefused();
};

void TestConvertDisk::opensAsTheOverlayBitForBit_data() {
    QTest::addColumn<QString>("family");
    QTest::addColumn<int>("dtype");
    QTest::addColumn<bool>("centred");
    for (const char* family : {"llama", "opt", "mpt"}) {
        for (FileDType dtype : {FileDType::F32, FileDType::F16, FileDType::BF16}) {
            for (bool centred : {false, true})
                QTest::addRow("%s %s%s", family, std::string(nameOf(dtype)).c_str(),
                              centred ? " centred" : "")
                    << QString(family) << static_cast<int>(dtype) << centred;
        }
    }
}

void TestConvertDisk::opensAsTheOverlayBitForBit() {
    QFETCH(QString, family);
    QFETCH(int, dtype);
    QFETCH(bool, centred);
    const TemporaryDirectory directory;
    const Json config = family == "llama" ? tinyLlamaConfig()
                        : family == "opt" ? tinyOptConfig()
                                          : tinyMptConfig();
    writeRandomCheckpoint(directory / "model", config, 31, static_cast<FileDType>(dtype));
    for (const auto& backend : hostBackends()) {
        OpenModel base;
        base.backend = backend;
        base.name = "model";
        base.tokenizer = std::make_shared<IdTokenizer>(64);
        const OpenModel original = reopen(directory / "model", base);
        const OpenModel overlay = anyConversion(original, centred);
        JobContext job;
        const auto target = directory / ("converted-" + backend->info().backend);
        writeConverted(job, original, overlay, target);
        const OpenModel read = reopen(target, base);
        const std::vector<TokenId> ids{5, 1, 63, 7, 7, 22, 40, 3, 0, 18, 31, 55};
        QCOMPARE(allLogits(read, ids), allLogits(overlay, ids));
        QVERIFY(allLogits(read, ids) != allLogits(original, ids));
        // A fused projection has one bias for all: that of the queries is zeros, which the overlay does
        // without.
        if (family != "mpt" || !centred)
            QCOMPARE(read.model->weightBytes(), overlay.model->weightBytes());
    }
}

void TestConvertDisk::generatesFromDiskAlone() {
    for (const std::string& name : methodGoldenNames()) {
        const MethodGolden golden = openMethodGolden(name, referenceBackend());
        const Conversion conversion = convertAsExpected(golden);
        const TemporaryDirectory directory;
        JobContext job;
        writeConverted(job, golden.open, conversion.converted, directory / "low");
        // With the tokenizer that was copied.
        const OpenModel read = openModel(job, golden.open.backend, directory / "low");
        QCOMPARE(read.tokenizer->encode("Ada found the café"),
                 golden.open.tokenizer->encode("Ada found the café"));
        std::vector<TokenId> ids = golden.ids("ids");
        ids.resize(40);
        const std::vector<double> expected = golden.numbers("converted.logits");
        // The bound of tst_convert: this is the same model.
        QVERIFY(relativeDifference(allLogits(read, ids), {expected.begin(), expected.end()}) < 1e-5);
        QCOMPARE(entriesOf(directory.path()), std::vector<std::string>{"low"});
        QCOMPARE(entriesOf(directory / "low"),
                 (std::vector<std::string>{"config.json", "generation_config.json", "model.safetensors",
                                           "tokenizer.json", "tokenizer_config.json"}));
    }
}

void TestConvertDisk::configKeepsEveryKey() {
    const MethodGolden golden = openMethodGolden("mpt", referenceBackend());
    const Conversion conversion = convertAsExpected(golden);
    const TemporaryDirectory directory;
    JobContext job;
    writeConverted(job, golden.open, conversion.converted, directory / "low");
    Json config = readJsonFile(directory / "low" / "config.json");
    const Json added = config["eigen_attention"];
    config.erase("eigen_attention");
    QVERIFY(config == golden.open.checkpoint->config());
    QCOMPARE(added["version"].get<int>(), 1);
    QCOMPARE(added["method"].get<std::string>(), std::string("eigen"));
    QCOMPARE(added["criterion"].get<std::string>(), std::string("energy"));
    QCOMPARE(added["source"].get<std::string>(), std::string("mpt"));
    QCOMPARE(added["key_ranks"].get<std::vector<int>>(), conversion.plan.key_ranks);
    QCOMPARE(added["value_ranks"].get<std::vector<int>>(), conversion.plan.value_ranks);
    QCOMPARE(added["kv_ratio"].get<double>(), kvRatioOf(conversion.plan, 12));
    QCOMPARE(added["calibration"]["text"].get<std::string>(), std::string("text.txt"));
    QCOMPARE(added["calibration"]["samples"].get<int>(), 3);
    QCOMPARE(added["calibration"]["sequence_length"].get<int>(), 300);
    QCOMPARE(added["calibration"]["seed"].get<int>(), 7);
}

void TestConvertDisk::unchangedTensorsAreTheOriginalsBytes_data() {
    QTest::addColumn<QString>("name");
    for (const std::string& name : goldenModelNames()) {
        if (!name.ends_with("-low-rank"))
            QTest::newRow(name.c_str()) << QString::fromStdString(name);
    }
}

// Also for sharded checkpoints, tied embeddings and names without a prefix.
void TestConvertDisk::unchangedTensorsAreTheOriginalsBytes() {
    QFETCH(QString, name);
    const GoldenModel golden = openGoldenModel(name.toStdString(), referenceBackend());
    if (!golden.open.model->config.linearProjections()) {
        const std::string refusal = errorOf([&] { anyConversion(golden.open, false); });
        QVERIFY2(refusal.find("cannot be converted") != std::string::npos, refusal.c_str());
        return;
    }
    const OpenModel overlay = anyConversion(golden.open, false);
    const TemporaryDirectory directory;
    JobContext job;
    writeConverted(job, golden.open, overlay, directory / "low");
    const auto written = Checkpoint::open(directory / "low");
    QCOMPARE(written->shards().size(), golden.open.checkpoint->shards().size());
    std::set<std::string> names;
    for (const TensorRecord* tensor : written->tensors())
        names.insert(tensor->name);
    int replaced = 0, kept = 0;
    for (const TensorRecord* tensor : golden.open.checkpoint->tensors()) {
        const TensorRecord* found = written->find(tensor->name);
        names.erase(tensor->name);
        if (!found) {
            ++replaced;
            continue;
        }
        ++kept;
        QCOMPARE(found->dtype, tensor->dtype);
        QCOMPARE(found->shape, tensor->shape);
        QVERIFY(
            std::equal(found->bytes.begin(), found->bytes.end(), tensor->bytes.begin(), tensor->bytes.end()));
    }
    QVERIFY(replaced > 0 && kept > 0);
    for (const std::string& added : names)
        QVERIFY2(added.find("_low.") != std::string::npos || added.find("_up.") != std::string::npos,
                 added.c_str());
    QCOMPARE(allLogits(reopen(directory / "low", golden.open), golden.prompt),
             allLogits(overlay, golden.prompt));
}

void TestConvertDisk::refusesAFilledDirectory() {
    const MethodGolden golden = openMethodGolden("opt", referenceBackend());
    const Conversion conversion = convertAsExpected(golden);
    const TemporaryDirectory directory;
    JobContext job;
    std::filesystem::create_directory(directory / "low");
    writeTextFile(directory / "low" / "precious.txt", "mine");
    const std::string message =
        errorOf([&] { writeConverted(job, golden.open, conversion.converted, directory / "low"); });
    QCOMPARE(message,
             (directory / "low").string() + ": exists and is not empty, expected a new or empty directory");
    QCOMPARE(entriesOf(directory.path()), std::vector<std::string>{"low"});
    QCOMPARE(entriesOf(directory / "low"), std::vector<std::string>{"precious.txt"});
}

void TestConvertDisk::fillsAnEmptyDirectory() {
    const MethodGolden golden = openMethodGolden("opt", referenceBackend());
    const Conversion conversion = convertAsExpected(golden);
    const TemporaryDirectory directory;
    JobContext job;
    std::filesystem::create_directory(directory / "low");
    writeConverted(job, golden.open, conversion.converted, directory / "low");
    QVERIFY(std::filesystem::exists(directory / "low" / "model.safetensors"));
    QCOMPARE(entriesOf(directory.path()), std::vector<std::string>{"low"});
}

void TestConvertDisk::unwritableOutputLeavesNothing() {
    const MethodGolden golden = openMethodGolden("opt", referenceBackend());
    const Conversion conversion = convertAsExpected(golden);
    const TemporaryDirectory directory;
    JobContext job;
    const auto write = [&](const std::filesystem::path& target) {
        return errorOf([&] { writeConverted(job, golden.open, conversion.converted, target); });
    };
    const auto missing = directory / "no" / "such" / "folder";
    QVERIFY(write(missing).starts_with(missing.string() + ": "));
    writeTextFile(directory / "file", "");
    QVERIFY(write(directory / "file").starts_with((directory / "file").string() + ": "));
    QVERIFY(!write(directory / "file" / "inside").empty());
    QCOMPARE(entriesOf(directory.path()), std::vector<std::string>{"file"});
}

void TestConvertDisk::cancellingLeavesNothing() {
    const MethodGolden golden = openMethodGolden("llama", referenceBackend());
    const Conversion conversion = convertAsExpected(golden);
    const TemporaryDirectory directory;
    // At the first tensor, and when all are written but nothing is in place.
    for (bool last : {false, true}) {
        std::stop_source stop;
        JobContext job(stop.get_token(), [&](const Progress& p) {
            if (p.stage == "writing tensors" && (!last || p.done == p.total))
                stop.request_stop();
        });
        QVERIFY_EXCEPTION_THROWN(writeConverted(job, golden.open, conversion.converted, directory / "low"),
                                 Cancelled);
        QVERIFY(entriesOf(directory.path()).empty());
    }
}

void TestConvertDisk::otherModelsAreRefused() {
    const MethodGolden golden = openMethodGolden("opt", referenceBackend());
    const Conversion conversion = convertAsExpected(golden);
    const TemporaryDirectory directory;
    JobContext job;
    QVERIFY(!errorOf([&] { writeConverted(job, golden.open, golden.open, directory / "low"); }).empty());
    QVERIFY(!errorOf([&] {
                 writeConverted(job, conversion.converted, conversion.converted, directory / "low");
             }).empty());
    QVERIFY(entriesOf(directory.path()).empty());
}

QTEST_GUILESS_MAIN(TestConvertDisk)
#include "tst_convert_disk.moc"
