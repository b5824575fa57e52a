// SPDX-License-Identifier: Apache-2.0
// The forward pass against logits that transformers computed in float32, and its own promises: however tokens
// are fed, the same logits.
#include "core/model/transformer.h"
#include "tests/support/backends.h"
#include "tests/support/error_text.h"
#include "tests/support/golden_model.h"

#include <QTest>

#include <algorithm>
#include <cmath>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

// Rounding of float32 sums in another order, over the range of logits.
constexpr double kGoldenTolerance = 2e-4;
// The same sums on the same backend in differently shaped calls.
constexpr double kShapeTolerance = 2e-5;

std::vector<float> toHost(const TensorView& view) {
    return std::vector<float>(view.f32(), view.f32() + view.shape.count());
}

// Feeds ids in chunks and returns the logits of all of them.
std::vector<float> allLogits(const OpenModel& open, std::span<const TokenId> ids, std::size_t chunk,
                             DType format = DType::F32) {
    const Transformer transformer(open.backend, open.model);
    Session session = transformer.createSession({.threads = 1, .max_rows = static_cast<std::int64_t>(chunk)});
    KvCache cache = transformer.createCache(format, static_cast<std::int64_t>(ids.size()));
    std::vector<float> logits;
    for (std::size_t done = 0; done < ids.size(); done += chunk) {
        const auto part = ids.subspan(done, std::min(chunk, ids.size() - done));
        const auto found = toHost(transformer.forward(session, part, cache, LogitsOf::All));
        logits.insert(logits.end(), found.begin(), found.end());
    }
    return logits;
}

double worstDifference(const std::vector<float>& a, const std::vector<float>& b) {
    if (a.size() != b.size() || a.empty()) {
        return INFINITY;
    }
    const auto [low, high] = std::ranges::minmax(a);
    double worst = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double difference = std::abs(double{a[i]} - double{b[i]});
        worst = std::isnan(difference) ? INFINITY : std::max(worst, difference);
    }
    return worst / (double{high} - double{low});
}

struct Trace final : LayerObserver {
    int wanted;
    std::map<std::string, std::vector<float>> found;
    std::vector<float> input;
    std::vector<int> calls;

    explicit Trace(int layer) : wanted(layer) {}
    void onAttention(int layer, const AttentionTrace& trace) override {
        calls.push_back(layer);
        if (layer == wanted) {
            found["queries"] = toHost(trace.queries);
            found["keys"] = toHost(trace.keys);
            found["values"] = toHost(trace.values);
            found["outputs"] = toHost(trace.outputs);
        }
    }
    void onLayerInput(int layer, const TensorView& hidden) override {
        if (layer == wanted) {
            input = toHost(hidden);
        }
    }
    void onLayerOutput(int layer, const TensorView& hidden) override {
        if (layer == wanted) {
            found["layer"] = toHost(hidden);
        }
    }
};

}  // namespace

class TestTransformer : public QObject {
    Q_OBJECT
private slots:
    void goldenModelsAreThere() { QVERIFY(goldenModelNames().size() >= 24); }

    void logitsEqualTransformers_data() { rows(); }
    void logitsEqualTransformers() {
        const GoldenModel golden = fetch();
        const double error = golden.relativeError(allLogits(golden.open, golden.ids, golden.ids.size()));
        QVERIFY2(error < kGoldenTolerance, qPrintable(QString::number(error)));
    }

    // Longer than the training's positions, where dynamic scaling sets in: the frequencies are those of what
    // the cache has room for, however the text is fed.
    void longTextsEqualTransformers_data() { backends(); }
    void longTextsEqualTransformers() {
        QFETCH(QString, backend);
        const GoldenModel golden = openGoldenModel("llama-rope-dynamic", hostBackend(backend.toStdString()));
        QVERIFY(golden.long_ids.size() > 64);
        const auto whole = allLogits(golden.open, golden.long_ids, golden.long_ids.size());
        const double error = worstDifference(golden.long_logits, whole);
        QVERIFY2(error < kGoldenTolerance, qPrintable(QString::number(error)));
        for (const std::size_t chunk : {1, 7, 64}) {
            QVERIFY(worstDifference(whole, allLogits(golden.open, golden.long_ids, chunk)) < kShapeTolerance);
        }
        // One session, caches of different room.
        const Transformer transformer(golden.open.backend, golden.open.model);
        Session session = transformer.createSession({.threads = 1});
        for (const std::int64_t capacity : {100, 40, 128, 100}) {
            KvCache cache = transformer.createCache(DType::F32, capacity);
            const auto count = static_cast<std::size_t>(std::min<std::int64_t>(capacity, 100));
            const auto found = toHost(
                transformer.forward(session, std::span(golden.long_ids).first(count), cache, LogitsOf::All));
            const double difference =
                worstDifference({golden.long_logits.begin(),
                                 golden.long_logits.begin() + static_cast<std::ptrdiff_t>(found.size())},
                                found);
            QVERIFY((difference < kGoldenTolerance) == (capacity == 100));
        }
    }

