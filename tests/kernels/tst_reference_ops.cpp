// SPDX-License-Identifier: Apache-2.0
// The reference backend against values that numpy computed in float64 (tests/golden/ops/make_ops.py). The
// oracle of all other op tests is thereby checked by something that shares no code with it.
#include "kernels/api/kv_layout.h"
#include "kernels/reference/reference_backend.h"

#include <QFile>
#include <QJsonArray>
#include <QJsonDocument>
#include <QJsonObject>
#include <QTest>

#include <cmath>
#include <vector>

using namespace eigenscope;

namespace {

// The inputs of one golden case as arrays that live as long as it runs.
class Golden {
public:
    explicit Golden(QJsonObject object) : m_object(std::move(object)) {}

    template <typename T = std::int32_t>
    T integer(const char* key) const {
        return static_cast<T>(m_object[key].toInteger());
    }
    float number(const char* key) const { return static_cast<float>(m_object[key].toDouble()); }
    QString text(const char* key) const { return m_object[key].toString(); }
    bool flag(const char* key) const { return m_object[key].toBool(); }
    bool has(const char* key) const { return m_object[key].isArray(); }
    DType dtype(const char* key) const { return dtypeFromName(text(key).toStdString()).value(); }
    std::vector<double> values(const char* key) const {
        std::vector<double> values;
        for (const QJsonValue& value : m_object[key].toArray())
            values.push_back(value.toDouble());
        return values;
    }
    // An array as the ops read it; null when the case has none.
    void* array(const char* key, DType dtype = DType::F32) {
        if (!has(key))
            return nullptr;
        const std::vector<double> from = values(key);
        std::vector<std::byte>& bytes = m_arrays.emplace_back(from.size() * sizeOf(dtype));
        for (std::size_t i = 0; i < from.size(); ++i)
            storeFromF32(bytes.data(), dtype, static_cast<std::int64_t>(i), static_cast<float>(from[i]));
        return bytes.data();
    }
    float* floats(const char* key) { return static_cast<float*>(array(key)); }
    TokenId* ids(const char* key) {
        const std::vector<double> from = values(key);
        std::vector<std::byte>& bytes = m_arrays.emplace_back(from.size() * sizeof(TokenId));
        TokenId* ids = reinterpret_cast<TokenId*>(bytes.data());
        std::copy(from.begin(), from.end(), ids);
        return ids;
    }
    RotaryTable table(std::int64_t positions) {
        return {floats("cos"), floats("sin"), positions, integer("rotary_dim")};
    }

private:
    QJsonObject m_object;
    std::vector<std::vector<std::byte>> m_arrays;
};

using Results = std::vector<double>;

std::vector<float> outputFor(const Golden& golden) {
    return std::vector<float>(golden.values("expected").size(), std::nanf(""));
}

Results doubles(const std::vector<float>& values) { return {values.begin(), values.end()}; }

Results gemm(Backend& backend, Stream& stream, Golden& golden) {
    std::vector<float> y = outputFor(golden);
    GemmParams p;
    p.m = golden.integer("m"), p.n = golden.integer("n"), p.k = golden.integer("k");
    p.weight_dtype = golden.dtype("weight_dtype");
    p.compute = golden.text("compute") == "f32"   ? Compute::F32
                : golden.text("compute") == "f16" ? Compute::F16
                                                  : Compute::BF16;
    p.x = golden.floats("x"), p.bias = golden.floats("bias");
    p.weight = golden.array("weight", p.weight_dtype);
    p.accumulate = golden.has("before");
    p.y = p.accumulate ? golden.floats("before") : y.data();
    backend.gemm(stream, p);
    return Results(p.y, p.y + y.size());
}

Results embed(Backend& backend, Stream& stream, Golden& golden) {
    std::vector<float> y = outputFor(golden);
    EmbedParams p;
    p.table_dtype = golden.dtype("dtype");
    p.table = golden.array("table", p.table_dtype);
    p.rows = golden.integer("rows"), p.width = golden.integer("width"), p.count = 4;
    p.ids = golden.ids("ids");
    p.accumulate = golden.has("before");
    p.y = p.accumulate ? golden.floats("before") : y.data();
    backend.embed(stream, p);
    return Results(p.y, p.y + y.size());
}

Results norm(Backend& backend, Stream& stream, Golden& golden) {
    std::vector<float> y = outputFor(golden);
    NormParams p;
    p.kind = golden.text("kind") == "rms" ? NormParams::Kind::RmsNorm : NormParams::Kind::LayerNorm;
    p.rows = golden.integer("rows"), p.width = golden.integer("width"), p.epsilon = golden.number("epsilon");
    p.x = golden.floats("x"), p.weight = golden.floats("weight"), p.bias = golden.floats("bias");
    p.y = y.data();
    backend.norm(stream, p);
    return doubles(y);
}

Results activate(Backend& backend, Stream& stream, Golden& golden) {
    std::vector<float> y = outputFor(golden);
    ActivateParams p;
    const QString kind = golden.text("kind");
    p.kind = kind == "relu"        ? ActivateParams::Kind::Relu
             : kind == "gelu"      ? ActivateParams::Kind::Gelu
             : kind == "gelu_tanh" ? ActivateParams::Kind::GeluTanh
             : kind == "clamp"     ? ActivateParams::Kind::Clamp
                                   : ActivateParams::Kind::Silu;
    p.limit = 1.5f;  // of clamp
    p.x = golden.floats("x"), p.gate = golden.floats("gate"), p.y = y.data();
    p.count = static_cast<std::int64_t>(y.size());
    backend.activate(stream, p);
    return doubles(y);
}

Results rope(Backend& backend, Stream& stream, Golden& golden) {
    RopeParams p;
    p.batch = golden.integer("batch"), p.length = golden.integer("length"), p.heads = golden.integer("heads");
    p.head_dim = golden.integer("head_dim"), p.first_position = golden.integer("first");
    p.table = golden.table(p.first_position + p.length);
    p.x = golden.floats("x");
    backend.rope(stream, p);
    return Results(p.x, p.x + golden.values("expected").size());
}

Results attention(Backend& backend, Stream& stream, Golden& golden) {
    std::vector<float> y = outputFor(golden);
    AttentionParams p;
    p.batch = golden.integer("batch"), p.query_heads = golden.integer("query_heads");
    p.kv_heads = golden.integer("kv_heads"), p.query_width = golden.integer("query_width");
    p.query_length = golden.integer("length"), p.query_position = golden.integer("position");
    p.window = golden.integer("window"), p.scale = golden.number("scale");
    const DType dtype = golden.dtype("dtype");
    const std::int64_t rows = p.query_position + p.query_length;
    p.query = golden.floats("query");
    p.keys = {golden.array("keys", dtype), dtype, p.batch, p.kv_heads, golden.integer("key_width"), rows};
    p.values = {golden.array("values", dtype), dtype, p.batch, p.kv_heads,
                golden.integer("value_width"), rows};
    p.alibi_slopes = golden.floats("slopes");
    KeyLift lift;
    if (golden.has("basis")) {
        lift = {golden.floats("basis"), golden.floats("mean"), golden.table(rows)};
        p.lift = &lift;
    }
    p.output = y.data();
    backend.attention(stream, p);
    return doubles(y);
}

Results append(Backend& backend, Stream& stream, Golden& golden) {
    KvAppendParams p;
    p.length = golden.integer("length"), p.position = golden.integer("position");
    p.x = golden.floats("x");
    const DType dtype = golden.dtype("dtype");
    p.cache = {golden.array("before", dtype), dtype,
               golden.integer("batch"),       golden.integer("heads"),
               golden.integer("width"),       golden.integer("capacity")};
    backend.kvAppend(stream, p);
    Results results;
    for (std::size_t i = 0; i < golden.values("expected").size(); ++i)
        results.push_back(loadAsF32(p.cache.data, dtype, static_cast<std::int64_t>(i)));
    return results;
}

// The matrices, then the sums (see expectedOf).
Results gram(Backend& backend, Stream& stream, Golden& golden) {
    const std::size_t matrices = golden.values("expected").size();
    Results results(matrices + golden.values("sum").size(), 0.0);
    GramParams p;
    p.x = golden.floats("x"), p.rows = golden.integer("rows"), p.heads = golden.integer("heads");
    p.width = golden.integer("width"), p.group = golden.integer("group");
    p.gram = results.data(), p.sum = results.data() + matrices;
    backend.gram(stream, p);
    return results;
}

Results weightedGram(Backend& backend, Stream& stream, Golden& golden) {
    const std::size_t matrices = golden.values("expected").size();
    const std::vector<double> weights = golden.values("weights");
    Results results(matrices + golden.values("sum").size(), 0.0);
    GramParams p;
    p.x = golden.floats("x"), p.rows = golden.integer("rows"), p.heads = golden.integer("heads");
    p.width = golden.integer("width"), p.group = golden.integer("group");
    p.gram = results.data(), p.sum = results.data() + matrices;
    p.weights = weights.data();
    backend.gram(stream, p);
    return results;
}

Results spreadGram(Backend& backend, Stream& stream, Golden& golden) {
    const std::vector<double> weights = golden.values("weights");
    Results results(golden.values("expected").size(), 0.0);
    SpreadGramParams p;
    p.x = golden.floats("x"), p.length = golden.integer("length"), p.heads = golden.integer("heads");
    p.width = golden.integer("width"), p.group = golden.integer("group");
    p.positions = golden.ids("positions"), p.samples = golden.integer("samples");
    p.window = golden.integer("window"), p.table = golden.table(p.length);
    p.weights = weights.data(), p.gram = results.data();
    backend.spreadGram(stream, p);
    return results;
}

// Weights by distance, zero where there is no key, then sums by query, by key, by key of heads together, and
// the totals of calls so far, 2 before this one.
Results logitWeights(Backend& backend, Stream& stream, Golden& golden) {
    LogitWeightsParams p;
    p.length = golden.integer("length"), p.width = golden.integer("width");
    p.query_heads = golden.integer("query_heads"), p.kv_heads = golden.integer("kv_heads");
    p.queries = golden.floats("queries"), p.keys = golden.floats("keys");
    p.values = golden.floats("values"), p.outputs = golden.floats("outputs");
    p.roots = golden.floats("roots"), p.alibi_slopes = golden.floats("slopes");
    p.positions = golden.ids("positions"), p.samples = golden.integer("samples");
    p.window = golden.integer("window"), p.scale = golden.number("scale");
    p.joint = golden.integer("joint");
    if (golden.has("cos"))
        p.table = golden.table(p.length);
    const std::int64_t weights = std::int64_t{p.query_heads} * p.samples * p.length;
    const std::int64_t queries = std::int64_t{p.query_heads} * p.samples, keys = p.kv_heads * p.length;
    const std::int64_t all = weights + queries + keys + keys / p.joint + p.kv_heads;
    Results results(static_cast<std::size_t>(all), std::nan(""));
    p.weights = results.data(), p.by_query = p.weights + weights, p.by_key = p.by_query + queries;
    p.joint_keys = p.by_key + keys, p.total = p.joint_keys + keys / p.joint;
    std::fill_n(p.total, p.kv_heads, 2.0);
    backend.logitWeights(stream, p);
    for (std::int64_t i = 0; i < weights; ++i)
        if (i % p.length > p.positions[i / p.length % p.samples])
            results[static_cast<std::size_t>(i)] = 0.0;
    return results;
}

Results eigh(Backend& backend, Stream& stream, Golden& golden) {
    const std::vector<double> a = golden.values("a");
    Results results(golden.integer<std::size_t>("n"));
    backend.eigh(stream, {a.data(), results.data(), nullptr, 1, static_cast<std::int64_t>(results.size())});
    return results;
}

// A quantised cache with memory of its own.
class CodedCache {
public:
    CodedCache(const Golden& golden, const KvView& format, std::int64_t longest) : m_view(format) {
        m_view.batch = golden.integer("batch");
        m_view.recent = golden.integer("recent");
        m_view.dtype = golden.dtype("dtype");
        m_view.exact_capacity = kvRingRows(m_view, longest);
        m_data.resize(static_cast<std::size_t>(kvDataBytes(m_view)), std::byte{0xff});
        m_scales.resize(static_cast<std::size_t>(kvScaleBytes(m_view) / 2), 0x7e00);  // NaN
        m_exact.resize(static_cast<std::size_t>(kvExactBytes(m_view)), std::byte{0xff});
        m_view.data = m_data.data(), m_view.scales = m_scales.data(), m_view.exact = m_exact.data();
    }
    const KvView& view() const { return m_view; }
    // Appends x [batch, rows, heads, width] as `chunks` of rows.
    void fill(Backend& backend, Stream& stream, const std::vector<double>& chunks, const float* x) {
        std::int64_t rows = 0;
        for (double chunk : chunks)
            rows += static_cast<std::int64_t>(chunk);
        const std::int64_t row = std::int64_t{m_view.heads} * m_view.width;
        std::int64_t done = 0;
        for (double chunk : chunks) {
            const auto length = static_cast<std::int64_t>(chunk);
            std::vector<float> part;
            for (std::int64_t b = 0; b < m_view.batch; ++b)
                part.insert(part.end(), x + (b * rows + done) * row, x + (b * rows + done + length) * row);
            backend.kvAppend(stream, {part.data(), m_view, static_cast<std::int32_t>(length), done});
            done += length;
        }
    }

private:
    KvView m_view;
    std::vector<std::byte> m_data, m_exact;
    std::vector<std::uint16_t> m_scales;
};

std::int64_t longestOf(const std::vector<double>& chunks) {
    return static_cast<std::int64_t>(*std::max_element(chunks.begin(), chunks.end()));
}

// Codes and scales of the rows that numpy says are stored.
Results codeAppend(Backend& backend, Stream& stream, Golden& golden) {
    const std::vector<double> chunks = golden.values("chunks");
    KvView format;
    format.heads = golden.integer("heads"), format.width = golden.integer("width");
    format.capacity = golden.integer("capacity");
    format.bits = golden.integer("bits"), format.group = golden.integer("group");
    format.grouping = golden.flag("channel") ? KvGrouping::Channel : KvGrouping::Token;
    CodedCache cache(golden, format, longestOf(chunks));
    cache.fill(backend, stream, chunks, golden.floats("x"));
    const KvView& v = cache.view();
    const auto* codes = static_cast<const std::uint8_t*>(v.data);
    const auto* scales = static_cast<const std::uint16_t*>(v.scales);
    Results results;
    const std::int64_t heads = std::int64_t{v.batch} * v.heads;
    for (std::int64_t head = 0; head < heads; ++head) {
        const std::uint8_t* begin = codes + head * v.capacity * kvRowBytes(v);
        results.insert(results.end(), begin, begin + golden.integer("stored") * kvRowBytes(v));
    }
    for (std::int64_t head = 0; head < heads; ++head) {
        const std::uint16_t* begin = scales + head * kvScaleRows(v) * kvScaleStride(v);
        results.insert(results.end(), begin, begin + golden.integer("scale_rows") * kvScaleStride(v));
    }
    return results;
}

Results codeAttention(Backend& backend, Stream& stream, Golden& golden) {
    const std::vector<double> chunks = golden.values("chunks");
    std::vector<float> y = outputFor(golden);
    AttentionParams p;
    p.batch = golden.integer("batch"), p.query_heads = golden.integer("query_heads");
    p.kv_heads = golden.integer("kv_heads"), p.query_width = golden.integer("query_width");
    p.query_length = static_cast<std::int32_t>(chunks.back());
    std::int64_t rows = 0;
    for (double chunk : chunks)
        rows += static_cast<std::int64_t>(chunk);
    p.query_position = rows - p.query_length;
    p.scale = golden.number("scale");
    p.query = golden.floats("query"), p.alibi_slopes = golden.floats("slopes");
    const auto cache = [&](const char* side, const char* width) {
        const std::string name = side;
        KvView format;
        format.heads = p.kv_heads, format.width = golden.integer(width), format.capacity = rows + 2;
        format.bits = golden.integer((name + "_bits").c_str());
        format.group = golden.integer((name + "_group").c_str());
        format.grouping = golden.flag((name + "_channel").c_str()) ? KvGrouping::Channel : KvGrouping::Token;
        CodedCache filled(golden, format, longestOf(chunks));
        filled.fill(backend, stream, chunks, golden.floats(side));
        return filled;
    };
    const CodedCache keys = cache("keys", "key_width"), values = cache("values", "value_width");
    p.keys = keys.view(), p.values = values.view();
    KeyLift lift;
    if (golden.has("basis")) {
        lift = {golden.floats("basis"), golden.floats("mean"), golden.table(rows)};
        p.lift = &lift;
    }
    p.output = y.data();
    backend.attention(stream, p);
    return doubles(y);
}

Results nll(Backend& backend, Stream& stream, Golden& golden) {
    Results results(golden.integer<std::size_t>("rows"), std::nan(""));
    backend.nll(stream, {golden.floats("logits"), golden.ids("targets"), results.data(),
                         golden.integer("rows"), golden.integer("vocab")});
    return results;
}

std::vector<double> expectedOf(const Golden& golden) {
    std::vector<double> expected = golden.values("expected");
    const std::vector<double> sum = golden.values("sum");
    expected.insert(expected.end(), sum.begin(), sum.end());
    return expected;
}

}  // namespace

