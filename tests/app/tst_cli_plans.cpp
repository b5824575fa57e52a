// SPDX-License-Identifier: Apache-2.0
// From statistics to plans and what they cost, in the terminal: every way of choosing ranks and bits, and the
// trade-off between them.
#include "tests/app/cli_run.h"

#include <QFile>
#include <QJsonArray>
#include <QTemporaryDir>
#include <QTest>

#include <cmath>

using namespace eigenscope::test;

class TestCliPlans : public QObject {
    Q_OBJECT

private:
    QTemporaryDir m_folder;
    QString at(const QString& name) const { return m_folder.filePath(name); }

private slots:
    void plansFromThresholdsAndMemory() {
        const QString stats = at("plans.stats.safetensors"), plan = at("plans.json");
        RUN_JSON(calibrated, "calibrate", smallModel("llama"), "--text", smallText(), "--samples", "8",
                 "--sequence-length", "64", "--output", stats);
        double last = 0;
        for (const char* threshold : {"0.5", "0.9", "0.99", "1"}) {
            RUN_JSON(planned, "plan", stats, "--threshold", threshold, "--rank-multiple", "1", "--output",
                     plan);
            QVERIFY(planned["kv_ratio"].toDouble() >= last);
            last = planned["kv_ratio"].toDouble();
        }
        RUN_JSON(apart, "plan", stats, "--key-threshold", "1", "--value-threshold", "0.5", "--rank-multiple",
                 "1", "--output", plan);
        QCOMPARE(apart["key_ranks"][0].toInt(), 16);
        QVERIFY(apart["value_ranks"][0].toInt() < 16);
        // A cache of 2 layers, 2 heads and 16 + 16 dimensions is 512 bytes a token in f32: 100 tokens take
        // 51,200.
        RUN_JSON(fits, "plan", stats, "--fit-context", "100", "--memory", "30K", "--rank-multiple", "1",
                 "--output", plan);
        QVERIFY(fits["memory_bytes"].toInteger() <= 30 * 1024);
        QVERIFY(fits["memory_bytes"].toInteger() > 20 * 1024);
        RUN_JSON(weights, "plan", stats, "--fit-context", "100000", "--memory", "40M", "--model",
                 smallModel("llama"), "--rank-multiple", "1", "--output", plan);
        QVERIFY(weights["memory_bytes"].toInteger() <= 40 << 20);
        QVERIFY(weights["kv_ratio"].toDouble() < 1);
    }

    void sensitivityIsKeptAndSharedOut() {
        const QString stats = at("sensitivity.stats.safetensors"), plan = at("sensitivity.json");
        RUN_JSON(calibrated, "calibrate", smallModel("llama"), "--text", smallText(), "--samples", "4",
                 "--sequence-length", "32", "--attention-queries", "8", "--output", stats);
        QCOMPARE(calibrated["attention_queries"].toInt(), 8);
        RUN_JSON(measured, "sensitivity", smallModel("llama"), "--stats", stats, "--text", smallText(),
                 "--windows", "2", "--sequence-length", "24", "--method", "attention-aware", "--grid", "4");
        QCOMPARE(measured["ranks"].toArray().size(), 4);
        QCOMPARE(measured["keys"].toArray().size(), 2);
        QCOMPARE(measured["values"][1].toArray().size(), 4);
        QCOMPARE(measured["keys"][0][3].toDouble(), 0.0);
        RUN_JSON(planned, "plan", stats, "--kv-ratio", "0.5", "--method", "attention-aware", "--allocation",
                 "sensitivity", "--rank-multiple", "1", "--output", plan);
        QCOMPARE(planned["allocation"].toString(), QString("sensitivity"));
        QCOMPARE(planned["kv_ratio"].toDouble(), 0.5);
        QVERIFY(planned["expected_divergence"].toDouble() > 0);
        // Tables are those of one method: another's are not taken in their place.
        const auto other =
            runCli({"plan", stats, "--kv-ratio", "0.5", "--allocation", "sensitivity", "--output", plan});
        QCOMPARE(other.status, 1);
        QVERIFY2(other.error.contains("eigenscope-cli sensitivity MODEL --stats"), other.error.constData());
        QCOMPARE(
            runCli({"plan", stats, "--threshold", "0.5", "--allocation", "sensitivity", "--output", plan})
                .status,
            2);
        RUN_JSON(done, "convert", smallModel("llama"), "--stats", stats, "--plan", plan, "--output",
                 at("shared-out"));
        QCOMPARE(done["kv_ratio"].toDouble(), 0.5);
    }

