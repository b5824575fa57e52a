// SPDX-License-Identifier: Apache-2.0
// Streamed models, whose weights are there one part at a time: everything that runs on them gives the bits
// that it gives with all weights held, which other tests compare with independent computations.
#include "core/base/atomic_output.h"
#include "core/calibration/calibrate.h"
#include "core/compression/convert.h"
#include "core/compression/refit.h"
#include "core/evaluation/compare.h"
#include "core/evaluation/error_table.h"
#include "core/evaluation/fidelity.h"
#include "core/evaluation/sensitivity.h"
#include "core/evaluation/text_diff.h"
#include "core/model/transformer.h"
#include "tests/core/streaming_support.h"
#include "tests/support/backends.h"
#include "tests/support/random_checkpoint.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

CalibrationOptions shortOptions(int attention_queries, int average_samples = 1) {
    CalibrationOptions options;
    options.samples = 4;
    options.sequence_length = 40;
    options.seed = 5;
    options.attention_queries = attention_queries;
    options.average_samples = average_samples;
    options.run = oneThread();
    return options;
}

std::string bitsOf(const Statistics& statistics) {
    const TemporaryDirectory directory;
    saveStatistics(statistics, directory / "s");
    return readTextFile(directory / "s");
}

std::vector<std::vector<TokenId>> windowsOf(const MethodGolden& golden, int count, int length) {
    JobContext job;
    PerplexityOptions options;
    options.windows = count;
    options.sequence_length = length;
    return evaluationWindows(job, *golden.open.tokenizer, golden.open.model->config.max_positions,
                             golden.text, options);
}

// Every file of a directory, by name.
std::map<std::string, std::string> contentsOf(const std::filesystem::path& directory) {
    std::map<std::string, std::string> contents;
    for (const auto& entry : std::filesystem::directory_iterator(directory))
        contents[entry.path().filename().string()] = readTextFile(entry.path());
    return contents;
}

}  // namespace

class TestStreaming : public QObject {
    Q_OBJECT
private slots:
    void openingDescribes();
    void streamsWhenItDoesNotFit();
    void partsComeOneAtATime();
    void logits_data() { addMethodRows(); }
    void logits();
    void calibration_data() { addMethodRows(); }
    void calibration();
    void calibrationGoesOn_data() { addMethodRows(); }
    void calibrationGoesOn();
    void keptStatesAreNotMixedUp();
    void layerErrorTables_data() { addMethodRows(); }
    void layerErrorTables();
    void conversion_data() { addMethodRows(); }
    void conversion();
    void refitting_data() { addMethodRows(); }
    void refitting();
    void measurements_data() { addMethodRows(); }
    void measurements();
    void textDiff_data() { addMethodRows(); }
    void textDiff();
    void statesInMemoryAndInAFile();
    void randomWeights();
    void damagedFiles();
};

void TestStreaming::openingDescribes() {
    for (const std::string& name : methodGoldenNames()) {
        const MethodGolden golden = openMethodGolden(name, referenceBackend());
        const OpenModel streamed = streamedOf(golden.open);
        QVERIFY(streamed.model->streamed() && !golden.open.model->streamed());
        QCOMPARE(streamed.model->weightBytes(), golden.open.model->weightBytes());
        QCOMPARE(streamed.checkpoint->weightBytes(), golden.open.checkpoint->weightBytes());
        QCOMPARE(streamed.checkpoint->parameterCount(), golden.open.checkpoint->parameterCount());
        QCOMPARE(streamed.checkpoint->fingerprint(), golden.open.checkpoint->fingerprint());
        QCOMPARE(weightDType(*streamed.model), weightDType(*golden.open.model));
        for (const TensorRecord* record : streamed.checkpoint->tensors())
            QVERIFY(record->bytes.empty() && record->byteCount() > 0);
        for (std::size_t i = 0; i < streamed.model->layers.size(); ++i) {
            const Linear &mine = streamed.model->layers[i].attention.query,
                         &theirs = golden.open.model->layers[i].attention.query;
            QCOMPARE(mine.weight.shape(), theirs.weight.shape());
            QCOMPARE(mine.bias.empty(), theirs.bias.empty());
            QVERIFY(mine.weight.data() == nullptr);
        }
        // The bytes come when they are asked for.
        streamed.checkpoint->prepareBytes();
        const TensorRecord& first = *streamed.checkpoint->tensors().front();
        QVERIFY(std::ranges::equal(first.bytes, golden.open.checkpoint->at(first.name).bytes));
    }
}