class TestReferenceOps : public QObject {
    Q_OBJECT

private slots:
    void agreesWithNumpy_data();
    void agreesWithNumpy();
    void argmaxTakesTheFirst();
    void refusesIdsOutsideTheTable();
    void headsThatShareALatentReadTheSameRows();
    void positionsComeFromTheDevice();
};

void TestReferenceOps::agreesWithNumpy_data() {
    QTest::addColumn<QJsonObject>("golden");
    QFile file(EIGENSCOPE_SOURCE_DIR "/tests/golden/ops/ops.json");
    QVERIFY2(file.open(QIODevice::ReadOnly), qPrintable(file.errorString()));
    const QJsonArray cases = QJsonDocument::fromJson(file.readAll()).object()["cases"].toArray();
    QVERIFY(cases.size() > 45);
    for (qsizetype i = 0; i < cases.size(); ++i) {
        const QJsonObject golden = cases[i].toObject();
        QTest::addRow("%d %s", static_cast<int>(i), qPrintable(golden["op"].toString())) << golden;
    }
}

void TestReferenceOps::agreesWithNumpy() {
    QFETCH(QJsonObject, golden);
    const std::shared_ptr<Backend> backend = createReferenceBackend();
    const std::unique_ptr<Stream> stream = backend->createStream(1);
    using Run = Results (*)(Backend&, Stream&, Golden&);
    const std::vector<std::pair<QString, Run>> runs = {{"gemm", gemm},
                                                       {"embed", embed},
                                                       {"norm", norm},
                                                       {"activate", activate},
                                                       {"rope", rope},
                                                       {"attention", attention},
                                                       {"append", append},
                                                       {"gram", gram},
                                                       {"weighted_gram", weightedGram},
                                                       {"spread_gram", spreadGram},
                                                       {"logit_weights", logitWeights},
                                                       {"eigh", eigh},
                                                       {"nll", nll},
                                                       {"code_append", codeAppend},
                                                       {"code_attention", codeAttention}};
    const auto run = std::find_if(runs.begin(), runs.end(),
                                  [&](const auto& entry) { return entry.first == golden["op"].toString(); });
    QVERIFY(run != runs.end());

    Golden data(golden);
    const Results actual = run->second(*backend, *stream, data);
    const std::vector<double> expected = expectedOf(data);
    QCOMPARE(actual.size(), expected.size());
    double largest = 0.0;
    for (double value : expected)
        largest = std::max(largest, std::abs(value));
    // Float32 results are rounded once (6e-8 of the value); double ones are limited by the file's 12 digits.
    // Eigenvalues are good to a fraction of the largest one.
    // Codes and the bits of scales are integers.
    const bool exact = run->first == "code_append" || run->first.endsWith("gram") ||
                       run->first == "logit_weights" || run->first == "eigh" || run->first == "nll";
    for (std::size_t i = 0; i < actual.size(); ++i) {
        const double limit = exact ? 1e-11 * (largest + 1.0) : 6.1e-8 * std::abs(expected[i]) + 1e-10;
        QVERIFY2(std::abs(actual[i] - expected[i]) <= limit,
                 qPrintable(QString("element %1 is %2, expected %3")
                                .arg(i)
                                .arg(actual[i], 0, 'g', 12)
                                .arg(expected[i], 0, 'g', 12)));
    }
}

