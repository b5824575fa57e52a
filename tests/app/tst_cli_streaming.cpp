// SPDX-License-Identifier: Apache-2.0
// A checkpoint larger than what the process may take: calibration, conversion and every measurement under a
// limit on its address space, which counts all memory and every mapped file, so that nothing of the weights
// can hide. The resident peak must stay within what was stated beforehand, and results must be those of a run
// without limit.
#include "core/base/atomic_output.h"
#include "tests/app/cli_run.h"
#include "tests/support/large_checkpoint.h"
#include "tests/support/temporary_directory.h"

#include <QDir>
#include <QFile>
#include <QJsonArray>
#include <QJsonDocument>
#include <QTest>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

QJsonObject parsed(const CliResult& result) { return QJsonDocument::fromJson(result.out).object(); }

// 48 layers of 7.2 MB and a vocabulary of the demo model's: about 360 MB, in shards of 64.
Json largeConfig() {
    return {{"architectures", {"LlamaForCausalLM"}},
            {"model_type", "llama"},
            {"hidden_size", 384},
            {"intermediate_size", 1216},
            {"num_hidden_layers", 48},
            {"num_attention_heads", 6},
            {"num_key_value_heads", 2},
            {"vocab_size", 1024},
            {"max_position_embeddings", 128},
            {"rms_norm_eps", 1e-5},
            {"rope_theta", 10000.0},
            {"hidden_act", "silu"},
            {"tie_word_embeddings", false}};
}

}  // namespace

class TestCliStreaming : public QObject {
    Q_OBJECT
private slots:
    void initTestCase();
    void resultsUnderALimit();
    void whatDoesNotFitIsStreamed();
    void measurementsUnderALimit_data();
    void measurementsUnderALimit() { sameUnderALimit(); }
    void tablesUnderALimit_data();
    void tablesUnderALimit() { sameUnderALimit(); }
    void peakStaysWithinWhatWasStated_data();
    void peakStaysWithinWhatWasStated();
    void openingMapsOneFileAtATime();

private:
    void sameUnderALimit();
    QString path(const char* name) const { return QString::fromStdString((m_directory / name).string()); }
    QStringList calibration(const QString& output, const QString& stream) const {
        return {"calibrate",
                path("large"),
                "--text",
                sourcePath("resources/demo/text/calibration.txt"),
                "--samples",
                "2",
                "--sequence-length",
                "48",
                "--attention-queries",
                "8",
                "--error-points",
                "2",
                "--threads",
                "1",
                "--stream",
                stream,
                "--output",
                output};
    }
    QStringList conversion(const QString& statistics, const QString& plan, const QString& output,
                           const QString& stream) const {
        return {"convert",   path("large"), "--stats",  statistics, "--plan",   plan,
                "--threads", "1",           "--stream", stream,     "--output", output};
    }

    TemporaryDirectory m_directory;
    std::int64_t m_weights = 0, m_limit = 0;
};

void TestCliStreaming::initTestCase() {
    m_weights = writeLargeCheckpoint(m_directory / "large", largeConfig(), std::int64_t{64} << 20);
    for (const char* name : {"tokenizer.model", "tokenizer_config.json", "special_tokens_map.json"})
        QVERIFY(QFile::copy(sourcePath(QString("resources/demo/llama-stories/") + name),
                            path("large") + "/" + name));
    // The program, its libraries and its threads' stacks reserve addresses too, whatever it runs; a limit
    // smaller than the weights leaves the less for these.
    m_limit = m_weights - (std::int64_t{16} << 20);
}

