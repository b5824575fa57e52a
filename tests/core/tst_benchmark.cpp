// SPDX-License-Identifier: Apache-2.0
// What a benchmark reports beside its times: bytes against what is allocated and read, arithmetic against
// what the forward pass asks a backend for, refusals, cancellation. Times themselves are only looked at for
// order.
#include "core/benchmark/benchmark.h"
#include "core/benchmark/device_fill.h"
#include "core/benchmark/forwarding_backend.h"
#include "core/benchmark/work.h"
#include "core/report/benchmark_csv.h"
#include "tests/support/backends.h"
#include "tests/support/error_text.h"
#include "tests/support/golden_model.h"
#include "tests/support/random_checkpoint.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

// Counts the multiplications and additions of the matrix products and of attention that it is asked for.
class CountingBackend final : public ForwardingBackend {
public:
    using ForwardingBackend::ForwardingBackend;
    void gemm(Stream& s, const GemmParams& p) override {
        flops += 2.0 * static_cast<double>(p.m * p.n * p.k);
        ForwardingBackend::gemm(s, p);
    }
    void attention(Stream& s, const AttentionParams& p) override {
        for (std::int64_t m = 0; m < p.query_length; ++m) {
            for (std::int64_t n = 0; n <= p.query_position + m; ++n) {
                if (p.window == 0 || p.query_position + m - n < p.window) {
                    flops += 2.0 * p.batch * p.query_heads * (p.query_width + p.values.width);
                }
            }
        }
        if (p.lift != nullptr) {
            flops += 2.0 * p.batch * p.kv_heads * p.query_width * p.keys.width *
                     static_cast<double>(p.query_position + p.query_length);
        }
        ForwardingBackend::attention(s, p);
    }
    double flops = 0.0;
};

// A device with as much free memory as a test wants.
class SmallBackend final : public ForwardingBackend {
public:
    using ForwardingBackend::ForwardingBackend;
    MemoryStats memory() const override { return {free, free}; }
    std::size_t free = 0;
};

OpenModel openRandom(const TemporaryDirectory& folder, const Json& config, std::shared_ptr<Backend> backend) {
    writeRandomCheckpoint(folder / "model", config, 1);
    JobContext job;
    OpenModel open;
    open.backend = std::move(backend);
    open.checkpoint = Checkpoint::open(folder / "model");
    open.name = "tiny";
    open.model = loadModel(job, *open.backend, *open.checkpoint);
    return open;
}

BenchmarkOptions quick() {
    BenchmarkOptions options;
    options.contexts = {20, 11};
    options.batches = {1, 3};
    options.new_tokens = 4;
    options.repetitions = 2;
    options.prefill_rows = 9;
    options.ceilings = {{.bytes_per_second = 3e9}, {.flops_per_second = 7e9}};
    options.run.threads = 1;
    options.run.compute = Compute::F32;
    options.run.kv_format = DType::F16;
    return options;
}

}  // namespace

class TestBenchmark : public QObject {
    Q_OBJECT
private slots:
    void ceilings() {
        JobContext job;
        for (const auto& backend : hostBackends()) {
            const CopyCeiling copy = measureCopy(job, *backend, 1);
            QVERIFY(copy.copied_bytes > 0 && copy.bytes_per_second > 0.0);
            const ProductCeiling product = measureProduct(job, *backend, 1, DType::BF16, Compute::F32);
            QVERIFY(product.size >= 256 && product.flops_per_second > 0.0);
        }
    }

    void spreads() {
        QCOMPARE(spreadOf({}), Spread());
        QCOMPARE(spreadOf({3.0}), (Spread{3.0, 3.0, 3.0, 1}));
        QCOMPARE(spreadOf({5.0, 1.0, 2.0}), (Spread{2.0, 1.0, 5.0, 3}));
        QCOMPARE(spreadOf({4.0, 1.0, 2.0, 9.0}), (Spread{3.0, 1.0, 9.0, 4}));
    }

    // Whole blocks and a cut one, in bytes that are no multiple of anything.
    void filling() {
        const auto backend = referenceBackend();
        const auto stream = backend->createStream(1);
        const std::vector<std::byte> block = randomBytes(5, DType::F16);
        for (const std::size_t bytes : {1, 10, 11, 97, 1000}) {
            const auto buffer = backend->allocate(bytes + 1);
            auto* data = static_cast<std::byte*>(buffer->data());
            data[bytes] = std::byte{0x5a};
            fillRepeating(*backend, *stream, data, bytes, block);
            for (std::size_t i = 0; i < bytes; ++i) {
                QCOMPARE(data[i], block[i % block.size()]);
            }
            QCOMPARE(data[bytes], std::byte{0x5a});
        }
        QVERIFY_EXCEPTION_THROWN(fillRepeating(*backend, *stream, nullptr, 4, {}), Error);
        const std::vector<float> numbers = randomBlock(100000);
        const double mean = std::accumulate(numbers.begin(), numbers.end(), 0.0) / 1e5;
        double square = 0.0;
        for (const float x : numbers) {
            square += static_cast<double>(x) * x / 1e5;
        }
        QVERIFY(std::abs(mean) < 0.02 && std::abs(square - 1.0) < 0.02);  // six standard errors
    }

