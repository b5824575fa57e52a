// SPDX-License-Identifier: Apache-2.0
// What a desktop is told: that *.eigenscope is a project, and that the window program opens it.
#include <QDir>
#include <QFile>
#include <QMimeDatabase>
#include <QSettings>
#include <QTemporaryDir>
#include <QTest>

class TestDesktopFiles : public QObject {
    Q_OBJECT
private slots:
    void initTestCase() {
        // A data directory with nothing but the package's description, as a desktop finds it.
        QVERIFY(m_data.isValid() && QDir(m_data.path()).mkpath("mime/packages"));
        QVERIFY(QFile::copy(packaging("io.github.eigenscope.mime.xml"),
                            m_data.filePath("mime/packages/io.github.eigenscope.xml")));
        qputenv("XDG_DATA_HOME", m_data.path().toUtf8());
        qputenv("XDG_DATA_DIRS", m_data.path().toUtf8());
        QSettings entry(packaging("eigenscope.desktop"), QSettings::IniFormat);
        entry.beginGroup("Desktop Entry");
        m_exec = entry.value("Exec").toString();
        // Lists end with a semicolon, which begins a comment in other files of this form.
        QFile file(packaging("eigenscope.desktop"));
        QVERIFY(file.open(QIODevice::ReadOnly));
        for (const QByteArray& line : file.readAll().split('\n')) {
            if (line.startsWith("MimeType="))
                m_types = QString::fromUtf8(line.mid(9)).split(';', Qt::SkipEmptyParts);
        }
    }

    void projectsHaveAType() {
        const QMimeType type = QMimeDatabase().mimeTypeForFile(m_data.filePath("study.eigenscope"),
                                                               QMimeDatabase::MatchExtension);
        QCOMPARE(type.name(), QString("application/x-eigenscope-project"));
        QCOMPARE(type.comment(), QString("Eigenscope project"));
        QVERIFY(type.parentMimeTypes().contains("application/json"));
        QCOMPARE(type.iconName(), QString("eigenscope"));
        QVERIFY(m_types.contains(type.name()));
    }

    // A double click hands the program files, not addresses.
    void theProgramTakesFiles() {
        QVERIFY(m_exec.startsWith("eigenscope "));
        QVERIFY(m_exec.endsWith(" %F") || m_exec.endsWith(" %f"));
    }

private:
    static QString packaging(const QString& name) {
        return QStringLiteral(EIGENSCOPE_SOURCE_DIR "/packaging/") + name;
    }

    QTemporaryDir m_data;
    QString m_exec;
    QStringList m_types;
};

QTEST_GUILESS_MAIN(TestDesktopFiles)
#include "tst_desktop_files.moc"
