// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/model/context_fit_run.h"

#include "core/compression/converted_config.h"
#include "ui/model/units.h"
#include "ui/model/workspace.h"

namespace eigenscope {

ContextFitRun::ContextFitRun(Workspace& workspace, QObject* parent)
    : QObject(parent), m_workspace(workspace) {}

Job* ContextFitRun::start(const ContextWanted& wanted) {
    const auto& model = m_workspace.model();
    PlanDocument& document = m_workspace.plan();
    if (!model || document.empty() || running() ||
        document.plan().key_ranks.size() != static_cast<std::size_t>(model->model->config.layers)) {
        return nullptr;
    }
    ContextGoal goal;
    goal.original = model->model->config;
    goal.weight_bytes = model->model->weightBytes();
    goal.context = wanted.context;
    goal.memory_bytes = wanted.memory_bytes;
    goal.batch = wanted.batch;
    goal.format = [exact = resolveKvFormat(m_workspace.runOptions(), *model).dtype](const RankPlan& plan) {
        return convertedFormat(plan, exact);
    };
    const RankPlan before = document.plan();
    const auto spectrum = document.spectrum();
    m_job = m_workspace.jobs().submit(
        Lane::Parallel, tr("Fit %1 tokens").arg(countText(wanted.context)), this,
        [plan = document.allocatablePlan(), spectrum, tables = document.tables(), goal](JobContext& job) {
            return fitContext(job, plan, *spectrum, tables, goal);
        },
        [this, wanted, before, spectrum](const ContextFit& fit) {
            PlanDocument& now = m_workspace.plan();
            if (now.plan() != before || now.spectrum() != spectrum) {
                emit m_workspace.notice(tr("The context was not fitted"),
                                        tr("The plan was changed meanwhile; fit it again."), false);
                return;
            }
            if (fit.plan) {
                now.setPlan(*fit.plan, tr("Fit context"));
            }
            emit fitted(wanted, fit);
        });
    return m_job;
}

}  // namespace eigenscope
