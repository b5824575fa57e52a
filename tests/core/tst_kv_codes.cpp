// SPDX-License-Identifier: Apache-2.0
// The quantised cache in a model: its bytes by hand, the error of its elements, and logits that do not depend
// on how tokens were fed.
#include "core/generation/generate.h"
#include "core/model/transformer.h"
#include "kernels/api/kv_layout.h"
#include "tests/support/backends.h"
#include "tests/support/golden_model.h"
#include "tests/support/random_checkpoint.h"

#include <QTest>

#include <algorithm>
#include <cmath>
#include <random>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

std::vector<float> toHost(const TensorView& view) {
    return std::vector<float>(view.f32(), view.f32() + view.shape.count());
}

// Logits of ids fed in the given chunks (the last one repeats).
std::vector<float> logitsOf(const OpenModel& open, std::span<const TokenId> ids, const KvFormat& format,
                            const std::vector<std::size_t>& chunks) {
    const Transformer transformer(open.backend, open.model);
    const auto longest = static_cast<std::int64_t>(*std::ranges::max_element(chunks));
    Session session = transformer.createSession({.threads = 1, .max_rows = longest});
    KvCache cache = transformer.createCache(format, static_cast<std::int64_t>(ids.size()), 1, longest);
    std::vector<float> logits;
    for (std::size_t done = 0, i = 0; done < ids.size(); ++i) {
        const std::size_t count = std::min(chunks[std::min(i, chunks.size() - 1)], ids.size() - done);
        const auto found =
            toHost(transformer.forward(session, ids.subspan(done, count), cache, LogitsOf::All));
        logits.insert(logits.end(), found.begin(), found.end());
        done += count;
    }
    return logits;
}

KvFormat formatOf(int bits, int group, KvGrouping keys, int recent) {
    KvFormat format = KvFormat::quantised(bits);
    format.group = group, format.keys = keys, format.recent = recent;
    return format;
}

const std::vector<std::pair<const char*, KvFormat>>& formats() {
    static const std::vector<std::pair<const char*, KvFormat>> all = {
        {"8 bit", formatOf(8, 32, KvGrouping::Token, 0)},
        {"4 bit, groups of 8", formatOf(4, 8, KvGrouping::Token, 0)},
        {"3 bit, 5 recent", formatOf(3, 8, KvGrouping::Token, 5)},
        {"2 bit by channel", formatOf(2, 8, KvGrouping::Channel, 0)},
        {"4 bit by channel, 6 recent", formatOf(4, 8, KvGrouping::Channel, 6)},
    };
    return all;
}

double largestDifference(const std::vector<float>& a, const std::vector<float>& b) {
    double worst = a.size() == b.size() ? 0.0 : INFINITY;
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
        worst = std::max(worst, std::abs(double{a[i]} - double{b[i]}));
    }
    return worst;
}

// Element i of row t of head h from its code.
double decoded(const KvView& v, std::int64_t h, std::int64_t t, std::int64_t i, double& scale) {
    const auto* row = static_cast<const std::uint8_t*>(v.data) + (h * v.capacity + t) * kvRowBytes(v);
    unsigned word = row[i * v.bits / 8];
    if (i * v.bits % 8 + v.bits > 8) {
        word |= static_cast<unsigned>(row[i * v.bits / 8 + 1]) << 8;
    }
    const unsigned code = word >> (i * v.bits % 8) & ((1u << v.bits) - 1);
    const bool by_token = v.grouping == KvGrouping::Token;
    const std::int64_t count = by_token ? (v.width + v.group - 1) / v.group : v.width;
    const std::int64_t rows = by_token ? v.capacity : v.capacity / v.group;
    const auto* scales = static_cast<const std::uint16_t*>(v.scales) +
                         (h * rows + (by_token ? t : t / v.group)) * 2 * count + (by_token ? i / v.group : i);
    scale = fromF16(scales[0]);
    return fromF16(scales[count]) + scale * code;
}

}  // namespace

