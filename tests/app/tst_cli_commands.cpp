// SPDX-License-Identifier: Apache-2.0
// Every subcommand of eigenscope-cli on tiny checkpoints of the three families: the keys and types that
// scripts rely on, and the figures that must agree with each other.
#include "tests/app/cli_run.h"

#include <QDir>
#include <QFile>
#include <QJsonArray>
#include <QTemporaryDir>
#include <QTest>

#include <cmath>

using namespace eigenscope::test;

class TestCliCommands : public QObject {
    Q_OBJECT

private:
    QTemporaryDir m_folder;
    QString at(const QString& name) const { return m_folder.filePath(name); }
    static void families() {
        QTest::addColumn<QString>("family");
        for (const char* family : {"llama", "opt", "mpt"})
            QTest::newRow(family) << family;
    }

private slots:
    void inspect_data() { families(); }
    void inspect() {
        QFETCH(QString, family);
        RUN_JSON(json, "inspect", smallModel(family));
        CHECK_KEYS(json,
                   "architecture:string layers:int hidden_size:int heads:int kv_heads:int head_dim:int "
                   "vocab_size:int "
                   "max_positions:int dtype:string parameters:int weight_bytes:int kv_bytes_per_token:int "
                   "tokenizer:string eigen_attention:object?");
        QVERIFY(json["eigen_attention"].isNull());
        QCOMPARE(json["dtype"].toString(), QString("f32"));
        QCOMPARE(json["weight_bytes"].toInteger(), json["parameters"].toInteger() * 4);
        // Keys and values of every head and layer, four bytes each.
        QCOMPARE(
            json["kv_bytes_per_token"].toInteger(),
            json["layers"].toInteger() * json["kv_heads"].toInteger() * json["head_dim"].toInteger() * 2 * 4);
        RUN_JSON(half, "inspect", smallModel(family), "--kv-format", "f16");
        QCOMPARE(half["kv_bytes_per_token"].toInteger() * 2, json["kv_bytes_per_token"].toInteger());
    }

    void tokenizeAndDecode() {
        const QString text = QString::fromUtf8("Zoë saw 12 geese.");
        RUN_JSON(json, "tokenize", smallModel("llama"), "--text", text);
        CHECK_KEYS(json, "ids:ints pieces:strings");
        QCOMPARE(json["ids"].toArray().size(), json["pieces"].toArray().size());
        RUN_JSON(plain, "tokenize", smallModel("llama"), "--text", text, "--no-special-tokens");
        QVERIFY(plain["ids"].toArray().size() <= json["ids"].toArray().size());
        QStringList ids;
        for (const QJsonValue& id : plain["ids"].toArray())
            ids += QString::number(id.toInt());
        RUN_JSON(decoded, "tokenize", smallModel("llama"), "--decode", ids.join(','));
        QCOMPARE(decoded["text"].toString(), text);
    }

    void logits() {
        RUN_JSON(json, "logits", smallModel("llama"), "--ids", "5,6,7", "--output", at("l.npy"));
        CHECK_KEYS(json, "output:string tokens:int vocab_size:int");
        QFile file(at("l.npy"));
        QVERIFY(file.open(QIODevice::ReadOnly));
        const QByteArray bytes = file.readAll();
        QVERIFY(bytes.startsWith(QByteArray("\x93NUMPY\x01\x00", 8)));
        const int header = static_cast<uchar>(bytes[8]) + 256 * static_cast<uchar>(bytes[9]);
        QCOMPARE((10 + header) % 64, 0);
        const auto vocab = json["vocab_size"].toInt();
        QVERIFY(bytes.contains(QString("'shape': (3, %1)").arg(vocab).toUtf8()));
        QVERIFY(bytes.contains("'descr': '<f4', 'fortran_order': False"));
        QCOMPARE(bytes.size(), 10 + header + 3 * vocab * 4);
    }

