// SPDX-License-Identifier: Apache-2.0
// Long ops of the CPU backend see a stop within their work, and are whole without one.
#include "kernels/cpu/cpu_backend.h"

#include <QTest>

#include <cmath>
#include <random>
#include <vector>

using namespace eigenscope;

namespace {

std::vector<float> numbers(std::int64_t count, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& value : values)
        value = static_cast<float>(random() % 4001) / 2000.0f - 1.0f;
    return values;
}

std::unique_ptr<Stream> stoppedStream(Backend& backend) {
    std::stop_source stop;
    stop.request_stop();
    auto stream = backend.createStream(1);
    stream->stopWith(stop.get_token());
    return stream;
}

}  // namespace

class TestStoppedOps : public QObject {
    Q_OBJECT
private slots:
    void opsStop();
    void largeProductsComeInPieces();
    void eighOfLargeMatrices();
};

void TestStoppedOps::opsStop() {
    const auto backend = createCpuBackend();
    const auto stream = stoppedStream(*backend);
    QVERIFY(stream->stopRequested());
    const std::int64_t rows = 96, width = 64;
    const std::vector<float> x = numbers(rows * width, 1), weight = numbers(width * width, 2);
    std::vector<float> y(static_cast<std::size_t>(rows * width));
    for (const std::int64_t m : {std::int64_t{1}, rows}) {
        GemmParams gemm{
            .x = x.data(), .weight = weight.data(), .y = y.data(), .m = m, .n = width, .k = width};
        QVERIFY_EXCEPTION_THROWN(backend->gemm(*stream, gemm), Cancelled);
    }
    std::vector<double> gram(static_cast<std::size_t>(width * width));
    GramParams sums;
    sums.x = x.data();
    sums.rows = rows;
    sums.heads = 1;
    sums.width = static_cast<std::int32_t>(width);
    sums.gram = gram.data();
    QVERIFY_EXCEPTION_THROWN(backend->gram(*stream, sums), Cancelled);
    const std::vector<std::int32_t> positions = {0, 95};
    std::vector<double> weights(static_cast<std::size_t>(2 * rows), 1.0), sink(weights);
    QVERIFY_EXCEPTION_THROWN(backend->spreadGram(*stream, {.x = x.data(),
                                                           .length = rows,
                                                           .heads = 1,
                                                           .width = static_cast<std::int32_t>(width),
                                                           .positions = positions.data(),
                                                           .samples = 2,
                                                           .table = {},
                                                           .weights = weights.data(),
                                                           .gram = gram.data()}),
                             Cancelled);
    QVERIFY_EXCEPTION_THROWN(backend->logitWeights(*stream, {.length = rows,
                                                             .query_heads = 1,
                                                             .kv_heads = 1,
                                                             .width = static_cast<std::int32_t>(width),
                                                             .queries = x.data(),
                                                             .keys = x.data(),
                                                             .values = x.data(),
                                                             .outputs = x.data(),
                                                             .roots = weight.data(),
                                                             .positions = positions.data(),
                                                             .samples = 2,
                                                             .table = {},
                                                             .weights = weights.data(),
                                                             .by_query = sink.data(),
                                                             .by_key = sink.data(),
                                                             .total = sink.data()}),
                             Cancelled);
    std::vector<double> values(static_cast<std::size_t>(width));
    EighParams eigh;
    eigh.a = gram.data();
    eigh.values = values.data();
    eigh.count = 1;
    eigh.n = static_cast<std::int32_t>(width);
    QVERIFY_EXCEPTION_THROWN(backend->eigh(*stream, eigh), Cancelled);
    const auto cache = [&](std::vector<float>& data) {
        KvView view;
        view.data = data.data();
        view.dtype = DType::F32;
        view.heads = 1;
        view.width = static_cast<std::int32_t>(width);
        view.capacity = static_cast<std::int32_t>(rows);
        return view;
    };
    std::vector<float> keys = x, cached = x;
    AttentionParams attention;
    attention.batch = attention.query_heads = attention.kv_heads = 1;
    attention.query_width = static_cast<std::int32_t>(width);
    attention.query_length = static_cast<std::int32_t>(rows);
    attention.scale = 0.125f;
    attention.query = x.data();
    attention.keys = cache(keys);
    attention.values = cache(cached);
    attention.output = y.data();
    QVERIFY_EXCEPTION_THROWN(backend->attention(*stream, attention), Cancelled);
    // A stream that nobody stops, and one whose stop has not come.
    backend->attention(*backend->createStream(1), attention);
    std::stop_source never;
    const auto other = backend->createStream(1);
    other->stopWith(never.get_token());
    backend->attention(*other, attention);
}