    void greedyEqualsTransformers_data() { rows(); }
    void greedyEqualsTransformers() {
        const GoldenModel golden = fetch();
        const Transformer transformer(golden.open.backend, golden.open.model);
        Session session = transformer.createSession({.threads = 1});
        KvCache cache = transformer.createCache(DType::F32, 64);
        TensorView logits = transformer.forward(session, golden.prompt, cache, LogitsOf::Last);
        std::vector<TokenId> found;
        while (found.size() < golden.greedy.size()) {
            const auto row = toHost(logits);
            found.push_back(static_cast<TokenId>(std::ranges::max_element(row) - row.begin()));
            logits = transformer.forward(session, std::span(&found.back(), 1), cache, LogitsOf::Last);
        }
        QCOMPARE(found, golden.greedy);
    }

    void chunksDoNotMatter_data() { rows(); }
    void chunksDoNotMatter() {
        const GoldenModel golden = fetch();
        const auto whole = allLogits(golden.open, golden.ids, golden.ids.size());
        for (const std::size_t chunk : {1, 5, 16}) {
            const double error = worstDifference(whole, allLogits(golden.open, golden.ids, chunk));
            QVERIFY2(error < kShapeTolerance, qPrintable(QString("chunk %1: %2").arg(chunk).arg(error)));
        }
    }

    // A 16-bit cache rounds keys and values once: visible, but small.
    void narrowCaches_data() { rows(); }
    void narrowCaches() {
        const GoldenModel golden = fetch();
        const auto exact = allLogits(golden.open, golden.ids, golden.ids.size());
        const double f16 = worstDifference(exact, allLogits(golden.open, golden.ids, 7, DType::F16));
        const double bf16 = worstDifference(exact, allLogits(golden.open, golden.ids, 7, DType::BF16));
        QVERIFY2(f16 > 0.0 && f16 < 5e-3, qPrintable(QString::number(f16)));
        QVERIFY2(bf16 > f16 && bf16 < 4e-2, qPrintable(QString::number(bf16)));
    }

    // bf16 products keep 8 bits of each factor: 2^-9 of it at most, a few layers deep.
    void bf16Compute_data() { rows(); }
    void bf16Compute() {
        const GoldenModel golden = fetch();
        const OpTraits traits{.weight = weightDType(*golden.open.model), .compute = Compute::BF16};
        if (!golden.open.backend->supports(Op::Gemm, traits)) {
            QSKIP("this backend does not do bf16 well here");
        }
        const Transformer transformer(golden.open.backend, golden.open.model);
        Session session = transformer.createSession({.threads = 1, .compute = Compute::BF16});
        KvCache cache = transformer.createCache(DType::F32, 64);
        const double error =
            golden.relativeError(toHost(transformer.forward(session, golden.ids, cache, LogitsOf::All)));
        QVERIFY2(error > 1e-5 && error < 4e-2, qPrintable(QString::number(error)));
    }

    void threadsDoNotMatter_data() { rows(); }
    void threadsDoNotMatter() {
        const GoldenModel golden = fetch();
        const Transformer transformer(golden.open.backend, golden.open.model);
        std::vector<float> found[2];
        for (const int threads : {1, 2}) {
            Session session = transformer.createSession({.threads = threads});
            KvCache cache = transformer.createCache(DType::F32, 64);
            found[threads - 1] = toHost(transformer.forward(session, golden.ids, cache, LogitsOf::All));
        }
        QVERIFY(worstDifference(found[0], found[1]) < kShapeTolerance);
    }

