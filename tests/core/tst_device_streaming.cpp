// SPDX-License-Identifier: Apache-2.0
// Streamed models on a device with memory of its own: the CUDA backend under emulation
// (tests/kernels/emulation), whose queues run as late or as early as CUDA allows. Parts go to memory that is
// allocated once, written while the part before is in use; results are those of the model that is held.
#include "core/compression/convert.h"
#include "core/model/transformer.h"
#include "tests/core/method_support.h"
#include "tests/kernels/cuda_fixture.h"
#include "tests/support/random_checkpoint.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

#include <thread>

using namespace eigenscope;
using namespace eigenscope::emulation;
using namespace eigenscope::test;

namespace {

std::shared_ptr<Backend> device() {
    static const std::shared_ptr<Backend> backend = createEmulatedCudaBackend();
    return backend;
}

std::shared_ptr<const Model> streamed(const std::filesystem::path& directory) {
    JobContext job;
    return streamModel(job, device(), Checkpoint::open(directory, Checkpoint::Access::Headers));
}

OpenModel opened(std::shared_ptr<const Model> model) {
    OpenModel open;
    open.backend = device();
    open.model = std::move(model);
    return open;
}

OpenModel resident(const std::filesystem::path& directory) {
    JobContext job;
    return opened(loadModel(job, *device(), *Checkpoint::open(directory)));
}

std::vector<std::byte> bytesOf(const Tensor& tensor) {
    std::vector<std::byte> bytes(tensor.bytes());
    const auto stream = device()->createStream(0);
    device()->download(*stream, bytes.data(), tensor.data(), bytes.size());
    return bytes;
}

Json withLayers(int layers) {
    Json config = tinyLlamaConfig();
    config["num_hidden_layers"] = layers;
    return config;
}

const std::vector<TokenId> kIds{3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8};

}  // namespace

class TestDeviceStreaming : public QObject {
    Q_OBJECT
private slots:
    void logits_data();
    void logits();
    void allocatedOnce();
    void statedBytes();
    void conversion();
    void leasesKeepTheirParts();
    void severalSessions();
    void memoryThatIsNotThere();
    void cancelled();
    void failingReads();
};

void TestDeviceStreaming::logits_data() {
    QTest::addColumn<QString>("family");
    QTest::addColumn<QString>("dtype");
    for (const char* family : {"llama", "opt", "mpt"})
        for (const char* dtype : {"F32", "F16", "BF16"})
            QTest::addRow("%s %s", family, dtype) << family << dtype;
}

// Vectors become f32 on their way, matrices stay as they are. Whole prompts, chunks, and steps of one token.
void TestDeviceStreaming::logits() {
    QFETCH(QString, family);
    QFETCH(QString, dtype);
    Json config = family == "llama" ? withLayers(5) : family == "opt" ? tinyOptConfig() : tinyMptConfig();
    const TemporaryDirectory directory;
    const FileDType stored = dtype == "F32"   ? FileDType::F32
                             : dtype == "F16" ? FileDType::F16
                                              : FileDType::BF16;
    writeRandomCheckpoint(directory / "m", config, 7, stored);
    for (const Schedule schedule : kSchedules) {
        const Settings settings(scheduled(schedule));
        const OpenModel expected = resident(directory / "m"), found = opened(streamed(directory / "m"));
        QVERIFY(found.model->streamed() && !expected.model->streamed());
        for (const std::int64_t chunk : {256, 5, 1})
            QVERIFY(allLogits(found, kIds, chunk) == allLogits(expected, kIds, chunk));
    }
}

// Neither layers nor steps allocate, so that nothing waits for the whole device.
void TestDeviceStreaming::allocatedOnce() {
    const TemporaryDirectory directory;
    std::vector<int> opening, running;
    for (const int layers : {2, 9}) {
        const auto path = directory / std::to_string(layers);
        writeRandomCheckpoint(path, withLayers(layers), 7, FileDType::BF16);
        const int before = runtimeCounts().allocations;
        const auto model = streamed(path);
        opening.push_back(runtimeCounts().allocations - before);
        const Transformer transformer(device(), model);
        Session session = transformer.createSession({});
        KvCache cache = transformer.createCache(KvFormat(DType::F32), 16);
        const auto step = [&](int position) {
            const std::size_t i = static_cast<std::size_t>(position);
            transformer.forward(session, std::span(kIds).subspan(i, 1), cache, LogitsOf::Last);
        };
        step(0);
        const RuntimeCounts warm = runtimeCounts();
        for (int position = 1; position < 6; ++position)
            step(position);
        running.push_back(runtimeCounts().allocations - warm.allocations);
        QCOMPARE(runtimeCounts().blocks, warm.blocks);
    }
    QCOMPARE(opening[0], opening[1]);
    QCOMPARE(running, (std::vector<int>{0, 0}));
}

