// SPDX-License-Identifier: Apache-2.0
// Prompts, steps and benchmarks of streamed models: the bits of the model that is held, no part read more
// often than it must, and progress from part to part.
#include "core/benchmark/benchmark.h"
#include "core/generation/prefill.h"
#include "core/model/watched_weights.h"
#include "tests/core/streaming_support.h"

#include <QTest>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <set>
#include <thread>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

// Reports of a stage come at most every 50 ms; so long takes a part of a large model.
OpenModel slow(const OpenModel& streamed) {
    OpenModel open = streamed;
    open.model =
        watched(streamed.model, [](int) { std::this_thread::sleep_for(std::chrono::milliseconds(55)); });
    return open;
}

GenerationOptions shortText() {
    GenerationOptions options;
    options.max_tokens = 5;
    options.stop_at_eos = false;
    options.prefill_chunk = 7;  // the prompt is longer
    options.run = oneThread();
    return options;
}

constexpr const char* kPrompt = "once upon a time there was a small house by the sea, and in it";

int layersReadBy(const OpenModel& counted) {
    return dynamic_cast<const CountedWeights&>(*counted.model->source).layersRead();
}

BenchmarkOptions oneRow() {
    BenchmarkOptions options;
    options.contexts = {12};
    options.new_tokens = 2;
    options.repetitions = 2;
    options.prefill_rows = 5;
    options.ceilings = BenchmarkCeilings{};
    options.ceilings->copy.bytes_per_second = options.ceilings->product.flops_per_second = 1.0;
    options.run = oneThread();
    return options;
}

}  // namespace

class TestStreamedGeneration : public QObject {
    Q_OBJECT
private slots:
    void texts_data();
    void texts();
    void batches();
    void partsAreAskedForInOrder();
    void benchmarkOfAStreamedModel_data() { addMethodRows(); }
    void benchmarkOfAStreamedModel();
    void progressByParts();
    void cancelledWithinAStep();
};

void TestStreamedGeneration::texts_data() {
    QTest::addColumn<QString>("name");
    QTest::addColumn<QString>("backend");
    QTest::addColumn<QString>("format");
    for (const auto& backend : hostBackends())
        for (const std::string& name : methodGoldenNames())
            for (const char* format : {"f32", "q4"})
                QTest::addRow("%s on %s, %s", name.c_str(), backend->info().backend.c_str(), format)
                    << QString::fromStdString(name) << QString::fromStdString(backend->info().backend)
                    << format;
}

void TestStreamedGeneration::texts() {
    QFETCH(QString, format);
    const MethodGolden golden = fetchMethodGolden();
    JobContext job;
    GenerationOptions options = shortText();
    options.run.kv_format = *kvFormatFromName(format.toStdString());
    if (options.run.kv_format->bits > 0) {  // groups over positions, which chunks cut, and rows kept exactly
        options.run.kv_format->recent = 5;
        options.run.kv_format->keys = KvGrouping::Channel;
        options.run.kv_format->group = 8;
    }
    const OpenModel streamed = counted(streamedOf(golden.open));
    const GenerationResult expected = generate(job, golden.open, kPrompt, options);
    const GenerationResult found = generate(job, streamed, kPrompt, options);
    QVERIFY(found.prompt_ids.size() > 2 * 7);
    QCOMPARE(found.ids, expected.ids);
    QCOMPARE(found.kv_cache_bytes, expected.kv_cache_bytes);
    // Once for the prompt, once for each token but the last.
    QCOMPARE(layersReadBy(streamed), golden.open.model->config.layers * options.max_tokens);
}

void TestStreamedGeneration::batches() {
    const MethodGolden golden = openMethodGolden("llama", referenceBackend());
    const OpenModel streamed = streamedOf(golden.open);
    constexpr int kBatch = 3;
    constexpr std::int64_t kLength = 11;
    const auto run = [&](const OpenModel& open) {
        const Transformer transformer(open.backend, open.model);
        Session session = transformer.createSession({.max_rows = 13});  // chunks of four positions
        KvCache cache = transformer.createCache(KvFormat(DType::F32), kLength + 1, kBatch);
        std::vector<TokenId> ids;
        std::vector<std::int64_t> done;
        const TensorView logits = prefill(
            transformer, session, cache, kLength,
            [&](std::int64_t begin, std::int64_t count) {
                ids.clear();
                for (int sequence = 0; sequence < kBatch; ++sequence)
                    for (std::int64_t i = begin; i < begin + count; ++i)
                        ids.push_back(static_cast<TokenId>((7 * i + 5 * sequence) % 50));
                return std::span<const TokenId>(ids);
            },
            [&](std::int64_t at, std::int64_t total) {
                done.push_back(at);
                if (at >= total)
                    throw Error(ErrorCode::InvalidInput, "more than all");
            });
        if (!std::ranges::is_sorted(done) || done.size() < 3)
            throw Error(ErrorCode::InvalidInput, "progress goes back");
        std::vector<float> values(logits.f32(), logits.f32() + logits.shape.count());
        const std::vector<TokenId> next(kBatch, 9);  // a step behind it reads the whole cache
        const TensorView behind = transformer.forward(session, next, cache, LogitsOf::Last);
        values.insert(values.end(), behind.f32(), behind.f32() + behind.shape.count());
        return values;
    };
    QVERIFY(run(streamed) == run(golden.open));
}