    void errorBudgets() {
        const QString stats = at("errors.stats.safetensors"), plan = at("errors.json");
        RUN_JSON(calibrated, "calibrate", smallModel("opt"), "--text", smallText(), "--samples", "4",
                 "--sequence-length", "32", "--error-points", "6", "--output", stats);
        QCOMPARE(calibrated["error_points"].toInt(), 6);
        double last = 2;
        for (const char* budget : {"0.001", "0.02", "0.2"}) {
            RUN_JSON(planned, "plan", stats, "--error-budget", budget, "--rank-multiple", "1", "--output",
                     plan);
            CHECK_KEYS(planned,
                       "key_ranks:ints layer_errors:numbers error_budget:number expected_error:number");
            QCOMPARE(planned["allocation"].toString(), QString("error-budget"));
            for (const QJsonValue& error : planned["layer_errors"].toArray())
                QVERIFY(error.toDouble() <= QString(budget).toDouble());
            QVERIFY(planned["kv_ratio"].toDouble() < last);
            last = planned["kv_ratio"].toDouble();
        }
        // What was promised is what a conversion has: the same windows, ranks as measured.
        RUN_JSON(planned, "plan", stats, "--error-budget", "0.2", "--rank-multiple", "1", "--output", plan);
        RUN_JSON(done, "convert", smallModel("opt"), "--stats", stats, "--plan", plan, "--output",
                 at("within-budget"));
        for (int layer = 0; layer < 2; ++layer) {
            const double promised = planned["layer_errors"][layer].toDouble();
            const double found = done["layer_errors"][layer].toDouble();
            QVERIFY2(qAbs(found - promised) < 1e-4 * promised + 1e-6,
                     qPrintable(QString("%1 %2").arg(found).arg(promised)));
        }
        RUN_JSON(target, "plan", stats, "--kv-ratio", "0.6", "--allocation", "error-budget", "--method",
                 "attention-aware", "--rank-multiple", "1", "--output", plan);
        QVERIFY(target["kv_ratio"].toDouble() <= 0.6);
        QVERIFY(target["error_budget"].toDouble() > 0);
        RUN_JSON(fits, "plan", stats, "--fit-context", "100", "--memory", "30K", "--allocation",
                 "error-budget", "--rank-multiple", "1", "--output", plan);
        QVERIFY(fits["memory_bytes"].toInteger() <= 30 * 1024);
        // Tables of other bases are not taken in their place; the command that measures them is named and
        // works.
        const auto missing = runCli({"plan", stats, "--error-budget", "0.1", "--center", "--criterion",
                                     "singular-values", "--output", plan});
        QCOMPARE(missing.status, 1);
        QVERIFY2(missing.error.contains("eigenscope-cli sensitivity MODEL --stats " + stats.toUtf8() +
                                        " --errors-only --method eigen --center --criterion singular-values"),
                 missing.error.constData());
        RUN_JSON(measured, "sensitivity", smallModel("opt"), "--stats", stats, "--errors-only", "--center",
                 "--criterion", "singular-values", "--error-points", "4");
        QCOMPARE(measured["layer_errors"].toArray().size(), 2);
        QCOMPARE(measured["layer_errors"][0]["errors"].toArray().size(), 4);
        RUN_JSON(now, "plan", stats, "--error-budget", "0.1", "--center", "--criterion", "singular-values",
                 "--output", plan);
        RUN_JSON(centred, "convert", smallModel("opt"), "--stats", stats, "--plan", plan, "--output",
                 at("centred"));
        RUN_JSON(inspected, "inspect", at("centred"));
        QVERIFY(inspected["eigen_attention"]["center"].toBool());
    }

