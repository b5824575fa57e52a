// SPDX-License-Identifier: GPL-3.0-or-later
// Trade-off curves of the open model being measured: a job whose points arrive as they are measured. GUI
// thread; points cross over from the worker in a mailbox that is emptied by a timer.
#pragma once

#include "core/evaluation/tradeoff.h"
#include "ui/model/job_runner.h"

#include <QPointer>
#include <QTimer>

#include <memory>
#include <vector>

namespace eigenscope {

class Workspace;

class TradeoffRun : public QObject {
    Q_OBJECT
public:
    explicit TradeoffRun(Workspace& workspace, QObject* parent = nullptr);

    // Measures every curve that the statistics have tables for on this text, at the plan's criterion and rank
    // multiple. What was measured before is forgotten. Null when nothing can be measured.
    Job* start(const QString& text, int windows);
    void clear();
    bool running() const { return m_job && m_job->active(); }
    const std::vector<TradeoffCurve>& curves() const { return m_curves; }
    const std::vector<TradeoffPoint>& points() const { return m_points; }
    QString error() const { return m_error; }

signals:
    void updated();

private:
    struct Mailbox;
    void fetch();

    Workspace& m_workspace;
    QTimer m_timer;
    std::shared_ptr<Mailbox> m_mailbox;
    QPointer<Job> m_job;
    std::vector<TradeoffCurve> m_curves;
    std::vector<TradeoffPoint> m_points;
    QString m_error;
};

}  // namespace eigenscope
