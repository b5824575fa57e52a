// SPDX-License-Identifier: Apache-2.0
// A window on the CPU backend with settings of its own, for tests that drive real widgets.
#pragma once

#include "kernels/cpu/cpu_backend.h"
#include "ui/model/workspace.h"
#include "ui/widgets/theme.h"
#include "ui/window/main_window.h"

#include <QTemporaryDir>
#include <QTest>

#include <memory>

namespace eigenscope {

struct WindowFixture {
    explicit WindowFixture(ThemeChoice look = ThemeChoice::Light,
                           std::shared_ptr<Backend> backend = createCpuBackend())
        : settings(std::make_unique<QSettings>(folder.filePath("settings.ini"), QSettings::IniFormat)) {
        settings.setTheme(look);
        theme = std::make_unique<Theme>(settings);
        workspace = std::make_unique<Workspace>(BackendChoice{std::move(backend), {}}, 0, jobs, settings);
        window = std::make_unique<MainWindow>(*workspace, *theme);
        window->setDemoFolder(demoFolder());
        window->resize(1440, 900);
        window->show();
    }

    static QString demoFolder() { return QStringLiteral(EIGENSCOPE_SOURCE_DIR "/resources/demo"); }
    static QString demoModel(const QString& name) { return demoFolder() + QLatin1Char('/') + name; }

    // Opens, calibrates on a little text, plans and converts through the workspace's intents.
    bool openDemo(const QString& name) {
        workspace->openModel(demoModel(name));
        return QTest::qWaitFor([this] { return workspace->model().has_value() && !jobs.busy(); }, 30000);
    }
    bool calibrateShortly() {
        CalibrationOptions options;
        options.samples = 4;
        options.sequence_length = 128;
        workspace->calibrate(workspace->suggestedCalibrationText(), options);
        return QTest::qWaitFor([this] { return workspace->statistics() != nullptr && !jobs.busy(); }, 60000);
    }
    bool convertTo(double kv_ratio) {
        workspace->plan().setKvRatio(kv_ratio);
        workspace->convert();
        return QTest::qWaitFor([this] { return workspace->conversion().has_value() && !jobs.busy(); }, 60000);
    }
    // A picture to look at, where EIGENSCOPE_SCREENSHOTS names a folder.
    void grab(const QString& name) const {
        const QString pictures = qEnvironmentVariable("EIGENSCOPE_SCREENSHOTS");
        if (!pictures.isEmpty()) {
            QTest::qWait(200);
            window->grab().save(pictures + "/" + name + ".png");
        }
    }
    template <typename Widget>
    Widget* find(const QString& name) {
        return window->findChild<Widget*>(name);
    }

    QTemporaryDir folder;
    Settings settings;
    JobRunner jobs;
    std::unique_ptr<Theme> theme;
    std::unique_ptr<Workspace> workspace;
    std::unique_ptr<MainWindow> window;
};

}  // namespace eigenscope
