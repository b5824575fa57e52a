// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/spectrum/plan_panel.h"

#include "ui/model/workspace.h"
#include "ui/widgets/form_row.h"
#include "ui/widgets/job_progress.h"
#include "ui/widgets/kv_groups_box.h"
#include "ui/widgets/theme.h"
#include "ui/workspaces/spectrum/basis_box.h"
#include "ui/workspaces/spectrum/cache_box.h"
#include "ui/workspaces/spectrum/context_box.h"
#include "ui/workspaces/spectrum/layer_threshold_row.h"
#include "ui/workspaces/spectrum/measure_box.h"
#include "ui/workspaces/spectrum/plan_figures.h"
#include "ui/workspaces/spectrum/slider_row.h"
#include "ui/workspaces/spectrum/spectrum_view.h"

#include <QCheckBox>
#include <QComboBox>
#include <QFileDialog>
#include <QGridLayout>
#include <QPushButton>
#include <QScrollArea>
#include <QSignalBlocker>
#include <QSlider>
#include <QTimer>

#include <algorithm>
#include <array>

namespace eigenscope {

namespace {

constexpr std::array<int, 3> kMultiples = {1, 8, 16};
const QString kPlanFolder = QStringLiteral("plan");
const QString kStatisticsFolder = QStringLiteral("statistics");

QFrame* separator(QWidget* parent) {
    auto* line = new QFrame(parent);
    line->setFrameShape(QFrame::HLine);
    line->setFrameShadow(QFrame::Plain);
    QPalette palette = line->palette();
    palette.setColor(QPalette::WindowText, palette.color(QPalette::Mid));
    line->setPalette(palette);
    line->setForegroundRole(QPalette::Mid);
    return line;
}

}  // namespace

PlanPanel::PlanPanel(Workspace& workspace, const Theme& theme, QWidget* parent)
    : Panel(tr("Plan"), parent), m_workspace(workspace) {
    auto* content = new QWidget(this);
    auto* column = new QVBoxLayout(content);
    column->setContentsMargins(0, 0, 8, 0);  // beside the scroll bar
    column->setSpacing(10);
    m_basis = new BasisBox(m_workspace, content);
    connect(m_basis, &BasisBox::started, this, [this](Job* job) {
        follow(job);
        sync();
    });
    column->addWidget(m_basis);
    column->addWidget(separator(content));
    column->addWidget(buildChoices());
    m_measure = new MeasureBox(m_workspace, content);
    connect(m_measure, &MeasureBox::started, this, [this](Job* job) {
        follow(job);
        sync();
    });
    column->addWidget(m_measure);
    column->addWidget(buildThresholds(theme));
    column->addWidget(separator(content));
    m_context = new ContextBox(m_workspace, content);
    connect(m_context, &ContextBox::started, this, [this](Job* job) {
        follow(job);
        sync();
    });
    column->addWidget(m_context);
    column->addWidget(separator(content));
    m_cache = new CacheBox(m_workspace, content);
    connect(m_cache, &CacheBox::groupsEdited, this, [this](const KvGroups& groups) {
        const bool mixed = m_mixed->isChecked();
        m_workspace.plan().setKvGroups(groups.group, groups.keys, groups.recent);
        if (mixed) {
            changeAllocation(true);  // of these groups, once they are measured
        }
    });
    column->addWidget(m_cache);
    column->addWidget(separator(content));
    auto* figures = new PlanFigures(m_workspace, theme, content);
    column->addWidget(figures);
    column->addStretch(1);
    QScrollArea* scroll = scrolledDown(content);
    connect(m_context, &ContextBox::said, scroll,
            [scroll](QWidget* message) {  // once it has its place
                QTimer::singleShot(0, message,
                                   [scroll, message] { scroll->ensureWidgetVisible(message, 0, 8); });
            });
    body()->addWidget(scroll, 1);
    body()->addWidget(figures->headline());
    buildActions();
    connect(&workspace.plan(), &PlanDocument::changed, this, &PlanPanel::sync);
    connect(&workspace.jobs(), &JobRunner::jobsChanged, this, &PlanPanel::sync);
    sync();
}

QWidget* PlanPanel::buildChoices() {
    auto* box = new QWidget(this);
    QGridLayout* grid = formGrid(box);
    m_criterion = comboRow(grid, tr("Criterion"),
                           tr("What the threshold is a share of: the eigenvalues (energy; the paper) or the "
                              "singular values, their square roots (the published code)."));
    m_criterion->addItem(tr("energy"), static_cast<int>(Criterion::Energy));
    m_criterion->addItem(tr("singular values"), static_cast<int>(Criterion::SingularValues));
    m_multiple =
        comboRow(grid, tr("Rank multiple"),
                 tr("Ranks are rounded up to a multiple of this; multiples of 8 or 16 suit the hardware."));
    for (const int multiple : kMultiples) {
        m_multiple->addItem(QString::number(multiple), multiple);
    }
    m_allocation = comboRow(grid, tr("Allocation"), tr("How a target KV ratio is shared out among layers."));
    m_allocation->setObjectName(QStringLiteral("allocation"));
    const auto allocation = [this](const QString& name, Allocation value, const QString& tooltip) {
        m_allocation->addItem(name, static_cast<int>(value));
        m_allocation->setItemData(m_allocation->count() - 1, tooltip, Qt::ToolTipRole);
    };
    allocation(tr("one threshold"), Allocation::Threshold,
               tr("Every layer keeps the same share of its keys and values."));
    allocation(tr("error budget"), Allocation::ErrorBudget,
               tr("Every layer gets the smallest ranks whose measured output error stays within one budget "
                  "(the paper's Algorithm 1)."));
    allocation(tr("sensitivity"), Allocation::Sensitivity,
               tr("Ranks go where they change the model's predictions most, by the measured KL divergence of "
                  "compressing each layer's keys or values alone."));
    m_mixed = new QCheckBox(tr("Mix ranks and bits"), box);
    m_mixed->setObjectName(QStringLiteral("mixedBits"));
    m_mixed->setToolTip(
        tr("The target is met by the best mixture of rank and bits for each layer's keys and values, by what "
           "both were measured to cost."));
    grid->addWidget(m_mixed, grid->rowCount(), 0, 1, 2);

    connect(m_allocation, &QComboBox::activated, this, [this] { changeAllocation(false); });
    connect(m_mixed, &QCheckBox::clicked, this, &PlanPanel::changeAllocation);
    connect(m_criterion, &QComboBox::activated, this, [this] {
        m_workspace.plan().setCriterion(static_cast<Criterion>(m_criterion->currentData().toInt()));
    });
    connect(m_multiple, &QComboBox::activated, this,
            [this] { m_workspace.plan().setRankMultiple(m_multiple->currentData().toInt()); });
    return box;
}

QWidget* PlanPanel::buildThresholds(const Theme& theme) {
    auto* box = new QWidget(this);
    auto* column = new QVBoxLayout(box);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(6);
    m_keys =
        new SliderRow(theme, tr("Key threshold"), QStringLiteral("keys"), SliderRow::Scale::FineNearOne, box);
    m_values = new SliderRow(theme, tr("Value threshold"), QStringLiteral("values"),
                             SliderRow::Scale::FineNearOne, box);
    m_budget =
        new SliderRow(theme, tr("Error budget"), QStringLiteral("none"), SliderRow::Scale::FineNearZero, box);
    m_budget->setObjectName(QStringLiteral("errorBudget"));
    m_target =
        new SliderRow(theme, tr("Target KV ratio"), QStringLiteral("none"), SliderRow::Scale::Linear, box);
    const QString teach =
        tr("Each head keeps the fewest directions whose share of the total reaches this; a layer "
           "takes the largest over its heads.");
    m_keys->setToolTip(teach);
    m_values->setToolTip(teach);
    m_target->setToolTip(
        tr("Converted KV-cache bytes over original ones in f16, bits counted; shared out as the allocation "
           "says; "
           "pinned ranks stay."));
    m_budget->setToolTip(
        tr("Relative error of each layer's output, as measured, at most: every layer gets "
           "the smallest ranks within it."));
    m_link = new QCheckBox(tr("Link thresholds"), box);
    m_link->setObjectName(QStringLiteral("linkThresholds"));
    m_link->setToolTip(tr("Moving one threshold moves the other to the same value."));
    column->addWidget(m_keys);
    column->addWidget(m_values);
    column->addWidget(m_link);
    column->addWidget(m_budget);
    column->addWidget(m_target);
    column->addWidget(new LayerThresholdRow(m_workspace, theme, box));
    for (SliderRow* row : {m_keys, m_values, m_budget, m_target}) {
        connectRow(row);
    }
    connect(m_link, &QCheckBox::toggled, this, &PlanPanel::linkedChanged);
    return box;
}

void PlanPanel::connectRow(SliderRow* row) {
    PlanDocument& document = m_workspace.plan();
    connect(row, &SliderRow::dragStarted, &document, &PlanDocument::beginDrag);
    connect(row, &SliderRow::dragEnded, this, [this] {
        m_workspace.plan().endDrag();
        sync();  // the slider comes to rest where the plan is
    });
    if (row == m_target) {
        connect(row, &SliderRow::edited, this, [this](double target) {
            m_targeting = true;
            m_workspace.plan().setKvRatio(target);
            m_targeting = false;
            m_target->setValue(target);
        });
    } else if (row == m_budget) {
        connect(row, &SliderRow::edited, this,
                [this](double budget) { m_workspace.plan().setErrorBudget(budget); });
    } else {
        connect(row, &SliderRow::edited, this, [this, row](double value) { editThresholds(row, value); });
    }
}

void PlanPanel::editThresholds(SliderRow* row, double value) {
    editThreshold(m_workspace.plan(), row == m_keys ? Side::Keys : Side::Values, value, m_link->isChecked());
}

void PlanPanel::buildActions() {
    m_progress = new JobProgress(this);
    body()->addWidget(m_progress);
    auto* grid = new QGridLayout;
    grid->setSpacing(6);
    const auto button = [this, grid](const QString& name, const QString& tooltip, int row, int column) {
        auto* made = new QPushButton(name, this);
        made->setToolTip(tooltip);
        grid->addWidget(made, row, column);
        return made;
    };
    auto* load = button(tr("Load plan…"), tr("Read ranks from a plan file"), 0, 0);
    auto* save =
        button(tr("Save plan…"), tr("Write the ranks as a plan file (JSON) for the terminal program"), 0, 1);
    auto* statistics = button(tr("Save statistics…"),
                              tr("Write what calibration measured, so that it need not run again"), 1, 0);
    m_recalibrate = button(tr("Recalibrate…"), tr("Measure again, on another text or more of it"), 1, 1);
    m_convert =
        button(tr("Convert model…"), tr("Fold the bases into the attention weights (Ctrl+Return)"), 2, 0);
    grid->removeWidget(m_convert);
    grid->addWidget(m_convert, 2, 0, 1, 2);
    setPrimary(m_convert);
    m_convert->setObjectName(QStringLiteral("convert"));
    m_convert->setShortcut(QKeySequence(Qt::CTRL | Qt::Key_Return));
    // Narrow panels: half a row must hold the longest of the names.
    for (QPushButton* half : {load, save, statistics, m_recalibrate}) {
        half->setStyleSheet(QStringLiteral("padding-left: 6px; padding-right: 6px;"));
    }
    body()->addLayout(grid);
    connect(load, &QPushButton::clicked, this, &PlanPanel::loadPlan);
    connect(save, &QPushButton::clicked, this, &PlanPanel::savePlan);
    connect(statistics, &QPushButton::clicked, this, &PlanPanel::saveStatistics);
    connect(m_recalibrate, &QPushButton::clicked, this, &PlanPanel::recalibrateRequested);
    connect(m_convert, &QPushButton::clicked, this, &PlanPanel::convertRequested);
}

void PlanPanel::changeAllocation(bool mixed) {
    const Wanted wanted{static_cast<Allocation>(m_allocation->currentData().toInt()), mixed};
    PlanDocument& document = m_workspace.plan();
    m_wanted.reset();
    if (document.canAllocate(wanted.allocation, wanted.mixed)) {
        document.setAllocation(wanted.allocation, wanted.mixed);
    } else {
        m_wanted = wanted;
    }
    sync();
}

// Which controls the allocation has, and whether it must be measured first.
void PlanPanel::syncAllocation() {
    PlanDocument& document = m_workspace.plan();
    if (m_wanted && !document.applying() && document.canAllocate(m_wanted->allocation, m_wanted->mixed)) {
        const Wanted measured = *m_wanted;
        m_wanted.reset();
        document.setAllocation(measured.allocation, measured.mixed);
    }
    const RankPlan& plan = document.plan();
    const Wanted shown = m_wanted.value_or(Wanted{plan.allocation, plan.mixed_bits});
    const bool missing = !document.empty() && !document.canAllocate(shown.allocation, shown.mixed),
               running = m_progress->running();
    m_allocation->setCurrentIndex(m_allocation->findData(static_cast<int>(shown.allocation)));
    m_allocation->setToolTip(m_allocation->currentData(Qt::ToolTipRole).toString());
    m_allocation->setEnabled(!running);
    m_mixed->setVisible(shown.allocation == Allocation::Sensitivity);
    m_mixed->setEnabled(!running);
    m_mixed->setChecked(shown.mixed);
    m_measure->setVisible(missing && !running);
    m_measure->setWanted(shown.allocation, shown.mixed);
    const bool errors = shown.allocation == Allocation::ErrorBudget;
    for (QWidget* row :
         {static_cast<QWidget*>(m_keys), static_cast<QWidget*>(m_values), static_cast<QWidget*>(m_link)}) {
        row->setVisible(shown.allocation == Allocation::Threshold);
    }
    m_budget->setVisible(errors);
    m_budget->setEnabled(!missing);
    m_target->setEnabled(!missing);
    m_context->setFittable(!missing && !running);
    m_budget->setValue(plan.error_budget);
    m_cache->sync(shown.mixed);
}

void PlanPanel::follow(Job* job) {
    m_progress->setJob(job);
    if (job) {
        connect(job, &Job::ended, this, &PlanPanel::sync);  // when it failed, the choices go back
    }
}

void PlanPanel::sync() {
    PlanDocument& document = m_workspace.plan();
    const RankPlan& plan = document.plan();
    const bool computing = m_progress->running();
    setEnabled(!document.empty());
    m_basis->sync(computing);
    m_criterion->setCurrentIndex(m_criterion->findData(static_cast<int>(plan.criterion)));
    if (m_multiple->findData(plan.rank_multiple) < 0) {  // a loaded plan may use any
        m_multiple->addItem(QString::number(plan.rank_multiple), plan.rank_multiple);
    }
    m_multiple->setCurrentIndex(m_multiple->findData(plan.rank_multiple));
    syncAllocation();
    m_keys->setValue(plan.key_threshold);
    m_values->setValue(plan.value_threshold);
    if (!m_targeting && !m_target->held()) {
        m_target->setValue(document.kvRatio());
    }
    const Job* conversion = m_workspace.conversionJob();
    m_convert->setEnabled(m_workspace.model() && !computing && !(conversion && conversion->active()));
}

void PlanPanel::savePlan() {
    Settings& settings = m_workspace.settings();
    const QString file = QFileDialog::getSaveFileName(
        this, tr("Save plan"), settings.folder(kPlanFolder) + QStringLiteral("/plan.json"),
        tr("Plans (*.json)"));
    if (!file.isEmpty()) {
        settings.setFolder(kPlanFolder, QFileInfo(file).absolutePath());
        m_workspace.savePlan(file);
    }
}

void PlanPanel::loadPlan() {
    Settings& settings = m_workspace.settings();
    const QString file = QFileDialog::getOpenFileName(this, tr("Load plan"), settings.folder(kPlanFolder),
                                                      tr("Plans (*.json)"));
    if (!file.isEmpty()) {
        settings.setFolder(kPlanFolder, QFileInfo(file).absolutePath());
        m_workspace.loadPlan(file);
    }
}

void PlanPanel::saveStatistics() {
    Settings& settings = m_workspace.settings();
    const QString name =
        m_workspace.model() ? QString::fromStdString(m_workspace.model()->name) : tr("model");
    const QString file = QFileDialog::getSaveFileName(
        this, tr("Save statistics"),
        QStringLiteral("%1/%2.stats.safetensors").arg(settings.folder(kStatisticsFolder), name),
        tr("Statistics (*.stats.safetensors)"));
    if (!file.isEmpty()) {
        settings.setFolder(kStatisticsFolder, QFileInfo(file).absolutePath());
        m_workspace.saveStatistics(file);
    }
}

}  // namespace eigenscope
