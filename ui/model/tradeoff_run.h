// SPDX-License-Identifier: GPL-3.0-or-later
// Trade-off curves of the open model being measured: a job whose points arrive as they are measured. GUI
// thread.
#pragma once

#include "core/evaluation/tradeoff.h"
#include "ui/model/job_stream.h"

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
    bool running() const { return m_stream.running(); }
    const std::vector<TradeoffCurve>& curves() const { return m_curves; }
    const std::vector<TradeoffPoint>& points() const { return m_points; }
    QString error() const { return m_error; }

signals:
    void updated();

private:
    void fetch();

    Workspace& m_workspace;
    JobStream m_stream;
    std::shared_ptr<Mailbox<TradeoffPoint>> m_mailbox;
    std::vector<TradeoffCurve> m_curves;
    std::vector<TradeoffPoint> m_points;
    QString m_error;
};

}  // namespace eigenscope
