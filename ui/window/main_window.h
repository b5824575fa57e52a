// SPDX-License-Identifier: GPL-3.0-or-later
// The main window: navigation rail, the line on top that says what is open, the workspaces, messages, jobs.
// GUI thread.
#pragma once

#include "ui/widgets/page.h"

#include <QMainWindow>

class QAction;
class QLabel;
class QStackedWidget;
class QToolButton;

namespace eigenscope {

class HelpWindow;
class JobBar;
class MessageBar;
class NavRail;
class ProjectActions;
class ProjectDocument;
class Theme;
class TopBar;
class Workspace;

class MainWindow : public QMainWindow {
    Q_OBJECT
public:
    MainWindow(Workspace& workspace, Theme& theme, QWidget* parent = nullptr);

    // Opens what a user may hand over: a project, a model directory or a file in it, *.stats.safetensors, a
    // plan. Two models at once open for comparison.
    void openPaths(const QStringList& paths);
    void showPage(PageId page);
    Page* page(PageId page) const;
    ProjectDocument& project();
    void setDemoFolder(const QString& folder);  // where the bundled demo models are

protected:
    void closeEvent(QCloseEvent* event) override;
    void dragEnterEvent(QDragEnterEvent* event) override;
    void dropEvent(QDropEvent* event) override;

private:
    void addPages();
    void addMenus();
    void restoreLayout();
    void chooseModel();
    void rebuildRecentMenu();
    void showHelp();  // the page that belongs to the current workspace

    Workspace& m_workspace;
    Theme& m_theme;
    NavRail* m_rail;
    TopBar* m_top;
    MessageBar* m_messages;
    JobBar* m_jobs;
    ProjectActions* m_project;
    QStackedWidget* m_pages;
    QMenu* m_recent = nullptr;
    HelpWindow* m_help = nullptr;  // from its first use on
};

}  // namespace eigenscope
