// SPDX-License-Identifier: Apache-2.0
#include "core/base/atomic_output.h"
#include "core/calibration/statistics.h"
#include "core/checkpoint/safetensors.h"
#include "tests/core/method_support.h"
#include "tests/support/safetensors_parts.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

#include <cstring>
#include <functional>
#include <limits>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

bool equal(const Moments& a, const Moments& b) {
    return a.heads == b.heads && a.width == b.width && a.rows == b.rows && a.gram == b.gram && a.sum == b.sum;
}

using Parts = SafetensorsParts;

using Change = std::function<void(Parts&)>;

struct Broken {
    const char* name;
    Change change;
    const char* message;  // after "<file>: "
};

constexpr const char* kGram = "layers.1.values.gram";

const std::vector<Broken>& brokenFiles() {
    static const std::vector<Broken> kBroken = {
        {"format", [](Parts& p) { p.metadata.erase("format"); }, "is not a statistics file"},
        {"version", [](Parts& p) { p.metadata["version"] = "2"; },
         "__metadata__.version: expected an integer"},
        {"rotary", [](Parts& p) { p.metadata["rotary"] = "yes"; },
         "__metadata__.rotary: expected true or false"},
        {"no heads", [](Parts& p) { p.metadata.erase("kv_heads"); }, "__metadata__.kv_heads: is missing"},
        {"zero heads", [](Parts& p) { p.metadata["kv_heads"] = "0"; },
         "__metadata__.kv_heads: expected an integer"},
        {"words", [](Parts& p) { p.metadata["head_dim"] = "16x"; },
         "__metadata__.head_dim: expected an integer"},
        {"group", [](Parts& p) { p.metadata["query_heads"] = "5"; },
         "__metadata__.query_heads: expected a multiple of kv_heads"},
        {"other head dimension", [](Parts& p) { p.metadata["head_dim"] = "4"; },
         "layers.0.keys.gram: expected F64 [2, 4, 4], found F64 [2, 5, 5]"},
        {"more layers", [](Parts& p) { p.metadata["layers"] = "3"; },
         "there is no tensor 'layers.2.keys.gram'"},
        {"many layers", [](Parts& p) { p.metadata["layers"] = "99999999999999999999"; },
         "__metadata__.layers: expected an integer"},
        {"negative seed", [](Parts& p) { p.metadata["calibration.seed"] = "-1"; },
         "__metadata__.calibration.seed: expected an integer"},
        {"no sum", [](Parts& p) { p.remove("layers.0.outputs.sum"); },
         "there is no tensor 'layers.0.outputs.sum'"},
        {"dtype", [](Parts& p) { p.specs[p.index(kGram)].dtype = FileDType::I64; },
         "layers.1.values.gram: expected F64 [2, 5, 5], found I64"},
        {"shape", [](Parts& p) { p.specs[p.index(kGram)].shape = {50}; },
         "layers.1.values.gram: expected F64 [2, 5, 5], found F64 [50]"},
        {"not a number", [](Parts& p) { p.set(kGram, 7, std::numeric_limits<double>::quiet_NaN()); },
         "layers.1.values.gram: holds a number that is not finite"},
        {"infinite", [](Parts& p) { p.set("layers.0.keys.sum", 1, std::numeric_limits<double>::infinity()); },
         "layers.0.keys.sum: holds a number that is not finite"},
        {"asymmetric", [](Parts& p) { p.set(kGram, 25 + 1, 0.0); },
         "layers.1.values.gram: head 1 is not symmetric"},
        {"negative diagonal", [](Parts& p) { p.set(kGram, 6, -1e-3); },
         "layers.1.values.gram: head 0 has a negative diagonal element"},
        {"diagonal too small", [](Parts& p) { p.set(kGram, 0, 1e-30); },
         "layers.1.values.gram: head 0 is not a Gram"},
        {"windows' dtype", [](Parts& p) { p.specs[p.index("probe_windows")].dtype = FileDType::F32; },
         "probe_windows: expected I32 [windows, length]"},
        {"negative id", [](Parts& p) { p.bytes[p.index("probe_windows")][3] = std::byte{0x80}; },
         "probe_windows: holds a negative token id"},
    };
    return kBroken;
}

}  // namespace

class TestStatistics : public QObject {
    Q_OBJECT
private slots:
    void roundTripIsExact();
    void withoutWindows();
    void inconsistentStatisticsAreNotWritten();
    void brokenFilesAreNamed_data();
    void brokenFilesAreNamed();
    void truncatedFilesAreRefused();
    void unwritableOutputLeavesNothing();
};

