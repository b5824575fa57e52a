// SPDX-License-Identifier: Apache-2.0
#include "core/base/atomic_output.h"
#include "core/spectrum/allocation.h"
#include "core/spectrum/rank_plan.h"
#include "tests/core/method_support.h"
#include "tests/support/backends.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

#include <cmath>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

std::shared_ptr<const Spectrum> spectrum(int layers = 4, int width = 16) {
    JobContext job;
    return computeSpectrum(job, *referenceBackend(), randomStatistics(layers, 4, 2, width, true, 3), "eigen");
}

RankPlan plan(const Spectrum& s, int multiple = 1) { return fullPlan(s, multiple); }

}  // namespace

class TestRankPlan : public QObject {
    Q_OBJECT
private slots:
    void fullPlanKeepsEverything();
    void thresholdsSetEveryRank();
    void ranksNeverFallWhenTheThresholdRises();
    void pinnedRanksStay();
    void layersHaveThresholdsOfTheirOwn();
    void kvRatioIsTheLargestPlanWithin();
    void kvRatioCountsBits();
    void kvRatioRespectsPinsAndSaysWhatCanBeHad();
    void expectedErrorIsTheRootMeanSquare();
    void argumentsAreChecked();
    void fileRoundTripIsExact();
    void shortFilesHaveDefaults();
    void brokenFilesAreNamed_data();
    void brokenFilesAreNamed();
    void checkedAgainstTheModel();
    void unwritableOutput();
};

void TestRankPlan::fullPlanKeepsEverything() {
    const auto s = spectrum();
    const RankPlan p = plan(*s, 8);
    QCOMPARE(p.key_ranks, std::vector<int>(4, 16));
    QCOMPARE(p.value_ranks, std::vector<int>(4, 16));
    QCOMPARE(kvRatioOf(p, 16), 1.0);
    QCOMPARE(expectedErrorOf(p, *s), 0.0);
}

void TestRankPlan::thresholdsSetEveryRank() {
    const auto s = spectrum();
    RankPlan p = plan(*s, 3);
    applyThresholds(p, *s, 0.9, 0.8);
    QCOMPARE(p.key_threshold, 0.9);
    QCOMPARE(p.value_threshold, 0.8);
    int sum = 0;
    for (int layer = 0; layer < 4; ++layer) {
        const auto i = static_cast<std::size_t>(layer);
        QCOMPARE(p.key_ranks[i], s->rankOf(layer, Side::Keys, 0.9, Criterion::Energy, 3));
        QCOMPARE(p.value_ranks[i], s->rankOf(layer, Side::Values, 0.8, Criterion::Energy, 3));
        QVERIFY(p.key_ranks[i] % 3 == 0 || p.key_ranks[i] == 16);
        sum += p.key_ranks[i] + p.value_ranks[i];
    }
    QVERIFY(sum < 4 * 2 * 16);
    QCOMPARE(kvRatioOf(p, 16), sum / 128.0);
    p.criterion = Criterion::SingularValues;
    applyThresholds(p, *s, 0.9, 0.8);
    QCOMPARE(p.key_ranks[0], s->rankOf(0, Side::Keys, 0.9, Criterion::SingularValues, 3));
}

void TestRankPlan::ranksNeverFallWhenTheThresholdRises() {
    const auto s = spectrum();
    for (int multiple : {1, 8, 16, 5}) {
        RankPlan p = plan(*s, multiple), previous = p;
        applyThresholds(previous, *s, 0.0, 0.0);
        for (int step = 1; step <= 400; ++step) {
            applyThresholds(p, *s, step / 400.0, step / 400.0);
            for (std::size_t i = 0; i < 4; ++i)
                QVERIFY(p.key_ranks[i] >= previous.key_ranks[i] &&
                        p.value_ranks[i] >= previous.value_ranks[i]);
            QVERIFY(expectedErrorOf(p, *s) <= expectedErrorOf(previous, *s));
            previous = p;
        }
        QCOMPARE(kvRatioOf(p, 16), 1.0);
    }
}