    void generate() {
        const QStringList arguments = {"generate",  smallModel("llama"), "--prompt",
                                       "Once upon", "--max-tokens",      "6"};
        RUN_JSON(json, arguments);
        CHECK_KEYS(json,
                   "text:string ids:ints prompt_tokens:int new_tokens:int ttft_ms:number tpot_ms:number "
                   "tokens_per_second:number kv_cache_bytes:int peak_memory_bytes:int");
        QCOMPARE(json["ids"].toArray().size(), json["new_tokens"].toInt());
        RUN_JSON(inspected, "inspect", smallModel("llama"));
        const qint64 tokens = json["prompt_tokens"].toInteger() + json["new_tokens"].toInteger();
        QCOMPARE(json["kv_cache_bytes"].toInteger() / inspected["kv_bytes_per_token"].toInteger(), tokens);
        RUN_JSON(again, arguments);
        QCOMPARE(again["ids"], json["ids"]);
        // Sampling: the seed decides.
        const QStringList sampled = arguments + QStringList{"--temperature", "1", "--seed", "7"};
        RUN_JSON(first, sampled);
        RUN_JSON(second, sampled);
        QCOMPARE(first["ids"], second["ids"]);
    }

    void generateStreamsText() {
        const CliResult result = runCli(
            {"generate", smallModel("llama"), "--prompt", "Once upon", "--max-tokens", "4", "--quiet"});
        QCOMPARE(result.status, 0);
        QVERIFY(result.out.startsWith("Once upon"));
        QVERIFY2(result.error.isEmpty(), result.error);
    }

    void perplexity() {
        RUN_JSON(json, "perplexity", smallModel("opt"), "--text", smallText(), "--sequence-length", "64",
                 "--windows", "4");
        CHECK_KEYS(json,
                   "perplexity:number standard_error:number tokens:int windows:int window_nll:numbers "
                   "seconds:number");
        QCOMPARE(json["windows"].toInt(), 4);
        QCOMPARE(json["tokens"].toInt(), 4 * 63);
        double sum = 0;
        for (const QJsonValue& nll : json["window_nll"].toArray())
            sum += nll.toDouble();
        QVERIFY(qAbs(std::exp(sum / 4) / json["perplexity"].toDouble() - 1) < 1e-12);
        RUN_JSON(threads, "perplexity", smallModel("opt"), "--text", smallText(), "--sequence-length", "64",
                 "--windows", "4", "--threads", "1");
        // Float32 sums in another order.
        QVERIFY(qAbs(threads["perplexity"].toDouble() / json["perplexity"].toDouble() - 1) < 1e-5);
    }

    void estimate() {
        RUN_JSON(json, "estimate", smallModel("mpt"), "--context", "100", "--batch", "3");
        CHECK_KEYS(json,
                   "weight_bytes:int kv_bytes:int scratch_bytes:int total_bytes:int longest_context:object");
        RUN_JSON(inspected, "inspect", smallModel("mpt"));
        QCOMPARE(json["kv_bytes"].toInteger(), inspected["kv_bytes_per_token"].toInteger() * 300);
        QCOMPARE(json["total_bytes"].toInteger(), json["weight_bytes"].toInteger() +
                                                      json["kv_bytes"].toInteger() +
                                                      json["scratch_bytes"].toInteger());
        const QJsonObject longest = json["longest_context"].toObject();
        QVERIFY(longest["16GiB"].toInteger() > longest["8GiB"].toInteger());
    }