void TestStoppedOps::largeProductsComeInPieces() {
    // More than 2^32 multiply-adds: columns are computed some 1,400 at a time, the last ones fewer.
    const auto backend = createCpuBackend();
    const auto stream = backend->createStream(0);
    const std::int64_t m = 1500, n = 1800, k = 2000;
    const std::vector<float> x = numbers(m * k, 3), weight = numbers(n * k, 4), bias = numbers(n, 5);
    std::vector<float> y = numbers(m * n, 6);
    const std::vector<float> before = y;
    backend->gemm(*stream, {.x = x.data(),
                            .weight = weight.data(),
                            .bias = bias.data(),
                            .y = y.data(),
                            .m = m,
                            .n = n,
                            .k = k,
                            .accumulate = true});
    for (const std::int64_t row : {std::int64_t{0}, std::int64_t{733}, m - 1}) {
        for (std::int64_t column = 0; column < n; ++column) {
            const auto at = static_cast<std::size_t>(row * n + column);
            double sum = double{bias[static_cast<std::size_t>(column)]} + double{before[at]};
            for (std::int64_t i = 0; i < k; ++i)
                sum += double{x[static_cast<std::size_t>(row * k + i)]} *
                       double{weight[static_cast<std::size_t>(column * k + i)]};
            // Sums of 2,000 products below 1 in float32, of a size of about 15.
            QVERIFY2(std::abs(double{y[at]} - sum) < 2e-4, qPrintable(QString::number(column)));
        }
    }
}

void TestStoppedOps::eighOfLargeMatrices() {
    // From 513 rows on it is decomposed in steps: descending values, one vector a column, the largest
    // component positive.
    const std::int64_t n = 520;
    std::vector<double> a(static_cast<std::size_t>(n * n));
    for (std::int64_t i = 0; i < n; ++i) {
        for (std::int64_t j = 0; j < n; ++j)
            a[static_cast<std::size_t>(i * n + j)] = i == j ? 2.0 : std::abs(i - j) == 1 ? -1.0 : 0.0;
    }
    std::vector<double> values(static_cast<std::size_t>(n)), vectors(a.size());
    const auto backend = createCpuBackend();
    EighParams eigh;
    eigh.a = a.data();
    eigh.values = values.data();
    eigh.vectors = vectors.data();
    eigh.count = 1;
    eigh.n = static_cast<std::int32_t>(n);
    backend->eigh(*backend->createStream(1), eigh);
    // The second difference's eigenvalues are 2 - 2 cos(pi j / (n + 1)).
    for (std::int64_t j = 0; j < n; ++j) {
        const double expected =
            2.0 - 2.0 * std::cos(M_PI * static_cast<double>(n - j) / static_cast<double>(n + 1));
        QVERIFY(std::abs(values[static_cast<std::size_t>(j)] - expected) < 1e-12);
        double largest = 0, squares = 0, residual = 0;
        const auto at = [&](std::int64_t i) {
            return i < 0 || i >= n ? 0.0 : vectors[static_cast<std::size_t>(i * n + j)];
        };
        for (std::int64_t i = 0; i < n; ++i) {
            if (std::abs(at(i)) > std::abs(largest))
                largest = at(i);
            squares += at(i) * at(i);
            residual = std::max(residual, std::abs(2.0 * at(i) - at(i - 1) - at(i + 1) - expected * at(i)));
        }
        QVERIFY(largest > 0 && std::abs(squares - 1.0) < 1e-12 && residual < 1e-12);
    }
}

QTEST_GUILESS_MAIN(TestStoppedOps)
#include "tst_stopped_ops.moc"
