// SPDX-License-Identifier: Apache-2.0
// Outputs appear whole or not at all: every writer of the terminal program is killed (SIGKILL) or interrupted
// before chosen ones of its file operations, runs into a limit on files' sizes and into a full disk. What is
// at the destination then is what was there before, or all of the new; a leftover has the name that marks it,
// and the next run removes it.
#include "tests/app/cli_run.h"
#include "tests/app/traced_run.h"

#include <QDir>
#include <QFile>
#include <QRegularExpression>
#include <QTemporaryDir>
#include <QTest>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <map>

#include <sched.h>
#include <sys/mount.h>

using namespace eigenscope::test;

namespace {

using Contents = std::map<QString, QByteArray>;  // relative path -> bytes

Contents contentsOf(const QString& folder) {
    Contents contents;
    for (const QString& name : filesBelow(folder)) {
        QFile file(folder + "/" + name);
        contents[name] = file.open(QIODevice::ReadOnly) ? file.readAll() : QByteArray("(a folder)");
    }
    return contents;
}

void write(const QString& path, const QByteArray& bytes) {
    QFile file(path);
    if (!file.open(QIODevice::WriteOnly) || file.write(bytes) != bytes.size())
        qFatal("cannot write %s", qPrintable(path));
}

// Of everything below a leftover: the leftover's own name, hidden and marked.
bool isLeftover(const QString& path, const QString& output) {
    const QRegularExpression mark("^\\." + QRegularExpression::escape(output) +
                                  "\\.[0-9]+-[0-9]+\\.partial(/.*)?$");
    return mark.match(path).hasMatch();
}

const QByteArray kOld = "what was there before";

}  // namespace

class TestCliWholeOutputs : public QObject {
    Q_OBJECT

private:
    struct Writer {
        const char* name;
        QString output;         // within the folder
        QStringList arguments;  // without the output
        bool folder = false;
        bool same_bytes = true;  // each run writes the same; reports have times in them
    };

    QTemporaryDir m_made;  // statistics and a plan
    QString made(const QString& name) const { return m_made.filePath(name); }

    std::vector<Writer> writers() const {
        const QString model = smallModel("llama"), text = smallText(), stats = made("s.stats.safetensors");
        const QStringList calibrate{"calibrate",         model, "--text",    text, "--samples",      "3",
                                    "--sequence-length", "16",  "--threads", "1",  "--error-points", "2"};
        std::vector<Writer> all{
            {"statistics", "new.stats.safetensors", calibrate + QStringList{"--again", "--output"}},
            {"plan", "plan.json", {"plan", stats, "--kv-ratio", "0.6", "--rank-multiple", "1", "--output"}},
            {"spectrum csv", "spectra.csv", {"spectrum", stats, "--csv"}},
            {"subspaces csv", "overlap.csv", {"subspaces", stats, stats, "--csv"}},
            {"fidelity csv",
             "fidelity.csv",
             {"fidelity", model, model, "--text", text, "--windows", "2", "--sequence-length", "16",
              "--threads", "1", "--csv"}},
            {"logits npy", "logits.npy", {"logits", model, "--ids", "1,2,3", "--threads", "1", "--output"}},
            {"converted",
             "converted",
             {"convert", model, "--stats", stats, "--plan", made("plan.json"), "--threads", "1", "--output"},
             true},
            {"report",
             "report",
             {"report", model, "--calibration-text", text, "--text", text, "--samples", "2", "--windows", "2",
              "--sequence-length", "16", "--rank-multiple", "1", "--max-tokens", "2", "--threads", "1",
              "--output"},
             true,
             false},
        };
        static const bool kPictures = runCli({"spectrum", "--help"}).out.contains("--png");
        if (kPictures)  // built with the window's libraries
            all.push_back({"spectrum png", "spectrum.png", {"spectrum", stats, "--png"}});
        return all;
    }
    void eachWriter() const {
        QTest::addColumn<int>("index");
        const auto all = writers();
        for (std::size_t i = 0; i < all.size(); ++i)
            QTest::newRow(all[i].name) << static_cast<int>(i);
    }
    Writer writer(int index) const { return writers()[static_cast<std::size_t>(index)]; }

