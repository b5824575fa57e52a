// SPDX-License-Identifier: GPL-3.0-or-later
// The progress of one job where it was started: stage, bar, elapsed and remaining time, Cancel. Hidden while
// there is no running job. GUI thread; the job belongs to its runner.
#pragma once

#include "ui/model/job_runner.h"

#include <QPointer>
#include <QWidget>

class QLabel;
class QProgressBar;
class QPushButton;

namespace eigenscope {

class JobProgress : public QWidget {
    Q_OBJECT
public:
    explicit JobProgress(QWidget* parent = nullptr);
    void setJob(Job* job);  // null: none
    Job* job() const { return m_job; }
    bool running() const { return m_job && m_job->active(); }

signals:
    void runningChanged(bool running);

private:
    void refresh();

    QPointer<Job> m_job;
    QLabel *m_title, *m_summary;
    QProgressBar* m_bar;
    QPushButton* m_cancel;
    bool m_was_running = false;
};

}  // namespace eigenscope
