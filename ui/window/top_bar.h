// SPDX-License-Identifier: GPL-3.0-or-later
// The line that always says which model, calibration, plan and device, as chips; undo and redo at its right.
#pragma once

#include <QFrame>

class QAction;
class QLabel;

namespace eigenscope {

class Theme;
class Workspace;

class TopBar : public QFrame {
    Q_OBJECT
public:
    TopBar(Workspace& workspace, const Theme& theme, QAction* undo, QAction* redo, QWidget* parent = nullptr);

protected:
    void resizeEvent(QResizeEvent* event) override;

private:
    void refresh();
    void recolour();

    Workspace& m_workspace;
    const Theme& m_theme;
    bool m_compact = false;  // a narrow window: the chips say less
    QAction *m_undo, *m_redo;
    QLabel *m_name, *m_model, *m_calibration, *m_plan, *m_device;
};

}  // namespace eigenscope
