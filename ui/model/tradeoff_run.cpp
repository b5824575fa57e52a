// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/model/tradeoff_run.h"

#include "ui/model/workspace.h"

#include <QFileInfo>

#include <mutex>

namespace eigenscope {

namespace {
constexpr int kFetchMs = 100;
}

struct TradeoffRun::Mailbox {
    std::mutex mutex;
    std::vector<TradeoffPoint> points;
};

TradeoffRun::TradeoffRun(Workspace& workspace, QObject* parent) : QObject(parent), m_workspace(workspace) {
    m_timer.setInterval(kFetchMs);
    connect(&m_timer, &QTimer::timeout, this, &TradeoffRun::fetch);
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
    m_mailbox = std::make_shared<Mailbox>();
    TradeoffOptions options;
    options.criterion = plan.criterion;
    options.rank_multiple = plan.rank_multiple;
    options.run = m_workspace.runOptions();
    options.plain.group = plan.kv_bits.group;  // the plain caches are grouped as the plan's
    options.plain.keys = plan.kv_bits.key_grouping;
    options.plain.recent = plan.kv_bits.recent;
    const auto sink = [mailbox = m_mailbox](const TradeoffPoint& point) {
        const std::lock_guard lock(mailbox->mutex);
        mailbox->points.push_back(point);
    };
    m_job = m_workspace.jobs().submit(
        Lane::Engine, tr("Measure trade-off on %1").arg(QFileInfo(text).fileName()), this,
        [model = *m_workspace.model(), statistics, curves = m_curves, options, sink, windows,
         file = std::filesystem::path(text.toStdString())](JobContext& job) mutable {
            PerplexityOptions perplexity;
            perplexity.windows = windows;
            options.windows =
                evaluationWindows(job, *model.tokenizer, model.model->config.max_positions, file, perplexity);
            return measureTradeoff(job, model, *statistics, curves, options, sink);
        },
        [](const TradeoffResult&) {}, [this](const QString& error) { m_error = error; });
    connect(m_job, &Job::ended, this, [this, job = m_job.data()] {
        if (job == m_job) {  // not an earlier one that ended late
            m_timer.stop();
            fetch();
            emit updated();
        }
    });
    m_timer.start();
    emit updated();
    return m_job;
}

void TradeoffRun::clear() {
    m_timer.stop();
    if (running()) {
        m_job->cancel();
    }
    m_job = nullptr;
    m_mailbox.reset();
    m_curves.clear();
    m_points.clear();
    m_error.clear();
    emit updated();
}

void TradeoffRun::fetch() {
    std::vector<TradeoffPoint> arrived;
    {
        const std::lock_guard lock(m_mailbox->mutex);
        arrived.swap(m_mailbox->points);
    }
    if (!arrived.empty()) {
        m_points.insert(m_points.end(), arrived.begin(), arrived.end());
        emit updated();
    }
}

}  // namespace eigenscope
