// SPDX-License-Identifier: GPL-3.0-or-later
// Long work off the GUI thread. A JobRunner lives on the GUI thread and owns its jobs; work runs on worker
// threads and its result comes back as a value by a queued call, so callbacks always run on the GUI thread.
// Callbacks of a receiver that is gone are dropped. Destroying the runner asks every job to stop and waits
// for it.
#pragma once

#include "core/base/job_context.h"

#include <QElapsedTimer>
#include <QObject>
#include <QPointer>
#include <QString>

#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace eigenscope {

// Engine jobs run one after another (they share the device); Parallel jobs start at once.
enum class Lane { Engine, Parallel };

class Job : public QObject {
    Q_OBJECT
public:
    enum class State { Queued, Running, Stopping, Finished, Failed, Cancelled };
    Q_ENUM(State)

    QString title() const { return m_title; }
    State state() const { return m_state; }
    bool active() const {
        return m_state == State::Queued || m_state == State::Running || m_state == State::Stopping;
    }
    const Progress& progress() const { return m_progress; }
    double fraction() const;     // in [0, 1], negative when unknown
    qint64 elapsedMs() const;    // since it started running
    qint64 remainingMs() const;  // estimated from the fraction; negative when unknown
    QString error() const { return m_error; }
    QString summary() const;  // "calibrating 3 of 16, 0:04 elapsed, 0:17 left"

public slots:
    void cancel();

signals:
    void changed();
    void ended();  // once, in state Finished, Failed or Cancelled

private:
    friend class JobRunner;
    explicit Job(QString title, QObject* parent) : QObject(parent), m_title(std::move(title)) {}
    void setState(State state);

    QString m_title, m_error;
    State m_state = State::Queued;
    Progress m_progress;
    QElapsedTimer m_clock;
    qint64 m_final_ms = 0;
    Lane m_lane = Lane::Engine;
    std::stop_source m_stop;
    std::function<void(JobContext&)> m_work;     // runs on the worker; throws
    std::function<void()> m_deliver;             // GUI thread, after success
    std::function<void(const QString&)> m_fail;  // GUI thread, after an error
    std::jthread m_thread;
};

class JobRunner : public QObject {
    Q_OBJECT
public:
    explicit JobRunner(QObject* parent = nullptr) : QObject(parent) {}
    ~JobRunner() override;

    // Runs work(JobContext&) -> R elsewhere, then done(R) here. Errors go to failed(text) when given, and to
    // the signal jobFailed in any case. Cancelling calls neither.
    template <typename Work, typename Done>
    Job* submit(Lane lane, const QString& title, QObject* receiver, Work work, Done done,
                std::function<void(const QString&)> failed = {}) {
        using Result = std::invoke_result_t<Work, JobContext&>;
        auto result = std::make_shared<std::unique_ptr<Result>>();
        QPointer<QObject> guard(receiver);
        return start(
            lane, title,
            [work = std::move(work), result](JobContext& job) mutable {
                *result = std::make_unique<Result>(work(job));
            },
            [result, guard, done = std::move(done)]() mutable {
                if (guard) {
                    done(std::move(**result));
                }
            },
            [guard, failed = std::move(failed)](const QString& text) {
                if (guard && failed) {
                    failed(text);
                }
            });
    }

    const std::vector<Job*>& jobs() const { return m_jobs; }  // oldest first; ended ones are kept, up to 50
    std::vector<Job*> activeJobs() const;
    bool busy() const { return !activeJobs().empty(); }
    void cancelAll();

signals:
    void jobAdded(eigenscope::Job* job);
    void jobChanged(eigenscope::Job* job);
    void jobFailed(eigenscope::Job* job, const QString& error);
    void jobsChanged();  // the list or the state of any job

private:
    Job* start(Lane lane, const QString& title, std::function<void(JobContext&)> work,
               std::function<void()> deliver, std::function<void(const QString&)> fail);
    void launch(Job* job);
    void launchNext();
    void finish(Job* job, Job::State state, const QString& error);

    std::vector<Job*> m_jobs;
    bool m_shutting_down = false;
};

}  // namespace eigenscope
