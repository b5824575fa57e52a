// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/model/job_runner.h"

#include <QMetaObject>

#include <algorithm>

namespace eigenscope {

namespace {

constexpr std::size_t kKeptJobs = 50;

QString clockText(qint64 ms) {
    const qint64 seconds = ms / 1000;
    return QStringLiteral("%1:%2").arg(seconds / 60).arg(seconds % 60, 2, 10, QLatin1Char('0'));
}

}  // namespace

double Job::fraction() const {
    if (m_state == State::Finished) {
        return 1.0;
    }
    return m_progress.total > 0 ? static_cast<double>(m_progress.done) / static_cast<double>(m_progress.total)
                                : -1.0;
}

qint64 Job::elapsedMs() const {
    if (!m_clock.isValid()) {
        return 0;
    }
    return active() ? m_clock.elapsed() : m_final_ms;
}

qint64 Job::remainingMs() const {
    const double done = fraction();
    if (m_state != State::Running || done <= 0.02) {
        return -1;
    }
    return static_cast<qint64>(static_cast<double>(elapsedMs()) * (1.0 - done) / done);
}

QString Job::summary() const {
    switch (m_state) {
        case State::Queued:
            return tr("waiting");
        case State::Stopping:
            return tr("stopping…");
        case State::Finished:
            return tr("done in %1").arg(clockText(elapsedMs()));
        case State::Failed:
            return tr("failed: %1").arg(m_error);
        case State::Cancelled:
            return tr("cancelled");
        case State::Running:
            break;
    }
    QString text = QString::fromStdString(m_progress.stage);
    if (m_progress.total > 0) {
        text += tr(" %L1 of %L2").arg(m_progress.done).arg(m_progress.total);
    }
    text += tr(" · %1 elapsed").arg(clockText(elapsedMs()));
    if (const qint64 left = remainingMs(); left >= 0) {
        text += tr(", %1 left").arg(clockText(left));
    }
    return text.trimmed();
}

void Job::setState(State state) {
    m_state = state;
    emit changed();
}

void Job::cancel() {
    if (!active() || m_state == State::Stopping) {
        return;
    }
    m_stop.request_stop();
    if (m_state == State::Running) {
        setState(State::Stopping);
    } else {
        setState(State::Cancelled);  // never ran
        emit ended();
    }
}

JobRunner::~JobRunner() {
    m_shutting_down = true;
    for (Job* job : m_jobs) {
        job->m_stop.request_stop();
    }
    for (Job* job : m_jobs) {
        if (job->m_thread.joinable()) {
            job->m_thread.join();
        }
    }
}

std::vector<Job*> JobRunner::activeJobs() const {
    std::vector<Job*> active;
    std::copy_if(m_jobs.begin(), m_jobs.end(), std::back_inserter(active),
                 [](Job* job) { return job->active(); });
    return active;
}

void JobRunner::cancelAll() {
    for (Job* job : activeJobs()) {
        job->cancel();
    }
}

Job* JobRunner::start(Lane lane, const QString& title, std::function<void(JobContext&)> work,
                      std::function<void()> deliver, std::function<void(const QString&)> fail) {
    auto* job = new Job(title, this);
    job->m_lane = lane;
    job->m_work = std::move(work);
    job->m_deliver = std::move(deliver);
    job->m_fail = std::move(fail);
    m_jobs.push_back(job);
    connect(job, &Job::changed, this, [this, job] {
        emit jobChanged(job);
        emit jobsChanged();
    });
    connect(job, &Job::ended, this, &JobRunner::launchNext);
    emit jobAdded(job);
    emit jobsChanged();
    if (lane == Lane::Parallel) {
        launch(job);
    } else {
        launchNext();
    }
    return job;
}

void JobRunner::launchNext() {
    if (m_shutting_down) {
        return;
    }
    Job* next = nullptr;
    for (Job* job : m_jobs) {
        if (job->m_lane != Lane::Engine) {
            continue;
        }
        if (job->m_state == Job::State::Running || job->m_state == Job::State::Stopping) {
            return;
        }
        if (job->m_state == Job::State::Queued && !next) {
            next = job;
        }
    }
    if (next) {
        launch(next);
    }
}

void JobRunner::launch(Job* job) {
    job->m_clock.start();
    job->setState(Job::State::Running);
    auto report = [this, job](const Progress& progress) {
        QMetaObject::invokeMethod(
            this,
            [job, progress] {
                job->m_progress = progress;
                emit job->changed();
            },
            Qt::QueuedConnection);
    };
    job->m_thread =
        std::jthread([this, job, report, stop = job->m_stop.get_token(), work = std::move(job->m_work)] {
            auto state = Job::State::Finished;
            QString error;
            try {
                JobContext context(stop, report);
                work(context);
            } catch (const Cancelled&) {
                state = Job::State::Cancelled;
            } catch (const std::bad_alloc&) {
                state = Job::State::Failed;
                error = QStringLiteral("not enough memory");
            } catch (const std::exception& caught) {
                state = Job::State::Failed;
                error = QString::fromUtf8(caught.what());
            }
            QMetaObject::invokeMethod(
                this, [this, job, state, error] { finish(job, state, error); }, Qt::QueuedConnection);
        });
}

void JobRunner::finish(Job* job, Job::State state, const QString& error) {
    if (job->m_thread.joinable()) {
        job->m_thread.join();
    }
    job->m_final_ms = job->m_clock.elapsed();
    job->m_error = error;
    // A job that finished its work although it was asked to stop is cancelled: the user wanted no result.
    if (state == Job::State::Finished && job->m_state == Job::State::Stopping) {
        state = Job::State::Cancelled;
    }
    job->setState(state);
    if (state == Job::State::Finished && job->m_deliver) {
        job->m_deliver();
    } else if (state == Job::State::Failed) {
        job->m_fail(error);
        emit jobFailed(job, error);
    }
    job->m_deliver = {};
    job->m_fail = {};
    emit job->ended();
    // Keep the history short; the oldest ended jobs go first.
    while (m_jobs.size() > kKeptJobs) {
        auto oldest = std::find_if(m_jobs.begin(), m_jobs.end(), [](Job* other) { return !other->active(); });
        if (oldest == m_jobs.end()) {
            break;
        }
        (*oldest)->deleteLater();
        m_jobs.erase(oldest);
    }
    emit jobsChanged();
}

}  // namespace eigenscope