void TestStreaming::streamsWhenItDoesNotFit() {
    const MethodGolden golden = openMethodGolden("llama", referenceBackend());
    const Checkpoint& checkpoint = *golden.open.checkpoint;
    QVERIFY(!shouldStream(*golden.open.backend, checkpoint, StreamMode::Auto));  // a small model
    QVERIFY(shouldStream(*golden.open.backend, checkpoint, StreamMode::On));
    QVERIFY(!shouldStream(*golden.open.backend, checkpoint, StreamMode::Off));
    for (const StreamMode mode : {StreamMode::Auto, StreamMode::On, StreamMode::Off})
        QCOMPARE(streamModeFromName(nameOf(mode)), mode);
    QVERIFY(errorOf([] { streamModeFromName("perhaps"); }).find("auto, on or off") != std::string::npos);
}

void TestStreaming::partsComeOneAtATime() {
    const MethodGolden golden = openMethodGolden("opt", referenceBackend());
    const OpenModel streamed = streamedOf(golden.open);
    const Model& model = *streamed.model;
    const int layers = model.config.layers;
    // The largest two neighbours of embedding, layers and head, from the checkpoint's own sizes.
    std::int64_t all = 0;
    for (const TensorRecord* record : streamed.checkpoint->tensors())
        all += static_cast<std::int64_t>(record->byteCount());
    QVERIFY(model.source->hostBytes() > 0);
    QVERIFY(layers < 3 || model.source->hostBytes() < all);
    // A lease holds its part though others were asked for meanwhile.
    const LayerLease first = model.layer(0);
    const Tensor& weight = first->up.weight;
    const LayerWeights& resident = golden.open.model->layers[0];
    const std::string bytes(static_cast<const char*>(resident.up.weight.data()), weight.bytes());
    for (int layer = layers - 1; layer >= 0; --layer)
        QVERIFY(model.layer(layer)->up.weight.data() != nullptr);
    (void)model.embedding();
    (void)model.head();
    QVERIFY(std::string(static_cast<const char*>(weight.data()), weight.bytes()) == bytes);
    std::stop_source stop;
    stop.request_stop();
    // One that is being read, or is not there yet, is not waited for; one that is there may be had.
    try {
        (void)model.layer(1, stop.get_token());
    } catch (const Cancelled&) {
    }
    QVERIFY(model.layer(1)->up.weight.data() != nullptr);
}

void TestStreaming::logits() {
    const MethodGolden golden = fetchMethodGolden();
    const OpenModel streamed = streamedOf(golden.open);
    std::vector<TokenId> ids = golden.ids("ids");
    ids.resize(40);
    const std::vector<float> expected = allLogits(golden.open, ids);
    QVERIFY(allLogits(streamed, ids) == expected);
    QVERIFY(allLogits(streamed, ids, 16) == allLogits(golden.open, ids, 16));
}

void TestStreaming::calibration() {
    const MethodGolden golden = fetchMethodGolden();
    const OpenModel streamed = streamedOf(golden.open);
    JobContext job;
    for (const CalibrationOptions& options : {shortOptions(8), shortOptions(0), shortOptions(0, 2)}) {
        const std::string expected = bitsOf(calibrate(job, golden.open, golden.text, options));
        CalibrationOptions in_memory = options;
        in_memory.run.states.storage = StateStorage::Memory;
        QVERIFY(bitsOf(calibrate(job, streamed, golden.text, options)) == expected);
        QVERIFY(bitsOf(calibrate(job, streamed, golden.text, in_memory)) == expected);
    }
}