    void layersOfTheirOwn() {
        const QString stats = at("own.stats.safetensors"), plan = at("own.json");
        RUN_JSON(calibrated, "calibrate", smallModel("llama"), "--text", smallText(), "--samples", "4",
                 "--sequence-length", "32", "--output", stats);
        RUN_JSON(planned, "plan", stats, "--kv-ratio", "0.5", "--pin", "1:keys=13", "--pin", "0:values=2",
                 "--layer-threshold", "0:keys=0.5", "--rank-multiple", "1", "--output", plan);
        QCOMPARE(planned["key_ranks"][1].toInt(), 13);
        QCOMPARE(planned["value_ranks"][0].toInt(), 2);
        RUN_JSON(half, "plan", stats, "--threshold", "0.5", "--rank-multiple", "1", "--output",
                 at("half.json"));
        QCOMPARE(planned["key_ranks"][0], half["key_ranks"][0]);
        QVERIFY(planned["kv_ratio"].toDouble() <= 0.5);
        RUN_JSON(done, "convert", smallModel("llama"), "--stats", stats, "--plan", plan, "--output",
                 at("own"));
        QCOMPARE(done["key_ranks"], planned["key_ranks"]);
    }

    void averagedSamples() {
        const QString stats = at("averaged.stats.safetensors");
        RUN_JSON(json, "calibrate", smallModel("mpt"), "--text", smallText(), "--samples", "6",
                 "--sequence-length", "32", "--average-samples", "3", "--output", stats);
        QCOMPARE(json["average_samples"].toInt(), 3);
        QCOMPARE(json["attention_queries"].toInt(), 0);
        QCOMPARE(json["tokens"].toInt(), 2 * 32);
        RUN_JSON(planned, "plan", stats, "--threshold", "0.9", "--output", at("averaged.json"));
    }

    void refitsOutputProjections() {
        const QString stats = at("refit.stats.safetensors"), plan = at("refit.json");
        RUN_JSON(calibrated, "calibrate", smallModel("llama"), "--text", smallText(), "--samples", "4",
                 "--sequence-length", "64", "--output", stats);
        RUN_JSON(planned, "plan", stats, "--kv-ratio", "0.4", "--rank-multiple", "1", "--output", plan);
        RUN_JSON(plain, "convert", smallModel("llama"), "--stats", stats, "--plan", plan, "--output",
                 at("plain"));
        QVERIFY(!plain["refit"].toBool());
        RUN_JSON(refit, "convert", smallModel("llama"), "--stats", stats, "--plan", plan, "--output",
                 at("refitted"), "--refit", "--text", smallText(), "--refit-windows", "6",
                 "--sequence-length", "64");
        QVERIFY(refit["refit"].toBool());
        // The checkpoint says so itself.
        RUN_JSON(inspected, "inspect", at("refitted"));
        const QJsonObject said = inspected["eigen_attention"]["refit"].toObject();
        QCOMPARE(said["windows"].toInt(), 6);
        QCOMPARE(said["sequence_length"].toInt(), 64);
        QCOMPARE(said["text"].toString(), QFileInfo(smallText()).fileName());
        QCOMPARE(said["fingerprint"].toString().size(), 16);
        RUN_JSON(original, "inspect", at("plain"));
        QVERIFY(original["eigen_attention"]["refit"].isUndefined());
        QCOMPARE(original["eigen_attention"]["calibration"]["attention_queries"].toInt(), 32);
        const QStringList rest{"--text", smallText(), "--sequence-length", "64", "--windows", "6"};
        RUN_JSON(before, QStringList{"compare", smallModel("llama"), at("plain")} + rest);
        RUN_JSON(after, QStringList{"compare", smallModel("llama"), at("refitted")} + rest);
        QVERIFY(after["kl_divergence"].toDouble() < before["kl_divergence"].toDouble());
    }