void TestReferenceOps::argmaxTakesTheFirst() {
    const std::shared_ptr<Backend> backend = createReferenceBackend();
    const std::unique_ptr<Stream> stream = backend->createStream(1);
    const float logits[] = {1, 3, 3, 2, -1, -1, -1, -1};
    TokenId index[2];
    backend->argmax(*stream, {logits, index, 2, 4});
    QCOMPARE(index[0], 1);
    QCOMPARE(index[1], 0);
}

void TestReferenceOps::refusesIdsOutsideTheTable() {
    const std::shared_ptr<Backend> backend = createReferenceBackend();
    const std::unique_ptr<Stream> stream = backend->createStream(1);
    const float table[6] = {};
    float y[2];
    for (TokenId id : {-1, 3}) {
        const EmbedParams p{table, DType::F32, 3, 2, &id, 1, y, false};
        QVERIFY_THROWS_EXCEPTION(Error, backend->embed(*stream, p));
    }
}

// Sharing is a matter of addresses: the same as a cache in which every head has a copy of its own.
void TestReferenceOps::headsThatShareALatentReadTheSameRows() {
    const std::shared_ptr<Backend> backend = createReferenceBackend();
    const std::unique_ptr<Stream> stream = backend->createStream(1);
    constexpr std::int32_t kHeads = 4, kShared = 2, kRank = 3, kDim = 4, kValues = 5, kRows = 6;
    const auto numbers = [](std::size_t count, double phase) {
        std::vector<float> x(count);
        for (std::size_t i = 0; i < count; ++i)
            x[i] = static_cast<float>(std::sin(phase + 1.7 * static_cast<double>(i)));
        return x;
    };
    const auto copies = [](const std::vector<float>& shared, std::size_t rows_of_head) {
        std::vector<float> all;
        for (std::size_t head = 0; head < kHeads; ++head) {
            const auto begin = shared.begin() + static_cast<std::ptrdiff_t>(head / kShared * rows_of_head);
            all.insert(all.end(), begin, begin + static_cast<std::ptrdiff_t>(rows_of_head));
        }
        return all;
    };
    std::vector<float> query = numbers(kHeads * kDim, 0.1), basis = numbers(kHeads * kDim * kRank, 0.2),
                       mean = numbers(kHeads * kDim, 0.3), cos = numbers(kRows * kDim / 2, 0.4),
                       sin = numbers(kRows * kDim / 2, 0.5);
    std::vector<float> keys = numbers(kHeads / kShared * kRows * kRank, 0.6),
                       values = numbers(kHeads / kShared * kRows * kValues, 0.7);
    std::vector<float> all_keys = copies(keys, kRows * kRank), all_values = copies(values, kRows * kValues);
    const KeyLift lift{basis.data(), mean.data(), {cos.data(), sin.data(), kRows, kDim}};
    const auto run = [&](std::vector<float>& k, std::vector<float>& v, std::int32_t heads) {
        std::vector<float> output(kHeads * kValues);
        AttentionParams p;
        p.query_heads = p.kv_heads = kHeads, p.query_width = kDim;
        p.query_length = 1, p.query_position = kRows - 1;
        p.query = query.data(), p.lift = &lift, p.output = output.data();
        p.keys = {k.data(), DType::F32, 1, heads, kRank, kRows};
        p.values = {v.data(), DType::F32, 1, heads, kValues, kRows};
        backend->attention(*stream, p);
        return output;
    };
    QCOMPARE(run(keys, values, kHeads / kShared), run(all_keys, all_values, kHeads));
}