void TestRankPlan::pinnedRanksStay() {
    const auto s = spectrum();
    RankPlan p = plan(*s, 8);
    applyThresholds(p, *s, 0.7, 0.7);
    pinRank(p, *s, Side::Keys, 2, 5);  // as set, not rounded to the multiple
    applyThresholds(p, *s, 0.99, 0.99);
    QCOMPARE(p.key_ranks[2], 5);
    QVERIFY(p.key_pinned[2] && !p.value_pinned[2]);
    QCOMPARE(p.value_ranks[2], s->rankOf(2, Side::Values, 0.99, Criterion::Energy, 8));
    unpin(p, *s, {}, Side::Keys, 2);
    QCOMPARE(p.key_ranks[2], s->rankOf(2, Side::Keys, 0.99, Criterion::Energy, 8));
    QVERIFY(!p.key_pinned[2]);
}

void TestRankPlan::layersHaveThresholdsOfTheirOwn() {
    const auto s = spectrum();
    RankPlan p = plan(*s, 2);
    setLayerThreshold(p, *s, Side::Keys, 1, 0.5);
    QCOMPARE(p.key_ranks[1], s->rankOf(1, Side::Keys, 0.5, Criterion::Energy, 2));
    applyThresholds(p, *s, 0.99, 0.99);
    QCOMPARE(p.key_ranks[1], s->rankOf(1, Side::Keys, 0.5, Criterion::Energy, 2));
    QCOMPARE(p.key_ranks[0], s->rankOf(0, Side::Keys, 0.99, Criterion::Energy, 2));
    QCOMPARE(p.value_ranks[1], s->rankOf(1, Side::Values, 0.99, Criterion::Energy, 2));
    applyKvRatio(p, *s, 0.6);
    QCOMPARE(p.key_ranks[1], s->rankOf(1, Side::Keys, 0.5, Criterion::Energy, 2));
    QVERIFY(kvRatioOf(p, 16) <= 0.6);
    // It follows criterion and multiple, as the plan's own does.
    p.criterion = Criterion::SingularValues;
    p.rank_multiple = 3;
    reallocate(p, *s, {});
    QCOMPARE(p.key_ranks[1], s->rankOf(1, Side::Keys, 0.5, Criterion::SingularValues, 3));
    // A pin is stronger; without it the threshold counts again; without that, the plan's.
    pinRank(p, *s, Side::Keys, 1, 13);
    applyThresholds(p, *s, 0.9, 0.9);
    QCOMPARE(p.key_ranks[1], 13);
    unpin(p, *s, {}, Side::Keys, 1);
    QCOMPARE(p.key_ranks[1], s->rankOf(1, Side::Keys, 0.5, Criterion::SingularValues, 3));
    setLayerThreshold(p, *s, Side::Keys, 1, std::nullopt);
    reallocate(p, *s, {});
    QCOMPARE(p.key_ranks[1], s->rankOf(1, Side::Keys, 0.9, Criterion::SingularValues, 3));
    QVERIFY(!errorOf([&] { setLayerThreshold(p, *s, Side::Keys, 4, 0.5); }).empty());
    QVERIFY(!errorOf([&] { setLayerThreshold(p, *s, Side::Keys, 0, 1.5); }).empty());
}