class TestKvCodes : public QObject {
    Q_OBJECT
private slots:
    void bytesByHand() {
        // 4 bit in groups of 32: 16 bytes of codes and 4 of scale and minimum for 64 bytes of f16.
        QCOMPARE(KvSideFormat({DType::F16, 4}).bytesPerRow(64) / KvSideFormat{DType::F16}.bytesPerRow(64),
                 0.3125);
        // 3 bit, width 11 in groups of 8: 33 bits in 5 bytes, two groups.
        QCOMPARE(KvSideFormat({DType::F16, 3, 8}).bytesPerRow(11), 5.0 + 8.0);
        // By channel: every 16 positions share 4 bytes for each of 10 elements.
        QCOMPARE(KvSideFormat({DType::F16, 2, 16, KvGrouping::Channel}).bytesPerRow(10), 3.0 + 2.5);

        const ModelConfig opt = readModelConfig(tinyOptConfig(), "config.json");  // 2 layers, 4 heads of 8
        const auto bytes = [&](const KvFormat& format, std::int64_t capacity, std::int64_t longest) {
            const KvCache cache(*referenceBackend(), kvLayerSpecs(opt, format), 3, capacity, longest);
            std::size_t reported = 0;
            for (const KvLayerSpec& spec : cache.specs()) {
                reported += spec.bytes(3, capacity, longest);
            }
            return cache.bytes() == reported ? reported : 0;
        };
        const std::size_t heads = 3 * 2 * 4;  // of keys, and as many of values
        QCOMPARE(bytes(KvFormat::quantised(4), 20, 7), heads * 2 * 20 * (4 + 4));
        QCOMPARE(bytes(KvFormat::quantised(3), 20, 7), heads * 2 * 20 * (3 + 4));
        // 5 recent: a ring of 5 + 7 rows of 8 f32 elements for keys and for values.
        QCOMPARE(bytes(formatOf(4, 32, KvGrouping::Token, 5), 20, 7), heads * 2 * (20 * 8 + 12 * 32));
        // Keys by channel, groups of 8: two whole ones in 20 rows, 8 x 4 bytes each; a ring of 7 + 7 rows.
        QCOMPARE(bytes(formatOf(4, 8, KvGrouping::Channel, 0), 20, 7),
                 heads * ((20 * 4 + 2 * 32 + 14 * 32) + 20 * 8));
        // A ring is never longer than the cache.
        QCOMPARE(bytes(formatOf(8, 8, KvGrouping::Token, 50), 20, 7), heads * 2 * (20 * 12 + 20 * 32));
    }

    // No element is off by more than half a step; a step is the group's range over the levels, up to
    // float16's rounding of scale and minimum.
    void elementsAreWithinHalfAStep() {
        std::mt19937 random(7);
        std::normal_distribution<float> normal;
        for (const auto& backend : hostBackends()) {
            const auto stream = backend->createStream(1);
            for (const int bits : {8, 4, 3, 2}) {
                for (const KvGrouping grouping : {KvGrouping::Token, KvGrouping::Channel}) {
                    constexpr std::int64_t kRows = 32, kWidth = 43;
                    std::vector<float> x(kRows * kWidth);
                    for (std::size_t i = 0; i < x.size(); ++i) {
                        x[i] = (i % 7 == 0 ? 30.0f : 1.0f) * normal(random) + 5.0f;
                    }
                    KvLayerSpec spec{1, kWidth, 1, {DType::F32, bits, 16, grouping, 0}, {}};
                    const KvCache cache(*backend, {spec}, 1, kRows, kRows);
                    const KvView v = cache.keys(0);
                    backend->kvAppend(*stream, {x.data(), v, kRows, 0});
                    for (std::int64_t t = 0; t < kRows; ++t) {
                        for (std::int64_t i = 0; i < kWidth; ++i) {
                            float least = INFINITY, most = -INFINITY;
                            for (std::int64_t k = 0; k < 16; ++k) {
                                const std::int64_t row = grouping == KvGrouping::Token ? t : t / 16 * 16 + k;
                                const std::int64_t column =
                                    grouping == KvGrouping::Token ? i / 16 * 16 + k : i;
                                if (column < kWidth) {
                                    least =
                                        std::min(least, x[static_cast<std::size_t>(row * kWidth + column)]);
                                    most = std::max(most, x[static_cast<std::size_t>(row * kWidth + column)]);
                                }
                            }
                            double scale = 0.0;
                            const double error = std::abs(decoded(v, 0, t, i, scale) -
                                                          x[static_cast<std::size_t>(t * kWidth + i)]);
                            const double levels = (1 << bits) - 1;
                            // Rounding down of the minimum and up of the scale: 2^-10 of each at most.
                            const double step =
                                ((most - least) + std::abs(least) * 0x1p-10) / levels * (1 + 0x1p-9);
                            QVERIFY2(scale <= step, qPrintable(QString("%1 > %2").arg(scale).arg(step)));
                            QVERIFY2(error <= scale * (0.5 + 1e-4),  // float32 divides and rounds
                                     qPrintable(QString("%1 of %2").arg(error).arg(scale)));
                        }
                    }
                }
            }
        }
    }

