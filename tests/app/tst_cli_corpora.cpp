// SPDX-License-Identifier: Apache-2.0
// Calibration corpora in the terminal: formats, mixtures, statistics that are there already, runs that are
// interrupted and go on, and bases of two texts compared.
#include "tests/app/cli_run.h"

#include <QDir>
#include <QElapsedTimer>
#include <QFile>
#include <QJsonArray>
#include <QJsonDocument>
#include <QProcess>
#include <QTemporaryDir>
#include <QTest>

#include <cmath>
#include <csignal>

using namespace eigenscope::test;

namespace {

bool write(const QString& file, const QByteArray& bytes) {
    QFile out(file);
    return out.open(QIODevice::WriteOnly | QIODevice::Truncate) && out.write(bytes) == bytes.size();
}

QByteArray read(const QString& file) {
    QFile in(file);
    return in.open(QIODevice::ReadOnly) ? in.readAll() : QByteArray();
}

}  // namespace

class TestCliCorpora : public QObject {
    Q_OBJECT

private:
    QTemporaryDir m_folder;
    QString at(const QString& name) const { return m_folder.filePath(name); }
    QStringList calibrate(const QString& output, const QStringList& more) const {
        return QStringList{"calibrate", smallModel("llama"), "--samples", "6", "--sequence-length",
                           "32",        "--output",          at(output)} +
               more;
    }

private slots:
    void initTestCase() {
        // The small text as records of four lines each.
        const QList<QByteArray> lines = read(smallText()).trimmed().split('\n');
        QVERIFY(lines.size() > 20);
        QByteArray records;
        for (qsizetype i = 0; i + 4 <= lines.size(); i += 4) {
            QByteArray text;
            for (qsizetype j = i; j < i + 4; ++j)
                text += lines[j] + '\n';
            records += QJsonDocument(QJsonObject{{"body", QString::fromUtf8(text)}, {"n", i}})
                           .toJson(QJsonDocument::Compact) +
                       '\n';
        }
        QVERIFY(write(at("a=b.jsonl"), records));
        QVERIFY(write(at("x=3"), read(smallText())));
        QVERIFY(write(at("broken.jsonl"), "{\"text\": \"a\"}\n{\"text\": \n"));
        QVERIFY(write(at("zero.json"), "[]"));
    }

    void mixtures() {
        RUN_JSON(json, calibrate("mixed.stats.safetensors", {"--text", at("a=b.jsonl") + "=2", "--text",
                                                             smallText(), "--text-field", "body"}));
        CHECK_KEYS(json,
                   "output:string tokens:int samples:int sequence_length:int seed:int texts:array "
                   "corpus_fingerprint:string reused:bool resumed_windows:int");
        const QJsonArray texts = json["texts"].toArray();
        QCOMPARE(texts.size(), 2);
        CHECK_KEYS(texts[0].toObject(),
                   "file:string fingerprint:string format:string sampling:string weight:number documents:int "
                   "windows:int");
        QCOMPARE(texts[0]["file"].toString(), QString("a=b.jsonl"));
        QCOMPARE(texts[0]["format"].toString(), QString("records"));
        QCOMPARE(texts[0]["weight"].toDouble(), 2.0);
        QCOMPARE(texts[0]["windows"].toInt(), 4);
        QCOMPARE(texts[0]["documents"].toInt(), 11);
        QCOMPARE(texts[1]["sampling"].toString(), QString("whole"));
        QCOMPARE(texts[1]["windows"].toInt(), 2);
        // A file that is there is a file, '=' and all.
        RUN_JSON(odd, calibrate("odd.stats.safetensors", {"--text", at("x=3")}));
        QCOMPARE(odd["texts"][0]["file"].toString(), QString("x=3"));
        RUN_JSON(packed, calibrate("packed.stats.safetensors", {"--text", at("a=b.jsonl"), "--text-field",
                                                                "body", "--documents", "packed"}));
        QCOMPARE(packed["texts"][0]["sampling"].toString(), QString("packed"));
        QVERIFY(packed["corpus_fingerprint"] != json["corpus_fingerprint"]);
    }

    void sameStatisticsAreNotMadeAgain() {
        const QStringList once = calibrate("same.stats.safetensors", {"--text", smallText()});
        RUN_JSON(first, once);
        QVERIFY(!first["reused"].toBool());
        const QByteArray bytes = read(at("same.stats.safetensors"));
        RUN_JSON(second, once);
        QVERIFY(second["reused"].toBool());
        QCOMPARE(second["tokens"], first["tokens"]);
        QCOMPARE(read(at("same.stats.safetensors")), bytes);
        RUN_JSON(again, once + QStringList{"--again"});
        QVERIFY(!again["reused"].toBool());
        RUN_JSON(seed, once + QStringList{"--seed", "1"});
        QVERIFY(!seed["reused"].toBool());
        // The same file with other contents is another corpus.
        QVERIFY(write(at("changing.txt"), read(smallText())));
        const QStringList changing = calibrate("changing.stats.safetensors", {"--text", at("changing.txt")});
        RUN_JSON(before, changing);
        QVERIFY(write(at("changing.txt"), read(smallText()) + "One line more.\n"));
        RUN_JSON(after, changing);
        QVERIFY(!after["reused"].toBool());
        QVERIFY(after["corpus_fingerprint"] != before["corpus_fingerprint"]);
    }

