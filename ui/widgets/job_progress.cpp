// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/job_progress.h"

#include "ui/widgets/panel.h"

#include <QGridLayout>
#include <QProgressBar>
#include <QPushButton>

namespace eigenscope {

namespace {
constexpr int kBarSteps = 1000;
}

JobProgress::JobProgress(QWidget* parent)
    : QWidget(parent),
      m_title(new QLabel(this)),
      m_summary(mutedLabel({}, this)),
      m_bar(new QProgressBar(this)),
      m_cancel(new QPushButton(tr("Cancel"), this)) {
    auto* grid = new QGridLayout(this);
    grid->setContentsMargins(0, 0, 0, 0);
    grid->setHorizontalSpacing(10);
    grid->setVerticalSpacing(6);
    m_title->setProperty("role", "title");
    // Long file names give way instead of widening the page.
    m_title->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
    m_summary->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
    m_bar->setTextVisible(false);
    m_bar->setAccessibleName(tr("Progress"));
    m_cancel->setObjectName(QStringLiteral("cancelJob"));
    m_cancel->setToolTip(tr("Stop this job; nothing half-done is kept"));
    grid->addWidget(m_title, 0, 0);
    grid->addWidget(m_bar, 1, 0);
    grid->addWidget(m_summary, 2, 0, 1, 2);
    grid->addWidget(m_cancel, 0, 1, 2, 1, Qt::AlignVCenter);
    grid->setColumnStretch(0, 1);
    connect(m_cancel, &QPushButton::clicked, this, [this] {
        if (m_job) {
            m_job->cancel();
        }
    });
    hide();
}

void JobProgress::setJob(Job* job) {
    if (job == m_job) {
        return;
    }
    if (m_job) {
        disconnect(m_job, nullptr, this, nullptr);
    }
    m_job = job;
    if (m_job) {
        connect(m_job, &Job::changed, this, &JobProgress::refresh);
        connect(m_job, &Job::ended, this, &JobProgress::refresh);
    }
    refresh();
}

void JobProgress::refresh() {
    const bool running = this->running();
    setVisible(running);
    if (running) {
        m_title->setText(m_job->title());
        m_summary->setText(m_summary->fontMetrics().elidedText(m_job->summary(), Qt::ElideRight, width()));
        m_summary->setToolTip(m_job->summary());
        const double fraction = m_job->fraction();
        m_bar->setRange(0, fraction < 0 ? 0 : kBarSteps);
        m_bar->setValue(static_cast<int>(fraction * kBarSteps));
        m_cancel->setEnabled(m_job->state() != Job::State::Stopping);
    }
    if (running != m_was_running) {
        m_was_running = running;
        emit runningChanged(running);
    }
}

}  // namespace eigenscope