void TestStreaming::calibrationGoesOn() {
    const MethodGolden golden = fetchMethodGolden();
    const OpenModel streamed = streamedOf(golden.open);
    const TemporaryDirectory directory;
    const auto file = partialFileOf(directory / "x.stats.safetensors");
    JobContext job;
    const CalibrationPlan plan = planCalibration(job, streamed, golden.text, shortOptions(8));
    const std::string whole = bitsOf(runCalibration(job, golden.open, plan));
    const int steps = streamed.model->config.layers * 4;
    std::optional<Statistics> finished;
    std::int64_t reached = 0;
    int runs = 0;
    for (; !finished && runs < 2 * steps; ++runs) {
        // Stopped after three more windows of a layer, and begun again from the file.
        CalibrationKeeper keeper;
        if (runs > 0) {
            keeper.start = loadPartialCalibration(file, {StateStorage::File, {}});
            checkSameRun(*keeper.start, plan.description.identity, file);
            const auto layer = static_cast<std::int64_t>(keeper.start->layers.size()) - 1;
            QCOMPARE(layer * 4 + keeper.start->windows, reached);
        }
        keeper.keep = [&](const PartialCalibration& partial) {
            QVERIFY(partial.states.has_value() && !partial.stale());
            savePartialCalibration(partial, file);
            reached = (static_cast<std::int64_t>(partial.layers.size()) - 1) * 4 + partial.windows;
        };
        std::stop_source stop;
        const std::int64_t from = reached;
        JobContext stopped(stop.get_token(), [&](const Progress& progress) {
            if (progress.done >= from + 3)
                stop.request_stop();
        });
        keeper.interval_seconds = 0;  // progress is reported seldom: kept after each window
        try {
            finished = runCalibration(stopped, streamed, plan, keeper);
        } catch (const Cancelled&) {
            QVERIFY(reached > from);
        }
    }
    QVERIFY(finished.has_value());
    QVERIFY(bitsOf(*finished) == whole);
    // A run that goes on from the file of the very last window ends the same.
    CalibrationKeeper keeper;
    keeper.start = loadPartialCalibration(file);
    QVERIFY(bitsOf(runCalibration(job, streamed, plan, keeper)) == whole);
    // What a resident model's run would go on from is something else.
    keeper.start = loadPartialCalibration(file);
    QVERIFY(errorOf([&] { runCalibration(job, golden.open, plan, keeper); }).find("was streamed") !=
            std::string::npos);
}

void TestStreaming::keptStatesAreNotMixedUp() {
    const MethodGolden golden = openMethodGolden("llama", referenceBackend());
    const OpenModel streamed = streamedOf(golden.open);
    JobContext job;
    const CalibrationPlan plan = planCalibration(job, streamed, golden.text, shortOptions(0));
    // Kept in memory while the run goes on: its states are no longer those of the sums.
    std::optional<PartialCalibration> early;
    CalibrationKeeper keeper;
    keeper.interval_seconds = 0;
    keeper.keep = [&](const PartialCalibration& partial) {
        if (!early)
            early = partial;
    };
    runCalibration(job, streamed, plan, keeper);
    QVERIFY(early && early->stale());
    CalibrationKeeper again;
    again.start = early;
    QVERIFY(errorOf([&] { runCalibration(job, streamed, plan, again); }).find("changed since") !=
            std::string::npos);
}

void TestStreaming::layerErrorTables() {
    const MethodGolden golden = fetchMethodGolden();
    const OpenModel streamed = streamedOf(golden.open);
    JobContext job;
    Statistics expected = calibrate(job, golden.open, golden.text, shortOptions(8));
    Statistics found = expected;
    measureErrorTables(job, golden.open, expected, 3, oneThread(StateStorage::Memory));
    measureErrorTables(job, streamed, found, 3, oneThread());
    QVERIFY(bitsOf(found) == bitsOf(expected));
}

void TestStreaming::conversion() {
    const MethodGolden golden = fetchMethodGolden();
    const OpenModel streamed = streamedOf(golden.open);
    JobContext job;
    const Statistics statistics = calibrate(job, golden.open, golden.text, shortOptions(8));
    for (const std::string method : {"eigen", "attention-aware"}) {
        const auto spectrum = computeSpectrum(job, *golden.open.backend, statistics, method);
        RankPlan plan = fullPlan(*spectrum, 1);
        for (int& rank : plan.key_ranks)
            rank = rank / 2 + 1;
        for (int& rank : plan.value_ranks)
            rank = rank / 2;
        const OpenModel expected = convertInMemory(job, golden.open, statistics, *spectrum, plan);
        const OpenModel found = convertInMemory(job, streamed, statistics, *spectrum, plan);
        QVERIFY(found.model->streamed());
        QCOMPARE(found.model->weightBytes(), expected.model->weightBytes());
        std::vector<TokenId> ids = golden.ids("ids");
        ids.resize(30);
        QVERIFY(allLogits(found, ids) == allLogits(expected, ids));
        QVERIFY(layerErrors(job, streamed, found, statistics.probe_windows, oneThread()) ==
                layerErrors(job, golden.open, expected, statistics.probe_windows, oneThread()));
        const TemporaryDirectory directory;
        writeConverted(job, golden.open, expected, directory / "resident");
        writeConverted(job, streamed, found, directory / "streamed");
        QVERIFY(contentsOf(directory / "streamed") == contentsOf(directory / "resident"));
        // One that is given up leaves nothing.
        std::stop_source stop;
        JobContext stopped(stop.get_token(), [&](const Progress& progress) {
            if (progress.stage == "writing tensors")
                stop.request_stop();
        });
        QVERIFY_EXCEPTION_THROWN(writeConverted(stopped, streamed, found, directory / "given up"), Cancelled);
        QCOMPARE(entriesOf(directory.path()).size(), std::size_t{2});
    }
}

