// SPDX-License-Identifier: Apache-2.0
// A calibration that is stopped and goes on ends with the same bits as one that is not; what is kept in
// between is refused for any other run.
#include "core/base/atomic_output.h"
#include "core/calibration/calibrate.h"
#include "tests/core/method_support.h"
#include "tests/support/backends.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

CalibrationOptions shortOptions(int attention_queries) {
    CalibrationOptions options;
    options.samples = 7;
    options.sequence_length = 40;
    options.seed = 5;
    options.attention_queries = attention_queries;
    options.run.threads = 1;
    return options;
}

bool sameBits(const Statistics& a, const Statistics& b) {
    const TemporaryDirectory directory;
    saveStatistics(a, directory / "a");
    saveStatistics(b, directory / "b");
    return readTextFile(directory / "a") == readTextFile(directory / "b");
}

}  // namespace

class TestPartialCalibration : public QObject {
    Q_OBJECT
private slots:
    void continuedRunsEndWithTheSameBits_data();
    void continuedRunsEndWithTheSameBits();
    void keepsAtIntervals();
    void sameCalibrationIsTold();
    void otherRunsAreRefused();
    void brokenFiles();
};

void TestPartialCalibration::continuedRunsEndWithTheSameBits_data() {
    QTest::addColumn<QString>("name");
    QTest::addColumn<QString>("backend");
    QTest::addColumn<int>("queries");
    for (const auto& backend : hostBackends()) {
        for (const std::string& name : methodGoldenNames()) {
            for (const int queries : {0, 8})
                QTest::newRow(
                    (name + " on " + backend->info().backend + ", " + std::to_string(queries)).c_str())
                    << QString::fromStdString(name) << QString::fromStdString(backend->info().backend)
                    << queries;
        }
    }
}

void TestPartialCalibration::continuedRunsEndWithTheSameBits() {
    QFETCH(QString, name);
    QFETCH(QString, backend);
    QFETCH(int, queries);
    const MethodGolden golden = openMethodGolden(name.toStdString(), hostBackend(backend.toStdString()));
    const TemporaryDirectory directory;
    const auto file = partialFileOf(directory / "x.stats.safetensors");
    QCOMPARE(file.filename().string(), std::string("x.stats.safetensors.partial"));
    JobContext job;
    const CalibrationPlan plan = planCalibration(job, golden.open, golden.text, shortOptions(queries));
    const Statistics whole = runCalibration(job, golden.open, plan);

    // Stopped again and again, each time when two more windows are done.
    int runs = 0;
    std::optional<Statistics> finished;
    for (std::int64_t reached = 0; !finished && runs < 20; ++runs) {
        CalibrationKeeper keeper;
        if (reached > 0) {
            keeper.start = loadPartialCalibration(file);
            checkSameRun(*keeper.start, plan.description.identity, file);
            QCOMPARE(keeper.start->windows, reached);
        }
        keeper.keep = [&](const PartialCalibration& partial) {
            savePartialCalibration(partial, file);
            reached = partial.windows;
        };
        std::stop_source stop;
        const std::int64_t from = reached;
        JobContext stopped(stop.get_token());
        keeper.interval_seconds = 0;
        const auto keep = keeper.keep;
        keeper.keep = [&, keep](const PartialCalibration& partial) {
            keep(partial);
            if (partial.windows >= from + 2)
                stop.request_stop();
        };
        try {
            finished = runCalibration(stopped, golden.open, plan, keeper);
        } catch (const Cancelled&) {
            QVERIFY(reached > from);
        }
    }
    QVERIFY(finished.has_value());
    QCOMPARE(runs, 4);  // 2, 4, 6 and all 7
    QVERIFY(sameBits(*finished, whole));
}

void TestPartialCalibration::keepsAtIntervals() {
    const MethodGolden golden = openMethodGolden("opt", referenceBackend());
    JobContext job;
    const CalibrationPlan plan = planCalibration(job, golden.open, golden.text, shortOptions(0));
    std::vector<std::int64_t> kept;
    CalibrationKeeper keeper;
    keeper.keep = [&](const PartialCalibration& partial) { kept.push_back(partial.windows); };
    keeper.interval_seconds = 1e6;
    const Statistics whole = runCalibration(job, golden.open, plan, keeper);
    QVERIFY(kept.empty());
    // Sums of another model do not fit.
    keeper.start = PartialCalibration{plan.description.identity, 2, {{1, 2}, {3}}};
    QVERIFY(errorOf([&] {
                runCalibration(job, golden.open, plan, keeper);
            }).find("does not hold this model's") != std::string::npos);
}

