// SPDX-License-Identifier: Apache-2.0
// Replayed steps: the same logits as queued ones, for every family and cache; signatures that keep apart what
// must be kept apart; losses in parts; what is said of a cache that does not fit.
#include "core/model/decode_step.h"
#include "core/model/transformer.h"
#include "tests/support/backends.h"
#include "tests/support/golden_model.h"
#include "tests/support/replaying_backend.h"

#include <QTest>

#include <algorithm>
#include <cmath>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

// Logits of every id, fed one by one behind a prompt of three.
std::vector<float> stepLogits(const OpenModel& open, std::span<const TokenId> ids, const KvFormat& format,
                              int batch = 1) {
    const Transformer transformer(open.backend, open.model);
    Session session = transformer.createSession({.threads = 1, .max_rows = 8});
    KvCache cache = transformer.createCache(format, static_cast<std::int64_t>(ids.size()), batch, 8);
    std::vector<float> logits;
    const auto feed = [&](std::span<const TokenId> part) {
        std::vector<TokenId> tokens;
        for (int sequence = 0; sequence < batch; ++sequence) {
            tokens.insert(tokens.end(), part.begin(), part.end());
        }
        const TensorView found = transformer.forward(session, tokens, cache, LogitsOf::Last);
        logits.insert(logits.end(), found.f32(), found.f32() + found.shape.count());
    };
    feed(ids.first(3));
    for (std::size_t i = 3; i < ids.size(); ++i) {
        feed(ids.subspan(i, 1));
    }
    return logits;
}

KvFormat quantised(int bits, KvGrouping keys, int recent) {
    KvFormat format = KvFormat::quantised(bits);
    format.group = 8, format.keys = keys, format.recent = recent;
    return format;
}

std::string joined(const std::vector<std::string>& lines) {
    std::string text;
    for (const std::string& line : lines) {
        text += line + "\n";
    }
    return text;
}

}  // namespace

class TestDecodeStep : public QObject {
    Q_OBJECT
private slots:
    void lengthsRiseByEighths() {
        QCOMPARE(replayedLength(1, 1000), std::int64_t{64});
        QCOMPARE(replayedLength(64, 1000), std::int64_t{64});
        QCOMPARE(replayedLength(65, 1000), std::int64_t{128});
        QCOMPARE(replayedLength(65, 100), std::int64_t{100});
        std::int64_t last = 0, distinct = 0;
        for (std::int64_t length = 1; length <= 40000; ++length) {
            const std::int64_t room = replayedLength(length, 1 << 20);
            QVERIFY(room >= length && room >= last);
            QVERIFY(room <= std::max<std::int64_t>(length + 64, length + length / 8 + 1));
            distinct += room != last;
            last = room;
        }
        QVERIFY(distinct < 70);  // recordings of a long conversation
    }

    void replayedStepsAreTheSame_data() {
        QTest::addColumn<QString>("model");
        for (const std::string& name : goldenModelNames()) {
            QTest::newRow(name.c_str()) << QString::fromStdString(name);
        }
    }
    void replayedStepsAreTheSame() {
        QFETCH(QString, model);
        auto backend = std::make_shared<ReplayingBackend>();
        GoldenModel replayed = openGoldenModel(model.toStdString(), backend);
        const GoldenModel plain = openGoldenModel(model.toStdString(), referenceBackend());
        for (const KvFormat& format : {KvFormat(DType::F32), quantised(4, KvGrouping::Token, 0),
                                       quantised(3, KvGrouping::Channel, 5)}) {
            for (const int batch : {1, 2}) {
                const auto expected = stepLogits(plain.open, plain.ids, format, batch);
                backend->checks = true;
                const auto found = stepLogits(replayed.open, plain.ids, format, batch);
                // The same ops on the same numbers.
                QVERIFY(expected == found);
                backend->checks = false;  // nothing is queued again
                QVERIFY(expected == stepLogits(replayed.open, plain.ids, format, batch));
            }
        }
        QVERIFY2(backend->mistakes.empty(), joined(backend->mistakes).c_str());
        QVERIFY(backend->replayed > 5 * backend->recorded);
    }

    // Everything at once on one backend that keeps what it was given: two models that share weights but not
    // their configuration, two sessions, two caches, and what a call asks for.
    void signaturesKeepApart() {
        auto backend = std::make_shared<ReplayingBackend>();
        backend->checks = true;
        const GoldenModel golden = openGoldenModel(goldenModelNames().front(), backend);
        auto other = std::make_shared<Model>(*golden.open.model);
        other->config.attention_scale *= 2.0f;
        const Transformer first(backend, golden.open.model), second(backend, other);
        Session sessions[] = {first.createSession({.threads = 1}), first.createSession({.threads = 1})};
        KvCache caches[] = {first.createCache(DType::F32, 20), first.createCache(DType::F32, 20),
                            first.createCache(DType::F16, 20)};
        const TokenId id = golden.ids.front();
        int kinds = 0;
        for (const int round : {0, 1, 2}) {
            for (Session& session : sessions) {
                for (const Transformer* transformer : {&first, &second}) {
                    for (KvCache& cache : caches) {
                        for (const LogitsOf which : {LogitsOf::Last, LogitsOf::None}) {
                            cache.truncate(0);
                            transformer->forward(session, std::span(&id, 1), cache, which);
                            kinds += round == 0;
                        }
                    }
                }
            }
        }
        QVERIFY2(backend->mistakes.empty(), joined(backend->mistakes).c_str());
        QCOMPARE(backend->recorded, kinds);
        QCOMPARE(backend->replayed, 2 * kinds);
    }