// The largest two neighbours, from the shapes: a layer of hidden 32 and intermediate I has 2 * 32 * 32 +
// 2 * 32 * 16 + 3 * 32 * I elements of two bytes and two vectors of 32 in f32.
void TestDeviceStreaming::statedBytes() {
    const TemporaryDirectory directory;
    Json config = withLayers(3);
    config["vocab_size"] = 8;
    const auto intermediate = config["intermediate_size"].get<std::int64_t>();
    writeRandomCheckpoint(directory / "m", config, 7, FileDType::BF16);
    const auto up = [](std::int64_t bytes) { return (bytes + 255) / 256 * 256; };
    const std::int64_t layer =
        2 * up(2 * 32 * 32) + 2 * up(2 * 32 * 16) + 3 * up(2 * 32 * intermediate) + 2 * 256;
    const std::size_t before = runtimeCounts().bytes;
    const auto model = streamed(directory / "m");
    QCOMPARE(model->source->deviceBytes(), 2 * layer);
    QCOMPARE(model->source->hostBytes(), std::int64_t{0});
    QCOMPARE(model->heldBytes(), 2 * layer);
    const auto tables = static_cast<std::int64_t>(model->rotary_cos.bytes() + model->rotary_sin.bytes());
    const auto taken = static_cast<std::int64_t>(runtimeCounts().bytes - before);
    QVERIFY(taken >= 2 * layer + tables && taken <= 2 * layer + tables + 3 * 256);
    for (int i = 0; i < 3; ++i)
        QVERIFY(!bytesOf(model->layer(i)->up.weight).empty());
    QVERIFY(!bytesOf(model->head()->output.weight).empty());
    QCOMPARE(static_cast<std::int64_t>(runtimeCounts().bytes - before), taken);
}

// A converted model makes its projections from parts that are only there for a while.
void TestDeviceStreaming::conversion() {
    JobContext job;
    const MethodGolden golden = openMethodGolden("llama", device());
    const Conversion conversion = convertAsExpected(golden);
    OpenModel below = golden.open;
    below.model = streamed(golden.open.checkpoint->directory());
    for (const Schedule schedule : kSchedules) {
        const Settings settings(scheduled(schedule));
        const OpenModel found =
            convertInMemory(job, below, conversion.statistics, *conversion.spectrum, conversion.plan);
        QVERIFY(found.model->streamed());
        std::vector<TokenId> ids = golden.ids("ids");
        ids.resize(12);
        QVERIFY(allLogits(found, ids, 4) == allLogits(conversion.converted, ids, 4));
    }
}

void TestDeviceStreaming::leasesKeepTheirParts() {
    const TemporaryDirectory directory;
    writeRandomCheckpoint(directory / "m", withLayers(6), 7);
    const OpenModel expected = resident(directory / "m");
    const auto model = streamed(directory / "m");
    const int blocks = runtimeCounts().blocks;
    {
        std::vector<LayerLease> leases;
        for (const int layer : {4, 0, 1, 5})
            leases.push_back(model->layer(layer));
        QVERIFY(runtimeCounts().blocks > blocks);  // more than are there at a time otherwise
        for (const int layer : {4, 0, 1, 5}) {
            const LayerWeights& found = *leases[layer == 4 ? 0 : layer == 0 ? 1 : layer == 1 ? 2 : 3];
            const LayerWeights& wanted = expected.model->layers[static_cast<std::size_t>(layer)];
            QVERIFY(bytesOf(found.down.weight) == bytesOf(wanted.down.weight));
            QVERIFY(bytesOf(found.mlp_norm.weight) == bytesOf(wanted.mlp_norm.weight));
        }
    }
    QVERIFY(bytesOf(model->layer(2)->up.weight) == bytesOf(expected.model->layers[2].up.weight));
    QCOMPARE(runtimeCounts().blocks, blocks);
}

void TestDeviceStreaming::severalSessions() {
    const TemporaryDirectory directory;
    writeRandomCheckpoint(directory / "m", withLayers(4), 7, FileDType::F16);
    const std::vector<float> expected = allLogits(resident(directory / "m"), kIds, 3);
    for (const Schedule schedule : kSchedules) {
        const Settings settings(scheduled(schedule));
        const OpenModel open = opened(streamed(directory / "m"));
        std::vector<int> equal(3);
        {
            std::vector<std::jthread> threads;
            for (int& mine : equal)
                threads.emplace_back([&] { mine = allLogits(open, kIds, 3) == expected; });
        }
        QCOMPARE(equal, std::vector<int>(3, 1));
    }
}

