// SPDX-License-Identifier: GPL-3.0-or-later
// Start: open a model or project by button, drop or recent list; the demo models one click away; published
// sizes to explore without their weights; what to do next.
#pragma once

#include "ui/widgets/page.h"

class QVBoxLayout;

namespace eigenscope {

class Panel;
class Theme;
class Workspace;

class StartPage : public Page {
    Q_OBJECT
public:
    StartPage(Workspace& workspace, const Theme& theme, QWidget* parent = nullptr);
    void setDemoFolder(const QString& folder);  // holds <name>/config.json

signals:
    void openRequested();
    void pathRequested(const QString& path);  // of a recent project or model, or a demo

private:
    void rebuildRecent();
    void rebuildSteps();
    QWidget* makePresets();
    QWidget* modelRow(const QString& path, const QString& note, bool removable);

    Workspace& m_workspace;
    const Theme& m_theme;
    QString m_demo_folder;
    Panel *m_recent, *m_demo, *m_steps;
    QVBoxLayout *m_recent_rows, *m_demo_rows, *m_step_rows;
};

}  // namespace eigenscope