    // A model in the place of one that is gone is another model.
    void anotherModelAtTheSameAddress() {
        auto backend = std::make_shared<ReplayingBackend>();
        backend->checks = true;
        const GoldenModel golden = openGoldenModel(goldenModelNames().front(), backend);
        const Transformer original(backend, golden.open.model);
        Session session = original.createSession({.threads = 1});
        KvCache cache = original.createCache(DType::F32, 20);
        const TokenId id = golden.ids.front();
        for (const float scale : {1.0f, 2.0f, 3.0f, 4.0f}) {
            auto model = std::make_shared<Model>(*golden.open.model);
            model->config.attention_scale *= scale;
            const Transformer transformer(backend, std::move(model));
            cache.truncate(0);
            transformer.forward(session, std::span(&id, 1), cache, LogitsOf::Last);
            transformer.forward(session, std::span(&id, 1), cache, LogitsOf::Last);
        }
        QVERIFY2(backend->mistakes.empty(), joined(backend->mistakes).c_str());
        QCOMPARE(backend->recorded, 4);
    }

    void onlySingleTokensWithoutObserver() {
        struct Silent final : LayerObserver {};
        auto backend = std::make_shared<ReplayingBackend>();
        const GoldenModel golden = openGoldenModel(goldenModelNames().front(), backend);
        const Transformer transformer(backend, golden.open.model);
        Session session = transformer.createSession({.threads = 1});
        KvCache cache = transformer.createCache(DType::F32, 20);
        Silent observer;
        transformer.forward(session, std::span(golden.ids).first(2), cache, LogitsOf::Last);
        transformer.forward(session, std::span(golden.ids).first(1), cache, LogitsOf::Last, &observer);
        QCOMPARE(backend->recorded + backend->replayed, 0);
        backend->setReplays(false);
        transformer.forward(session, std::span(golden.ids).first(1), cache, LogitsOf::Last);
        QCOMPARE(backend->recorded + backend->replayed, 0);
        backend->setReplays(true);
        transformer.forward(session, std::span(golden.ids).first(1), cache, LogitsOf::Last);
        QCOMPARE(backend->recorded, 1);
    }

    // Losses against those of logits that are all there, from parts of a row upward; the buffer stays small.
    void lossesInParts() {
        for (const auto& backend : hostBackends()) {
            const GoldenModel golden = openGoldenModel(goldenModelNames().front(), backend);
            const Transformer transformer(backend, golden.open.model);
            const std::span<const TokenId> ids(golden.ids);
            const std::size_t count = ids.size() - 1;
            const auto vocabulary = static_cast<std::size_t>(golden.open.model->config.vocab_size);
            std::vector<double> expected;
            for (std::size_t i = 0; i < count; ++i) {
                const float* row = golden.logits.data() + i * vocabulary;
                const double top = *std::max_element(row, row + vocabulary);
                double sum = 0.0;
                for (std::size_t j = 0; j < vocabulary; ++j) {
                    sum += std::exp(row[j] - top);
                }
                expected.push_back(std::log(sum) + top - row[static_cast<std::size_t>(ids[i + 1])]);
            }
            std::size_t smallest = 0;
            for (const std::size_t rows : {std::size_t{0}, std::size_t{1}, std::size_t{3}, count + 5}) {
                Session session = transformer.createSession(
                    {.threads = 1, .loss_bytes = rows * vocabulary * sizeof(float)});
                KvCache cache = transformer.createCache(DType::F32, static_cast<std::int64_t>(count));
                std::vector<double> found(count);
                transformer.nll(session, ids.first(count), ids.subspan(1), cache, found);
                for (std::size_t i = 0; i < count; ++i) {
                    QVERIFY(std::abs(found[i] - expected[i]) < 1e-3);  // of float32 logits that reach ten
                }
                QCOMPARE(cache.length(), static_cast<std::int64_t>(count));
                smallest = rows == 0 ? session.activationBytes() : smallest;
                const std::size_t held = std::clamp<std::size_t>(rows, 1, count);
                QCOMPARE(session.activationBytes() - smallest, (held - 1) * vocabulary * sizeof(float));
                QVERIFY_THROWS_EXCEPTION(Error, transformer.nll(session, ids.first(2), ids.first(1), cache,
                                                                std::span(found).first(2)));
            }
        }
    }

    void aCacheThatDoesNotFitSaysWhatWould() {
        auto backend = std::make_shared<ReplayingBackend>();
        const GoldenModel golden = openGoldenModel(goldenModelNames().front(), backend);
        const Transformer transformer(backend, golden.open.model);
        const std::size_t per_token = kvBytesPerToken(golden.open.model->config, DType::F32);
        backend->memory_limit = 10 * per_token + per_token / 2;  // weights are adopted, not allocated
        std::string message;
        try {
            transformer.createCache(DType::F32, 100);
        } catch (const Error& error) {
            QCOMPARE(error.code(), ErrorCode::OutOfMemory);
            message = error.what();
        }
        QVERIFY2(message.find("a KV cache of 100 positions does not fit; about 10 positions would") !=
                     std::string::npos,
                 message.c_str());
        QCOMPARE(backend->memory().available_bytes, backend->memory_limit);  // nothing of it is left behind
        QCOMPARE(transformer.createCache(DType::F32, 10).capacity(), std::int64_t{10});
    }
};

QTEST_GUILESS_MAIN(TestDecodeStep)
#include "tst_decode_step.moc"