void TestRankPlan::kvRatioIsTheLargestPlanWithin() {
    const auto s = spectrum();
    for (Criterion criterion : {Criterion::Energy, Criterion::SingularValues}) {
        for (double target : {0.15, 0.3, 0.5, 0.6, 0.8, 0.99, 1.0}) {
            RankPlan p = plan(*s);
            p.criterion = criterion;
            applyKvRatio(p, *s, target);
            QVERIFY(kvRatioOf(p, 16) <= target + 1e-9);
            QCOMPARE(p.key_threshold, p.value_threshold);
            // The plan is what its threshold gives, and any larger threshold with other ranks is too large.
            RankPlan again = p;
            applyThresholds(again, *s, p.key_threshold, p.value_threshold);
            QVERIFY(!again.kv_target);  // thresholds are asked for now, no ratio
            QCOMPARE(p.kv_target, std::optional(target));
            again.kv_target = target;
            QVERIFY(again == p);
            for (int step = 0; step <= 2000; ++step) {
                if (step / 2000.0 <= p.key_threshold)
                    continue;
                applyThresholds(again, *s, step / 2000.0, step / 2000.0);
                QVERIFY(kvRatioOf(again, 16) > target || again.key_ranks == p.key_ranks);
            }
        }
    }
    RankPlan p = plan(*s);
    applyKvRatio(p, *s, 1.0);
    QCOMPARE(kvRatioOf(p, 16), 1.0);
    QCOMPARE(p.key_threshold, 1.0);
}

// A target is one of bytes: fewer bits leave room for more ranks.
void TestRankPlan::kvRatioCountsBits() {
    const auto s = spectrum();
    RankPlan dense = plan(*s, 1), coded = plan(*s, 1);
    coded.kv_bits = KvBits::uniform(coded.key_ranks.size(), 4, 8);
    coded.kv_bits.group = 8;
    applyKvRatio(dense, *s, 0.5);
    applyKvRatio(coded, *s, 0.5);
    QVERIFY(kvRatioOf(coded, 16) <= 0.5);
    double bytes = 0.0;
    for (std::size_t layer = 0; layer < coded.key_ranks.size(); ++layer) {
        const int keys = coded.key_ranks[layer], values = coded.value_ranks[layer];
        bytes += (keys + 1) / 2 + (keys + 7) / 8 * 4 + values + (values + 7) / 8 * 4;
    }
    QCOMPARE(kvRatioOf(coded, 16), bytes / (coded.key_ranks.size() * 2 * 16 * 2.0));
    QVERIFY(rankRatioOf(coded, 16) > rankRatioOf(dense, 16));
    // The next threshold step would be too much.
    RankPlan more = coded;
    applyThresholds(more, *s, coded.key_threshold + 1e-9, coded.key_threshold + 1e-9);
    QVERIFY(kvRatioOf(more, 16) > 0.5 || more.key_ranks == coded.key_ranks);
    QVERIFY_EXCEPTION_THROWN(applyKvRatio(coded, *s, 0.1), Error);
}

void TestRankPlan::kvRatioRespectsPinsAndSaysWhatCanBeHad() {
    const auto s = spectrum();
    RankPlan p = plan(*s);
    pinRank(p, *s, Side::Values, 1, 16);
    applyKvRatio(p, *s, 0.4);
    QCOMPARE(p.value_ranks[1], 16);
    QVERIFY(kvRatioOf(p, 16) <= 0.4);
    const RankPlan before = p;
    // Seven ranks of 1 and one of 16: 23 / 128.
    QCOMPARE(errorOf([&] { applyKvRatio(p, *s, 0.1); }),
             std::string("KV ratio 0.1 cannot be had: the smallest ranks give 0.1797"));
    QVERIFY(p == before);
}

void TestRankPlan::expectedErrorIsTheRootMeanSquare() {
    const auto s = spectrum(2);
    RankPlan p = plan(*s);
    p.key_ranks = {3, 16};
    const double error = s->expectedError(0, Side::Keys, 3);
    QVERIFY(error > 0);
    QVERIFY(std::abs(expectedErrorOf(p, *s) - std::sqrt(error * error / 4)) < 1e-15);
}

