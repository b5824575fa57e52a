// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/job_bar.h"

#include "ui/widgets/elided_label.h"
#include "ui/widgets/theme.h"

#include <QHBoxLayout>
#include <QLabel>
#include <QMenu>
#include <QProgressBar>
#include <QTimer>
#include <QToolButton>

#include <algorithm>

namespace eigenscope {

JobBar::JobBar(JobRunner& jobs, const Theme& theme, QWidget* parent)
    : QWidget(parent), m_jobs(jobs), m_theme(theme) {
    setObjectName(QStringLiteral("jobBar"));
    setAttribute(Qt::WA_StyledBackground);
    auto* layout = new QHBoxLayout(this);
    layout->setContentsMargins(kMargin, 5, kMargin, 5);
    layout->setSpacing(kGap);
    m_light = new QLabel(this);
    m_light->setFixedSize(9, 9);
    // In a narrow window texts give way, not the window.
    m_title = new ElidedLabel({}, this);
    m_progress = new QProgressBar(this);
    m_progress->setFixedWidth(140);
    m_progress->setTextVisible(false);
    m_progress->setAccessibleName(tr("Progress of the running job"));
    m_summary = new ElidedLabel({}, this);
    m_summary->setProperty("role", "muted");
    m_cancel = new QToolButton(this);
    m_cancel->setText(tr("Cancel"));
    m_cancel->setObjectName(QStringLiteral("cancelJob"));
    m_list = new QToolButton(this);
    m_list->setText(tr("Jobs"));
    m_list->setFocusPolicy(Qt::TabFocus);
    m_list->setToolTip(tr("Everything that ran since the start, with its result"));
    m_readout = new ElidedLabel({}, this);
    m_readout->setProperty("role", "muted");
    m_device = new ElidedLabel({}, this);
    m_device->setProperty("role", "muted");
    for (QWidget* widget :
         {static_cast<QWidget*>(m_light), static_cast<QWidget*>(m_title), static_cast<QWidget*>(m_progress),
          static_cast<QWidget*>(m_summary), static_cast<QWidget*>(m_cancel)}) {
        layout->addWidget(widget);
    }
    layout->addStretch(1);
    layout->addWidget(m_readout);
    layout->addStretch(1);
    layout->addWidget(m_device);
    layout->addWidget(m_list);
    connect(m_list, &QToolButton::clicked, this, &JobBar::showJobList);
    connect(m_cancel, &QToolButton::clicked, this, [this] { m_jobs.cancelAll(); });
    connect(&jobs, &JobRunner::jobsChanged, this, &JobBar::refresh);
    connect(&theme, &Theme::changed, this, &JobBar::refresh);
    auto* clock = new QTimer(this);  // elapsed time moves on although the job reports nothing
    connect(clock, &QTimer::timeout, this, [this] {
        if (m_jobs.busy()) {
            refresh();
        }
    });
    clock->start(500);
    setFixedHeight(36);
    refresh();
}

void JobBar::setReadout(const QString& text) { m_readout->setText(text); }

void JobBar::setDevice(const QString& text, const QString& tooltip) {
    m_device->setText(text);
    m_device->setToolTip(tooltip);
}

void JobBar::refresh() {
    const auto active = m_jobs.activeJobs();
    const bool busy = !active.empty();
    const ThemeColours& c = m_theme.colours();
    m_light->setStyleSheet(
        QStringLiteral("background: %1; border-radius: 4px;").arg((busy ? c.key : c.good).name()));
    m_progress->setVisible(busy);
    m_cancel->setVisible(busy);
    m_summary->setVisible(busy);
    m_device->setVisible(!busy);  // the job has the room; the top bar says the device too
    if (!busy) {
        m_title->setText(tr("Ready"));
        return;
    }
    const Job* job = active.front();
    m_title->setText(
        active.size() == 1
            ? job->title()
            : tr("%1 (and %n more)", nullptr, static_cast<int>(active.size()) - 1).arg(job->title()));
    m_summary->setText(job->summary());
    const double fraction = job->fraction();
    m_progress->setRange(0, fraction < 0 ? 0 : 1000);
    m_progress->setValue(static_cast<int>(std::clamp(fraction, 0.0, 1.0) * 1000));
    const bool stopping = std::all_of(active.begin(), active.end(),
                                      [](const Job* one) { return one->state() == Job::State::Stopping; });
    m_cancel->setEnabled(!stopping);
}

void JobBar::showJobList() {
    QMenu menu(this);
    const auto& jobs = m_jobs.jobs();
    if (jobs.empty()) {
        menu.addAction(tr("No jobs yet"))->setEnabled(false);
    }
    for (auto it = jobs.rbegin(); it != jobs.rend(); ++it) {
        QAction* action = menu.addAction(QStringLiteral("%1 — %2").arg((*it)->title(), (*it)->summary()));
        action->setEnabled((*it)->active());
        action->setToolTip(tr("Click to cancel"));
        connect(action, &QAction::triggered, *it, &Job::cancel);
    }
    menu.exec(
        m_list->mapToGlobal(QPoint(m_list->width() - menu.sizeHint().width(), -menu.sizeHint().height())));
}

}  // namespace eigenscope
