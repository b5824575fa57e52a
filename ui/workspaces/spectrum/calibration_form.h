// SPDX-License-Identifier: GPL-3.0-or-later
// What the Spectrum workspace shows before there are statistics: which texts to run through the model and how
// much of them, with the job's progress in place. Files can be dropped on it. A calibration that was
// cancelled can be continued. GUI thread.
#pragma once

#include "core/calibration/calibrate.h"

#include <QWidget>

class QLabel;
class QPushButton;
class QSpinBox;

namespace eigenscope {

class CorpusEditor;
class Job;
class JobProgress;
class Workspace;

class CalibrationForm : public QWidget {
    Q_OBJECT
public:
    explicit CalibrationForm(Workspace& workspace, QWidget* parent = nullptr);
    void setBackVisible(bool visible);  // when there is a spectrum to go back to
    JobProgress* progress() const { return m_progress; }

signals:
    void backRequested();

protected:
    void dragEnterEvent(QDragEnterEvent* event) override;
    void dropEvent(QDropEvent* event) override;

private:
    QWidget* buildCard();
    QWidget* buildFields(QWidget* parent);
    void modelChanged();
    void refresh();
    void browse();
    void calibrate();
    CalibrationOptions options() const;
    void loadStatistics();
    void follow(Job* job);

    Workspace& m_workspace;
    QLabel *m_title = nullptr, *m_problem = nullptr, *m_tokens = nullptr;
    CorpusEditor* m_corpus = nullptr;
    QPushButton *m_calibrate = nullptr, *m_continue = nullptr, *m_load = nullptr, *m_back = nullptr;
    QSpinBox *m_samples = nullptr, *m_length = nullptr, *m_seed = nullptr;
    JobProgress* m_progress = nullptr;
};

}  // namespace eigenscope
