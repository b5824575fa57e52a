// SPDX-License-Identifier: GPL-3.0-or-later
// The line at the bottom: a light for the engine's state, the running jobs with progress, elapsed and
// remaining time and cancel, and the live read-out of whatever the pointer is over. A click on the jobs opens
// the list of all of them.
#pragma once

#include "ui/model/job_runner.h"

#include <QWidget>

class QLabel;
class QProgressBar;
class QToolButton;

namespace eigenscope {

class Theme;

class JobBar : public QWidget {
    Q_OBJECT
public:
    JobBar(JobRunner& jobs, const Theme& theme, QWidget* parent = nullptr);
    void setReadout(const QString& text);  // what the pointer is over; empty to clear
    void setDevice(const QString& text, const QString& tooltip);

private:
    void refresh();
    void showJobList();

    JobRunner& m_jobs;
    const Theme& m_theme;
    QLabel *m_light, *m_title, *m_summary, *m_readout, *m_device;
    QProgressBar* m_progress;
    QToolButton *m_cancel, *m_list;
};

}  // namespace eigenscope