void TestPartialCalibration::sameCalibrationIsTold() {
    const MethodGolden golden = openMethodGolden("llama", referenceBackend());
    JobContext job;
    const CalibrationOptions options = shortOptions(0);
    const TemporaryDirectory directory;
    saveStatistics(calibrate(job, golden.open, golden.text, options), directory / "a");
    const Statistics statistics = loadStatistics(directory / "a");
    QCOMPARE(statistics.corpus.files.size(), std::size_t{1});
    QCOMPARE(statistics.corpus.files[0].name, std::string("text.txt"));
    QCOMPARE(statistics.corpus.files[0].windows, std::int64_t{7});
    const auto same = [&](const CorpusSpec& text, const CalibrationOptions& other) {
        return sameCalibration(statistics, planCalibration(job, golden.open, text, other));
    };
    QVERIFY(same(golden.text, options));
    CalibrationOptions other = options;
    other.seed = 6;
    QVERIFY(!same(golden.text, other));
    other = options;
    other.samples = 6;
    QVERIFY(!same(golden.text, other));
    other = options;
    other.attention_queries = 3;
    QVERIFY(!same(golden.text, other));
    writeTextFile(directory / "text.txt", readTextFile(golden.text) + "More.");
    QVERIFY(!same(directory / "text.txt", options));
    CorpusSpec twice;
    twice.files = {{golden.text, 1}, {golden.text, 1}};
    QVERIFY(!same(twice, options));
    Statistics old = statistics;
    old.identity.clear();
    QVERIFY(!sameCalibration(old, planCalibration(job, golden.open, golden.text, options)));
}

void TestPartialCalibration::otherRunsAreRefused() {
    PartialCalibration partial;
    partial.identity = {{"model", "00aa"}, {"seed", "3"}};
    QCOMPARE(errorOf([&] { checkSameRun(partial, partial.identity, "x.partial"); }), std::string());
    QCOMPARE(errorOf([&] {
                 checkSameRun(partial, {{"model", "00aa"}, {"seed", "4"}}, "x.partial");
             }),
             std::string(
                 "x.partial: is of another calibration, its seed is '3', not '4'; delete it to start anew"));
    QCOMPARE(
        errorOf([&] {
            checkSameRun(partial, {{"model", "00aa"}}, "x.partial");
        }),
        std::string(
            "x.partial: is of another calibration, its seed is '3', not nothing; delete it to start anew"));
}

void TestPartialCalibration::brokenFiles() {
    const TemporaryDirectory directory;
    const auto file = directory / "a.partial";
    const auto message = [&] { return errorOf([&] { loadPartialCalibration(file); }); };
    saveStatistics(randomStatistics(1, 2, 1, 4, true, 1), file);
    QVERIFY(message().find("is not an unfinished calibration") != std::string::npos);
    PartialCalibration partial{{{"model", "a"}}, 3, {{1, 2, 3}, {4, 5, 6}}};
    savePartialCalibration(partial, file);
    QCOMPARE(loadPartialCalibration(file).layers, partial.layers);
    const std::string bytes = readTextFile(file);
    const auto replaced = [&](const std::string& from, const std::string& to) {
        std::string changed = bytes;
        changed.replace(changed.find(from), from.size(), to);
        writeTextFile(file, changed);
        return message();
    };
    QVERIFY(replaced("\"windows\":\"3\"", "\"windows\":\"0\"").find("__metadata__.windows") !=
            std::string::npos);
    QVERIFY(replaced("\"windows\":\"3\"", "\"windows\":\"x\"").find("__metadata__.windows") !=
            std::string::npos);
    QVERIFY(!replaced("layers.1.sums", "layers.2.sums").empty());
    for (std::size_t size = 0; size < bytes.size(); size += 7) {
        writeTextFile(file, bytes.substr(0, size));
        QVERIFY(!message().empty());
    }
    partial.layers[1][0] = std::numeric_limits<double>::infinity();
    savePartialCalibration(partial, file);
    QVERIFY(message().find("layers.1.sums: holds a number that is not finite") != std::string::npos);
}

QTEST_GUILESS_MAIN(TestPartialCalibration)
#include "tst_partial_calibration.moc"