// The struct's position is then only the largest possible.
void TestReferenceOps::positionsComeFromTheDevice() {
    const std::shared_ptr<Backend> backend = createReferenceBackend();
    const std::unique_ptr<Stream> stream = backend->createStream(1);
    const std::vector<float> cos{1.0f, 0.5f, 0.25f, 0.125f}, sin{0.0f, 3.0f, 5.0f, 7.0f};
    std::int64_t position = 2;
    RopeParams rope;
    rope.length = 1, rope.heads = 1, rope.head_dim = 2, rope.first_position = 3;
    rope.device_position = &position;
    rope.table = {cos.data(), sin.data(), 4, 2};
    std::vector<float> x{2.0f, 1.0f};
    rope.x = x.data();
    backend->rope(*stream, rope);
    QCOMPARE(x, (std::vector{2.0f * 0.25f - 5.0f, 0.25f + 2.0f * 5.0f}));

    KvAppendParams append;
    std::vector<float> cache(4, 9.0f);
    append.x = x.data(), append.length = 1, append.position = 3, append.device_position = &position;
    append.cache = {cache.data(), DType::F32, 1, 1, 1, 4};
    x[0] = 1.0f;
    backend->kvAppend(*stream, append);
    QCOMPARE(cache, (std::vector{9.0f, 9.0f, 1.0f, 9.0f}));

    // A query of zero gives every cached value the same weight: the mean of the first three, not of four.
    AttentionParams attention;
    const float query = 0.0f;
    float output = 0.0f;
    cache = {3.0f, 6.0f, 9.0f, 1000.0f};
    attention.query_heads = attention.kv_heads = attention.query_width = attention.query_length = 1;
    attention.query = &query, attention.output = &output;
    attention.keys = attention.values = append.cache;
    attention.query_position = 3, attention.device_position = &position;
    backend->attention(*stream, attention);
    QCOMPARE(output, 6.0f);

    for (const std::int64_t wrong : {std::int64_t{4}, std::int64_t{-1}}) {
        position = wrong;
        QVERIFY_THROWS_EXCEPTION(Error, backend->rope(*stream, rope));
        QVERIFY_THROWS_EXCEPTION(Error, backend->kvAppend(*stream, append));
        QVERIFY_THROWS_EXCEPTION(Error, backend->attention(*stream, attention));
    }
}

QTEST_GUILESS_MAIN(TestReferenceOps)
#include "tst_reference_ops.moc"