void TestStreamedGeneration::partsAreAskedForInOrder() {
    const MethodGolden golden = openMethodGolden("opt", referenceBackend());
    const OpenModel streamed = streamedOf(golden.open);
    QCOMPARE(streamedParts(*golden.open.model), 0);
    QVERIFY(watched(golden.open.model, [](int) {}) == golden.open.model);
    const int parts = streamedParts(*streamed.model);
    std::vector<int> asked, expected(static_cast<std::size_t>(parts));
    std::iota(expected.begin(), expected.end(), 0);
    OpenModel open = streamed;
    open.model = watched(streamed.model, [&](int part) { asked.push_back(part); });
    const std::vector<TokenId> ids{1, 2, 3};
    QVERIFY(allLogits(open, ids) == allLogits(golden.open, ids));
    QCOMPARE(asked, expected);
    QCOMPARE(open.model->heldBytes(), streamed.model->heldBytes());
}

void TestStreamedGeneration::benchmarkOfAStreamedModel() {
    const MethodGolden golden = fetchMethodGolden();
    const OpenModel streamed = counted(streamedOf(golden.open));
    JobContext job;
    const BenchmarkOptions options = oneRow();
    const BenchmarkRow found = benchmark(job, streamed, options).rows.at(0);
    const BenchmarkRow expected = benchmark(job, golden.open, options).rows.at(0);
    // Every prompt once, a first step, the steps that are measured, and the one whose attention is.
    QCOMPARE(layersReadBy(streamed), golden.open.model->config.layers * (2 + 1 + 2 * 2 + 1));
    // Two parts instead of all, and the states of the prompt's positions and of the last.
    const Model& held = *golden.open.model;
    const std::int64_t states = 13 * held.config.hidden_size * 4;
    QCOMPARE(found.peak_memory_bytes - streamed.model->heldBytes() - states,
             expected.peak_memory_bytes - held.weightBytes());
    QCOMPARE(found.weight_bytes_read, expected.weight_bytes_read);
}

void TestStreamedGeneration::progressByParts() {
    const MethodGolden golden = openMethodGolden("llama", referenceBackend());
    const OpenModel open = slow(streamedOf(golden.open));
    const int parts = streamedParts(*open.model);
    std::map<std::string, std::set<std::int64_t>> seen;
    std::map<std::string, std::int64_t> totals;
    JobContext job({}, [&](const Progress& progress) {
        seen[progress.stage].insert(progress.done);
        totals[progress.stage] = progress.total;
    });
    generate(job, open, kPrompt, shortText());
    BenchmarkOptions options = oneRow();
    options.repetitions = 1;
    benchmark(job, open, options);
    const std::string row = golden.open.name + ", context 12, batch 1: ";
    const auto steps = [&](const std::string& stage, int from, int until) {
        for (int part = from; part < until; ++part)
            if (!seen[stage].contains(part))
                return false;
        return true;
    };
    const std::string generating = "generating, tokens by parts of the weights";
    QCOMPARE(totals[generating], std::int64_t{5} * parts);
    QVERIFY(steps(generating, parts + 1, 5 * parts));
    for (const auto& [stage, passes] : {std::pair("decode", 2), std::pair("first step", 1)}) {
        const std::string text = row + stage + ", parts of the weights";
        QCOMPARE(totals[text], std::int64_t{passes} * parts);
        QVERIFY2(steps(text, 1, passes * parts), text.c_str());
    }
    const std::string prefill = row + prefillStage(*open.model);
    QCOMPARE(totals[prefill], std::int64_t{12} * golden.open.model->config.layers);
    for (int layer = 0; layer < golden.open.model->config.layers; ++layer)
        QVERIFY(seen[prefill].lower_bound(12 * layer) != seen[prefill].end());
}

void TestStreamedGeneration::cancelledWithinAStep() {
    const MethodGolden golden = openMethodGolden("llama", referenceBackend());
    const OpenModel streamed = streamedOf(golden.open);
    for (int after = 1; after < 12; ++after) {
        std::stop_source stop;
        JobContext job(stop.get_token(), {});
        int asked = 0;
        OpenModel open = streamed;
        open.model = watched(streamed.model, [&](int) {
            if (++asked == after)
                stop.request_stop();
        });
        QVERIFY_EXCEPTION_THROWN(benchmark(job, open, oneRow()), Cancelled);
        QVERIFY(asked <= after + 1);
    }
}

QTEST_GUILESS_MAIN(TestStreamedGeneration)
#include "tst_streamed_generation.moc"
