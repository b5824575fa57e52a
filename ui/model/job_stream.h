// SPDX-License-Identifier: GPL-3.0-or-later
// What a job sends while it works: the worker puts items into a mailbox, and a timer on the GUI thread has
// them fetched, so that a fast job does not flood the event loop.
#pragma once

#include "ui/model/job_runner.h"

#include <QPointer>
#include <QTimer>

#include <mutex>
#include <utility>
#include <vector>

namespace eigenscope {

// Any thread; shared by the job and whoever fetches.
template <typename Item>
class Mailbox {
public:
    void put(Item item) {
        const std::lock_guard lock(m_mutex);
        m_items.push_back(std::move(item));
    }
    std::vector<Item> take() {
        const std::lock_guard lock(m_mutex);
        return std::exchange(m_items, {});
    }

private:
    std::mutex m_mutex;
    std::vector<Item> m_items;
};

// Follows one job after another. GUI thread; jobs belong to their runner.
class JobStream : public QObject {
    Q_OBJECT
public:
    explicit JobStream(int interval_ms, QObject* parent = nullptr);
    void follow(Job* job);              // in place of the one before, which goes on unheard
    void drop();                        // no job any more; the one before is cancelled
    Job* job() const { return m_job; }  // the latest, running or ended; or null
    bool running() const { return m_job && m_job->active(); }

signals:
    void fetch();  // while the job runs, and once when it has ended
    void ended();  // after the last fetch()

private:
    QTimer m_timer;
    QPointer<Job> m_job;
};

}  // namespace eigenscope