void TestRankPlan::argumentsAreChecked() {
    const auto s = spectrum();
    RankPlan p = plan(*s);
    const RankPlan before = p;
    QCOMPARE(errorOf([&] { applyThresholds(p, *s, 1.5, 0.5); }),
             std::string("threshold 1.5: expected a number from 0 to 1"));
    QVERIFY(!errorOf([&] { applyThresholds(p, *s, 0.5, std::nan("")); }).empty());
    QVERIFY(!errorOf([&] { applyKvRatio(p, *s, 0.0); }).empty());
    QVERIFY(!errorOf([&] { applyKvRatio(p, *s, std::nan("")); }).empty());
    QCOMPARE(errorOf([&] { pinRank(p, *s, Side::Keys, 0, 17); }), std::string("rank 17: expected 1 to 16"));
    QCOMPARE(errorOf([&] { pinRank(p, *s, Side::Keys, 4, 3); }), std::string("layer 4: expected 0 to 3"));
    QVERIFY(!errorOf([&] { fullPlan(*s, 0); }).empty());
    const auto other = spectrum(3);
    QCOMPARE(errorOf([&] { applyThresholds(p, *other, 0.5, 0.5); }),
             std::string("the plan has 4 layers, the statistics have 3"));
    QVERIFY(p == before);
}

void TestRankPlan::fileRoundTripIsExact() {
    const TemporaryDirectory directory;
    const auto s = spectrum();
    RankPlan p = plan(*s, 8);
    p.criterion = Criterion::SingularValues;
    p.share_key_basis = p.center = true;
    applyThresholds(p, *s, 0.1 + 0.2, 2.0 / 3.0);
    pinRank(p, *s, Side::Values, 3, 7);
    savePlan(p, directory / "plan.json");
    QVERIFY(loadPlan(directory / "plan.json") == p);
    const Json json = readJsonFile(directory / "plan.json");
    for (const char* key : {"version", "method", "criterion", "share_key_basis", "rank_multiple", "key_ranks",
                            "value_ranks", "pinned", "thresholds", "allocation", "center", "head_group"})
        QVERIFY2(json.contains(key), key);
    QCOMPARE(json.size(), std::size_t{12});
    setLayerThreshold(p, *s, Side::Keys, 1, 1.0 / 3.0);
    setLayerThreshold(p, *s, Side::Values, 0, 0.0);
    p.allocation = Allocation::ErrorBudget;
    p.error_budget = 0.1 + 0.2;
    p.kv_target = 2.0 / 3.0;
    savePlan(p, directory / "plan.json");
    QVERIFY(loadPlan(directory / "plan.json") == p);
    QCOMPARE(readJsonFile(directory / "plan.json").size(), std::size_t{15});
    // A budget that another allocation has been chosen over stays in the file.
    p.allocation = Allocation::Threshold;
    savePlan(p, directory / "plan.json");
    QVERIFY(loadPlan(directory / "plan.json") == p);
    // With bits there are five fields more.
    p.kv_bits = KvBits::uniform(p.key_ranks.size(), 4, kUnquantised);
    p.kv_bits.values[2] = 3;
    p.kv_bits.group = 64;
    p.kv_bits.key_grouping = KvGrouping::Channel;
    p.kv_bits.recent = 12;
    savePlan(p, directory / "plan.json");
    QVERIFY(loadPlan(directory / "plan.json") == p);
    QCOMPARE(readJsonFile(directory / "plan.json").size(), std::size_t{20});
}

void TestRankPlan::shortFilesHaveDefaults() {
    const TemporaryDirectory directory;
    writeTextFile(directory / "p.json", R"({"version": 1, "method": "eigen", "criterion": "energy",
        "key_ranks": [3, 4], "value_ranks": [5, 6]})");
    const RankPlan p = loadPlan(directory / "p.json");
    QCOMPARE(p.key_ranks, (std::vector<int>{3, 4}));
    QCOMPARE(p.value_pinned, std::vector<bool>(2, false));
    QCOMPARE(p.rank_multiple, 8);
}