void TestStreaming::refitting() {
    const MethodGolden golden = fetchMethodGolden();
    const OpenModel streamed = streamedOf(golden.open);
    JobContext job;
    const Statistics statistics = calibrate(job, golden.open, golden.text, shortOptions(0));
    const auto spectrum = computeSpectrum(job, *golden.open.backend, statistics, "eigen");
    RankPlan plan = fullPlan(*spectrum, 1);
    for (int& rank : plan.value_ranks)
        rank = rank / 2;
    const auto windows = windowsOf(golden, 3, 24);
    RefitOptions options;
    options.run = oneThread();
    const OpenModel expected = refitOutputs(
        job, golden.open, convertInMemory(job, golden.open, statistics, *spectrum, plan), windows, options);
    const OpenModel found = refitOutputs(
        job, streamed, convertInMemory(job, streamed, statistics, *spectrum, plan), windows, options);
    const TemporaryDirectory directory;
    writeConverted(job, golden.open, expected, directory / "resident");
    writeConverted(job, streamed, found, directory / "streamed");
    QVERIFY(contentsOf(directory / "streamed") == contentsOf(directory / "resident"));
}

void TestStreaming::measurements() {
    const MethodGolden golden = fetchMethodGolden();
    const OpenModel streamed = streamedOf(golden.open);
    JobContext job;
    PerplexityOptions options;
    options.windows = 3;
    options.sequence_length = 24;
    options.chunk = 10;
    options.run = oneThread();
    QVERIFY(perplexity(job, streamed, golden.text, options).window_nll ==
            perplexity(job, golden.open, golden.text, options).window_nll);

    const Statistics statistics = calibrate(job, golden.open, golden.text, shortOptions(0));
    const auto spectrum = computeSpectrum(job, *golden.open.backend, statistics, "eigen");
    const auto windows = windowsOf(golden, 2, 16);
    const std::vector<int> grid = rankGrid(spectrum->basisWidth(), 3);
    QVERIFY(measureSensitivity(job, streamed, statistics, *spectrum, windows, grid, oneThread()).kl ==
            measureSensitivity(job, golden.open, statistics, *spectrum, windows, grid, oneThread()).kl);

    RankPlan plan = fullPlan(*spectrum, 1);
    for (int& rank : plan.key_ranks)
        rank = rank / 2;
    const OpenModel converted = convertInMemory(job, golden.open, statistics, *spectrum, plan);
    const OpenModel both = convertInMemory(job, streamed, statistics, *spectrum, plan);
    QVERIFY(compareModels(job, streamed, both, golden.text, options).token_kl ==
            compareModels(job, golden.open, converted, golden.text, options).token_kl);
    const FidelityResult expected =
        measureFidelity(job, golden.open, converted, golden.text, options, options.run);
    const FidelityResult found = measureFidelity(job, streamed, both, golden.text, options, options.run);
    QVERIFY(found.quality.token_kl == expected.quality.token_kl);
    QCOMPARE(found.layers.size(), expected.layers.size());
    for (std::size_t i = 0; i < found.layers.size(); ++i) {
        QCOMPARE(found.layers[i].output_error.mean, expected.layers[i].output_error.mean);
        QCOMPARE(found.layers[i].propagated_error.mean, expected.layers[i].propagated_error.mean);
        for (std::size_t head = 0; head < found.layers[i].heads.size(); ++head)
            QCOMPARE(found.layers[i].heads[head].score_error.mean,
                     expected.layers[i].heads[head].score_error.mean);
    }
}

void TestStreaming::textDiff() {
    const MethodGolden golden = fetchMethodGolden();
    const OpenModel streamed = streamedOf(golden.open);
    JobContext job;
    const Statistics statistics = calibrate(job, golden.open, golden.text, shortOptions(0));
    const auto spectrum = computeSpectrum(job, *golden.open.backend, statistics, "eigen");
    RankPlan plan = fullPlan(*spectrum, 1);
    for (int& rank : plan.key_ranks)
        rank = rank / 2;
    std::vector<TokenId> ids = golden.ids("ids");
    ids.resize(20);
    const TextDiff expected =
        diffText(job, golden.open, convertInMemory(job, golden.open, statistics, *spectrum, plan), ids,
                 oneThread(), oneThread());
    OpenModel converted = convertInMemory(job, streamed, statistics, *spectrum, plan);
    const OpenModel first = counted(streamed), second = counted(converted);
    const TextDiff found = diffText(job, first, second, ids, oneThread(), oneThread());
    QVERIFY(found.restored_kl == expected.restored_kl && !found.restored_kl.empty());
    for (std::size_t i = 0; i < found.tokens.size(); ++i)
        QCOMPARE(found.tokens[i].kl, expected.tokens[i].kl);
    // Once to run the text, once to restore layers, whose states go up together.
    for (const OpenModel* model : {&first, &second})
        QCOMPARE(dynamic_cast<const CountedWeights&>(*model->model->source).layersRead(),
                 2 * model->model->config.layers);
}

