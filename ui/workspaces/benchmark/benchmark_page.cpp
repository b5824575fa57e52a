// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/benchmark/benchmark_page.h"

#include "ui/model/benchmark_run.h"
#include "ui/model/workspace.h"
#include "ui/widgets/panel.h"
#include "ui/widgets/theme.h"
#include "ui/workspaces/benchmark/benchmark_form.h"
#include "ui/workspaces/benchmark/benchmark_plot.h"
#include "ui/workspaces/benchmark/benchmark_results.h"

#include <QHBoxLayout>
#include <QStackedLayout>

namespace eigenscope {

BenchmarkPage::BenchmarkPage(Workspace& workspace, const Theme& theme, QWidget* parent)
    : Page(parent),
      m_workspace(workspace),
      m_run(new BenchmarkRun(workspace, this)),
      m_stack(new QStackedLayout(this)) {
    auto* empty =
        new EmptyState(tr("No model is open"),
                       tr("Here latency, throughput and memory of the original and the converted model "
                          "are measured over context and batch, beside what the device reaches at most."),
                       tr("Open a model"), this);
    connect(empty, &EmptyState::activated, this, [this] { emit pageRequested(PageId::Start); });
    m_stack->addWidget(empty);

    auto* content = new QWidget(this);
    auto* row = new QHBoxLayout(content);
    row->setContentsMargins(0, 0, 0, 0);
    row->setSpacing(kGap);
    m_form = new BenchmarkForm(*m_run, workspace, content);  // first: the keyboard begins with the inputs
    m_results = new BenchmarkResults(*m_run, workspace, theme, content);
    row->addWidget(m_results, 1);
    row->addWidget(m_form);
    m_stack->addWidget(content);
    connect(m_results->plot(), &Plot::readout, this, &Page::readout);
    connect(m_run, &BenchmarkRun::updated, this, &BenchmarkPage::refresh);
    connect(m_run, &BenchmarkRun::modelsChanged, this, &BenchmarkPage::refresh);
    refresh();
}

void BenchmarkPage::refresh() { m_stack->setCurrentIndex(m_workspace.model() || !m_run->empty() ? 1 : 0); }

}  // namespace eigenscope
