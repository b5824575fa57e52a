// SPDX-License-Identifier: Apache-2.0
// `bench` in the terminal: its keys, what it refuses and how, interruption.
#include "tests/app/cli_run.h"

#include <QElapsedTimer>
#include <QFile>
#include <QJsonArray>
#include <QProcess>
#include <QTemporaryDir>
#include <QTest>

#include <csignal>

using namespace eigenscope::test;

class TestCliBench : public QObject {
    Q_OBJECT

private:
    QTemporaryDir m_folder;
    QString at(const QString& name) const { return m_folder.filePath(name); }
    // Of the small models, quickly.
    static QStringList quick(const QStringList& models, const QStringList& more = {}) {
        return QStringList{"bench"} + models +
               QStringList{"--new-tokens", "3", "--repetitions", "2", "--kv-format", "f16"} + more;
    }

private slots:
    void keys() {
        RUN_JSON(json, quick({smallModel("llama"), smallModel("opt")},
                             {"--context", "16,24", "--batch", "1,2", "--csv", at("bench.csv")}));
        CHECK_KEYS(
            json,
            "device:object date:string new_tokens:int repetitions:int rows:array skipped:array csv:string");
        CHECK_KEYS(json["device"].toObject(), "backend:string name:string instructions:string");
        const QJsonArray rows = json["rows"].toArray();
        QCOMPARE(rows.size(), 8);
        QVERIFY(json["skipped"].toArray().isEmpty());
        for (const QJsonValue& value : rows) {
            const QJsonObject row = value.toObject();
            CHECK_KEYS(
                row,
                "model:string context:int batch:int ttft_ms:number ttft_ms_min:number ttft_ms_max:number "
                "tpot_ms:number tpot_ms_min:number tpot_ms_max:number attention_ms:number "
                "attention_ms_min:number attention_ms_max:number kv_cache_bytes:int peak_memory_bytes:int "
                "attention_bandwidth_fraction:number decode_bound_fraction:number "
                "prefill_compute_fraction:number tokens_per_second:number prefill_tokens_per_second:number "
                "weight_bytes_read:int cache_bytes_read:int prefill_flops:number "
                "copy_bytes_per_second:number matmul_flops_per_second:number compute:string "
                "kv_format:string");
            // The cache is what `estimate` says a context takes.
            const QString family = row["model"].toString();
            RUN_JSON(estimate, "estimate", smallModel(family), "--kv-format", "f16", "--context",
                     QString::number(row["context"].toInt()), "--batch",
                     QString::number(row["batch"].toInt()));
            QCOMPARE(row["kv_cache_bytes"], estimate["kv_bytes"]);
            QVERIFY(row["peak_memory_bytes"].toInteger() >
                    estimate["weight_bytes"].toInteger() + estimate["kv_bytes"].toInteger());
            QVERIFY(row["tpot_ms_min"].toDouble() <= row["tpot_ms"].toDouble() &&
                    row["tpot_ms"].toDouble() <= row["tpot_ms_max"].toDouble());
        }
        QCOMPARE(rows[0].toObject()["model"].toString(), QString("llama"));
        QCOMPARE(rows[1].toObject()["context"].toInt(), 24);
        QCOMPARE(rows[2].toObject()["batch"].toInt(), 2);
        QCOMPARE(rows[7].toObject()["model"].toString(), QString("opt"));
        QFile csv(at("bench.csv"));
        QVERIFY(csv.open(QIODevice::ReadOnly));
        QCOMPARE(csv.readAll().count('\n'), 9);
    }

    void text() {
        const CliResult result = runCli(quick({smallModel("mpt")}, {"--context", "16"}));
        QVERIFY2(result.status == 0, result.error);
        for (const char* part : {"TTFT", "TPOT", "attention of copy", "decode of bound", "GB/s"})
            QVERIFY2(result.out.contains(part), part);
    }