    void wholeMethod_data() { families(); }
    void wholeMethod() {
        QFETCH(QString, family);
        const QString stats = at(family + ".stats.safetensors"), plan = at(family + ".json"),
                      converted = at(family);
        RUN_JSON(calibrated, "calibrate", smallModel(family), "--text", smallText(), "--samples", "6",
                 "--sequence-length", "64", "--output", stats);
        CHECK_KEYS(calibrated, "output:string tokens:int samples:int sequence_length:int seed:int");
        QCOMPARE(calibrated["tokens"].toInt(), 6 * 64);

        RUN_JSON(inspected, "inspect", smallModel(family));
        const int layers = inspected["layers"].toInt(), heads = inspected["kv_heads"].toInt(),
                  width = inspected["head_dim"].toInt();
        RUN_JSON(spectrum, "spectrum", stats, "--csv", at("s.csv"));
        QCOMPARE(spectrum["layers"].toArray().size(), layers);
        for (const QJsonValue& layer : spectrum["layers"].toArray()) {
            for (const char* side : {"keys", "values"}) {
                const QJsonArray eigenvalues = layer[QLatin1String(side)]["eigenvalues"].toArray();
                QCOMPARE(eigenvalues.size(), heads);
                for (const QJsonValue& head : eigenvalues) {
                    QCOMPARE(head.toArray().size(), width);
                    QVERIFY(head[0].toDouble() >= head[width - 1].toDouble());
                }
            }
        }
        QFile csv(at("s.csv"));
        QVERIFY(csv.open(QIODevice::ReadOnly));
        QCOMPARE(csv.readAll().count('\n'), 1 + layers * heads * width * 2);
        RUN_JSON(one, "spectrum", stats, "--layer", "1", "--head", "0");
        QCOMPARE(one["layers"][0]["keys"]["eigenvalues"][0], spectrum["layers"][1]["keys"]["eigenvalues"][0]);
        QCOMPARE(one["layers"].toArray().size(), 1);

        RUN_JSON(planned, "plan", stats, "--kv-ratio", "0.6", "--rank-multiple", "1", "--output", plan);
        CHECK_KEYS(planned, "key_ranks:ints value_ranks:ints kv_ratio:number expected_error:number");
        QCOMPARE(planned["key_ranks"].toArray().size(), layers);
        double sum = 0;
        for (const char* ranks : {"key_ranks", "value_ranks"}) {
            for (const QJsonValue& rank : planned[QLatin1String(ranks)].toArray())
                sum += rank.toInt();
        }
        QVERIFY(planned["kv_ratio"].toDouble() <= 0.6);
        QVERIFY(qAbs(planned["kv_ratio"].toDouble() - sum / (2 * layers * width)) < 1e-12);

        RUN_JSON(done, "convert", smallModel(family), "--stats", stats, "--plan", plan, "--output",
                 converted);
        CHECK_KEYS(done, "kv_ratio:number weight_bytes:int layer_errors:numbers");
        QCOMPARE(done["kv_ratio"].toDouble(), planned["kv_ratio"].toDouble());
        QCOMPARE(done["layer_errors"].toArray().size(), layers);
        RUN_JSON(low, "inspect", converted);
        CHECK_KEYS(
            low["eigen_attention"].toObject(),
            "version:int method:string criterion:string source:string calibration:object key_ranks:ints "
            "value_ranks:ints kv_ratio:number");
        QCOMPARE(low["eigen_attention"]["key_ranks"], planned["key_ranks"]);
        QVERIFY(qAbs(low["kv_bytes_per_token"].toDouble() / inspected["kv_bytes_per_token"].toDouble() -
                     planned["kv_ratio"].toDouble()) < 1e-12);

        RUN_JSON(compared, "compare", smallModel(family), converted, "--text", smallText(),
                 "--sequence-length", "64", "--windows", "2", "--prompt", "The", "--max-tokens", "3");
        CHECK_KEYS(compared,
                   "perplexity:numbers kl_divergence:number top1_agreement:number generations:array "
                   "kl_standard_error:number top1_standard_error:number nll_difference:number "
                   "nll_difference_standard_error:number");
        const QJsonArray perplexities = compared["perplexity"].toArray();
        QVERIFY(qAbs(std::log(perplexities[1].toDouble() / perplexities[0].toDouble()) -
                     compared["nll_difference"].toDouble()) < 1e-9);
        QCOMPARE(compared["perplexity"].toArray().size(), 2);
        QCOMPARE(compared["generations"].toArray().size(), 2);
        QVERIFY(compared["kl_divergence"].toDouble() > 0);
        CHECK_KEYS(compared["generations"][1].toObject(), "text:string ids:ints kv_cache_bytes:int");
    }