void TestStreaming::statesInMemoryAndInAFile() {
    const TemporaryDirectory directory;
    for (const StateStorage storage : {StateStorage::Memory, StateStorage::File}) {
        HiddenStates states({3, 0, 2}, {storage, directory.path()});
        QCOMPARE(states.spilled(), storage == StateStorage::File);
        const std::vector<float> a{1.5f, -2.0f, 3.25f}, b{7.0f, 8.0f};
        states.write(2, b);
        states.write(0, a);
        states.write(1, {});
        std::vector<float> found(3);
        states.read(0, found);
        QCOMPARE(found, a);
        found.resize(2);
        states.read(2, found);
        QCOMPARE(found, b);
        QCOMPARE(states.version(), std::uint64_t{3});
        QVERIFY(!errorOf([&] { states.write(0, b); }).empty());
        QCOMPARE(entriesOf(directory.path()).size(), std::size_t{0});  // the file has no name
    }
    QVERIFY(errorOf([&] {
                HiddenStates({1}, {StateStorage::File, directory / "nowhere"});
            }).find("nowhere") != std::string::npos);
    QVERIFY(!spillsStates(1 << 20, {}));
    QVERIFY(spillsStates(std::int64_t{1} << 60, {}));
    QVERIFY(errorOf([] { stateStorageFromName("tape"); }).find("memory or file") != std::string::npos);
}

void TestStreaming::randomWeights() {
    const TemporaryDirectory directory;
    JobContext job;
    for (const Json& config : {tinyLlamaConfig(), tinyOptConfig(), tinyMptConfig()}) {
        const auto folder = directory / config["model_type"].get<std::string>();
        std::filesystem::create_directories(folder);
        writeTextFile(folder / "config.json", config.dump());
        const auto open = [&](StreamMode mode) {
            return openModel(job, referenceBackend(), folder, LoadFormat::Dummy, mode);
        };
        const OpenModel streamed = open(StreamMode::On), resident = open(StreamMode::Auto);
        QVERIFY(streamed.model->streamed() && !resident.model->streamed());
        const std::vector<TokenId> ids{3, 1, 4, 1, 5, 9, 2, 6};
        QVERIFY(allLogits(streamed, ids) == allLogits(resident, ids));
    }
}

void TestStreaming::damagedFiles() {
    const TemporaryDirectory directory;
    writeRandomCheckpoint(directory / "m", tinyLlamaConfig(), 3);
    const auto file = directory / "m" / "model.safetensors";
    JobContext job;
    const auto checkpoint = Checkpoint::open(directory / "m", Checkpoint::Access::Headers);
    const auto model = streamModel(job, referenceBackend(), checkpoint);
    // Cut after it was opened: named when the layer is read, and not a signal.
    std::filesystem::resize_file(file, std::filesystem::file_size(file) / 2);
    std::string message;
    for (int layer = 0; layer < model->config.layers && message.empty(); ++layer)
        message = errorOf([&] { (void)model->layer(layer); });
    if (message.empty())
        message = errorOf([&] { (void)model->head(); });
    QVERIFY2(message.find("model.safetensors") != std::string::npos, message.c_str());
    QVERIFY2(message.find("cut") != std::string::npos, message.c_str());
    // A shape that does not fit is found when it is opened.
    Json config = tinyLlamaConfig();
    writeRandomCheckpoint(directory / "other", config, 3);
    config["intermediate_size"] = 40;
    writeTextFile(directory / "other" / "config.json", config.dump());
    const auto wrong = Checkpoint::open(directory / "other", Checkpoint::Access::Headers);
    message = errorOf([&] { streamModel(job, referenceBackend(), wrong); });
    QVERIFY2(message.find("expected shape [40, 32]") != std::string::npos, message.c_str());
}

QTEST_GUILESS_MAIN(TestStreaming)
#include "tst_streaming.moc"
