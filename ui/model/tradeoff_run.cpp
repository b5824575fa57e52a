// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/model/tradeoff_run.h"

#include "ui/model/workspace.h"

#include <QFileInfo>

namespace eigenscope {

namespace {
constexpr int kFetchMs = 100;
}

TradeoffRun::TradeoffRun(Workspace& workspace, QObject* parent)
    : QObject(parent), m_workspace(workspace), m_stream(kFetchMs) {
    connect(&m_stream, &JobStream::fetch, this, &TradeoffRun::fetch);
    connect(&m_stream, &JobStream::ended, this, &TradeoffRun::updated);
    // Another model's or calibration's curves say nothing of this one.
    connect(&workspace, &Workspace::modelChanged, this, &TradeoffRun::clear);
    connect(&workspace, &Workspace::statisticsChanged, this, &TradeoffRun::clear);
}

Job* TradeoffRun::start(const QString& text, int windows) {
    if (!m_workspace.model() || !m_workspace.statistics() || m_workspace.plan().empty()) {
        return nullptr;
    }
    clear();
    const RankPlan& plan = m_workspace.plan().plan();
    const auto statistics = m_workspace.statistics();
    m_curves = availableCurves(*statistics, plan.criterion);
    m_mailbox = std::make_shared<Mailbox<TradeoffPoint>>();
    TradeoffOptions options;
    options.criterion = plan.criterion;
    options.rank_multiple = plan.rank_multiple;
    options.run = m_workspace.runOptions();
    options.plain.group = plan.kv_bits.group;  // the plain caches are grouped as the plan's
    options.plain.keys = plan.kv_bits.key_grouping;
    options.plain.recent = plan.kv_bits.recent;
    const auto sink = [mailbox = m_mailbox](const TradeoffPoint& point) { mailbox->put(point); };
    m_stream.follow(m_workspace.jobs().submit(
        Lane::Engine, tr("Measure trade-off on %1").arg(QFileInfo(text).fileName()), this,
        [model = *m_workspace.model(), statistics, curves = m_curves, options, sink, windows,
         file = std::filesystem::path(text.toStdString())](JobContext& job) mutable {
            PerplexityOptions perplexity;
            perplexity.windows = windows;
            options.windows =
                evaluationWindows(job, *model.tokenizer, model.model->config.max_positions, file, perplexity);
            return measureTradeoff(job, model, *statistics, curves, options, sink);
        },
        [](const TradeoffResult&) {}, [this](const QString& error) { m_error = error; }));
    emit updated();
    return m_stream.job();
}

void TradeoffRun::clear() {
    m_stream.drop();
    m_mailbox.reset();
    m_curves.clear();
    m_points.clear();
    m_error.clear();
    emit updated();
}

void TradeoffRun::fetch() {
    const std::vector<TradeoffPoint> arrived = m_mailbox->take();
    if (!arrived.empty()) {
        m_points.insert(m_points.end(), arrived.begin(), arrived.end());
        emit updated();
    }
}

}  // namespace eigenscope
