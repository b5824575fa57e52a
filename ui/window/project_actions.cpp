// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/window/project_actions.h"

#include <QAction>
#include <QDir>
#include <QFileDialog>
#include <QFileInfo>
#include <QMainWindow>
#include <QMenu>
#include <QMessageBox>

#include <utility>

namespace eigenscope {

namespace {

const QString kFolder = QStringLiteral("project");

QString filter() { return ProjectActions::tr("Projects (*.eigenscope)"); }

}  // namespace

bool ProjectActions::isProject(const QString& path) { return path.endsWith(QLatin1String(".eigenscope")); }

ProjectActions::ProjectActions(Workspace& workspace, Comparison& comparison, QMainWindow& window)
    : QObject(&window),
      m_workspace(workspace),
      m_window(window),
      m_project(workspace, comparison),
      m_open(new QAction(tr("Open &project…"), this)),
      m_save(new QAction(tr("&Save project"), this)),
      m_save_as(new QAction(tr("Save project &as…"), this)) {
    m_open->setShortcut(Qt::CTRL | Qt::SHIFT | Qt::Key_O);
    m_save->setShortcut(QKeySequence::Save);
    m_save_as->setShortcut(Qt::CTRL | Qt::SHIFT | Qt::Key_S);
    m_open->setObjectName(QStringLiteral("openProject"));
    m_save->setObjectName(QStringLiteral("saveProject"));
    m_save_as->setObjectName(QStringLiteral("saveProjectAs"));
    connect(m_open, &QAction::triggered, this, &ProjectActions::chooseProject);
    connect(m_save, &QAction::triggered, this, &ProjectActions::save);
    connect(m_save_as, &QAction::triggered, this, &ProjectActions::saveAs);
    connect(&m_project, &ProjectDocument::changed, this, &ProjectActions::refresh);
    connect(&workspace, &Workspace::modelChanged, this, &ProjectActions::refresh);
    connect(&m_project, &ProjectDocument::saved, this, [this](bool complete) {
        const auto then = std::exchange(m_when_saved, {});
        if (complete && then) {
            then();
        }
    });
    workspace.setOpenGuard([this](const QString& path) {
        return m_project.opening() || mayLeave([this, path] { m_workspace.openModel(path); });
    });
    refresh();
}

ProjectActions::~ProjectActions() { m_workspace.setOpenGuard({}); }

void ProjectActions::addTo(QMenu* menu) { menu->addActions({m_open, m_save, m_save_as}); }

void ProjectActions::refresh() {
    m_save->setEnabled(m_project.canSave());
    m_save_as->setEnabled(m_project.canSave());
    QStringList parts;
    if (m_project.isOpen()) {
        parts.append(m_project.name() + QStringLiteral("[*]"));
    }
    if (m_workspace.model()) {
        parts.append(QString::fromStdString(m_workspace.model()->name));
    }
    parts.append(QStringLiteral("Eigenscope"));
    m_window.setWindowTitle(parts.join(QStringLiteral(" – ")));
    m_window.setWindowModified(m_project.modified());
}

void ProjectActions::open(const QString& file) {
    if (mayLeave([this, file] { open(file); })) {
        m_project.open(file);
    }
}

void ProjectActions::chooseProject() {
    Settings& settings = m_workspace.settings();
    const QString file =
        QFileDialog::getOpenFileName(&m_window, tr("Open a project"), settings.folder(kFolder), filter());
    if (!file.isEmpty()) {
        settings.setFolder(kFolder, QFileInfo(file).absolutePath());
        open(file);
    }
}

void ProjectActions::save() {
    if (m_project.isOpen()) {
        m_project.save();
    } else {
        saveAs();
    }
}

void ProjectActions::saveAs() {
    if (!m_project.canSave()) {
        return;
    }
    Settings& settings = m_workspace.settings();
    const QString name = m_project.isOpen()    ? m_project.name()
                         : m_workspace.model() ? QString::fromStdString(m_workspace.model()->name)
                                               : tr("project");
    QFileDialog dialog(&m_window, tr("Save the project"), settings.folder(kFolder), filter());
    dialog.setAcceptMode(QFileDialog::AcceptSave);
    dialog.setDefaultSuffix(QStringLiteral("eigenscope"));  // before it asks about overwriting
    dialog.selectFile(name + QStringLiteral(".eigenscope"));
    if (dialog.exec() == QDialog::Accepted && !dialog.selectedFiles().isEmpty()) {
        const QString file = dialog.selectedFiles().constFirst();
        settings.setFolder(kFolder, QFileInfo(file).absolutePath());
        m_project.save(file);
    }
}

bool ProjectActions::mayLeave(std::function<void()> then) {
    if (m_project.saving()) {  // a file that is being written is worth a moment
        m_when_saved = std::move(then);
        return false;
    }
    if (!m_project.modified()) {
        return true;
    }
    const auto answer = QMessageBox::question(
        &m_window, tr("Unsaved changes"), tr("Save the changes to “%1”?").arg(m_project.name()),
        QMessageBox::Save | QMessageBox::Discard | QMessageBox::Cancel, QMessageBox::Save);
    if (answer == QMessageBox::Save && m_project.save()) {
        m_when_saved = std::move(then);
    }
    return answer == QMessageBox::Discard;
}

bool ProjectActions::mayClose() {
    return mayLeave([this] { m_window.close(); });
}

}  // namespace eigenscope