    void interruptedRunsGoOn() {
        const QStringList run = {"calibrate", smallModel("llama"), "--text", smallText(), "--samples",
                                 "3000",      "--sequence-length", "128",    "--threads", "1"};
        QTemporaryDir folder;
        const QString output = folder.filePath("x.stats.safetensors"), partial = output + ".partial";
        const QStringList resumable =
            run + QStringList{"--resume", "--keep-every", "0.2", "--output", output};
        int interruptions = 0;
        for (; interruptions < 2; ++interruptions) {
            const QByteArray before = read(partial);
            QProcess process;
            process.start(cliProgram(), resumable);
            QVERIFY(process.waitForStarted());
            QElapsedTimer timer;
            timer.start();
            while (read(partial) == before && process.state() == QProcess::Running &&
                   timer.elapsed() < 60'000)
                QTest::qSleep(5);
            kill(static_cast<pid_t>(process.processId()), SIGINT);
            QVERIFY(process.waitForFinished(60'000));
            QCOMPARE(process.exitStatus(), QProcess::NormalExit);
            if (process.exitCode() == 0)
                break;  // finished before the signal came: a fast machine
            QCOMPARE(process.exitCode(), 130);
            QCOMPARE(filesBelow(folder.path()), QStringList{"x.stats.safetensors.partial"});
        }
        // Other options: refused by name, and nothing is lost.
        if (QFile::exists(partial)) {
            const QByteArray kept = read(partial);
            const CliResult other = runCli(resumable + QStringList{"--seed", "4"});
            QCOMPARE(other.status, 1);
            QVERIFY2(other.error.contains(
                         "x.stats.safetensors.partial: is of another calibration, its seed is '0', not '4'"),
                     other.error);
            QCOMPARE(read(partial), kept);
        }
        RUN_JSON(resumed, resumable);
        QVERIFY(interruptions == 0 || resumed["resumed_windows"].toInt() > 0);
        QCOMPARE(filesBelow(folder.path()), QStringList{"x.stats.safetensors"});
        RUN_JSON(whole, run + QStringList{"--output", folder.filePath("whole.stats.safetensors")});
        QVERIFY(read(output) == read(folder.filePath("whole.stats.safetensors")));
    }

    void subspaces() {
        RUN_JSON(first, calibrate("one.stats.safetensors", {"--text", smallText()}));
        RUN_JSON(second, calibrate("two.stats.safetensors", {"--text", smallText(), "--seed", "9"}));
        RUN_JSON(json, "subspaces", at("one.stats.safetensors"), at("two.stats.safetensors"), "--rank", "4",
                 "--csv", at("overlap.csv"));
        CHECK_KEYS(
            json,
            "model:string method:string texts:strings rank:int threshold:number? layers:array csv:string");
        QCOMPARE(json["layers"].toArray().size(), 2);
        const QJsonObject keys = json["layers"][1]["keys"].toObject();
        CHECK_KEYS(keys,
                   "ranks:ints overlap:number by_chance:number largest_angle:number head_overlaps:numbers "
                   "head_angles:array");
        QVERIFY(keys["overlap"].toDouble() > 0.25 && keys["overlap"].toDouble() < 1);
        QCOMPARE(keys["by_chance"].toDouble(), 4.0 / 16);
        // The overlap is the mean squared cosine of the angles.
        double overlap = 0;
        for (const QJsonValue& angle : keys["head_angles"][0].toArray())
            overlap += std::pow(std::cos(angle.toDouble() * M_PI / 180), 2) / 4;
        QVERIFY(std::abs(overlap - keys["head_overlaps"][0].toDouble()) < 1e-9);
        QVERIFY(read(at("overlap.csv")).startsWith("layer,side,head,rank,rank2,"));
        RUN_JSON(same, "subspaces", at("one.stats.safetensors"), at("one.stats.safetensors"), "--threshold",
                 "0.9", "--method", "attention-aware");
        QVERIFY(std::abs(same["layers"][0]["values"]["overlap"].toDouble() - 1) < 1e-9);
        QVERIFY(same["layers"][0]["values"]["largest_angle"].toDouble() < 1e-6);
        const CliResult table =
            runCli({"subspaces", at("one.stats.safetensors"), at("two.stats.safetensors")});
        QCOMPARE(table.status, 0);
        QVERIFY(table.out.contains("by chance"));
    }

    void evaluationReadsRecords() {
        // What records hold, joined by blank lines, is the text.
        QVERIFY(write(at("lines.jsonl"),
                      "{\"text\":\"Ada found a red boat.\"}\n\n{\"text\":\"Bruno said so.\"}\n"));
        QVERIFY(write(at("lines.txt"), "Ada found a red boat.\n\nBruno said so."));
        RUN_JSON(records, "perplexity", smallModel("opt"), "--text", at("lines.jsonl"), "--sequence-length",
                 "8");
        RUN_JSON(plain, "perplexity", smallModel("opt"), "--text", at("lines.txt"), "--sequence-length", "8");
        QCOMPARE(records["window_nll"], plain["window_nll"]);
        RUN_JSON(field, "perplexity", smallModel("opt"), "--text", at("a=b.jsonl"), "--text-field", "body",
                 "--sequence-length", "32", "--windows", "2");
        QCOMPARE(field["windows"].toInt(), 2);
    }

    void failures_data() {
        QTest::addColumn<QStringList>("arguments");
        QTest::addColumn<int>("status");
        QTest::addColumn<QString>("named");
        const auto row = [&](const char* name, const QStringList& more, int status, const char* named) {
            QTest::newRow(name) << calibrate("never.stats.safetensors", more) << status << QString(named);
        };
        row("broken record", {"--text", at("broken.jsonl")}, 1, "broken.jsonl: record 2 (line 2)");
        row("no such field", {"--text", at("a=b.jsonl")}, 1,
            "a=b.jsonl: record 1 (line 1): has no field 'text'");
        row("no records", {"--text", at("zero.json")}, 1, "zero.json: has no document with text");
        row("no such file", {"--text", at("none.txt") + "=2"}, 1, "none.txt");
        row("one of two missing", {"--text", smallText(), "--text", at("none.txt")}, 1, "none.txt");
        row("weight of nothing", {"--text", smallText() + "=0"}, 2, "weight");
        row("no weight", {"--text", smallText() + "=much"}, 1, "=much");
        row("documents", {"--text", smallText(), "--documents", "torn"}, 2, "--documents");
        row("two texts behind one option", {"--text", smallText(), smallText()}, 2, "");
        row("negative interval", {"--text", smallText(), "--keep-every", "-1"}, 2, "--keep-every");
        const auto compare = [&](const char* name, const QStringList& more, int status, const char* named) {
            QTest::newRow(name) << (QStringList{"subspaces"} + more) << status << QString(named);
        };
        const QString one = at("one.stats.safetensors");
        compare("one statistics file", {one}, 2, "STATS2");
        compare("rank too large", {one, one, "--rank", "17"}, 1, "rank 17: expected 1 to the full rank, 16");
        compare("rank and threshold", {one, one, "--rank", "3", "--threshold", "0.9"}, 2, "--threshold");
        compare("no statistics", {one, smallText()}, 1, "text.txt");
        compare("statistics missing", {one, at("none.stats.safetensors")}, 1, "none.stats.safetensors");
    }
    void failures() {
        QFETCH(QStringList, arguments);
        QFETCH(int, status);
        QFETCH(QString, named);
        const CliResult result = runCli(arguments);
        QVERIFY2(result.status == status,
                 qPrintable(QString("status %1: %2").arg(result.status).arg(result.error.constData())));
        QVERIFY2(result.error.contains(named.toUtf8()), result.error);
        QVERIFY(result.out.isEmpty());
        QVERIFY(!QFile::exists(at("never.stats.safetensors")));
    }

    void otherModelsAreNotCompared() {
        RUN_JSON(json, "calibrate", smallModel("opt"), "--text", smallText(), "--samples", "2",
                 "--sequence-length", "32", "--output", at("opt.stats.safetensors"));
        const CliResult result =
            runCli({"subspaces", at("one.stats.safetensors"), at("opt.stats.safetensors")});
        QCOMPARE(result.status, 1);
        QVERIFY2(result.error.contains("opt.stats.safetensors: these statistics are of opt"), result.error);
    }

    void brokenPartialFilesAreNamed() {
        QVERIFY(write(at("p.stats.safetensors.partial"), "garbage"));
        const CliResult result =
            runCli(calibrate("p.stats.safetensors", {"--text", smallText(), "--resume"}));
        QCOMPARE(result.status, 1);
        QVERIFY2(result.error.contains("p.stats.safetensors.partial"), result.error);
        QCOMPARE(read(at("p.stats.safetensors.partial")), QByteArray("garbage"));
    }
};

QTEST_GUILESS_MAIN(TestCliCorpora)
#include "tst_cli_corpora.moc"