void TestDeviceStreaming::memoryThatIsNotThere() {
    const TemporaryDirectory directory;
    writeRandomCheckpoint(directory / "m", withLayers(4), 7);
    std::size_t needed = 0, tables = 0;
    {
        const auto model = streamed(directory / "m");
        needed = static_cast<std::size_t>(model->source->deviceBytes());
        tables = model->rotary_cos.bytes() + model->rotary_sin.bytes();
    }
    const RuntimeCounts before = runtimeCounts();
    DeviceSettings device_settings;
    // Every allocation takes a little more than its bytes.
    device_settings.memory_bytes = before.bytes + tables + needed;
    const Settings settings(device_settings);
    const std::string failure = failureOf([&] { streamed(directory / "m"); }, ErrorCode::OutOfMemory);
    QVERIFY2(contains(failure, "streaming this model needs " + std::to_string(needed) + " bytes"),
             failure.c_str());
    QVERIFY2(contains(failure, "two of its parts at a time"), failure.c_str());
    QVERIFY2(contains(failure, " are free"), failure.c_str());
    QCOMPARE(runtimeCounts().blocks, before.blocks);
}

void TestDeviceStreaming::cancelled() {
    const TemporaryDirectory directory;
    writeRandomCheckpoint(directory / "m", withLayers(6), 7);
    const std::vector<float> expected = allLogits(resident(directory / "m"), kIds, 4);
    for (const Schedule schedule : kSchedules) {
        const Settings settings(scheduled(schedule));
        const OpenModel open = opened(streamed(directory / "m"));
        const Transformer transformer(device(), open.model);
        const int blocks = runtimeCounts().blocks;
        for (int after = 0; after < 5; ++after) {
            std::stop_source stop;
            SessionOptions options;
            options.stop = stop.get_token();
            Session session = transformer.createSession(options);
            KvCache cache = transformer.createCache(KvFormat(DType::F32), 16);
            struct Stopper : LayerObserver {
                int after = 0;
                std::stop_source* stop = nullptr;
                void onLayerOutput(int layer, const TensorView&) override {
                    if (layer == after)
                        stop->request_stop();
                }
            } stopper;
            stopper.after = after, stopper.stop = &stop;
            QVERIFY_EXCEPTION_THROWN(transformer.forward(session, kIds, cache, LogitsOf::Last, &stopper),
                                     Cancelled);
        }
        QCOMPARE(runtimeCounts().blocks, blocks);
        QVERIFY(allLogits(open, kIds, 4) == expected);
    }
}

void TestDeviceStreaming::failingReads() {
    const TemporaryDirectory directory;
    writeRandomCheckpoint(directory / "m", withLayers(6), 7);
    const auto file = directory / "m" / "model.safetensors";
    const std::vector<float> expected = allLogits(resident(directory / "m"), kIds, 4);
    const auto whole = directory / "whole";
    std::filesystem::copy_file(file, whole);
    const OpenModel open = opened(streamed(directory / "m"));
    QVERIFY(allLogits(open, kIds, 4) == expected);
    const int blocks = runtimeCounts().blocks;
    // The file is cut, and later what it was; the model stays open.
    const auto size = std::filesystem::file_size(file);
    for (const auto rest : {size / 3, size * 2 / 3}) {
        std::filesystem::resize_file(file, rest);
        const std::string failure = errorOf([&] { allLogits(open, kIds, 4); });
        QVERIFY2(contains(failure, "model.safetensors"), failure.c_str());
        QCOMPARE(runtimeCounts().blocks, blocks);
        std::filesystem::resize_file(file, 0);
        std::filesystem::resize_file(file, size);
        std::filesystem::copy_file(whole, file, std::filesystem::copy_options::overwrite_existing);
        QVERIFY(allLogits(open, kIds, 4) == expected);
    }
    // The device refuses in the middle of a part.
    for (const char* call : {"cudaMemcpyAsync", "cudaEventRecord"}) {
        failNext(call, cudaErrorInvalidValue, 7);
        const std::string failure = errorOf([&] { allLogits(open, kIds, 4); });
        QVERIFY2(contains(failure, "invalid argument"), failure.c_str());
        repairDevice();
        QVERIFY(allLogits(open, kIds, 4) == expected);
        QCOMPARE(runtimeCounts().blocks, blocks);
    }
}

QTEST_GUILESS_MAIN(TestDeviceStreaming)
#include "tst_device_streaming.moc"
