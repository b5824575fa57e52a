// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/model/job_stream.h"

namespace eigenscope {

JobStream::JobStream(int interval_ms, QObject* parent) : QObject(parent) {
    m_timer.setInterval(interval_ms);
    connect(&m_timer, &QTimer::timeout, this, &JobStream::fetch);
}

void JobStream::follow(Job* job) {
    m_job = job;
    connect(job, &Job::ended, this, [this, job] {
        if (job == m_job) {  // not an earlier one that ended late
            m_timer.stop();
            emit fetch();
            emit ended();
        }
    });
    m_timer.start();
}

void JobStream::drop() {
    m_timer.stop();
    const QPointer<Job> job = std::exchange(m_job, nullptr);
    if (job && job->active()) {
        job->cancel();
    }
}

}  // namespace eigenscope
