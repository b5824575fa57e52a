// SPDX-License-Identifier: Apache-2.0
// The quantised KV cache in the terminal: formats and their bytes, two formats compared, and ranks and bits
// as one setting of a plan.
#include "tests/app/cli_run.h"

#include <QJsonArray>
#include <QTemporaryDir>
#include <QTest>

using namespace eigenscope::test;

class TestCliQuantised : public QObject {
    Q_OBJECT

private:
    QTemporaryDir m_folder;
    QString at(const QString& name) const { return m_folder.filePath(name); }

private slots:
    void quantisedCaches() {
        // 2 layers, 2 key/value heads, 16 dimensions: a row is 8 bytes of codes and 4 of scale and minimum at
        // 4 bit.
        RUN_JSON(q4, "inspect", smallModel("llama"), "--kv-format", "q4");
        QCOMPARE(q4["kv_format"].toString(), QString("q4"));
        QCOMPARE(q4["kv_group"].toInt(), 32);
        QCOMPARE(q4["kv_bytes_per_token"].toInt(), 2 * 2 * 2 * (8 + 4));
        RUN_JSON(q3, "inspect", smallModel("llama"), "--kv-format", "q3", "--kv-group", "8");
        QCOMPARE(q3["kv_bytes_per_token"].toInt(), 2 * 2 * 2 * (6 + 8));
        RUN_JSON(estimated, "estimate", smallModel("llama"), "--kv-format", "q4", "--context", "50",
                 "--kv-recent", "10");
        // 10 recent rows and the 50 of a call, but never more than the context: 50 exact rows in f32.
        QCOMPARE(estimated["kv_bytes"].toInt(), 2 * 2 * 2 * 50 * (12 + 64));
        const QStringList perplexity = {"perplexity", smallModel("llama"), "--text", smallText(), "--windows",
                                        "2",          "--sequence-length", "64"};
        RUN_JSON(dense, perplexity);
        double last = 0;
        for (const char* format : {"q8", "q4", "q2"}) {
            RUN_JSON(coded, perplexity + QStringList{"--kv-format", format});
            const double change = qAbs(coded["perplexity"].toDouble() / dense["perplexity"].toDouble() - 1);
            QVERIFY2(change > last, format);
            last = change;
        }
        RUN_JSON(channel,
                 perplexity + QStringList{"--kv-format", "q4", "--kv-keys", "channel", "--kv-recent", "20"});
        QVERIFY(channel["perplexity"] != dense["perplexity"]);
        // Everything is recent: nothing is read from codes.
        RUN_JSON(recent, perplexity + QStringList{"--kv-format", "q2", "--kv-recent", "64"});
        QVERIFY(qAbs(recent["perplexity"].toDouble() / dense["perplexity"].toDouble() - 1) < 1e-5);
        RUN_JSON(compared, "compare", smallModel("llama"), smallModel("llama"), "--text", smallText(),
                 "--windows", "2", "--sequence-length", "64", "--kv-format2", "q2", "--prompt", "The",
                 "--max-tokens", "3");
        QCOMPARE(compared["kv_format"][0].toString(), QString("f32"));
        QCOMPARE(compared["kv_format"][1].toString(), QString("q2"));
        // The likelihoods of one are taken on the device, of the other on the host.
        QVERIFY(qAbs(compared["perplexity"][0].toDouble() / dense["perplexity"].toDouble() - 1) < 1e-7);
        QVERIFY(compared["kl_divergence"].toDouble() > 0);
        // A plain quantised cache beside the second model as it is; without a word on the second, both.
        for (const auto& [options, second] :
             {std::pair(QStringList{"--kv-format2", "auto"}, "f32"), std::pair(QStringList{}, "q4")}) {
            RUN_JSON(beside,
                     QStringList{"compare", smallModel("llama"), smallModel("llama"), "--text", smallText(),
                                 "--windows", "2", "--sequence-length", "64", "--kv-format", "q4"} +
                         options);
            QCOMPARE(beside["kv_format"][0].toString(), QString("q4"));
            QCOMPARE(beside["kv_format"][1].toString(), QString(second));
        }
        QVERIFY(compared["generations"][1]["kv_cache_bytes"].toInt() <
                compared["generations"][0]["kv_cache_bytes"].toInt());
    }