void TestCliStreaming::resultsUnderALimit() {
    // Without a limit, all weights held.
    RUN_JSON(free, calibration(path("free.stats.safetensors"), "off"));
    QCOMPARE(free["streamed"].toBool(), false);
    const CliResult limited =
        runCli(calibration(path("limited.stats.safetensors"), "on") << "--json", m_limit);
    QVERIFY2(limited.status == 0, limited.error.constData());
    const QJsonObject json = parsed(limited);
    QCOMPARE(json["streamed"].toBool(), true);
    QVERIFY2(limited.error.contains("memory: at most"), limited.error.constData());
    const double bound = json["memory_bound_bytes"].toDouble(), peak = json["peak_resident_bytes"].toDouble();
    qInfo("weights %.0f MB, limit %.0f MB, calibrate: stated %.0f MB, peak %.0f MB", m_weights / 1e6,
          m_limit / 1e6, bound / 1e6, peak / 1e6);
    QVERIFY(peak > 0 && peak <= bound);
    QVERIFY(bound < static_cast<double>(m_weights));
    QVERIFY(readTextFile(m_directory / "limited.stats.safetensors") ==
            readTextFile(m_directory / "free.stats.safetensors"));

    for (const QString method : {"eigen", "attention-aware"}) {
        const QString plan = path("plan.json");
        RUN_JSON(planned, "plan", path("free.stats.safetensors"), "--method", method, "--kv-ratio", "0.5",
                 "--output", plan);
        const QString one = path("free-") + method, two = path("limited-") + method;
        RUN_JSON(converted, conversion(path("free.stats.safetensors"), plan, one, "off"));
        const CliResult result =
            runCli(conversion(path("free.stats.safetensors"), plan, two, "on") << "--json", m_limit);
        QVERIFY2(result.status == 0, result.error.constData());
        const QJsonObject found = parsed(result);
        QCOMPARE(found["layer_errors"].toArray(), converted["layer_errors"].toArray());
        QVERIFY(!found["layer_errors"].toArray().isEmpty());
        QCOMPARE(found["weight_bytes"], converted["weight_bytes"]);
        const double stated = found["memory_bound_bytes"].toDouble(),
                     most = found["peak_resident_bytes"].toDouble();
        qInfo("convert, %s: stated %.0f MB, peak %.0f MB", qPrintable(method), stated / 1e6, most / 1e6);
        QVERIFY(most > 0 && most <= stated);
        QVERIFY(stated < static_cast<double>(m_weights));
        QCOMPARE(filesBelow(two), filesBelow(one));
        for (const QString& file : filesBelow(one))
            QVERIFY2(readTextFile((two + "/" + file).toStdString()) ==
                         readTextFile((one + "/" + file).toStdString()),
                     qPrintable(file));
        QVERIFY(QDir(one).removeRecursively() && QDir(two).removeRecursively());
    }
}

void TestCliStreaming::whatDoesNotFitIsStreamed() {
    // The limit is what decides: all weights at once cannot be had within it.
    const CliResult off = runCli(calibration(path("off.stats.safetensors"), "off"), m_limit);
    QCOMPARE(off.status, 1);
    QVERIFY2(off.error.contains("map"), off.error.constData());
    const CliResult automatic = runCli(
        QStringList{"perplexity", path("large"), "--text", sourcePath("resources/demo/text/heldout.txt"),
                    "--windows", "2", "--sequence-length", "32", "--threads", "1", "--json"},
        m_limit);
    QVERIFY2(automatic.status == 0, automatic.error.constData());
    const QJsonObject json = parsed(automatic);
    QCOMPARE(json["streamed"].toBool(), true);
    QVERIFY(json["peak_resident_bytes"].toDouble() <= json["memory_bound_bytes"].toDouble());
    RUN_JSON(free, "perplexity", path("large"), "--text", sourcePath("resources/demo/text/heldout.txt"),
             "--windows", "2", "--sequence-length", "32", "--threads", "1");
    QCOMPARE(free["streamed"].toBool(), false);
    QCOMPARE(json["window_nll"].toArray(), free["window_nll"].toArray());
}

void TestCliStreaming::measurementsUnderALimit_data() {
    QTest::addColumn<QStringList>("arguments");
    QTest::addColumn<QStringList>("results");
    const QString text = sourcePath("resources/demo/text/heldout.txt"), large = path("large");
    const QStringList windows{"--text", text, "--windows", "2", "--sequence-length", "16"};
    const QStringList pair{large, large, "--kv-format2", "q4"};
    const QStringList writing{"--prompt", "Once upon a time", "--max-tokens", "3"};
    QTest::newRow("compare") << QStringList{"compare"} + pair + windows + writing
                             << QStringList{"perplexity", "kl_divergence", "top1_agreement",
                                            "first_difference"};
    QTest::newRow("fidelity") << QStringList{"fidelity"} + pair + windows
                              << QStringList{"kl_divergence", "layers"};
    QTest::newRow("diff") << QStringList{"diff"} + pair +
                                 QStringList{"--text", text, "--sequence-length", "12"}
                          << QStringList{"tokens", "layers"};
    QTest::newRow("generate") << QStringList{"generate", large} + writing << QStringList{"ids"};
}

void TestCliStreaming::tablesUnderALimit_data() {
    QTest::addColumn<QStringList>("arguments");
    QTest::addColumn<QStringList>("results");
    const QString text = sourcePath("resources/demo/text/heldout.txt"), large = path("large");
    const QStringList windows{"--text", text, "--windows", "1", "--sequence-length", "12"};
    // One latent for all heads, at half its width and in full.
    QTest::newRow("sensitivity") << QStringList{"sensitivity",    large,    "--stats",
                                                "STATISTICS",     "--grid", "2",
                                                "--error-points", "2",      "--method",
                                                "attention-aware"} +
                                        windows
                                 << QStringList{"keys", "values", "layer_errors"};
    QTest::newRow("tradeoff") << QStringList{"tradeoff",        large,
                                             "--stats",         "STATISTICS",
                                             "--ratios",        "0.5",
                                             "--methods",       "attention-aware",
                                             "--allocations",   "threshold",
                                             "--refit-text",    text,
                                             "--refit-windows", "1"} +
                                     windows
                              << QStringList{"rows", "original"};
}