    void batchEqualsSingleRuns_data() { rows(); }
    void batchEqualsSingleRuns() {
        const GoldenModel golden = fetch();
        const std::size_t half = golden.ids.size() / 2;
        const std::span<const TokenId> ids(golden.ids);
        std::vector<float> expected = allLogits(golden.open, ids.first(half), half);
        const auto second = allLogits(golden.open, ids.subspan(half, half), half);
        expected.insert(expected.end(), second.begin(), second.end());

        const Transformer transformer(golden.open.backend, golden.open.model);
        Session session = transformer.createSession({.threads = 1, .max_rows = 64});
        KvCache cache = transformer.createCache(DType::F32, 40, 2);
        const auto found = toHost(transformer.forward(session, ids.first(2 * half), cache, LogitsOf::All));
        QVERIFY(worstDifference(expected, found) < kShapeTolerance);
        QCOMPARE(cache.length(), std::int64_t(half));

        // The next token of each, and their last rows alone.
        const std::vector<TokenId> next{ids[0], ids[1]};
        const TensorView last = transformer.forward(session, next, cache, LogitsOf::Last);
        QCOMPARE(last.shape, (Shape{2, golden.open.model->config.vocab_size}));
        std::vector<float> both;
        for (std::size_t sequence = 0; sequence < 2; ++sequence) {
            std::vector<TokenId> longer(ids.begin() + static_cast<std::ptrdiff_t>(sequence * half),
                                        ids.begin() + static_cast<std::ptrdiff_t>((sequence + 1) * half));
            longer.push_back(next[sequence]);
            const auto logits = allLogits(golden.open, longer, longer.size());
            both.insert(both.end(), logits.end() - golden.open.model->config.vocab_size, logits.end());
        }
        QVERIFY(worstDifference(both, toHost(last)) < kShapeTolerance);
    }

    void lastRowsOfABatch() {
        const GoldenModel golden = openGoldenModel("opt", referenceBackend());
        const Transformer transformer(golden.open.backend, golden.open.model);
        Session session = transformer.createSession({});
        const std::vector<TokenId> ids(golden.ids.begin(), golden.ids.begin() + 12);
        KvCache cache = transformer.createCache(DType::F32, 6, 2);
        const auto all = toHost(transformer.forward(session, ids, cache, LogitsOf::All));
        cache.truncate(0);
        const auto last = toHost(transformer.forward(session, ids, cache, LogitsOf::Last));
        const std::ptrdiff_t vocab = golden.open.model->config.vocab_size;
        QVERIFY(std::equal(last.begin(), last.begin() + vocab, all.begin() + 5 * vocab));
        QVERIFY(std::equal(last.begin() + vocab, last.end(), all.begin() + 11 * vocab));
        cache.truncate(0);
        QVERIFY(transformer.forward(session, ids, cache, LogitsOf::None).empty());
        QCOMPARE(cache.length(), 6);
    }

    void truncateThenContinueEqualsFresh_data() { rows(); }
    void truncateThenContinueEqualsFresh() {
        const GoldenModel golden = fetch();
        const Transformer transformer(golden.open.backend, golden.open.model);
        Session session = transformer.createSession({.threads = 1});
        KvCache cache = transformer.createCache(DType::F32, 48);
        const std::span<const TokenId> ids(golden.ids);
        std::vector<TokenId> other(ids.begin(), ids.begin() + 20);
        std::ranges::reverse(other);
        transformer.forward(session, ids.first(9), cache, LogitsOf::None);
        transformer.forward(session, other, cache, LogitsOf::None);
        cache.truncate(9);
        const auto found = toHost(transformer.forward(session, ids.subspan(9), cache, LogitsOf::Last));
        const auto whole = allLogits(golden.open, ids, ids.size());
        const std::vector<float> expected(whole.end() - golden.open.model->config.vocab_size, whole.end());
        QVERIFY(worstDifference(expected, found) < kShapeTolerance);
    }

    void observerSeesWhatTransformersComputes_data() { rows(true); }
    void observerSeesWhatTransformersComputes() {
        const GoldenModel golden = fetch();
        const Transformer transformer(golden.open.backend, golden.open.model);
        Session session = transformer.createSession({.threads = 1});
        KvCache cache = transformer.createCache(DType::F32, 64);
        Trace trace(1);
        const auto logits = toHost(transformer.forward(session, golden.ids, cache, LogitsOf::All, &trace));
        QVERIFY(golden.relativeError(logits) < kGoldenTolerance);  // observing changes nothing
        QCOMPARE(trace.calls.size(), std::size_t(golden.open.model->config.layers));
        QCOMPARE(golden.trace.size(), 5u);
        for (const auto& [name, expected] : golden.trace) {
            const double error = worstDifference(expected, trace.found[name]);
            QVERIFY2(error < kGoldenTolerance, qPrintable(QString("%1: %2").arg(name.c_str()).arg(error)));
        }
        // Layer 1 alone, from its own input, gives its output.
        KvCache again = transformer.createCache(DType::F32, 64);
        const auto rows = static_cast<std::int64_t>(golden.ids.size());
        const TensorView hidden{
            trace.input.data(), DType::F32, {rows, golden.open.model->config.hidden_size}};
        transformer.runLayer(session, 1, hidden, rows, again);
        QCOMPARE(again.length(), 0);
        QVERIFY(worstDifference(trace.found["layer"], trace.input) < kShapeTolerance);
    }