    // What is not finite shows instead of turning into numbers.
    void infinitiesStayVisible() {
        for (const auto& backend : hostBackends()) {
            const auto stream = backend->createStream(1);
            for (const float bad : {INFINITY, -INFINITY, NAN}) {
                std::vector<float> x(24, 1.0f);
                x[10] = bad;
                KvLayerSpec spec{1, 24, 1, {DType::F32, 4, 8, KvGrouping::Token, 0}, {}};
                const KvCache cache(*backend, {spec}, 1, 1, 1);
                backend->kvAppend(*stream, {x.data(), cache.keys(0), 1, 0});
                double scale = 0.0;
                for (std::int64_t i = 0; i < 24; ++i) {
                    QCOMPARE(std::isnan(decoded(cache.keys(0), 0, 0, i, scale)), i / 8 == 1);
                }
            }
        }
    }

    void feedingDoesNotMatter_data() {
        QTest::addColumn<QString>("model");
        for (const char* name :
             {"llama-gqa", "llama-low-rank", "opt", "opt-low-rank", "mpt-6-heads", "mpt-low-rank"}) {
            QTest::newRow(name) << name;
        }
    }
    // Decode is prefill, in any chunks: exactly so where every row is computed by itself.
    void feedingDoesNotMatter() {
        QFETCH(QString, model);
        const GoldenModel golden = openGoldenModel(model.toStdString(), referenceBackend());
        const std::span<const TokenId> ids = golden.ids;
        const auto dense = logitsOf(golden.open, ids, DType::F32, {ids.size()});
        for (const auto& [name, format] : formats()) {
            const auto whole = logitsOf(golden.open, ids, format, {ids.size()});
            QVERIFY2(whole != dense, name);
            QVERIFY2(whole == logitsOf(golden.open, ids, format, {1}), name);
            QVERIFY2(whole == logitsOf(golden.open, ids, format, {5, 1, 9, 3}), name);
        }
    }

    void cpuAgreesWithReference_data() { feedingDoesNotMatter_data(); }
    void cpuAgreesWithReference() {
        const auto cpu = hostBackend("cpu");
        if (!cpu) {
            QSKIP("no CPU backend");
        }
        QFETCH(QString, model);
        const GoldenModel expected = openGoldenModel(model.toStdString(), referenceBackend());
        const GoldenModel found = openGoldenModel(model.toStdString(), cpu);
        for (const auto& [name, format] : formats()) {
            const auto a = logitsOf(expected.open, expected.ids, format, {expected.ids.size()});
            for (const std::size_t chunk : {expected.ids.size(), std::size_t{1}, std::size_t{7}}) {
                const auto b = logitsOf(found.open, found.ids, format, {chunk});
                // Sums in another order may move an element across a rounding boundary: by one step, a
                // fraction of what quantising itself changes.
                const double own = largestDifference(
                    a, logitsOf(expected.open, expected.ids, DType::F32, {expected.ids.size()}));
                QVERIFY2(largestDifference(a, b) < 0.25 * own + 1e-4, name);
            }
        }
    }

    // Every sequence of a batch has codes of its own.
    void batches() {
        const GoldenModel golden = openGoldenModel("llama-low-rank", referenceBackend());
        const std::span<const TokenId> ids = golden.ids;
        const std::size_t half = ids.size() / 2;
        const Transformer transformer(golden.open.backend, golden.open.model);
        const KvFormat format = formatOf(4, 8, KvGrouping::Channel, 3);
        Session session =
            transformer.createSession({.threads = 1, .max_rows = static_cast<std::int64_t>(2 * half)});
        KvCache cache = transformer.createCache(format, 40, 2, static_cast<std::int64_t>(half));
        const auto both = toHost(transformer.forward(session, ids.first(2 * half), cache, LogitsOf::All));
        auto apart = logitsOf(golden.open, ids.first(half), format, {half});
        const auto second = logitsOf(golden.open, ids.subspan(half, half), format, {half});
        apart.insert(apart.end(), second.begin(), second.end());
        QVERIFY(both == apart);
    }