    void tradeoff() {
        const QString stats = at("tradeoff.stats.safetensors");
        RUN_JSON(calibrated, "calibrate", smallModel("llama"), "--text", smallText(), "--samples", "4",
                 "--sequence-length", "32", "--output", stats);
        const QStringList common{"tradeoff",
                                 smallModel("llama"),
                                 "--stats",
                                 stats,
                                 "--text",
                                 smallText(),
                                 "--windows",
                                 "3",
                                 "--sequence-length",
                                 "32",
                                 "--rank-multiple",
                                 "1"};
        RUN_JSON(json,
                 common + QStringList{"--ratios", "0.7,0.4", "--csv", at("t.csv"), "--svg", at("t.svg")});
        CHECK_KEYS(json, "original:object windows:int tokens:int rows:array csv:string svg:string");
        // The published method; threshold and error budget of both methods; their thresholds for a latent of
        // both heads, and of attention-aware the error budget there too, which calibration measures because it
        // is that method's usual one; and the plain cache at 8, 4, 3 and 2 bits.
        QCOMPARE(json["rows"].toArray().size(), 8 * 2 + 4);
        for (const QJsonValue& row : json["rows"].toArray()) {
            CHECK_KEYS(row.toObject(),
                       "name:string method:string head_group:int allocation:string refit:bool target:number "
                       "kv_ratio:number "
                       "bytes_per_token:int perplexity:number nats_lost:number standard_error:number "
                       "expected_divergence:number?");
            if (row["method"].toString() == "plain")
                continue;
            QVERIFY(row["kv_ratio"].toDouble() <= row["target"].toDouble() + 1e-9);
            QVERIFY(qAbs(row["bytes_per_token"].toDouble() / json["original"]["bytes_per_token"].toDouble() -
                         row["kv_ratio"].toDouble()) < 1e-9);
        }
        QCOMPARE(json["rows"][0]["name"].toString(), QString("published"));
        QFile csv(at("t.csv")), svg(at("t.svg"));
        QVERIFY(csv.open(QIODevice::ReadOnly) && svg.open(QIODevice::ReadOnly));
        QCOMPARE(csv.readAll().count('\n'), 1 + 1 + 16 + 4);
        QVERIFY(svg.readAll().startsWith("<svg xmlns"));
        RUN_JSON(one, common + QStringList{"--ratios", "0.5", "--methods", "eigen", "--allocations",
                                           "threshold", "--refit-text", smallText(), "--refit-windows", "2"});
        QCOMPARE(one["rows"].toArray().size(), 3 + 4);
        QVERIFY(one["rows"].toArray().last()["refit"].toBool());
        const auto missing = runCli(common + QStringList{"--allocations", "sensitivity"});
        QCOMPARE(missing.status, 1);
        QVERIFY2(missing.error.contains("eigenscope-cli sensitivity MODEL --stats"),
                 missing.error.constData());
    }

