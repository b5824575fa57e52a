// SPDX-License-Identifier: GPL-3.0-or-later
// Says that an allocation's tables are missing for the plan's bases, with the button that measures them. GUI
// thread.
#pragma once

#include "core/spectrum/rank_plan.h"

#include <QWidget>

class QLabel;
class QPushButton;

namespace eigenscope {

class Job;
class Workspace;

class MeasureBox : public QWidget {
    Q_OBJECT
public:
    explicit MeasureBox(Workspace& workspace, QWidget* parent = nullptr);
    void setWanted(Allocation allocation, bool mixed_bits);

signals:
    void started(eigenscope::Job* job);

private:
    void measure();

    Workspace& m_workspace;
    Allocation m_allocation = Allocation::ErrorBudget;
    bool m_mixed_bits = false;
    QLabel* m_text;
    QPushButton* m_measure;
};

}  // namespace eigenscope
