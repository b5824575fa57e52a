// SPDX-License-Identifier: Apache-2.0
// What goes wrong: ill-formed input ends in status 1 and one line that names the file, wrong usage in status
// 2, an interruption in 130; nothing is left on disk.
#include "tests/app/cli_run.h"

#include <QDir>
#include <QElapsedTimer>
#include <QFile>
#include <QProcess>
#include <QRegularExpression>
#include <QTemporaryDir>
#include <QTest>

#include <csignal>

using namespace eigenscope::test;

namespace {

void copyFolder(const QString& from, const QString& to) {
    QDir().mkpath(to);
    for (const QString& name : QDir(from).entryList(QDir::Files))
        QFile::copy(from + "/" + name, to + "/" + name);
}

bool write(const QString& file, const QByteArray& bytes) {
    QFile out(file);
    return out.open(QIODevice::WriteOnly | QIODevice::Truncate) && out.write(bytes) == bytes.size();
}

QByteArray read(const QString& file) {
    QFile in(file);
    return in.open(QIODevice::ReadOnly) ? in.readAll() : QByteArray();
}

// Until the process blocks SIGINT, which is when its own handling is in place.
bool waitUntilSignalsAreHandled(qint64 pid) {
    QElapsedTimer timer;
    timer.start();
    while (timer.elapsed() < 60'000) {
        const QByteArray status = read(QString("/proc/%1/status").arg(pid));
        const qsizetype at = status.indexOf("SigBlk:");
        if (at >= 0 && (status.mid(at + 7, 17).trimmed().toULongLong(nullptr, 16) & (1ULL << (SIGINT - 1))))
            return true;
        QTest::qSleep(2);
    }
    return false;
}

}  // namespace