    static QStringList argumentsOf(const Writer& writer, const QString& folder) {
        return writer.arguments + QStringList{folder + "/" + writer.output};
    }
    // A folder with what was there before: a file, or for a folder's writer nothing.
    static void prepare(const Writer& writer, const QString& folder) {
        QDir(folder).removeRecursively();
        QDir().mkpath(folder);
        if (!writer.folder)
            write(folder + "/" + writer.output, kOld);
    }
    static Contents before(const Writer& writer) {
        return writer.folder ? Contents() : Contents{{writer.output, kOld}};
    }
    // Without leftovers, which are counted.
    static Contents destination(const Writer& writer, const QString& folder, int& leftovers) {
        Contents contents = contentsOf(folder);
        leftovers = static_cast<int>(
            std::erase_if(contents, [&](const auto& file) { return isLeftover(file.first, writer.output); }));
        return contents;
    }
    static bool isWhole(const Writer& writer, const Contents& found, const Contents& whole) {
        if (writer.same_bytes)
            return found == whole;
        const auto page = found.find(writer.output + "/report.html");
        return found.size() == whole.size() && page != found.end() &&
               page->second.trimmed().endsWith("</html>");
    }
    static QByteArray namesIn(const Contents& contents) {
        QByteArray names;
        for (const auto& [name, bytes] : contents)
            names += name.toUtf8() + " (" + QByteArray::number(bytes.size()) + " bytes) ";
        return names;
    }
    // Points spread over all operations, and each of the last: flush, rename, folder.
    static std::vector<long> pointsOf(long writes, int most) {
        std::vector<long> points;
        for (int i = 0; i < most; ++i)
            points.push_back(1 + (writes - 1) * i / most);
        for (long last = std::max(1l, writes - 4); last <= writes; ++last)
            points.push_back(last);
        std::sort(points.begin(), points.end());
        points.erase(std::unique(points.begin(), points.end()), points.end());
        return points;
    }

private slots:
    void initTestCase() {
        for (const Writer& writer : writers()) {
            if (writer.output == "new.stats.safetensors")
                QCOMPARE(runCli(writer.arguments + QStringList{made("s.stats.safetensors")}).status, 0);
            if (writer.output == "plan.json")
                QCOMPARE(runCli(argumentsOf(writer, m_made.path())).status, 0);
        }
    }

    void killed_data() { eachWriter(); }
    void killed() {
        QFETCH(int, index);
        const Writer w = writer(index);
        const QTemporaryDir temporary;
        const QString folder = temporary.filePath("out");
        prepare(w, folder);
        const auto complete = runTraced(argumentsOf(w, folder));
        if (!complete)
            QSKIP("processes may not be traced here");
        QVERIFY2(complete->status == 0, complete->error);
        const Contents whole = contentsOf(folder);
        QVERIFY(whole != before(w));
        int unfinished = 0, with_leftover = 0;
        for (const long point : pointsOf(complete->writes, w.folder ? 5 : 3)) {
            prepare(w, folder);
            const auto result = runTraced(argumentsOf(w, folder), point, SIGKILL);
            QVERIFY2(result->signal == SIGKILL || result->status == 0, result->error);
            int leftovers = 0;
            const Contents found = destination(w, folder, leftovers);
            QVERIFY2(found == before(w) || isWhole(w, found, whole),
                     QByteArray::number(static_cast<qlonglong>(point)) + ": " + namesIn(found));
            unfinished += found == before(w) ? 1 : 0;
            with_leftover += leftovers > 0 ? 1 : 0;
            if (found != before(w))
                continue;
            // The next run is not disturbed by the leftover, and removes it.
            const CliResult next = runCli(argumentsOf(w, folder));
            QVERIFY2(next.status == 0, next.error);
            const Contents after = contentsOf(folder);
            QVERIFY2(isWhole(w, after, whole), namesIn(after));
        }
        QVERIFY(unfinished > 0);
        QVERIFY(with_leftover > 0);
    }

    void interrupted_data() { eachWriter(); }
    void interrupted() {
        QFETCH(int, index);
        const Writer w = writer(index);
        const QTemporaryDir temporary;
        const QString folder = temporary.filePath("out");
        prepare(w, folder);
        const auto complete = runTraced(argumentsOf(w, folder));
        if (!complete)
            QSKIP("processes may not be traced here");
        const Contents whole = contentsOf(folder);
        for (const long point : pointsOf(complete->writes, 2)) {
            prepare(w, folder);
            const auto result = runTraced(argumentsOf(w, folder), point, SIGINT);
            QVERIFY2(result->status == 0 || result->status == 130, result->error);
            const Contents found = contentsOf(folder);
            QVERIFY2(result->status == 0 ? isWhole(w, found, whole) : found == before(w), namesIn(found));
        }
    }