    // 2 layers of 2 heads of 8, batch 3, the query at position 20: 21 rows.
    void cacheBytesByHand() {
        const ModelConfig config = readModelConfig(tinyLlamaConfig(), "config.json");
        const auto read = [](const ModelConfig& of, const KvFormat& format, std::int64_t position) {
            const KvCache cache(*referenceBackend(), kvLayerSpecs(of, format), 3, 40, 6);
            return cacheBytesRead(of, cache, position);
        };
        const std::int64_t sides = 2 * 2 * 3 * 2;  // layers, keys and values, batch, heads
        QCOMPARE(read(config, DType::F16, 20), sides * 21 * 8 * 2);
        QCOMPARE(read(config, DType::F32, 0), sides * 8 * 4);
        KvFormat format = KvFormat::quantised(4, DType::F16);
        format.group = 8;
        QCOMPARE(read(config, format, 20), sides * 21 * (4 + 2 * 2));  // codes, a scale and a minimum
        // The last 5 positions exactly, 16 by their codes.
        format.recent = 5;
        QCOMPARE(read(config, format, 20), sides * (16 * (4 + 4) + 5 * 8 * 2));
        // Keys by channel: two whole groups of 8 positions, each with 8 scales and minima.
        format.keys = KvGrouping::Channel;
        QCOMPARE(read(config, format, 20),
                 sides / 2 * (16 * 4 + 2 * 8 * 2 * 2 + 5 * 8 * 2) + sides / 2 * (16 * (4 + 4) + 5 * 8 * 2));
        // One layer sees its last 6 positions alone.
        ModelConfig windowed = config;
        windowed.windows = {0, 6};
        QCOMPARE(read(windowed, DType::F16, 20), sides / 2 * (21 + 6) * 8 * 2);
        QCOMPARE(read(windowed, DType::F16, 3), sides * 4 * 8 * 2);
    }

    void weightBytesByHand() {
        const TemporaryDirectory llama, opt;
        // 2 layers: norms, query and output 32 x 32, key and value 16 x 32, three of 48 x 32; final norm,
        // output projection, a row of the embedding a sequence, a row of cosines and one of sines.
        const std::int64_t layer = 2 * 32 + 2 * 32 * 32 + 2 * 16 * 32 + 3 * 48 * 32;
        const OpenModel first = openRandom(llama, tinyLlamaConfig(), referenceBackend());
        QCOMPARE(decodeWeightBytes(*first.model, 1), 4 * (2 * layer + 32 + 64 * 32 + 32 + 2 * 4));
        QCOMPARE(decodeWeightBytes(*first.model, 5), 4 * (2 * layer + 32 + 64 * 32 + 5 * 32 + 2 * 4));
        // OPT's output projection is its token embedding, all of which is read; positions are a table.
        const OpenModel second = openRandom(opt, tinyOptConfig(), referenceBackend());
        QVERIFY(second.model->config.tied_embeddings);
        QCOMPARE(decodeWeightBytes(*second.model, 7),
                 second.model->weightBytes() - 4 * (64 + second.model->config.position_offset - 1) * 32);
    }

    // Against the products and pairs that the forward pass asks for, in one call.
    void prefillArithmetic_data() {
        QTest::addColumn<QString>("model");
        for (const std::string& name : goldenModelNames()) {
            QTest::newRow(name.c_str()) << QString::fromStdString(name);
        }
    }
    void prefillArithmetic() {
        QFETCH(QString, model);
        const auto counting = std::make_shared<CountingBackend>(referenceBackend());
        const GoldenModel golden = openGoldenModel(model.toStdString(), counting);
        const Transformer transformer(counting, golden.open.model);
        constexpr int kBatch = 2;
        constexpr std::int64_t kContext = 9;
        Session session = transformer.createSession({.max_rows = kBatch * kContext});
        KvCache cache = transformer.createCache(DType::F32, kContext, kBatch);
        const std::vector<TokenId> tokens(kBatch * kContext, golden.ids.front());
        transformer.forward(session, tokens, cache, LogitsOf::Last);
        QVERIFY(counting->flops > 0.0);
        QCOMPARE(prefillFlops(golden.open.model->config, kContext, kBatch), counting->flops);
    }