    void fidelityAndDiff_data() { families(); }
    void fidelityAndDiff() {
        QFETCH(QString, family);
        const QString stats = at("f-" + family + ".stats.safetensors"), plan = at("f-" + family + ".json"),
                      converted = at("f-" + family);
        RUN_JSON(calibrated, "calibrate", smallModel(family), "--text", smallText(), "--samples", "6",
                 "--sequence-length", "64", "--output", stats);
        RUN_JSON(planned, "plan", stats, "--kv-ratio", "0.4", "--rank-multiple", "1", "--output", plan);
        RUN_JSON(done, "convert", smallModel(family), "--stats", stats, "--plan", plan, "--output",
                 converted);
        const int layers = done["layer_errors"].toArray().size();

        RUN_JSON(measured, "fidelity", smallModel(family), converted, "--text", smallText(),
                 "--sequence-length", "48", "--windows", "3", "--csv", at("f.csv"));
        CHECK_KEYS(measured,
                   "perplexity:numbers perplexity_standard_error:numbers nll_difference:number "
                   "nll_difference_standard_error:number kl_divergence:number kl_standard_error:number "
                   "top1_agreement:number top1_standard_error:number tokens:int windows:int layers:array");
        QCOMPARE(measured["tokens"].toInt(), 3 * 47);
        QCOMPARE(measured["layers"].toArray().size(), layers);
        RUN_JSON(inspected, "inspect", smallModel(family));
        const int heads = inspected["heads"].toInt();
        for (const QJsonValue& layer : measured["layers"].toArray()) {
            CHECK_KEYS(layer.toObject(),
                       "layer:int output_error:number output_error_standard_error:number "
                       "propagated_error:number propagated_error_standard_error:number heads:array");
            QCOMPARE(layer["heads"].toArray().size(), heads);
            for (const QJsonValue& head : layer["heads"].toArray()) {
                CHECK_KEYS(head.toObject(),
                           "score_error:number score_error_standard_error:number weight_distance:number "
                           "weight_distance_standard_error:number output_error:number "
                           "output_error_standard_error:number");
            }
        }
        // Nothing comes before the first layer.
        const QJsonObject lowest = measured["layers"][0].toObject();
        QVERIFY(qAbs(lowest["propagated_error"].toDouble() / lowest["output_error"].toDouble() - 1) < 1e-6);
        QFile csv(at("f.csv"));
        QVERIFY(csv.open(QIODevice::ReadOnly));
        QCOMPARE(csv.readLine(), QByteArray("layer,head,measure,value,standard_error\n"));
        QCOMPARE(csv.readAll().count('\n'), layers * (2 + 3 * heads));

        RUN_JSON(compared, "diff", smallModel(family), converted, "--text", smallText(), "--sequence-length",
                 "40", "--csv", at("d.csv"));
        CHECK_KEYS(compared,
                   "ids:ints tokens:array kl_divergence:number first_divergence:int? explaining_layer:int? "
                   "layers:array");
        const QJsonArray tokens = compared["tokens"].toArray();
        QCOMPARE(compared["ids"].toArray().size(), 40);
        QCOMPARE(tokens.size(), 39);
        int first = -1;
        for (int i = 0; i < tokens.size(); ++i) {
            CHECK_KEYS(tokens[i].toObject(),
                       "id:int piece:string kl:number top1_changed:bool nll_first:number nll_second:number "
                       "top_first:object top_second:object explaining_layer:int?");
            QCOMPARE(tokens[i]["id"], compared["ids"][i + 1]);
            if (first < 0 && tokens[i]["top1_changed"].toBool())
                first = i;
        }
        QVERIFY(first >= 0);
        QCOMPARE(compared["first_divergence"].toInt(), first);
        QCOMPARE(compared["explaining_layer"], tokens[first]["explaining_layer"]);
        QCOMPARE(compared["layers"].toArray().size(), layers);
        QFile lines(at("d.csv"));
        QVERIFY(lines.open(QIODevice::ReadOnly));
        QVERIFY(lines.readLine().startsWith("token,id,piece,kl,top1_changed,nll_first,nll_second,"));
        RUN_JSON(prompted, "diff", smallModel(family), converted, "--prompt", "Once upon a time");
        QVERIFY(!prompted["tokens"].toArray().isEmpty());
        // Pieces with commas and quotes stay one field: 13 on every line.
        RUN_JSON(awkward, "diff", smallModel(family), converted, "--prompt", "a, \"b\", c", "--csv",
                 at("q.csv"));
        QFile quoted(at("q.csv"));
        QVERIFY(quoted.open(QIODevice::ReadOnly));
        const QByteArray text = quoted.readAll();
        QVERIFY2(text.contains("\"\"") && text.contains(','), text.constData());
        for (const QByteArray& line : text.trimmed().split('\n')) {
            int fields = 1;
            bool inside = false;
            for (const char c : line) {
                inside = inside != (c == '"');
                fields += c == ',' && !inside ? 1 : 0;
            }
            QVERIFY2(fields == 13 && !inside, line.constData());
        }
        const CliResult shown = runCli({"diff", smallModel(family), converted, "--prompt", "Once upon"});
        QCOMPARE(shown.status, 0);
        QVERIFY2(shown.out.contains("First divergence"), shown.out.constData());
        const CliResult table = runCli({"fidelity", smallModel(family), converted, "--text", smallText(),
                                        "--sequence-length", "48", "--windows", "1"});
        QCOMPARE(table.status, 0);
        QVERIFY2(table.out.contains("propagated"), table.out.constData());
    }