void TestRankPlan::brokenFilesAreNamed_data() {
    QTest::addColumn<QString>("pointer");
    QTest::addColumn<QString>("value");  // JSON; empty removes the field
    QTest::addColumn<QString>("field");  // named in the message
    const auto row = [](const char* pointer, const char* value, const char* field) {
        QTest::newRow((std::string(pointer) + "=" + value).c_str()) << pointer << value << field;
    };
    row("/version", "2", "version");
    row("/version", "", "version");
    row("/method", "\"magic\"", "method");
    row("/method", "3", "method");
    row("/criterion", "\"entropy\"", "criterion");
    row("/key_ranks", "[1, 2, 3]", "value_ranks");
    row("/key_ranks", "[]", "key_ranks");
    row("/key_ranks", "7", "key_ranks");
    row("/key_ranks/1", "0", "key_ranks[1]");
    row("/key_ranks/0", "2.5", "key_ranks[0]");
    row("/value_ranks/0", "-3", "value_ranks[0]");
    row("/value_ranks/1", "1e30", "value_ranks[1]");
    row("/value_ranks/1", "\"x\"", "value_ranks[1]");
    row("/pinned/keys", "[true]", "pinned.keys");
    row("/pinned/values/1", "1", "pinned.values[1]");
    row("/thresholds/keys", "1.01", "thresholds.keys");
    row("/thresholds/values", "\"a\"", "thresholds.values");
    row("/thresholds/values", "", "thresholds.values");
    row("/rank_multiple", "0", "rank_multiple");
    row("/share_key_basis", "\"yes\"", "share_key_basis");
    row("/center", "1", "center");
    row("/kv_target", "0", "kv_target");
    row("/kv_target", "1.5", "kv_target");
    row("/kv_target", "\"half\"", "kv_target");
    row("/error_budget", "-0.1", "error_budget");
    row("/allocation", "\"magic\"", "allocation");
    row("/layer_thresholds", "{\"keys\": [0.5], \"values\": [null, null]}", "layer_thresholds.keys");
    row("/layer_thresholds", "{\"keys\": [null, 2], \"values\": [null, null]}", "layer_thresholds.keys[1]");
    row("/layer_thresholds", "{\"keys\": [null, null]}", "layer_thresholds.values");
    row("/key_bits", "[4, 16, 4]", "key_bits");
    row("/value_bits", "[4, 7]", "value_bits[1]");
}

void TestRankPlan::brokenFilesAreNamed() {
    QFETCH(QString, pointer);
    QFETCH(QString, value);
    QFETCH(QString, field);
    const TemporaryDirectory directory;
    const auto file = directory / "p.json";
    savePlan(plan(*spectrum(2)), file);
    Json json = readJsonFile(file);
    const Json::json_pointer where(pointer.toStdString());
    if (value.isEmpty())
        json[where.parent_pointer()].erase(where.back());
    else
        json[where] = Json::parse(value.toStdString());
    writeTextFile(file, json.dump());
    const std::string message = errorOf([&] { loadPlan(file); });
    QVERIFY2(message.starts_with(file.string() + ": " + field.toStdString() + ": "), message.c_str());
    QVERIFY(message.find('\n') == std::string::npos);
}

void TestRankPlan::checkedAgainstTheModel() {
    const auto s = spectrum();
    RankPlan p = plan(*s);
    checkPlan(p, 4, 16, "p.json");
    QCOMPARE(errorOf([&] { checkPlan(p, 5, 16, "p.json"); }),
             std::string("p.json: key_ranks: has 4 layers, the model has 5"));
    p.value_ranks[2] = 17;
    QCOMPARE(errorOf([&] { checkPlan(p, 4, 16, "p.json"); }),
             std::string("p.json: value_ranks[2]: rank 17: expected 1 to the full rank, 16"));
}

void TestRankPlan::unwritableOutput() {
    const TemporaryDirectory directory;
    const auto file = directory / "missing" / "p.json";
    QVERIFY(errorOf([&] { savePlan(plan(*spectrum()), file); }).starts_with(file.string()));
    QVERIFY(entriesOf(directory.path()).empty());
    QVERIFY(
        errorOf([&] { loadPlan(directory / "none.json"); }).starts_with((directory / "none.json").string()));
}

QTEST_GUILESS_MAIN(TestRankPlan)
#include "tst_rank_plan.moc"