    void rows_data() {
        QTest::addColumn<QString>("model");
        QTest::addColumn<QString>("backend");
        for (const auto& backend : hostBackends()) {
            for (const std::string& name : goldenModelNames()) {
                QTest::newRow((name + " on " + backend->info().backend).c_str())
                    << QString::fromStdString(name) << QString::fromStdString(backend->info().backend);
            }
        }
    }
    void rows() {
        QFETCH(QString, model);
        QFETCH(QString, backend);
        const GoldenModel golden = openGoldenModel(model.toStdString(), hostBackend(backend.toStdString()));
        const ModelConfig& config = golden.open.model->config;
        const BenchmarkOptions options = quick();
        JobContext job;
        std::vector<BenchmarkRow> seen;
        const BenchmarkResult result = benchmark(job, golden.open, options, false,
                                                 [&](const BenchmarkRow& row) { seen.push_back(row); });
        QCOMPARE(result.rows.size(), std::size_t{4});
        QCOMPARE(seen.size(), result.rows.size());
        QVERIFY(result.skipped.empty());
        std::size_t at = 0;
        for (const int batch : options.batches) {
            for (const std::int64_t context : options.contexts) {
                const BenchmarkRow& row = result.rows[at++];
                QCOMPARE(row.model, golden.open.name);
                QCOMPARE(row.context, context);
                QCOMPARE(row.batch, batch);
                std::int64_t widths = 0, visible = 0;
                for (int layer = 0; layer < config.layers; ++layer) {
                    const std::int64_t width =
                        config.cachedHeads() * (config.keyWidth(layer) + config.valueWidth(layer));
                    const std::int64_t window = config.window(layer);
                    widths += width;
                    visible += width * (window > 0 ? std::min(window, context) : context);
                }
                QCOMPARE(row.kv_cache_bytes, widths * 2 * context * batch);
                QCOMPARE(row.cache_bytes_read, visible * 2 * batch);
                QVERIFY(row.peak_memory_bytes > golden.open.model->weightBytes() + row.kv_cache_bytes);
                QCOMPARE(row.weight_bytes_read, decodeWeightBytes(*golden.open.model, batch));
                for (const Spread* spread : {&row.ttft, &row.tpot, &row.attention}) {
                    QCOMPARE(spread->samples, 2);
                    QVERIFY(spread->least > 0.0 && spread->least <= spread->median &&
                            spread->median <= spread->most);
                }
                // Fractions follow from times, bytes and ceilings.
                const double copy = row.ceilings.copy.bytes_per_second;
                const double product = row.ceilings.product.flops_per_second;
                QVERIFY(copy == 3e9 && product == 7e9);
                const auto same = [](double a, double b) { return std::abs(a - b) <= 1e-9 * std::abs(b); };
                QVERIFY(same(row.attentionBandwidthFraction() * copy * row.attention.median,
                             static_cast<double>(row.cache_bytes_read)));
                QVERIFY(same(row.decodeBoundFraction() * copy * row.tpot.median,
                             static_cast<double>(row.cache_bytes_read + row.weight_bytes_read)));
                QVERIFY(same(row.prefillComputeFraction() * product * row.ttft.median, row.prefill_flops));
                QVERIFY(same(row.tokensPerSecond() * row.tpot.median, batch));
                QVERIFY(same(row.prefillTokensPerSecond() * row.ttft.median,
                             static_cast<double>(context * batch)));
            }
        }
    }

    // Caches with rings cannot be cut back; they are filled anew.
    void quantisedCaches() {
        const TemporaryDirectory folder;
        const OpenModel open = openRandom(folder, tinyLlamaConfig(), referenceBackend());
        for (const int recent : {0, 3, 30}) {
            for (const KvGrouping keys : {KvGrouping::Token, KvGrouping::Channel}) {
                BenchmarkOptions options = quick();
                options.run.kv_format = KvFormat::quantised(4, DType::F16);
                options.run.kv_format->group = 8;
                options.run.kv_format->keys = keys;
                options.run.kv_format->recent = recent;
                options.batches = {2};
                JobContext job;
                for (const BenchmarkRow& row : benchmark(job, open, options).rows) {
                    // 9 rows a call are 4 tokens of each of 2 sequences.
                    QCOMPARE(row.kv_cache_bytes, static_cast<std::int64_t>(kvCacheBytes(
                                                     open.model->config, row.kv_format, 2, row.context, 4)));
                }
            }
        }
    }

