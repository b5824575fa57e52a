// SPDX-License-Identifier: GPL-3.0-or-later
// The context that a memory holds with the plan, and the plan that a wanted context needs: "Fit" looks for it
// as `plan --fit-context` does. GUI thread.
#pragma once

#include "ui/model/context_fit_run.h"

#include <QWidget>

class QDoubleSpinBox;
class QLabel;
class QPushButton;
class QSpinBox;

namespace eigenscope {

class FactList;
class Workspace;

class ContextBox : public QWidget {
    Q_OBJECT
public:
    explicit ContextBox(Workspace& workspace, QWidget* parent = nullptr);
    // Whether the plan may be changed now, by an allocation whose tables are there.
    void setFittable(bool fittable);

signals:
    void started(eigenscope::Job* job);  // that takes longer than a moment
    void said(QWidget* message);         // to be brought into view

private:
    void fit();
    ContextWanted wanted() const;
    void say(const QString& text, bool problem);
    void modelChanged();
    void planChanged();
    void sync();

    Workspace& m_workspace;
    ContextFitRun m_run;
    QDoubleSpinBox* m_memory;
    QSpinBox *m_batch, *m_context;
    QPushButton* m_fit;
    FactList* m_facts;
    QLabel* m_outcome;
    bool m_fittable = true;
};

}  // namespace eigenscope
