// SPDX-License-Identifier: GPL-3.0-or-later
// The window's side of projects: their actions in the File menu, file dialogs, the title with its mark, and
// the question about unsaved changes, which is asked only where a project would lose some. GUI thread.
#pragma once

#include "ui/model/project_document.h"

#include <QObject>

#include <functional>

class QAction;
class QMainWindow;
class QMenu;

namespace eigenscope {

class ProjectActions : public QObject {
    Q_OBJECT
public:
    static bool isProject(const QString& path);

    ProjectActions(Workspace& workspace, Comparison& comparison, QMainWindow& window);
    ~ProjectActions() override;

    ProjectDocument& project() { return m_project; }
    void addTo(QMenu* menu);
    void open(const QString& file);
    // Whether the window may close now. If not, it closes by itself once what is to be saved has been.
    bool mayClose();

private:
    // Nothing would be lost; or the user says what to do about it: `then` is called once it has been saved.
    bool mayLeave(std::function<void()> then);
    void chooseProject();
    void save();
    void saveAs();
    void refresh();

    Workspace& m_workspace;
    QMainWindow& m_window;
    ProjectDocument m_project;
    QAction *m_open, *m_save, *m_save_as;
    std::function<void()> m_when_saved;
};

}  // namespace eigenscope
