// SPDX-License-Identifier: GPL-3.0-or-later
// "Compare with other statistics": how much the open bases and those from another text differ, at a rank or
// at a share of the energy. A window of its own, so that the spectrum stays in sight. GUI thread.
#pragma once

#include "core/spectrum/subspaces.h"

#include <QDialog>
#include <QString>

class QDoubleSpinBox;
class QLabel;
class QPushButton;
class QSpinBox;

namespace eigenscope {

struct BasesComparison;
class JobProgress;
class OverlapPlot;
class SegmentedControl;
class Theme;
class Workspace;

class SubspaceDialog : public QDialog {
    Q_OBJECT
public:
    SubspaceDialog(Workspace& workspace, const Theme& theme, QWidget* parent = nullptr);
    void compareWith(const QString& file);  // a statistics file

public slots:
    void browse();

private:
    void build(const Theme& theme);
    void compare();
    void showComparison(const BasesComparison& comparison);

    Workspace& m_workspace;
    QString m_file;
    QLabel *m_title = nullptr, *m_summary = nullptr;
    SegmentedControl* m_by = nullptr;
    QDoubleSpinBox* m_threshold = nullptr;
    QSpinBox* m_rank = nullptr;
    OverlapPlot* m_plot = nullptr;
    JobProgress* m_progress = nullptr;
};

}  // namespace eigenscope