class TestCliFailures : public QObject {
    Q_OBJECT

private:
    QTemporaryDir m_folder;
    QString at(const QString& name) const { return m_folder.filePath(name); }

private slots:
    void initTestCase() {
        const QByteArray config = read(smallModel("llama") + "/config.json");
        const QByteArray weights = read(smallModel("llama") + "/model.safetensors");
        QVERIFY(!config.isEmpty() && weights.size() > 1000);
        for (const char* name :
             {"no-config", "no-weights", "not-json", "unknown", "no-family", "truncated", "long-header",
              "bad-header", "offsets", "shape", "no-tokenizer", "bad-tokenizer", "negative"})
            copyFolder(smallModel("llama"), at(name));
        QVERIFY(QFile::remove(at("no-config") + "/config.json"));
        QVERIFY(QFile::remove(at("no-weights") + "/model.safetensors"));
        QVERIFY(write(at("not-json") + "/config.json", config.left(config.size() / 2)));
        QVERIFY(write(at("unknown") + "/config.json", QByteArray(config).replace("\"llama\"", "\"mamba\"")));
        QVERIFY(write(at("no-family") + "/config.json",
                      QByteArray(config).replace("\"model_type\"", "\"type\"")));
        QVERIFY(write(at("negative") + "/config.json",
                      QByteArray(config).replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": -2")));
        QVERIFY(write(at("shape") + "/config.json",
                      QByteArray(config).replace("\"intermediate_size\": 64", "\"intermediate_size\": 65")));
        QVERIFY(write(at("truncated") + "/model.safetensors", weights.left(weights.size() / 2)));
        QByteArray lying = weights;
        lying[5] = '\x7f';  // a header of 139 TB
        QVERIFY(write(at("long-header") + "/model.safetensors", lying));
        lying = weights;
        lying[9] = '\xff';  // within the JSON
        QVERIFY(write(at("bad-header") + "/model.safetensors", lying));
        // The first offsets pair moved beyond the data, at the same length.
        lying = weights;
        const qsizetype offsets = lying.indexOf("\"data_offsets\":[") + 16;
        const qsizetype comma = lying.indexOf(',', offsets);
        lying.replace(offsets, comma - offsets, QByteArray(comma - offsets, '9'));
        QVERIFY(write(at("offsets") + "/model.safetensors", lying));
        for (const char* name : {"tokenizer.json", "tokenizer_config.json"})
            QVERIFY(QFile::remove(at("no-tokenizer") + "/" + name));
        QVERIFY(write(at("bad-tokenizer") + "/tokenizer.json", "{\"model\": {\"type\": \"Nonsense\"}}"));
        QVERIFY(write(at("empty.txt"), ""));
        QVERIFY(write(at("short.txt"), "Too short."));
        QVERIFY(write(at("binary.txt"), QByteArray("\x00\x01\x02\xff\xfe\x00", 6)));
        QVERIFY(write(at("garbage.stats.safetensors"), "not a safetensors file at all"));
        QVERIFY(write(at("garbage.json"), "{\"version\": 1, \"method\":"));
        const CliResult stats =
            runCli({"calibrate", smallModel("llama"), "--text", smallText(), "--samples", "2",
                    "--sequence-length", "32", "--output", at("good.stats.safetensors")});
        QVERIFY2(stats.status == 0, stats.error);
        const CliResult other =
            runCli({"calibrate", smallModel("opt"), "--text", smallText(), "--samples", "2",
                    "--sequence-length", "32", "--output", at("opt.stats.safetensors")});
        QVERIFY2(other.status == 0, other.error);
        const CliResult plan = runCli({"plan", at("good.stats.safetensors"), "--threshold", "0.9",
                                       "--rank-multiple", "1", "--output", at("good.json")});
        QVERIFY2(plan.status == 0, plan.error);
        QVERIFY(write(at("layers.json"),
                      read(at("good.json")).replace("\"key_ranks\": [", "\"key_ranks\": [3,")));
        QVERIFY(write(at("truncated.stats.safetensors"), read(at("good.stats.safetensors")).chopped(100)));
    }

    void badInput_data() {
        QTest::addColumn<QStringList>("arguments");
        QTest::addColumn<QString>("named");  // what the line must name
        const QString good = smallModel("llama"), text = smallText();
        const QString stats = at("good.stats.safetensors"), plan = at("good.json"), out = at("out/result");
        for (const char* name : {"no-config", "no-weights", "not-json", "unknown", "no-family", "truncated",
                                 "long-header", "bad-header", "offsets", "negative"}) {
            QTest::addRow("inspect %s", name) << QStringList{"inspect", at(name)} << name;
            QTest::addRow("generate %s", name) << QStringList{"generate", at(name), "--prompt", "a"} << name;
        }
        QTest::newRow("missing directory") << QStringList{"inspect", at("nowhere")} << "nowhere";
        QTest::newRow("wrong shape") << QStringList{"generate", at("shape"), "--prompt", "a"} << "shape";
        QTest::newRow("no tokenizer")
            << QStringList{"tokenize", at("no-tokenizer"), "--text", "a"} << "no-tokenizer";
        QTest::newRow("bad tokenizer")
            << QStringList{"tokenize", at("bad-tokenizer"), "--text", "a"} << "bad-tokenizer";
        QTest::newRow("unknown preset") << QStringList{"inspect", "preset:gpt-9"} << "tinyllama-1.1b";
        QTest::newRow("a preset has no text")
            << QStringList{"generate", "preset:tinyllama-1.1b", "--prompt", "a"} << "no tokenizer";
        QTest::newRow("a preset has no tokens")
            << QStringList{"tokenize", "preset:tinyllama-1.1b", "--text", "a"} << "no tokenizer";
        QTest::newRow("random weights without configuration")
            << QStringList{"inspect", at("no-config"), "--load-format", "dummy"} << "no-config";
        QTest::newRow("no chat template")
            << QStringList{"generate", good, "--prompt", "a", "--chat"} << "chat template";
        QTest::newRow("no chat template to tokenise")
            << QStringList{"tokenize", good, "--text", "a", "--chat"} << "chat_template.jinja";
        QTest::newRow("id beyond the vocabulary")
            << QStringList{"logits", good, "--ids", "1,288", "--output", out} << "288";
        QTest::newRow("negative id") << QStringList{"tokenize", good, "--decode=-1"} << "-1";
        QTest::newRow("decode beyond") << QStringList{"tokenize", good, "--decode", "100000"} << "100000";
        QTest::newRow("missing text")
            << QStringList{"perplexity", good, "--text", at("none.txt")} << "none.txt";
        for (const char* name : {"empty.txt", "short.txt"}) {
            QTest::addRow("perplexity %s", name)
                << QStringList{"perplexity", good, "--text", at(name), "--sequence-length", "64"} << name;
            QTest::addRow("calibrate %s", name)
                << QStringList{"calibrate",         good, "--text",   at(name),
                               "--sequence-length", "64", "--output", out}
                << name;
            QTest::addRow("compare %s", name)
                << QStringList{"compare", good, good, "--text", at(name), "--sequence-length", "64"} << name;
            QTest::addRow("fidelity %s", name)
                << QStringList{"fidelity", good, good, "--text", at(name), "--sequence-length", "64"} << name;
        }
        QTest::newRow("fidelity of other models")
            << QStringList{"fidelity", good, smallModel("opt"), "--text", text}
            << "layers cannot be compared";
        QTest::newRow("fidelity's csv in no folder")
            << QStringList{"fidelity", good, good, "--text", text, "--csv", at("nowhere/f.csv")}
            << "nowhere/f.csv";
        QTest::newRow("diff of an empty text")
            << QStringList{"diff", good, good, "--text", at("empty.txt")} << "empty.txt";
        QTest::newRow("diff of nothing")
            << QStringList{"diff", good, good, "--prompt", ""} << "expected 2 to the models'";
        QTest::newRow("diff beyond the positions")
            << QStringList{"diff", good, good, "--text", text, "--sequence-length", "4096"} << "4096";
        QTest::newRow("diff's csv in no folder")
            << QStringList{"diff", good, good, "--text", text, "--csv", at("nowhere/d.csv")}
            << "nowhere/d.csv";
        QTest::newRow("binary text") << QStringList{"perplexity", good, "--text", at("binary.txt")}
                                     << "binary.txt";
        QTest::newRow("window beyond the positions")
            << QStringList{"perplexity", good, "--text", text, "--sequence-length", "4096"} << "4096";
        QTest::newRow("calibrate: no such folder")
            << QStringList{"calibrate", good, "--text", text, "--output", at("no/folder/x")} << "no/folder/x";
        QTest::newRow("calibrate: output is a folder")
            << QStringList{"calibrate", good, "--text", text, "--output", at("no-config")} << "no-config";
        QTest::newRow("logits: no such folder")
            << QStringList{"logits", good, "--ids", "1", "--output", at("no/folder/x")} << "no/folder/x";
        QTest::newRow("plan: no such folder")
            << QStringList{"plan", stats, "--threshold", "0.9", "--output", at("no/folder/x")}
            << "no/folder/x";
        QTest::newRow("not statistics")
            << QStringList{"spectrum", at("garbage.stats.safetensors")} << "garbage.stats.safetensors";
        QTest::newRow("truncated statistics")
            << QStringList{"spectrum", at("truncated.stats.safetensors")} << "truncated.stats.safetensors";
        QTest::newRow("weights are no statistics")
            << QStringList{"spectrum", good + "/model.safetensors"} << "model.safetensors";
        QTest::newRow("no such layer") << QStringList{"spectrum", stats, "--layer", "2"} << "--layer 2";
        QTest::newRow("no such head") << QStringList{"spectrum", stats, "--head", "9"} << "--head 9";
        QTest::newRow("ratio too small")
            << QStringList{"plan", stats, "--kv-ratio", "0.001", "--output", out} << "0.0";
        QTest::newRow("memory too small")
            << QStringList{"plan", stats, "--fit-context", "1000000", "--memory", "1M", "--output", out}
            << "tokens fit at most";  // what would fit is named
        QTest::newRow("not the model of the statistics")
            << QStringList{"plan", stats,     "--fit-context", "100",      "--memory",
                           "1M",   "--model", at("good.json"), "--output", out}
            << "config.json";
        QTest::newRow("no such layer to pin")
            << QStringList{"plan", stats, "--threshold", "0.9", "--pin", "7:keys=3", "--output", out}
            << "layer 7";
        QTest::newRow("pin wider than the head")
            << QStringList{"plan", stats, "--threshold", "0.9", "--pin", "0:keys=99", "--output", out}
            << "rank 99";
        QTest::newRow("no error tables")
            << QStringList{"plan", stats, "--error-budget", "0.1", "--share-key-basis", "--output", out}
            << "--errors-only";
        QTest::newRow("centring belongs to eigen")
            << QStringList{"plan",     stats, "--threshold", "0.9", "--method", "attention-aware", "--center",
                           "--output", out}
            << "attention-aware";
        QTest::newRow("sensitivity: missing text")
            << QStringList{"sensitivity", good, "--stats", stats, "--text", at("none.txt")} << "none.txt";
        QTest::newRow("sensitivity: another model's statistics")
            << QStringList{"sensitivity", good, "--stats", at("opt.stats.safetensors"), "--errors-only"}
            << "opt";
        QTest::newRow("averages of an odd number") << QStringList{"calibrate",
                                                                  good,
                                                                  "--text",
                                                                  text,
                                                                  "--samples",
                                                                  "5",
                                                                  "--sequence-length",
                                                                  "32",
                                                                  "--average-samples",
                                                                  "2",
                                                                  "--output",
                                                                  out}
                                                   << "average samples 2";
        QTest::newRow("refit: empty text")
            << QStringList{"convert",  good, "--stats", stats,    "--plan",       plan,
                           "--output", out,  "--refit", "--text", at("empty.txt")}
            << "empty.txt";
        QTest::newRow("tradeoff: empty text")
            << QStringList{"tradeoff", good, "--stats", stats, "--text", at("empty.txt")} << "empty.txt";
        QTest::newRow("tradeoff: no such folder")
            << QStringList{"tradeoff", good, "--stats", stats, "--text", text, "--csv", at("no/folder/x")}
            << "no/folder/x";
        QTest::newRow("tradeoff: another model's statistics")
            << QStringList{"tradeoff",  good, "--stats",           at("opt.stats.safetensors"),
                           "--text",    text, "--sequence-length", "32",
                           "--windows", "1"}
            << "opt";
        QTest::newRow("garbage plan")
            << QStringList{"convert", good, "--stats", stats, "--plan", at("garbage.json"), "--output", out}
            << "garbage.json";
        QTest::newRow("plan of more layers")
            << QStringList{"convert", good, "--stats", stats, "--plan", at("layers.json"), "--output", out}
            << "layers.json";
        QTest::newRow("statistics of another model")
            << QStringList{"convert", good, "--stats",  at("opt.stats.safetensors"),
                           "--plan",  plan, "--output", out}
            << "opt";
        QTest::newRow("convert: output exists")
            << QStringList{"convert", good, "--stats", stats, "--plan", plan, "--output", at("no-config")}
            << "no-config";
        QTest::newRow("report: output exists")
            << QStringList{"report", good, "--calibration-text", text,
                           "--text", text, "--output",           at("no-config")}
            << "no-config";
        QTest::newRow("report: empty text")
            << QStringList{"report",   good, "--calibration-text", text, "--text", at("empty.txt"),
                           "--output", out}
            << "empty.txt";
    }
    void badInput() {
        QFETCH(QStringList, arguments);
        QFETCH(QString, named);
        QDir().mkpath(at("out"));
        const QStringList before = filesBelow(m_folder.path());
        const CliResult result = runCli(arguments);
        QVERIFY2(result.status == 1,
                 qPrintable(QString("status %1: %2").arg(result.status).arg(result.error.constData())));
        QVERIFY2(result.out.isEmpty(), result.out);
        // Progress may come before, on a slow machine.
        const QStringList lines = result.errorLines();
        QVERIFY2(lines.filter(QRegularExpression("^eigenscope-cli: ")).size() == 1, result.error);
        QVERIFY2(lines.last().startsWith("eigenscope-cli: "), result.error);
        QVERIFY2(lines.last().contains(named), result.error);
        QCOMPARE(filesBelow(m_folder.path()), before);
    }

    void wrongUsage_data() {
        QTest::addColumn<QStringList>("arguments");
        QTest::addColumn<QString>("named");
        const QString good = smallModel("llama"), text = smallText(), stats = at("good.stats.safetensors");
        QTest::newRow("nothing") << QStringList{} << "subcommand";
        QTest::newRow("unknown subcommand") << QStringList{"dance"} << "dance";
        QTest::newRow("no model") << QStringList{"inspect"} << "MODEL";
        QTest::newRow("unknown option") << QStringList{"inspect", good, "--frobnicate"} << "--frobnicate";
        QTest::newRow("no text") << QStringList{"perplexity", good} << "--text";
        QTest::newRow("neither text nor ids") << QStringList{"tokenize", good} << "--decode";
        QTest::newRow("text and ids")
            << QStringList{"tokenize", good, "--text", "a", "--decode", "1"} << "--decode";
        QTest::newRow("ids that are none")
            << QStringList{"logits", good, "--ids", "1,x", "--output", at("x")} << "--ids";
        QTest::newRow("no number") << QStringList{"generate", good, "--prompt", "a", "--max-tokens", "x"}
                                   << "--max-tokens";
        QTest::newRow("no tokens") << QStringList{"generate", good, "--prompt", "a", "--max-tokens", "0"}
                                   << "--max-tokens";
        QTest::newRow("top-p") << QStringList{"generate", good, "--prompt", "a", "--top-p", "1.5"}
                               << "--top-p";
        QTest::newRow("device") << QStringList{"estimate", good, "--device", "abacus"} << "cpu";
        QTest::newRow("cache format") << QStringList{"inspect", good, "--kv-format", "q5"} << "q4";
        QTest::newRow("cache group") << QStringList{"inspect", good, "--kv-format", "q4", "--kv-group", "12"}
                                     << "multiple of 8";
        QTest::newRow("groups of a dtype")
            << QStringList{"estimate", good, "--kv-format", "f16", "--kv-recent", "8"} << "--kv-recent";
        QTest::newRow("keys by row") << QStringList{"generate",    good, "--prompt",  "a",
                                                    "--kv-format", "q8", "--kv-keys", "row"}
                                     << "--kv-keys";
        QTest::newRow("second format")
            << QStringList{"compare", good, good, "--text", text, "--kv-format2", "q1"} << "--kv-format2";
        QTest::newRow("plan: 5 bits")
            << QStringList{"plan", stats, "--threshold", "0.9", "--kv-bits", "5", "--output", at("p")}
            << "--kv-bits";
        QTest::newRow("plan: bits twice")
            << QStringList{"plan", stats,        "--threshold", "0.9",      "--kv-bits",
                           "4",    "--key-bits", "8",           "--output", at("p")}
            << "--key-bits";
        QTest::newRow("plan: groups of no bits")
            << QStringList{"plan", stats, "--threshold", "0.9", "--kv-group", "64", "--output", at("p")}
            << "--kv-group";
        QTest::newRow("load format") << QStringList{"inspect", good, "--load-format", "fast"} << "dummy";
        QTest::newRow("system without chat")
            << QStringList{"generate", good, "--prompt", "a", "--system", "b"} << "--chat";
        QTest::newRow("ids in a chat")
            << QStringList{"tokenize", good, "--decode", "1", "--chat"} << "--chat";
        QTest::newRow("no goal") << QStringList{"plan", stats, "--output", at("p")} << "--threshold";
        QTest::newRow("two goals") << QStringList{"plan",       stats, "--threshold", "0.9",
                                                  "--kv-ratio", "0.5", "--output",    at("p")}
                                   << "--kv-ratio";
        QTest::newRow("half a pair") << QStringList{"plan", stats,      "--key-threshold",
                                                    "0.9",  "--output", at("p")}
                                     << "--value-threshold";
        QTest::newRow("memory without context")
            << QStringList{"plan", stats, "--memory", "8G", "--output", at("p")} << "--fit-context";
        QTest::newRow("no memory size")
            << QStringList{"plan", stats, "--fit-context", "9", "--memory", "lots", "--output", at("p")}
            << "lots";
        QTest::newRow("threshold") << QStringList{"plan", stats, "--threshold", "1.2", "--output", at("p")}
                                   << "--threshold";
        QTest::newRow("method") << QStringList{"plan",     stats,   "--threshold", "0.9",
                                               "--method", "magic", "--output",    at("p")}
                                << "eigen";
        QTest::newRow("error budget and another allocation")
            << QStringList{"plan",         stats,         "--error-budget", "0.1",
                           "--allocation", "sensitivity", "--output",       at("p")}
            << "--error-budget";
        QTest::newRow("threshold and an allocation")
            << QStringList{"plan",         stats,          "--threshold", "0.9",
                           "--allocation", "error-budget", "--output",    at("p")}
            << "--kv-ratio";
        QTest::newRow("ill-formed pin")
            << QStringList{"plan", stats, "--threshold", "0.9", "--pin", "3=4", "--output", at("p")} << "3=4";
        QTest::newRow("pin of half a rank")
            << QStringList{"plan", stats, "--threshold", "0.9", "--pin", "0:keys=2.5", "--output", at("p")}
            << "2.5";
        QTest::newRow("layer threshold above 1")
            << QStringList{"plan",       stats,      "--threshold", "0.9", "--layer-threshold",
                           "0:keys=1.5", "--output", at("p")}
            << "--layer-threshold";
        QTest::newRow("text without refit")
            << QStringList{"convert",       good,       "--stats", stats,    "--plan",
                           at("good.json"), "--output", at("p"),   "--text", text}
            << "--refit";
        QTest::newRow("refit without text")
            << QStringList{"convert",       good,       "--stats", stats,    "--plan",
                           at("good.json"), "--output", at("p"),   "--refit"}
            << "--text";
        QTest::newRow("sensitivity without text")
            << QStringList{"sensitivity", good, "--stats", stats} << "--errors-only";
        QTest::newRow("averaged attention")
            << QStringList{"calibrate",           good, "--text",   text,   "--average-samples", "2",
                           "--attention-queries", "4",  "--output", at("p")}
            << "--attention-queries";
        QTest::newRow("ratio above 1")
            << QStringList{"tradeoff", good, "--stats", stats, "--text", text, "--ratios", "0.5,2"}
            << "--ratios";
        QTest::newRow("diff without a text") << QStringList{"diff", good, good} << "--prompt";
        QTest::newRow("diff of two texts")
            << QStringList{"diff", good, good, "--text", text, "--prompt", "a"} << "--text";
        QTest::newRow("bos") << QStringList{"perplexity", good, "--text", text, "--bos", "last"} << "first";
    }
    void wrongUsage() {
        QFETCH(QStringList, arguments);
        QFETCH(QString, named);
        const QStringList before = filesBelow(m_folder.path());
        const CliResult result = runCli(arguments);
        QVERIFY2(result.status == 2,
                 qPrintable(QString("status %1: %2").arg(result.status).arg(result.error.constData())));
        QVERIFY2(result.out.isEmpty(), result.out);
        QVERIFY2(result.error.startsWith("eigenscope-cli: "), result.error);
        QVERIFY2(result.error.contains(named.toUtf8()), result.error);
        QCOMPARE(filesBelow(m_folder.path()), before);
    }

    void interrupted_data() {
        QTest::addColumn<int>("times");
        QTest::newRow("once") << 1;
        QTest::newRow("impatient") << 5;
    }
    void interrupted() {
        QFETCH(int, times);
        QTemporaryDir empty;
        QProcess process;
        // Far more windows than the test waits for.
        process.start(cliProgram(),
                      {"calibrate", smallModel("llama"), "--text", smallText(), "--samples", "200000",
                       "--sequence-length", "64", "--output", empty.filePath("x.stats.safetensors")});
        QVERIFY(process.waitForStarted());
        QVERIFY(waitUntilSignalsAreHandled(process.processId()));
        QTest::qSleep(300);  // into the run; any moment must do
        for (int i = 0; i < times; ++i)
            kill(static_cast<pid_t>(process.processId()), SIGINT);
        QVERIFY(process.waitForFinished(60'000));
        QCOMPARE(process.exitStatus(), QProcess::NormalExit);
        QCOMPARE(process.exitCode(), 130);
        QVERIFY(process.readAllStandardOutput().isEmpty());
        QCOMPARE(filesBelow(empty.path()), QStringList());
    }

    // A report writes a folder of files; none may stay, at whatever moment it is stopped.
    void interruptedReport() {
        for (const int delay : {0, 40, 150, 400, 900}) {
            QTemporaryDir empty;
            QProcess process;
            process.start(cliProgram(), {"report", smallModel("llama"), "--calibration-text", smallText(),
                                         "--text", smallText(), "--samples", "400", "--sequence-length", "64",
                                         "--rank-multiple", "1", "--output", empty.filePath("report")});
            QVERIFY(process.waitForStarted());
            QVERIFY(waitUntilSignalsAreHandled(process.processId()));
            QTest::qSleep(delay);
            kill(static_cast<pid_t>(process.processId()), SIGINT);
            QVERIFY(process.waitForFinished(60'000));
            QCOMPARE(process.exitStatus(), QProcess::NormalExit);
            if (process.exitCode() == 0)
                continue;  // finished before the signal came: a fast machine
            QCOMPARE(process.exitCode(), 130);
            QCOMPARE(filesBelow(empty.path()), QStringList());
        }
    }
};

QTEST_GUILESS_MAIN(TestCliFailures)
#include "tst_cli_failures.moc"