    void decodeAlone() {
        const TemporaryDirectory folder;
        const OpenModel open = openRandom(folder, tinyLlamaConfig(), referenceBackend());
        BenchmarkOptions options = quick();
        options.prefill = false;
        JobContext job;
        const BenchmarkResult result = benchmark(job, open, options);
        for (const BenchmarkRow& row : result.rows) {
            QVERIFY(!row.hasPrefill() && row.tpot.samples == 2 && row.attention.samples == 2);
            QCOMPARE(row.prefillComputeFraction(), 0.0);
        }
        // As many cells in every line as in the first; no time to first token.
        const QStringList lines = QString::fromStdString(benchmarkCsv(result.rows)).trimmed().split('\n');
        QCOMPARE(lines.size(), 5);
        const QStringList names = lines.first().split(',');
        for (const QString& line : lines.sliced(1)) {
            const QStringList cells = line.split(',');
            QCOMPARE(cells.size(), names.size());
            QCOMPARE(cells[names.indexOf("model")], QString("\"tiny\""));
            QVERIFY(cells[names.indexOf("ttft_ms")].isEmpty());
            QVERIFY(cells[names.indexOf("tpot_ms")].toDouble() > 0.0);
        }
        QCOMPARE(lines[2].split(',')[names.indexOf("context")], QString("11"));
    }

    void refusals() {
        const TemporaryDirectory folder;
        const OpenModel open = openRandom(folder, tinyLlamaConfig(), referenceBackend());
        const auto message = [&](auto change) {
            BenchmarkOptions options = quick();
            change(options);
            JobContext job;
            return errorOf([&] { benchmark(job, open, options); });
        };
        const std::string beyond = message([](BenchmarkOptions& o) { o.contexts = {20, 65}; });
        QVERIFY2(contains(beyond, "65") && contains(beyond, "64 positions of tiny"), beyond.c_str());
        const std::string room = message([](BenchmarkOptions& o) { o.contexts = {4}; });
        QVERIFY2(contains(room, "no room for 4 new tokens"), room.c_str());
        QVERIFY(contains(message([](BenchmarkOptions& o) { o.batches = {0}; }), "batch"));
        QVERIFY(contains(message([](BenchmarkOptions& o) { o.contexts = {}; }), "at least one context"));
        QVERIFY(contains(message([](BenchmarkOptions& o) { o.new_tokens = 0; }), "new tokens"));
        QVERIFY(contains(message([](BenchmarkOptions& o) { o.repetitions = 0; }), "repetitions"));
        QVERIFY(contains(message([](BenchmarkOptions& o) { o.prefill_rows = -1; }), "prefill rows"));
    }

    // Before anything is measured; or listed, and what fits is measured.
    void notEnoughMemory() {
        const TemporaryDirectory folder;
        const auto small = std::make_shared<SmallBackend>(referenceBackend());
        const OpenModel open = openRandom(folder, tinyLlamaConfig(), small);
        // 2 layers of 2 heads of 8 + 8 in f16 are 128 bytes a position; activations of 9 rows come to it.
        BenchmarkOptions options = quick();
        options.contexts = {60, 20};
        options.batches = {1};
        const std::int64_t fixed =
            open.model->weightBytes() + static_cast<std::int64_t>(activationBytes(open.model->config, 9, 1));
        small->free = static_cast<std::size_t>(std::ceil((fixed + 128.0 * 30) / 0.95));
        JobContext job;
        bool measured = false;
        const std::string text = errorOf(
            [&] { benchmark(job, open, options, false, [&](const BenchmarkRow&) { measured = true; }); });
        QVERIFY2(
            contains(text, "context 60") && contains(text, "are free") && contains(text, "a context of 30"),
            text.c_str());
        QVERIFY(!measured);
        const BenchmarkResult result = benchmark(job, open, options, true);
        QCOMPARE(result.rows.size(), std::size_t{1});
        QCOMPARE(result.rows.front().context, 20);
        QCOMPARE(result.skipped.size(), std::size_t{1});
        QCOMPARE(result.skipped.front().context, 60);
        small->free = 1000;
        QVERIFY(contains(memoryProblem(open, options, 20, 1), "no context fits"));
    }

    void cancelling() {
        const TemporaryDirectory folder;
        const OpenModel open = openRandom(folder, tinyLlamaConfig(), referenceBackend());
        for (const std::string stage : {"copy", "products", "filling", "prefill", "decode", "attention"}) {
            std::stop_source stop;
            bool reached = false;
            JobContext job(stop.get_token(), [&](const Progress& progress) {
                if (contains(progress.stage, stage)) {
                    reached = true;
                    stop.request_stop();
                }
            });
            bool cancelled = false;
            std::size_t rows = 0;
            BenchmarkOptions options = quick();
            options.ceilings.reset();
            try {
                benchmark(job, open, options, false, [&](const BenchmarkRow&) { ++rows; });
            } catch (const Cancelled&) {
                cancelled = true;
            }
            QVERIFY2(reached && cancelled, stage.c_str());
            QCOMPARE(rows, std::size_t{0});
        }
    }
};

QTEST_GUILESS_MAIN(TestBenchmark)
#include "tst_benchmark.moc"