    void decodeAlone() {
        RUN_JSON(json, quick({smallModel("llama")}, {"--context", "16", "--no-prefill"}));
        const QJsonObject row = json["rows"].toArray().first().toObject();
        CHECK_KEYS(row, "ttft_ms:number? prefill_compute_fraction:number? tpot_ms:number");
        QVERIFY(row["ttft_ms"].isNull() && row["prefill_compute_fraction"].isNull());
    }

    void refusals_data() {
        QTest::addColumn<QStringList>("arguments");
        QTest::addColumn<int>("status");
        QTest::addColumn<QString>("named");
        const QString llama = smallModel("llama");
        QTest::newRow("beyond the positions") << quick({llama}, {"--context", "16,100000"}) << 1 << "100000";
        QTest::newRow("the second model's")
            << quick({llama, "preset:opt-6.7b"}, {"--context", "16,2049"}) << 1 << "positions of";
        QTest::newRow("no room") << quick({llama}, {"--context", "3"}) << 1 << "3 new tokens";
        // 8192 positions of 128 KiB a token: 2^20 of them are 1 PiB.
        QTest::newRow("no memory") << quick({"preset:llama-3-8b"},
                                            {"--context", "8192", "--batch", "1048576", "--no-prefill"})
                                   << 1 << "are free";
        QTest::newRow("no such model") << quick({at("nowhere")}) << 1 << "nowhere";
        QTest::newRow("no folder for the table")
            << quick({llama}, {"--context", "16", "--csv", at("missing/bench.csv")}) << 1 << "missing";
        QTest::newRow("no model") << QStringList{"bench"} << 2 << "MODEL";
        QTest::newRow("no number") << quick({llama}, {"--context", "long"}) << 2 << "context";
        QTest::newRow("zero") << quick({llama}, {"--batch", "0"}) << 2 << "batch";
    }
    void refusals() {
        QFETCH(QStringList, arguments);
        QFETCH(int, status);
        QFETCH(QString, named);
        const CliResult result = runCli(arguments + QStringList{"--json"});
        QCOMPARE(result.status, status);
        QVERIFY(result.out.isEmpty());
        QVERIFY2(result.error.contains(named.toUtf8()), result.error);
    }

    void skips() {
        RUN_JSON(json, quick({"preset:tinyllama-1.1b"},
                             {"--context", "2048", "--batch", "1048576", "--skip-unfit"}));
        QVERIFY(json["rows"].toArray().isEmpty());
        const QJsonObject skipped = json["skipped"].toArray().first().toObject();
        CHECK_KEYS(skipped, "model:string context:int batch:int reason:string");
        QVERIFY(skipped["reason"].toString().contains("free"));
    }

    // A long run, stopped at different stages; neither JSON nor a table is left.
    void interrupted() {
        for (const int delay : {0, 300, 1200}) {
            QTemporaryDir empty;
            QProcess process;
            process.start(cliProgram(),
                          {"bench", "preset:tinyllama-1.1b", "--context", "1024", "--repetitions", "1000",
                           "--json", "--csv", empty.filePath("bench.csv")});
            QVERIFY(process.waitForStarted());
            QElapsedTimer timer;
            timer.start();
            QByteArray blocked;
            while (timer.elapsed() < 60'000) {  // until the process handles signals itself
                QFile status(QString("/proc/%1/status").arg(process.processId()));
                QVERIFY(status.open(QIODevice::ReadOnly));
                const QByteArray text = status.readAll();
                blocked = text.mid(text.indexOf("SigBlk:") + 7, 17).trimmed();
                if (blocked.toULongLong(nullptr, 16) & (1ULL << (SIGINT - 1)))
                    break;
                QTest::qSleep(2);
            }
            QTest::qSleep(delay);
            kill(static_cast<pid_t>(process.processId()), SIGINT);
            QVERIFY(process.waitForFinished(60'000));
            QCOMPARE(process.exitStatus(), QProcess::NormalExit);
            QCOMPARE(process.exitCode(), 130);
            QVERIFY(process.readAllStandardOutput().isEmpty());
            QCOMPARE(filesBelow(empty.path()), QStringList());
        }
    }
};

QTEST_GUILESS_MAIN(TestCliBench)
#include "tst_cli_bench.moc"