// A command's results with all weights held, and streamed under the limit. STATISTICS in its arguments stands
// for a file that the command may write tables to.
void TestCliStreaming::sameUnderALimit() {
    QFETCH(QStringList, arguments);
    QFETCH(QStringList, results);
    const QString statistics = path("free.stats.safetensors");
    if (!QFile::exists(statistics)) {
        RUN_JSON(made, calibration(statistics, "off"));
    }
    const auto run = [&](const QString& stream, std::int64_t limit) {
        const QString copy = path("copy.stats.safetensors");
        QFile::remove(copy);
        QFile::copy(statistics, copy);
        QStringList all = arguments + QStringList{"--threads", "1", "--stream", stream, "--json"};
        all.replaceInStrings("STATISTICS", copy);
        return limit > 0 ? runCli(all, limit) : runCli(all);
    };
    const CliResult free = run("off", 0);
    QVERIFY2(free.status == 0, free.error.constData());
    const CliResult limited = run("on", m_limit);
    QVERIFY2(limited.status == 0, limited.error.constData());
    QVERIFY2(limited.error.contains("memory: at most"), limited.error.constData());
    const QJsonObject expected = parsed(free), found = parsed(limited);
    for (const QString& key : results) {
        QVERIFY2(expected.contains(key), qPrintable(key));
        QCOMPARE(found[key], expected[key]);
    }
    QVERIFY(found["streamed"].toBool() && !expected["streamed"].toBool());
    for (const QJsonObject& json : {expected, found}) {
        const double stated = json["memory_bound_bytes"].toDouble(),
                     peak = json["peak_resident_bytes"].toDouble();
        qInfo("%s, %s: stated %.0f MB, peak %.0f MB", QTest::currentDataTag(),
              json["streamed"].toBool() ? "streamed" : "held", stated / 1e6, peak / 1e6);
        QVERIFY(peak > 0 && peak <= stated);
    }
    QVERIFY(found["memory_bound_bytes"].toDouble() < static_cast<double>(m_weights));
}

void TestCliStreaming::peakStaysWithinWhatWasStated_data() {
    QTest::addColumn<QStringList>("arguments");
    // Windows whose states are more than a layer, in memory and in a file.
    QTest::newRow("states in memory") << QStringList{"--states", "memory"};
    QTest::newRow("states in a file") << QStringList{"--states", "file"};
    QTest::newRow("kept") << QStringList{"--resume", "--keep-every", "0"};
}

void TestCliStreaming::peakStaysWithinWhatWasStated() {
    QFETCH(QStringList, arguments);
    const QString output = path("peak.stats.safetensors");
    const CliResult result = runCli(QStringList{"calibrate",
                                                path("large"),
                                                "--text",
                                                sourcePath("resources/demo/text/calibration.txt"),
                                                "--samples",
                                                "12",
                                                "--sequence-length",
                                                "64",
                                                "--attention-queries",
                                                "0",
                                                "--error-points",
                                                "0",
                                                "--threads",
                                                "1",
                                                "--stream",
                                                "on",
                                                "--again",
                                                "--output",
                                                output,
                                                "--json"}
                                    << arguments);
    QVERIFY2(result.status == 0, result.error.constData());
    const QJsonObject json = parsed(result);
    QCOMPARE(json["states_spilled"].toBool(), arguments.contains("file"));
    QVERIFY2(json["peak_resident_bytes"].toDouble() <= json["memory_bound_bytes"].toDouble(),
             result.out.constData());
    QVERIFY(!QFile::exists(output + ".partial"));
}

void TestCliStreaming::openingMapsOneFileAtATime() {
    // Within a limit that all files mapped at once would exceed.
    const CliResult result = runCli(QStringList{"inspect", path("large"), "--json"}, m_limit);
    QVERIFY2(result.status == 0, result.error.constData());
    const QJsonObject facts = parsed(result);
    QCOMPARE(facts["weight_bytes"].toDouble(), static_cast<double>(m_weights));
    QCOMPARE(facts["layers"].toInt(), 48);
}

QTEST_GUILESS_MAIN(TestCliStreaming)
#include "tst_cli_streaming.moc"