    void errorsLeaveTheCacheAlone() {
        const GoldenModel golden = openGoldenModel("llama-gqa", referenceBackend());
        const Transformer transformer(golden.open.backend, golden.open.model);
        Session session = transformer.createSession({.max_rows = 16});
        KvCache cache = transformer.createCache(DType::F32, 8);
        const std::vector<TokenId> ids(golden.ids.begin(), golden.ids.begin() + 5);
        const auto run = [&](std::vector<TokenId> tokens, KvCache& into) {
            return errorOf([&] { transformer.forward(session, tokens, into, LogitsOf::Last); });
        };
        QCOMPARE(run(ids, cache), "");
        QCOMPARE(run({3, 300}, cache), "token id 300 (number 1) is outside the vocabulary, 0 to 299");
        QCOMPARE(run({-1}, cache), "token id -1 (number 0) is outside the vocabulary, 0 to 299");
        QCOMPARE(run({}, cache), "a forward call needs at least one token");
        QCOMPARE(run(ids, cache), "the KV cache is full: 5 + 5 positions do not fit in 8");
        KvCache longer = transformer.createCache(DType::F32, 200);
        QCOMPARE(run(std::vector<TokenId>(17, 1), longer),
                 "1 x 17 tokens are more rows than the session holds, 16");
        for (int i = 0; i < 6; ++i) {
            QCOMPARE(run(std::vector<TokenId>(16, 1), longer), "");
        }
        QCOMPARE(run({1}, longer), "position 96 is beyond the model's 96 positions");
        QCOMPARE(longer.length(), 96);
        KvCache pair = transformer.createCache(DType::F32, 8, 2);
        QCOMPARE(run(ids, pair), "5 tokens cannot be shared by 2 sequences evenly");
        const GoldenModel other = openGoldenModel("llama-low-rank", referenceBackend());
        KvCache foreign = Transformer(other.open.backend, other.open.model).createCache(DType::F32, 8);
        QVERIFY(run(ids, foreign).starts_with("the KV cache "));
        QCOMPARE(cache.length(), 5);
        // And the session still works.
        QCOMPARE(run({1, 2, 3}, cache), "");
        QVERIFY(errorOf([&] { transformer.createSession({.max_rows = 0}); }).starts_with("a session needs"));
    }

    void stopsBetweenLayers() {
        const GoldenModel golden = openGoldenModel("opt", referenceBackend());
        const Transformer transformer(golden.open.backend, golden.open.model);
        std::stop_source source;
        Session session = transformer.createSession({.stop = source.get_token()});
        KvCache cache = transformer.createCache(DType::F32, 64);
        transformer.forward(session, golden.prompt, cache, LogitsOf::Last);
        source.request_stop();
        QVERIFY_EXCEPTION_THROWN(transformer.forward(session, golden.prompt, cache, LogitsOf::Last),
                                 Cancelled);
        QCOMPARE(cache.length(), std::int64_t(golden.prompt.size()));
    }

private:
    void backends() {
        QTest::addColumn<QString>("backend");
        for (const auto& backend : hostBackends()) {
            QTest::newRow(backend->info().backend.c_str()) << QString::fromStdString(backend->info().backend);
        }
    }
    // Every golden model on every host backend.
    void rows(bool traced = false) {
        QTest::addColumn<QString>("model");
        QTest::addColumn<QString>("backend");
        for (const auto& backend : hostBackends()) {
            for (const std::string& name : goldenModelNames()) {
                if (traced && openGoldenModel(name, backend).trace.empty()) {
                    continue;
                }
                const std::string row = name + " on " + backend->info().backend;
                QTest::newRow(row.c_str())
                    << QString::fromStdString(name) << QString::fromStdString(backend->info().backend);
            }
        }
    }
    GoldenModel fetch() {
        QFETCH(QString, model);
        QFETCH(QString, backend);
        return openGoldenModel(model.toStdString(), hostBackend(backend.toStdString()));
    }
};

QTEST_GUILESS_MAIN(TestTransformer)
#include "tst_transformer.moc"