    // Cutting the cache and going on gives what a fresh run gives, or says that it cannot.
    void truncation() {
        const GoldenModel golden = openGoldenModel("opt", referenceBackend());
        const std::span<const TokenId> ids = std::span(golden.ids).first(30);
        const Transformer transformer(golden.open.backend, golden.open.model);
        int refused = 0;
        for (const auto& [name, format] : formats()) {
            const auto fresh = logitsOf(golden.open, ids, format, {1});
            const std::size_t vocab = fresh.size() / ids.size();
            for (std::int64_t length = 0; length <= 30; ++length) {
                Session session = transformer.createSession({.threads = 1, .max_rows = 4});
                KvCache cache = transformer.createCache(format, 40, 1, 4);
                for (std::size_t done = 0; done < ids.size(); done += 3) {
                    transformer.forward(session, ids.subspan(done, 3), cache, LogitsOf::None);
                }
                try {
                    cache.truncate(length);
                } catch (const Error& error) {
                    ++refused;
                    QVERIFY(length > 0 && kvNeedsRing(cache.keys(0)));
                    QVERIFY2(std::string(error.what()).find("cut it to 0") != std::string::npos,
                             error.what());
                    QCOMPARE(cache.length(), 30);
                    continue;
                }
                for (auto i = static_cast<std::size_t>(length); i < ids.size(); ++i) {
                    const auto logits =
                        toHost(transformer.forward(session, ids.subspan(i, 1), cache, LogitsOf::All));
                    QVERIFY2(std::equal(logits.begin(), logits.end(),
                                        fresh.begin() + static_cast<std::ptrdiff_t>(i * vocab)),
                             name);
                }
            }
        }
        QVERIFY(refused > 0 && refused < 90);
    }

    void longCallsAreRefused() {
        const GoldenModel golden = openGoldenModel("opt", referenceBackend());
        const Transformer transformer(golden.open.backend, golden.open.model);
        Session session = transformer.createSession({.threads = 1, .max_rows = 8});
        KvCache cache = transformer.createCache(formatOf(4, 8, KvGrouping::Token, 3), 40, 1, 4);
        QVERIFY_EXCEPTION_THROWN(
            transformer.forward(session, std::span(golden.ids).first(8), cache, LogitsOf::None), Error);
        QCOMPARE(cache.length(), 0);
        transformer.forward(session, std::span(golden.ids).first(4), cache, LogitsOf::None);
        QCOMPARE(cache.length(), 4);
    }

    // Bits of layers and sides, as a converted checkpoint says them.
    void plannedBits() {
        ModelConfig config = readModelConfig(tinyLlamaConfig(), "config.json");  // 2 layers, 2 heads of 8
        LowRankDescription low;
        low.key_ranks = {3, 5}, low.value_ranks = {8, 6};
        low.kv_bits = KvBits::uniform(2, 4, kUnquantised);
        low.kv_bits.values[1] = 8;
        config.low_rank = low;
        const KvFormat format = resolveKvFormat(std::nullopt, config, DType::F16);
        QVERIFY(format.planned);
        // 4 bit keys: 2 + 4 and 3 + 4 bytes; values: 16 in f16, and 6 + 4.
        QCOMPARE(kvBytesPerToken(config, format), std::size_t(2 * (6 + 16 + 7 + 10)));
        QCOMPARE(kvRatio(config), (6 + 16 + 7 + 10) / 64.0);
        // What a run asks for comes first.
        QCOMPARE(kvBytesPerToken(config, resolveKvFormat(KvFormat(DType::F16), config, DType::F32)),
                 std::size_t(2 * 2 * (3 + 8 + 5 + 6)));

        const Json json = toJson(low);
        const LowRankDescription again = readLowRankDescription(JsonView(json, "config.json"), 2, 2, 8);
        QVERIFY(again.kv_bits == low.kv_bits);
        QCOMPARE(again.kv_ratio, kvRatio(config));
        const auto messageOf = [&](const char* key, const Json& value) {
            Json broken = json;
            broken[key] = value;
            try {
                readLowRankDescription(JsonView(broken, "config.json"), 2, 2, 8);
            } catch (const Error& error) {
                return std::string(error.what());
            }
            return std::string();
        };
        QVERIFY(messageOf("key_bits", {4, 5}).find("key_bits[1]") != std::string::npos);
        QVERIFY(messageOf("value_bits", {4}).find("value_bits") != std::string::npos);
        QVERIFY(messageOf("kv_group", 12).find("multiple of 8") != std::string::npos);
        QVERIFY(messageOf("kv_keys", "row").find("token or channel") != std::string::npos);
        QVERIFY(messageOf("kv_recent", -1).find("kv_recent") != std::string::npos);
    }

    void impossibleFormatsAreRefused() {
        const ModelConfig config = readModelConfig(tinyOptConfig(), "config.json");
        for (const KvFormat& format :
             {formatOf(5, 32, KvGrouping::Token, 0), formatOf(4, 12, KvGrouping::Token, 0),
              formatOf(4, 0, KvGrouping::Token, 0), formatOf(4, 32, KvGrouping::Token, -1)}) {
            QVERIFY_EXCEPTION_THROWN(resolveKvFormat(format, config, DType::F32), Error);
        }
    }
};

QTEST_GUILESS_MAIN(TestKvCodes)
#include "tst_kv_codes.moc"