void TestStatistics::roundTripIsExact() {
    const TemporaryDirectory directory;
    for (bool rotary : {true, false}) {
        Statistics s = randomStatistics(3, 6, 2, 5, rotary, 4);
        s.model_name = "a model “named” \"oddly\" \\ é";
        saveStatistics(s, directory / "x.stats.safetensors");
        const Statistics t = loadStatistics(directory / "x.stats.safetensors");
        QCOMPARE(t.model_name, s.model_name);
        QCOMPARE(t.model_fingerprint, s.model_fingerprint);
        QCOMPARE(t.family, s.family);
        QCOMPARE(t.rotary, rotary);
        QCOMPARE(t.query_heads, 6);
        QCOMPARE(t.kv_heads, 2);
        QCOMPARE(t.head_dim, 5);
        QCOMPARE(t.tokens, s.tokens);
        QCOMPARE(t.calibration.text, s.calibration.text);
        QCOMPARE(t.calibration.fingerprint, s.calibration.fingerprint);
        QCOMPARE(t.calibration.samples, s.calibration.samples);
        QCOMPARE(t.calibration.sequence_length, s.calibration.sequence_length);
        QCOMPARE(t.calibration.seed, s.calibration.seed);
        QCOMPARE(t.probe_windows, s.probe_windows);
        QCOMPARE(t.layers.size(), s.layers.size());
        for (std::size_t i = 0; i < s.layers.size(); ++i) {
            QVERIFY(equal(t.layers[i].keys, s.layers[i].keys));
            QVERIFY(equal(t.layers[i].queries, s.layers[i].queries));
            QVERIFY(equal(t.layers[i].values, s.layers[i].values));
            QVERIFY(equal(t.layers[i].outputs, s.layers[i].outputs));
        }
        QCOMPARE(t.layers[0].queries.rows, 3 * s.tokens);
    }
    QCOMPARE(entriesOf(directory.path()), std::vector<std::string>{"x.stats.safetensors"});
}

void TestStatistics::withoutWindows() {
    const TemporaryDirectory directory;
    Statistics s = randomStatistics(1, 2, 2, 3, false, 4);
    s.probe_windows.clear();
    saveStatistics(s, directory / "x");
    QVERIFY(loadStatistics(directory / "x").probe_windows.empty());
}

void TestStatistics::inconsistentStatisticsAreNotWritten() {
    const TemporaryDirectory directory;
    Statistics s = randomStatistics(2, 4, 2, 5, true, 4);
    const Statistics good = s;
    s.layers[1].outputs.rows += 1;
    QVERIFY(!errorOf([&] { saveStatistics(s, directory / "x"); }).empty());
    s = good;
    s.layers[0].values.sum.pop_back();
    QVERIFY(!errorOf([&] { saveStatistics(s, directory / "x"); }).empty());
    s = good;
    s.probe_windows[1].pop_back();
    QVERIFY(!errorOf([&] { saveStatistics(s, directory / "x"); }).empty());
    QVERIFY(entriesOf(directory.path()).empty());
}

void TestStatistics::brokenFilesAreNamed_data() {
    QTest::addColumn<int>("index");
    for (std::size_t i = 0; i < brokenFiles().size(); ++i)
        QTest::newRow(brokenFiles()[i].name) << static_cast<int>(i);
}

void TestStatistics::brokenFilesAreNamed() {
    QFETCH(int, index);
    const Broken& broken = brokenFiles()[static_cast<std::size_t>(index)];
    const TemporaryDirectory directory;
    const auto file = directory / "x.stats.safetensors";
    saveStatistics(randomStatistics(2, 4, 2, 5, true, 8), file);
    Parts parts(file);
    parts.write(file);
    QCOMPARE(errorOf([&] { loadStatistics(file); }), std::string());  // taking it apart changed nothing
    broken.change(parts);
    parts.write(file);
    const std::string message = errorOf([&] { loadStatistics(file); });
    QVERIFY2(message.starts_with(file.string() + ": "), message.c_str());
    QVERIFY2(message.find(broken.message) != std::string::npos, message.c_str());
    QVERIFY(message.find('\n') == std::string::npos);
}

void TestStatistics::truncatedFilesAreRefused() {
    const TemporaryDirectory directory;
    const auto file = directory / "x";
    saveStatistics(randomStatistics(1, 2, 2, 3, true, 8), file);
    const std::string whole = readTextFile(file);
    for (std::size_t size = 0; size < whole.size(); size += 37) {
        writeTextFile(file, whole.substr(0, size));
        QVERIFY(errorOf([&] { loadStatistics(file); }).starts_with(file.string()));
    }
}

void TestStatistics::unwritableOutputLeavesNothing() {
    const TemporaryDirectory directory;
    const Statistics s = randomStatistics(1, 2, 2, 3, true, 8);
    const auto file = directory / "missing" / "x.stats.safetensors";
    QVERIFY(errorOf([&] { saveStatistics(s, file); }).starts_with(file.string()));
    QVERIFY(errorOf([&] { saveStatistics(s, directory.path()); }).starts_with(directory.path().string()));
    QVERIFY(entriesOf(directory.path()).empty());
    QVERIFY(!errorOf([&] { loadStatistics(file); }).empty());
}

QTEST_GUILESS_MAIN(TestStatistics)
#include "tst_statistics.moc"
