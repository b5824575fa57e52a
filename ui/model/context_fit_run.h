// SPDX-License-Identifier: GPL-3.0-or-later
// Fits the plan to a wanted context: a job on copies, whose plan becomes one undoable change of the document.
// GUI thread.
#pragma once

#include "core/compression/context_fit.h"
#include "ui/model/job_runner.h"

#include <QPointer>

namespace eigenscope {

class Workspace;

// So many sequences of so many tokens at a time, weights and scratch beside them.
struct ContextWanted {
    std::int64_t context = 1, memory_bytes = 0;
    int batch = 1;
    bool operator==(const ContextWanted&) const = default;
};

class ContextFitRun : public QObject {
    Q_OBJECT
public:
    explicit ContextFitRun(Workspace& workspace, QObject* parent = nullptr);

    // By the plan's allocation; where its tables are missing, by one threshold. Null without model or plan.
    Job* start(const ContextWanted& wanted);
    bool running() const { return m_job && m_job->active(); }

signals:
    // The plan is the document's by now, unless there is none that fits or the document has changed since
    // start(): then nothing changes, and a notice says so.
    void fitted(const eigenscope::ContextWanted& wanted, const eigenscope::ContextFit& fit);

private:
    Workspace& m_workspace;
    QPointer<Job> m_job;
};

}  // namespace eigenscope