    // One latent for all heads of a layer, from the text to the converted model.
    void latentsOfSeveralHeads() {
        const QString stats = at("joint.stats.safetensors"), plan = at("joint.json");
        RUN_JSON(model, "inspect", smallModel("llama"));
        const QString heads = QString::number(model["kv_heads"].toInt());
        RUN_JSON(calibrated, "calibrate", smallModel("llama"), "--text", smallText(), "--samples", "4",
                 "--sequence-length", "32", "--head-group", heads, "--output", stats);
        RUN_JSON(measured, "sensitivity", smallModel("llama"), "--stats", stats, "--text", smallText(),
                 "--windows", "2", "--sequence-length", "32", "--grid", "4", "--method", "attention-aware");
        QCOMPARE(measured["head_group"].toInt(), heads.toInt());  // the default where they are there
        QCOMPARE(measured["ranks"].toArray().last().toInt(), model["head_dim"].toInt() * heads.toInt());
        const QStringList goal{
            "plan",         stats,         "--kv-ratio",      "0.5", "--method", "attention-aware",
            "--allocation", "sensitivity", "--rank-multiple", "1",   "--output", plan};
        const auto apart = runCli(goal + QStringList{"--head-group", "1"});
        QCOMPARE(apart.status, 1);  // measured for the shared latents only
        QVERIFY2(apart.error.contains("--method attention-aware --head-group 1"), apart.error.constData());
        RUN_JSON(published, "plan", stats, "--kv-ratio", "0.5", "--output", plan);
        QCOMPARE(published["head_group"].toInt(), 1);
        RUN_JSON(planned, goal);
        QCOMPARE(planned["head_group"].toInt(), heads.toInt());
        QVERIFY(planned["kv_ratio"].toDouble() <= 0.5);
        RUN_JSON(converted, "convert", smallModel("llama"), "--stats", stats, "--plan", plan, "--output",
                 at("joint"));
        QCOMPARE(converted["kv_ratio"].toDouble(), planned["kv_ratio"].toDouble());
        RUN_JSON(low, "inspect", at("joint"));
        QCOMPARE(low["kv_bytes_per_token"].toDouble() / model["kv_bytes_per_token"].toDouble(),
                 planned["kv_ratio"].toDouble());
        QCOMPARE(low["eigen_attention"]["head_group"].toInt(), heads.toInt());
        RUN_JSON(answer, "generate", at("joint"), "--prompt", "Once upon", "--max-tokens", "4");
        QCOMPARE(answer["new_tokens"].toInt(), 4);
        // Statistics of single heads know nothing of groups.
        RUN_JSON(single, "calibrate", smallModel("llama"), "--text", smallText(), "--samples", "4",
                 "--sequence-length", "32", "--head-group", "1", "--output", at("single.stats.safetensors"));
        const CliResult refused = runCli({"plan", at("single.stats.safetensors"), "--kv-ratio", "0.5",
                                          "--head-group", heads, "--output", at("no.json")});
        QCOMPARE(refused.status, 1);
        QVERIFY2(refused.error.contains("head group"), refused.error);
    }

