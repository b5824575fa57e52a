// SPDX-License-Identifier: GPL-3.0-or-later
// The window program: eigenscope [--device D] [--threads N] [--demo NAME] [PROJECT | MODEL ...]
#include "app/backends.h"
#include "ui/model/workspace.h"
#include "ui/widgets/theme.h"
#include "ui/window/main_window.h"

#include <QApplication>
#include <QCommandLineParser>
#include <QDir>
#include <QFileInfo>
#include <QIcon>
#include <QMessageBox>

#include <csignal>
#include <cstdio>
#include <memory>

namespace {

using namespace eigenscope;

// The demo models lie beside an installed program (share/eigenscope/demo) or in the source tree it was built
// from.
QString demoFolder() {
    const QString program = QCoreApplication::applicationDirPath();
    for (const char* place : {"/../share/eigenscope/demo", "/../../../resources/demo"}) {
        const QString folder = QDir::cleanPath(program + QLatin1String(place));
        if (QFileInfo::exists(folder)) {
            return folder;
        }
    }
    return {};
}

}  // namespace

int main(int argc, char** argv) {
    // A limit on files' sizes is a failed write, which is shown, instead of the end of the process.
    std::signal(SIGXFSZ, SIG_IGN);
    QApplication application(argc, argv);
    QApplication::setApplicationName(QStringLiteral("Eigenscope"));
    QApplication::setOrganizationName(QStringLiteral("Eigenscope"));
    QApplication::setDesktopFileName(QStringLiteral("eigenscope"));  // whose icon the desktop shows
    QApplication::setApplicationVersion(QStringLiteral(EIGENSCOPE_VERSION));

    QApplication::setWindowIcon(QIcon(QStringLiteral(":/icons/eigenscope.svg")));

    QCommandLineParser parser;
    parser.setApplicationDescription(
        QStringLiteral("Low-rank compression of a language model's KV cache (Eigen Attention)"));
    parser.addHelpOption();
    parser.addVersionOption();
    const QCommandLineOption device(QStringLiteral("device"), QStringLiteral("cpu, cuda or auto"),
                                    QStringLiteral("device"), QStringLiteral("auto"));
    const QCommandLineOption threads(QStringLiteral("threads"), QStringLiteral("CPU threads (0: all)"),
                                     QStringLiteral("N"));
    const QCommandLineOption demo(QStringLiteral("demo"),
                                  QStringLiteral("open a bundled demo model, e.g. llama-stories"),
                                  QStringLiteral("name"));
    parser.addOptions({device, threads, demo});
    parser.addPositionalArgument(QStringLiteral("model"),
                                 QStringLiteral("project, model directory, statistics file or plan"),
                                 QStringLiteral("[model...]"));
    parser.process(application);

    Settings settings(std::make_unique<QSettings>());
    bool threads_valid = true;
    const int thread_count = parser.isSet(threads) ? parser.value(threads).toInt(&threads_valid) : 0;
    if (!threads_valid || thread_count < 0) {
        std::fprintf(stderr, "eigenscope: --threads %s: expected a count, or 0 for all\n",
                     qPrintable(parser.value(threads)));
        return 2;
    }
    BackendRegistry registry = availableBackends();
    BackendChoice choice;
    try {
        choice = registry.choose(parser.value(device).toStdString());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "eigenscope: %s\n", error.what());
        QMessageBox::critical(nullptr, QStringLiteral("Eigenscope"), QString::fromUtf8(error.what()));
        return 1;
    }
    JobRunner jobs;
    Workspace workspace(std::move(choice), thread_count, jobs, settings);
    Theme theme(settings);
    MainWindow window(workspace, theme);
    window.setDemoFolder(demoFolder());
    QStringList paths = parser.positionalArguments();
    if (parser.isSet(demo)) {
        paths.prepend(demoFolder() + QLatin1Char('/') + parser.value(demo));
    }
    window.show();
    window.openPaths(paths);
    return QApplication::exec();
}