    // Ranks and bits are one setting: the plan says both, the converted checkpoint uses both.
    void plannedBits() {
        const QString stats = at("bits.stats.safetensors"), plan = at("bits.json"), converted = at("bits");
        RUN_JSON(calibrated, "calibrate", smallModel("opt"), "--text", smallText(), "--samples", "6",
                 "--sequence-length", "64", "--output", stats);
        RUN_JSON(planned, "plan", stats, "--rank-ratio", "0.6", "--kv-bits", "4", "--rank-multiple", "1",
                 "--output", plan);
        QVERIFY(planned["rank_ratio"].toDouble() <= 0.6);
        QCOMPARE(planned["key_bits"][0].toInt(), 4);
        double bytes = 0;
        for (const char* ranks : {"key_ranks", "value_ranks"}) {
            for (const QJsonValue& rank : planned[QLatin1String(ranks)].toArray())
                bytes += (rank.toInt() + 1) / 2 + 4;
        }
        const int layers = static_cast<int>(planned["key_ranks"].toArray().size());
        QCOMPARE(planned["kv_ratio"].toDouble(), bytes / (layers * 2 * 16 * 2));
        // A target of bytes counts the bits: more ranks than a share of ranks gives.
        RUN_JSON(target, "plan", stats, "--kv-ratio", "0.4", "--kv-bits", "4", "--rank-multiple", "1",
                 "--output", at("target.json"));
        QVERIFY(target["kv_ratio"].toDouble() <= 0.4 && target["kv_ratio"].toDouble() > 0.35);
        QVERIFY(target["rank_ratio"].toDouble() > 0.6);
        const CliResult impossible = runCli({"plan", stats, "--kv-ratio", "0.05", "--kv-bits", "8",
                                             "--rank-multiple", "1", "--output", at("x.json")});
        QCOMPARE(impossible.status, 1);
        QVERIFY2(impossible.error.contains("cannot be had"), impossible.error);

        RUN_JSON(done, "convert", smallModel("opt"), "--stats", stats, "--plan", plan, "--output", converted);
        QCOMPARE(done["kv_ratio"].toDouble(), planned["kv_ratio"].toDouble());
        RUN_JSON(inspected, "inspect", converted);
        QCOMPARE(inspected["kv_format"].toString(), QString("planned"));
        QCOMPARE(inspected["eigen_attention"]["value_bits"], planned["value_bits"]);
        RUN_JSON(original, "inspect", smallModel("opt"), "--kv-format", "f16");
        QCOMPARE(inspected["kv_bytes_per_token"].toDouble() / original["kv_bytes_per_token"].toDouble(),
                 planned["kv_ratio"].toDouble());
        RUN_JSON(compared, "compare", converted, converted, "--text", smallText(), "--windows", "2",
                 "--sequence-length", "64", "--kv-format2", "f32");
        QCOMPARE(compared["kv_format"][0].toString(), QString("planned"));
        QVERIFY(compared["kl_divergence"].toDouble() > 0);
    }

    // Scores are taken from the keys as each query reads them.
    void fidelityOfCodes() {
        const QStringList fidelity = {"fidelity", smallModel("llama"), smallModel("llama"),
                                      "--text",   smallText(),         "--windows",
                                      "2",        "--sequence-length", "48"};
        double last = 0;
        for (const char* format : {"f32", "q8", "q4", "q2"}) {
            RUN_JSON(measured, fidelity + QStringList{"--kv-format2", format});
            const double error = measured["layers"][0]["heads"][1]["score_error"].toDouble();
            QVERIFY2(format == QString("f32") ? error < 1e-6 : error > 2 * last, format);
            last = error;
        }
        QVERIFY(last > 0.05 && last < 1);
        RUN_JSON(recent, fidelity + QStringList{"--kv-format2", "q2", "--kv-recent", "16"});
        const double less = recent["layers"][0]["heads"][1]["score_error"].toDouble();
        QVERIFY(less > 0.01 && less < last);
        RUN_JSON(channel, fidelity + QStringList{"--kv-format2", "q2", "--kv-keys", "channel"});
        QVERIFY(channel["layers"][0]["heads"][1]["score_error"].toDouble() > 0.01);
        RUN_JSON(compared, "diff", smallModel("llama"), smallModel("llama"), "--text", smallText(),
                 "--sequence-length", "40", "--kv-format2", "q2");
        QVERIFY(compared["kl_divergence"].toDouble() > 0);
    }
};

QTEST_GUILESS_MAIN(TestCliQuantised)
#include "tst_cli_quantised.moc"