    void fullRankComparesEqual() {
        const QString stats = at("full.stats.safetensors"), plan = at("full.json"), converted = at("full");
        RUN_JSON(calibrated, "calibrate", smallModel("llama"), "--text", smallText(), "--samples", "8",
                 "--sequence-length", "64", "--output", stats);
        RUN_JSON(planned, "plan", stats, "--threshold", "1", "--output", plan);
        QCOMPARE(planned["kv_ratio"].toDouble(), 1.0);
        RUN_JSON(done, "convert", smallModel("llama"), "--stats", stats, "--plan", plan, "--output",
                 converted);
        RUN_JSON(compared, "compare", smallModel("llama"), converted, "--text", smallText(),
                 "--sequence-length", "64", "--windows", "2");
        // Nothing was dropped: what is left is float32 rounding of the folded weights.
        QVERIFY(compared["kl_divergence"].toDouble() < 1e-8);
        QVERIFY(compared["generations"].toArray().isEmpty());
    }

    void spectrumPicture() {
        if (!runCli({"spectrum", "--help"}).out.contains("--png"))
            QSKIP("built without the window, so without pictures");
        const QString stats = at("png.stats.safetensors"), picture = at("layer.png");
        RUN_JSON(calibrated, "calibrate", smallModel("opt"), "--text", smallText(), "--samples", "2",
                 "--sequence-length", "32", "--output", stats);
        RUN_JSON(json, "spectrum", stats, "--layer", "1", "--png", picture);
        CHECK_KEYS(json, "png:string");
        QFile file(picture);
        QVERIFY(file.open(QIODevice::ReadOnly));
        QVERIFY(file.read(8) == QByteArray("\x89PNG\r\n\x1a\n", 8));
        QVERIFY(file.size() > 5000);  // not an empty image
    }

    void report() {
        RUN_JSON(json, "report", smallModel("llama"), "--calibration-text", smallText(), "--text",
                 smallText(), "--samples", "4", "--sequence-length", "64", "--windows", "2",
                 "--rank-multiple", "1", "--max-tokens", "8", "--output", at("report"));
        CHECK_KEYS(json,
                   "report:string kv_ratio:number perplexity:numbers generations:array trade_off:array");
        for (const char* name : {"report.html", "calibration.stats.safetensors", "plan.json", "plan.csv",
                                 "spectra.csv", "token-kl.csv", "trade-off.csv", "converted/config.json"})
            QVERIFY2(QFile::exists(at("report") + "/" + name), name);
        QFile page(at("report") + "/report.html");
        QVERIFY(page.open(QIODevice::ReadOnly));
        const QByteArray html = page.readAll();
        QVERIFY(html.count("<svg") >= 7);  // ranks, errors, KL, trade-off, two a layer
        QVERIFY(!html.contains("src="));   // stands alone
        QVERIFY(!html.contains(m_folder.path().toUtf8() + "/.report"));  // no name of a temporary folder
        QVERIFY(html.trimmed().endsWith("</html>"));
    }

    void helpNamesEverySubcommand() {
        const CliResult help = runCli({"--help"});
        QCOMPARE(help.status, 0);
        for (const char* name : {"inspect", "tokenize", "logits", "generate", "perplexity", "estimate",
                                 "calibrate", "sensitivity", "spectrum", "subspaces", "plan", "convert",
                                 "tradeoff", "compare", "fidelity", "diff", "report", "presets"}) {
            QVERIFY2(help.out.contains(name), name);
            const CliResult sub = runCli({name, "--help"});
            QCOMPARE(sub.status, 0);
            QVERIFY2(sub.out.contains("--json"), name);
        }
    }
};

QTEST_GUILESS_MAIN(TestCliCommands)
#include "tst_cli_commands.moc"
