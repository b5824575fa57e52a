// SPDX-License-Identifier: Apache-2.0
// A project and its statistics are saved whole or not at all: killed before any write, on a full disk, where
// files may not grow, cancelled. The program that is killed is this one, which saves when it is told to.
#include "core/base/atomic_output.h"
#include "core/calibration/statistics.h"
#include "core/workbench/project.h"
#include "tests/app/traced_run.h"
#include "tests/core/method_support.h"
#include "tests/core/project_support.h"

#include <QDir>
#include <QFile>
#include <QTemporaryDir>
#include <QTest>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include <sched.h>
#include <sys/mount.h>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

const QString kProject = "tour.eigenscope", kStatistics = "tour.stats.safetensors";

std::filesystem::path in(const QString& folder, const QString& name) {
    return QDir(folder).filePath(name).toStdString();
}

// As the window does it: the statistics, then what refers to them. `files`: "project" or "statistics".
int save(const QString& files, const QString& folder) {
    try {
        if (files == "statistics")
            saveStatistics(randomStatistics(2, 4, 2, 8, true, 8), in(folder, kStatistics));
        else
            saveProject(fullProject(folder.toStdString()), in(folder, kProject));
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}

QStringList entriesOf(const QString& folder) {
    return QDir(folder).entryList(QDir::AllEntries | QDir::Hidden | QDir::NoDotAndDotDot, QDir::Name);
}

QByteArray bytesOf(const QString& file) {
    QFile opened(file);
    return opened.open(QIODevice::ReadOnly) ? opened.readAll() : QByteArray();
}

void write(const QString& file, const QByteArray& bytes) {
    QFile opened(file);
    QVERIFY(opened.open(QIODevice::WriteOnly));
    QCOMPARE(opened.write(bytes), bytes.size());
}

}  // namespace

class TestWholeProjects : public QObject {
    Q_OBJECT

private:
    const QByteArray m_old = "what was there before";

    static QString program() { return QCoreApplication::applicationFilePath(); }
    static void files() {
        QTest::addColumn<QString>("files");
        QTest::addColumn<QString>("name");
        QTest::newRow("project") << "project" << kProject;
        QTest::newRow("statistics") << "statistics" << kStatistics;
    }

private slots:
    void killedAnywhere_data() { files(); }
    void killedAnywhere() {
        QFETCH(QString, files);
        QFETCH(QString, name);
        const QTemporaryDir folder;
        const QString target = folder.filePath(name);
        const QStringList arguments{"--save", files, folder.path()};
        const auto complete = runTraced(arguments, 0, SIGKILL, program());
        if (!complete)
            QSKIP("processes may not be traced here");
        QVERIFY2(complete->status == 0, complete->error);
        const QByteArray whole = bytesOf(target);
        QVERIFY(whole.size() > 100);
        int unfinished = 0;
        for (long point = 1; point <= complete->writes; ++point) {
            write(target, m_old);
            const auto result = runTraced(arguments, point, SIGKILL, program());
            QVERIFY(result->signal == SIGKILL || result->status == 0);
            const QByteArray found = bytesOf(target);
            QVERIFY2(found == m_old || found == whole, QByteArray::number(qlonglong(point)));
            unfinished += found == m_old ? 1 : 0;
        }
        QVERIFY(unfinished >= 3);                 // before the file, its contents and its name
        QCOMPARE(save(files, folder.path()), 0);  // removes what they left
        QCOMPARE(entriesOf(folder.path()), QStringList{name});
        QVERIFY(bytesOf(target) == whole);
    }

    void filesMayNotGrow_data() { files(); }
    void filesMayNotGrow() {
        QFETCH(QString, files);
        QFETCH(QString, name);
        const QTemporaryDir folder;
        const QString target = folder.filePath(name);
        QCOMPARE(save(files, folder.path()), 0);
        const auto size = static_cast<unsigned long>(bytesOf(target).size());
        write(target, m_old);
        for (const unsigned long limit : {0ul, size / 2, size - 1}) {
            const TracedResult result =
                runLimited({"--save", files, folder.path()}, limit, "/dev/null", program());
            QCOMPARE(result.status, 1);
            QVERIFY2(result.error.startsWith((target + ": cannot write: File too large").toUtf8()),
                     result.error);
            QCOMPARE(entriesOf(folder.path()), QStringList{name});
            QCOMPARE(bytesOf(target), m_old);
        }
    }

    void cancelled() {
        const QTemporaryDir folder;
        const QString target = folder.filePath(kStatistics);
        write(target, m_old);
        std::stop_source stop;
        int reports = 0;
        JobContext job(stop.get_token(), [&](const Progress& progress) {
            QCOMPARE(progress.stage, std::string("writing statistics"));
            QVERIFY(progress.total > 8 && progress.done < progress.total);
            ++reports;
            stop.request_stop();
        });
        bool stopped = false;
        try {
            saveStatistics(job, randomStatistics(2, 4, 2, 8, true, 8), target.toStdString());
        } catch (const Cancelled&) {
            stopped = true;
        }
        QVERIFY(stopped);
        QCOMPARE(reports, 1);
        QCOMPARE(entriesOf(folder.path()), QStringList{kStatistics});
        QCOMPARE(bytesOf(target), m_old);
    }

    // A disk of 16 KiB, in a mount namespace of this process, which keeps it: the last test.
    void fullDisk_data() { files(); }
    void fullDisk() {
        QFETCH(QString, files);
        QFETCH(QString, name);
        const QTemporaryDir folder;
        const QByteArray disk = folder.path().toLocal8Bit();
        if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
            mount("tmpfs", disk.constData(), "tmpfs", 0, "size=16k") != 0)
            QSKIP(qPrintable(QString("no disk of its own can be mounted here: ") + std::strerror(errno)));
        struct Unmount {
            const QByteArray& disk;
            ~Unmount() { umount2(disk.constData(), MNT_DETACH); }
        } unmount{disk};
        write(folder.filePath(name), m_old);
        QFile filler(folder.filePath("filler"));
        QVERIFY(filler.open(QIODevice::WriteOnly | QIODevice::Unbuffered));
        while (filler.write(QByteArray(512, 'x')) > 0) {
        }
        filler.close();
        const std::string said = errorOf([&] {
            if (files == "statistics")
                saveStatistics(randomStatistics(2, 4, 2, 8, true, 8), in(folder.path(), name));
            else
                saveProject(fullProject(folder.path().toStdString()), in(folder.path(), name));
        });
        QVERIFY2(said.starts_with(folder.filePath(name).toStdString()), said.c_str());
        QVERIFY2(said.find("No space left on device") != std::string::npos, said.c_str());
        QCOMPARE(entriesOf(folder.path()), (QStringList{"filler", name}));
        QCOMPARE(bytesOf(folder.filePath(name)), m_old);
    }
};

int main(int argc, char** argv) {
    std::signal(SIGXFSZ, SIG_IGN);  // as the programs do
    if (argc == 4 && std::strcmp(argv[1], "--save") == 0)
        return save(argv[2], argv[3]);
    QCoreApplication application(argc, argv);
    TestWholeProjects test;
    return QTest::qExec(&test, argc, argv);
}
#include "tst_whole_projects.moc"