    // Ranks and bits together: measured, planned, converted, run, and drawn.
    void mixturesOfRanksAndBits() {
        const QString stats = at("mixed.stats.safetensors"), plan = at("mixed.json");
        RUN_JSON(calibrated, "calibrate", smallModel("llama"), "--text", smallText(), "--samples", "4",
                 "--sequence-length", "32", "--head-group", "1", "--output", stats);
        const QStringList ask{"plan",      stats,   "--kv-ratio",      "0.3", "--allocation", "sensitivity",
                              "--kv-bits", "mixed", "--rank-multiple", "1",   "--output",     plan};
        RUN_JSON(exact, "sensitivity", smallModel("llama"), "--stats", stats, "--text", smallText(),
                 "--windows", "2", "--sequence-length", "32", "--grid", "4");
        QVERIFY(!exact.contains("quantised"));
        const CliResult missing = runCli(ask);
        QCOMPARE(missing.status, 1);
        QVERIFY2(missing.error.contains("--bits 8,4,3,2"), missing.error);
        RUN_JSON(measured, "sensitivity", smallModel("llama"), "--stats", stats, "--text", smallText(),
                 "--windows", "2", "--sequence-length", "32", "--grid", "4", "--bits", "2,8,4", "--kv-group",
                 "16");
        const QJsonObject quantised = measured["quantised"].toObject();
        CHECK_KEYS(quantised,
                   "bits:ints ranks:ints kv_group:int kv_keys:string kv_recent:int keys:array values:array");
        QCOMPARE(quantised["bits"].toArray(), (QJsonArray{8, 4, 2}));
        QCOMPARE(quantised["kv_group"].toInt(), 16);
        RUN_JSON(model, "inspect", smallModel("llama"));
        QCOMPARE(quantised["keys"].toArray().size(), model["layers"].toInt());
        QCOMPARE(quantised["keys"][0].toArray().size(), 3);
        QCOMPARE(quantised["keys"][0][0].toArray().size(), quantised["ranks"].toArray().size());
        RUN_JSON(planned, ask);
        QVERIFY(planned["mixed_bits"].toBool());
        QVERIFY(planned["kv_ratio"].toDouble() <= 0.3);
        QCOMPARE(planned["kv_group"].toInt(), 16);
        QCOMPARE(planned["key_bits"].toArray().size(), model["layers"].toInt());
        const CliResult other = runCli(ask + QStringList{"--kv-group", "32"});
        QCOMPARE(other.status, 1);
        QVERIFY2(other.error.contains("measured with --kv-group 16"), other.error);
        RUN_JSON(converted, "convert", smallModel("llama"), "--stats", stats, "--plan", plan, "--output",
                 at("mixed"));
        QCOMPARE(converted["kv_ratio"].toDouble(), planned["kv_ratio"].toDouble());
        RUN_JSON(low, "inspect", at("mixed"));
        QCOMPARE(low["eigen_attention"]["key_bits"].toArray(), planned["key_bits"].toArray());
        RUN_JSON(answer, "generate", at("mixed"), "--prompt", "Once upon", "--max-tokens", "4");
        QCOMPARE(answer["new_tokens"].toInt(), 4);

        RUN_JSON(curves, "tradeoff", smallModel("llama"), "--stats", stats, "--text", smallText(),
                 "--windows", "2", "--sequence-length", "32", "--rank-multiple", "1", "--methods", "eigen",
                 "--allocations", "sensitivity", "--ratios", "0.5", "--mixed-ratios", "0.4,0.3", "--kv-group",
                 "16");
        // Published, four plain caches, ranks alone, and two mixtures.
        QCOMPARE(curves["rows"].toArray().size(), 1 + 4 + 1 + 2);
        const QJsonObject last = curves["rows"].toArray().last().toObject();
        QCOMPARE(last["name"].toString(), QString("eigen + sensitivity + mixed bits"));
        QCOMPARE(last["kv_ratio"].toDouble(), planned["kv_ratio"].toDouble());
        QCOMPARE(last["expected_divergence"].toDouble(), planned["expected_divergence"].toDouble());
        QCOMPARE(last["bits"]["keys"].toArray(), planned["key_bits"].toArray());
        const QJsonObject plain = curves["rows"][1].toObject();
        QCOMPARE(plain["method"].toString(), QString("plain"));
        QCOMPARE(plain["bits"]["keys"][0].toInt(), 8);
        QVERIFY(plain["expected_divergence"].isNull());
    }

    void mixturesRefuseWhatTheyCannotBe() {
        const QStringList plan{"plan", at("none"), "--output", at("none.json"), "--kv-bits", "mixed"};
        const auto refused = [&](const QStringList& more, const char* why) {
            const CliResult result = runCli(plan + more);
            return result.status == 2 && result.error.contains(why);
        };
        QVERIFY(refused({"--kv-ratio", "0.3"}, "belongs to --allocation sensitivity"));
        QVERIFY(refused({"--rank-ratio", "0.3", "--allocation", "sensitivity"}, "not --rank-ratio"));
        QVERIFY(refused({"--kv-ratio", "0.3", "--allocation", "sensitivity", "--key-bits", "4"},
                        "give one or the others"));
        const CliResult nothing = runCli(
            {"sensitivity", smallModel("llama"), "--stats", at("none"), "--errors-only", "--bits", "4"});
        QCOMPARE(nothing.status, 2);
        QVERIFY2(nothing.error.contains("--bits belongs to --text"), nothing.error);
    }
};

QTEST_GUILESS_MAIN(TestCliPlans)
#include "tst_cli_plans.moc"