    // Files may not grow beyond a limit: 0, a part of the largest one, all but its last byte.
    void fileTooLarge_data() { eachWriter(); }
    void fileTooLarge() {
        QFETCH(int, index);
        const Writer w = writer(index);
        const QTemporaryDir temporary;
        const QString folder = temporary.filePath("out");
        prepare(w, folder);
        QVERIFY(runLimited(argumentsOf(w, folder), std::nullopt).status == 0);
        unsigned long largest = 0;
        for (const auto& [name, bytes] : contentsOf(folder))
            largest = std::max(largest, static_cast<unsigned long>(bytes.size()));
        // A report's largest file has times in it: its last byte is not in the same place each time.
        for (const unsigned long limit : {0ul, largest / 2, w.same_bytes ? largest - 1 : largest / 3}) {
            prepare(w, folder);
            const TracedResult result = runLimited(argumentsOf(w, folder), limit);
            QVERIFY2(result.status == 1,
                     QByteArray::number(static_cast<qulonglong>(limit)) + ": " + result.error);
            const QString output = folder + "/" + w.output;
            QVERIFY2(result.error.contains((w.folder ? output + "/" : output + ": cannot write").toUtf8()),
                     result.error);
            QVERIFY2(result.error.contains("File too large"), result.error);
            QVERIFY2(contentsOf(folder) == before(w), namesIn(contentsOf(folder)));
        }
    }

    // A disk of 16 KiB, in a mount namespace of this test's own. After the tests that need none: this process
    // keeps it.
    void fullDisk_data() { eachWriter(); }
    void fullDisk() {
        QFETCH(int, index);
        const Writer w = writer(index);
        const QTemporaryDir temporary;
        const QByteArray disk = temporary.path().toLocal8Bit();
        if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
            mount("tmpfs", disk.constData(), "tmpfs", 0, "size=16k") != 0)
            QSKIP(qPrintable(QString("no disk of its own can be mounted here: ") + std::strerror(errno)));
        struct Unmount {
            const QByteArray& disk;
            ~Unmount() { umount2(disk.constData(), MNT_DETACH); }
        } unmount{disk};
        // Old contents, and what leaves the new ones no room.
        if (!w.folder)
            write(temporary.filePath(w.output), kOld);
        QFile filler(temporary.filePath("filler"));
        QVERIFY(filler.open(QIODevice::WriteOnly | QIODevice::Unbuffered));
        while (filler.write(QByteArray(512, 'x')) > 0) {
        }
        filler.close();
        const Contents full = contentsOf(temporary.path());
        const CliResult result = runCli(argumentsOf(w, temporary.path()));
        QCOMPARE(result.status, 1);
        QVERIFY2(result.error.contains((temporary.filePath(w.output)).toUtf8()), result.error);
        QVERIFY2(result.error.contains("No space left on device"), result.error);
        QVERIFY2(contentsOf(temporary.path()) == full, namesIn(contentsOf(temporary.path())));
    }

    void fullStandardOutput() {
        const QStringList arguments{"spectrum", made("s.stats.safetensors"), "--json"};
        QCOMPARE(runLimited(arguments, std::nullopt).status, 0);
        const TracedResult result = runLimited(arguments, std::nullopt, "/dev/full");
        QCOMPARE(result.status, 1);
        QVERIFY2(result.error.contains("standard output: cannot write: No space left on device"),
                 result.error);
    }

    // An unfinished calibration that is kept: a run killed at any moment goes on to the same statistics.
    void killedAndResumed() {
        const QTemporaryDir folder;
        const QString output = folder.filePath("x.stats.safetensors");
        const QStringList arguments{"calibrate",
                                    smallModel("llama"),
                                    "--text",
                                    smallText(),
                                    "--samples",
                                    "4",
                                    "--sequence-length",
                                    "16",
                                    "--threads",
                                    "1",
                                    "--error-points",
                                    "0",
                                    "--resume",
                                    "--keep-every",
                                    "0",
                                    "--output",
                                    output};
        const auto complete = runTraced(arguments);
        if (!complete)
            QSKIP("processes may not be traced here");
        QVERIFY2(complete->status == 0, complete->error);
        const Contents whole = contentsOf(folder.path());
        QCOMPARE(whole.size(), std::size_t{1});
        int resumed = 0;
        for (const long point : pointsOf(complete->writes, 6)) {
            QVERIFY(QDir(folder.path()).removeRecursively() && QDir().mkpath(folder.path()));
            runTraced(arguments, point, SIGKILL);
            const bool partial = QFile::exists(output + ".partial");
            QString problem;
            const QJsonObject result = runJson(arguments, &problem);
            QVERIFY2(problem.isEmpty(), qPrintable(problem));
            QVERIFY(partial || result["resumed_windows"].toInt() == 0);
            resumed += result["resumed_windows"].toInt() > 0 ? 1 : 0;
            const Contents after = contentsOf(folder.path());
            QVERIFY2(after == whole, namesIn(after));
        }
        QVERIFY(resumed > 0);
    }
};

QTEST_GUILESS_MAIN(TestCliWholeOutputs)
#include "tst_cli_whole_outputs.moc"
