// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/spectrum/plan_panel.h"

#include "ui/model/units.h"
#include "ui/model/workspace.h"
#include "ui/widgets/fact_list.h"
#include "ui/widgets/job_progress.h"
#include "ui/widgets/theme.h"
#include "ui/workspaces/spectrum/measure_box.h"
#include "ui/workspaces/spectrum/plan_budget.h"
#include "ui/workspaces/spectrum/ratio_bar.h"
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

#include <algorithm>
#include <array>

namespace eigenscope {

namespace {

constexpr std::array<int, 3> kMultiples = {1, 8, 16};
constexpr std::array<int, 5> kBits = {kUnquantised, 8, 4, 3, 2};
constexpr double kDefaultMemoryGiB = 24.0;
constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
const QString kMemoryKey = QStringLiteral("spectrum/memoryGiB");
const QString kPlanFolder = QStringLiteral("plan");
const QString kStatisticsFolder = QStringLiteral("statistics");

QString text(std::string_view view) { return QString::fromUtf8(view.data(), static_cast<int>(view.size())); }

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

QComboBox* comboRow(QGridLayout* grid, const QString& name, const QString& tooltip) {
    const int row = grid->rowCount();
    auto* label = mutedLabel(name, grid->parentWidget());
    auto* combo = new QComboBox(grid->parentWidget());
    combo->setAccessibleName(name);
    combo->setToolTip(tooltip);
    label->setToolTip(tooltip);
    label->setBuddy(combo);
    grid->addWidget(label, row, 0);
    grid->addWidget(combo, row, 1);
    return combo;
}

}  // namespace

PlanPanel::PlanPanel(Workspace& workspace, const Theme& theme, QWidget* parent)
    : Panel(tr("Plan"), parent), m_workspace(workspace) {
    auto* content = new QWidget(this);
    auto* column = new QVBoxLayout(content);
    column->setContentsMargins(0, 0, 8, 0);  // beside the scroll bar
    column->setSpacing(10);
    column->addWidget(buildChoices());
    m_measure = new MeasureBox(m_workspace, content);
    connect(m_measure, &MeasureBox::started, this, [this](Job* job) {
        follow(job);
        sync();
    });
    column->addWidget(m_measure);
    column->addWidget(buildThresholds(theme));
    column->addWidget(separator(content));
    column->addWidget(buildFigures(theme));
    column->addStretch(1);
    auto* scroll = new QScrollArea(this);
    scroll->setWidget(content);
    scroll->setWidgetResizable(true);
    scroll->setFrameShape(QFrame::NoFrame);
    scroll->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    scroll->setFocusPolicy(Qt::NoFocus);
    body()->addWidget(scroll, 1);
    buildActions();
    connect(&workspace.plan(), &PlanDocument::changed, this, &PlanPanel::sync);
    connect(&workspace, &Workspace::modelChanged, this, &PlanPanel::syncFigures);
    connect(&workspace.jobs(), &JobRunner::jobsChanged, this, &PlanPanel::sync);
    sync();
}

QWidget* PlanPanel::buildChoices() {
    auto* box = new QWidget(this);
    auto* grid = new QGridLayout(box);
    grid->setContentsMargins(0, 0, 0, 0);
    grid->setVerticalSpacing(6);
    grid->setColumnStretch(1, 1);
    m_method = comboRow(grid, tr("Method"), tr("How the directions of the low-rank space are chosen."));
    for (const BasisMethod& method : basisMethods()) {
        m_method->addItem(text(method.title), text(method.name));
        m_method->setItemData(m_method->count() - 1,
                              QStringLiteral("%1\n%2").arg(text(method.objective), text(method.source)),
                              Qt::ToolTipRole);
    }
    m_group =
        comboRow(grid, tr("Latents"),
                 tr("What key/value heads cache: a latent each, or one that several heads share and are "
                    "rebuilt from. What heads have in common is then kept once, and rank goes to the heads "
                    "that need it; attention computes on the wider latent for each head."));
    m_group->setObjectName(QStringLiteral("headGroup"));
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
    m_key_bits = bitsRow(grid, tr("Key bits"));
    m_value_bits = bitsRow(grid, tr("Value bits"));
    m_key_bits->setObjectName(QStringLiteral("keyBits"));
    m_value_bits->setObjectName(QStringLiteral("valueBits"));
    m_share = new QCheckBox(tr("Share key basis"), box);
    m_share->setToolTip(tr("One key basis for all heads of a layer, as the published code does for Llama."));
    grid->addWidget(m_share, grid->rowCount(), 0, 1, 2);

    connect(m_method, &QComboBox::activated, this, &PlanPanel::changeBasis);
    connect(m_group, &QComboBox::activated, this, [this] {
        m_share->setChecked(m_share->isChecked() && m_group->currentData().toInt() == 1);
        changeBasis();
    });
    connect(m_share, &QCheckBox::clicked, this, [this](bool share) {
        if (share) {
            m_group->setCurrentIndex(m_group->findData(1));  // a shared basis is one of single heads
        }
        changeBasis();
    });
    connect(m_allocation, &QComboBox::activated, this, &PlanPanel::changeAllocation);
    connect(m_criterion, &QComboBox::activated, this, [this] {
        m_workspace.plan().setCriterion(static_cast<Criterion>(m_criterion->currentData().toInt()));
    });
    connect(m_multiple, &QComboBox::activated, this,
            [this] { m_workspace.plan().setRankMultiple(m_multiple->currentData().toInt()); });
    return box;
}

QComboBox* PlanPanel::bitsRow(QGridLayout* grid, const QString& name) {
    QComboBox* combo = comboRow(grid, name,
                                tr("Bits of an element in the converted model's cache. Fewer than 16: codes "
                                   "with a scale and a minimum "
                                   "for every 32 elements of a token, counted in the KV ratio."));
    for (const int bits : kBits) {
        combo->addItem(bits == kUnquantised ? tr("16, not quantised") : QString::number(bits), bits);
    }
    connect(combo, &QComboBox::activated, this, [this, combo] {
        const KvBits& now = m_workspace.plan().plan().kv_bits;
        const int bits = combo->currentData().toInt();
        const auto other = [](const std::vector<int>& of) { return of.empty() ? kUnquantised : of.front(); };
        m_workspace.plan().setKvBits(combo == m_key_bits ? bits : other(now.keys),
                                     combo == m_value_bits ? bits : other(now.values));
    });
    return combo;
}

void PlanPanel::syncBits(QComboBox* combo, const std::vector<int>& bits) {
    const int value = bits.empty() ? kUnquantised : bits.front();
    const bool mixed = std::ranges::any_of(bits, [&](int b) { return b != value; });
    combo->setCurrentIndex(mixed ? -1 : combo->findData(value));
    combo->setPlaceholderText(tr("differs by layer"));
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
    m_link->setToolTip(tr("Moving one threshold moves the other to the same value."));
    column->addWidget(m_keys);
    column->addWidget(m_values);
    column->addWidget(m_link);
    column->addWidget(m_budget);
    column->addWidget(m_target);
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

QWidget* PlanPanel::buildFigures(const Theme& theme) {
    auto* box = new QWidget(this);
    auto* column = new QVBoxLayout(box);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(6);
    auto* headline = new QHBoxLayout;
    headline->setSpacing(8);
    m_ratio = new QLabel(box);
    m_ratio->setProperty("role", "hero");
    m_ratio->setAccessibleName(tr("KV ratio"));
    m_ratio->setObjectName(QStringLiteral("kvRatio"));
    m_ratio->setToolTip(tr("KV ratio: converted KV-cache bytes / original KV-cache bytes."));
    headline->addWidget(m_ratio);
    auto* unit = mutedLabel(tr("KV cache"), box);
    unit->setContentsMargins(0, 0, 0, 5);  // onto the figure's baseline
    headline->addWidget(unit, 0, Qt::AlignBottom);
    headline->addStretch(1);
    column->addLayout(headline);
    m_bar = new RatioBar(theme, box);
    column->addWidget(m_bar);

    m_facts = new FactList(box);
    m_facts->addFact(QStringLiteral("bytes"), tr("Bytes per token"),
                     tr("KV cache that one more token of one sequence takes, over all layers."));
    m_facts->addFact(
        QStringLiteral("error"), tr("Expected error"),
        tr("Root mean square over layers, keys and values, of the share of energy dropped: what the "
           "calibration text says about keys and values, before attention."));
    m_facts->addFact(QStringLiteral("layerError"), tr("Largest layer error"),
                     tr("Relative error of a layer's output, measured at these ranks or fewer."));
    m_facts->addFact(QStringLiteral("divergence"), tr("Expected KL"),
                     tr("Sum of what compressing each layer's keys or values alone was measured to cost, in "
                        "nats a token."));
    column->addWidget(m_facts);

    auto* context = new QGridLayout;
    context->setContentsMargins(0, 0, 0, 0);
    context->setHorizontalSpacing(6);
    m_memory = new QDoubleSpinBox(box);
    m_memory->setRange(0.1, 100000.0);
    m_memory->setDecimals(1);
    m_memory->setSuffix(tr(" GiB"));
    m_memory->setFixedWidth(84);
    m_memory->setAccessibleName(tr("Memory for the longest context"));
    m_memory->setValue(m_workspace.settings().value(kMemoryKey, kDefaultMemoryGiB).toDouble());
    const QString teach =
        tr("Tokens of one sequence that fit into this memory beside weights and scratch. The "
           "model's own limit on positions is not applied.");
    auto* label = mutedLabel(tr("Longest context in"), box);
    label->setToolTip(teach);
    label->setBuddy(m_memory);
    m_context = figureLabel(QStringLiteral("—"), box);
    m_context->setToolTip(teach);
    m_context->setAccessibleName(tr("Longest context"));
    context->addWidget(label, 0, 0);
    context->addWidget(m_memory, 0, 1);
    context->addWidget(m_context, 1, 0, 1, 2);
    context->setColumnStretch(0, 1);
    column->addLayout(context);
    connect(m_memory, &QDoubleSpinBox::valueChanged, this, [this](double gib) {
        m_workspace.settings().setValue(kMemoryKey, gib);
        syncFigures();
    });
    return box;
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

void PlanPanel::changeBasis() {
    BasisOptions options;
    options.share_key_basis = m_share->isChecked();
    options.head_group = std::max(1, m_group->currentData().toInt());
    options.center = m_workspace.plan().plan().center &&
                     basisMethod(m_method->currentData().toString().toStdString()).can_center;
    const int method = m_method->currentIndex();
    follow(m_workspace.setBasis(m_method->currentData().toString(), options));
    sync();
    // Submitting a job shows the plan as it still is; what was chosen stands meanwhile.
    m_method->setCurrentIndex(method);
    m_share->setChecked(options.share_key_basis);
    m_group->setCurrentIndex(std::max(0, m_group->findData(options.head_group)));
}

void PlanPanel::changeAllocation() {
    const auto allocation = static_cast<Allocation>(m_allocation->currentData().toInt());
    PlanDocument& document = m_workspace.plan();
    m_wanted.reset();
    if (document.canAllocate(allocation)) {
        document.setAllocation(allocation);
    } else {
        m_wanted = allocation;
    }
    sync();
}

// Which controls the allocation has, and whether it must be measured first.
void PlanPanel::syncAllocation() {
    PlanDocument& document = m_workspace.plan();
    if (m_wanted && document.canAllocate(*m_wanted)) {
        const Allocation measured = *m_wanted;
        m_wanted.reset();
        document.setAllocation(measured);
    }
    const Allocation shown = m_wanted.value_or(document.plan().allocation);
    const bool missing = !document.empty() && !document.canAllocate(shown), running = m_progress->running();
    m_allocation->setCurrentIndex(m_allocation->findData(static_cast<int>(shown)));
    m_allocation->setToolTip(m_allocation->currentData(Qt::ToolTipRole).toString());
    m_allocation->setEnabled(!running);
    m_measure->setVisible(missing && !running);
    m_measure->setAllocation(shown);
    const bool errors = shown == Allocation::ErrorBudget;
    for (QWidget* row :
         {static_cast<QWidget*>(m_keys), static_cast<QWidget*>(m_values), static_cast<QWidget*>(m_link)}) {
        row->setVisible(shown == Allocation::Threshold);
    }
    m_budget->setVisible(errors);
    m_budget->setEnabled(!missing);
    m_target->setEnabled(!missing);
    m_budget->setValue(document.plan().error_budget);
}

// The ways of sharing latents that the statistics have the moments for.
void PlanPanel::syncGroups() {
    const auto& statistics = m_workspace.statistics();
    const int most = statistics ? statistics->head_group : 1, count = most > 1 ? 2 : 1;
    if (m_group->count() != count || m_group->itemData(count - 1).toInt() != most) {
        m_group->clear();
        m_group->addItem(tr("one a head"), 1);
        if (most > 1) {
            m_group->addItem(tr("one for %1 heads").arg(most), most);
        }
    }
    m_group->setCurrentIndex(std::max(0, m_group->findData(m_workspace.plan().plan().head_group)));
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
    if (!computing) {
        m_method->setCurrentIndex(m_method->findData(QString::fromStdString(plan.method)));
        m_share->setChecked(plan.share_key_basis);
        syncGroups();
        m_method->setToolTip(m_method->currentData(Qt::ToolTipRole).toString());
    }
    m_method->setEnabled(!computing && m_workspace.statistics());
    m_share->setEnabled(!computing && m_workspace.statistics());
    m_group->setEnabled(!computing && m_group->count() > 1);
    m_criterion->setCurrentIndex(m_criterion->findData(static_cast<int>(plan.criterion)));
    if (m_multiple->findData(plan.rank_multiple) < 0) {  // a loaded plan may use any
        m_multiple->addItem(QString::number(plan.rank_multiple), plan.rank_multiple);
    }
    m_multiple->setCurrentIndex(m_multiple->findData(plan.rank_multiple));
    syncBits(m_key_bits, plan.kv_bits.keys);
    syncBits(m_value_bits, plan.kv_bits.values);
    syncAllocation();
    m_keys->setValue(plan.key_threshold);
    m_values->setValue(plan.value_threshold);
    if (!m_targeting && !m_target->held()) {
        m_target->setValue(document.kvRatio());
    }
    const Job* conversion = m_workspace.conversionJob();
    m_convert->setEnabled(m_workspace.model() && !computing && !(conversion && conversion->active()));
    syncFigures();
}

void PlanPanel::syncFigures() {
    const PlanDocument& document = m_workspace.plan();
    if (document.empty()) {
        return;
    }
    m_ratio->setText(ratioText(document.kvRatio()) + QStringLiteral("×"));
    m_bar->setRatios(document.sideRatio(Side::Keys), document.sideRatio(Side::Values));
    m_facts->setFact(QStringLiteral("error"), percentText(document.expectedError()));
    const std::optional<double> layer_error = document.largestLayerError();
    m_facts->setFact(QStringLiteral("layerError"), layer_error ? percentText(*layer_error) : QString());
    const std::optional<double> divergence = document.expectedDivergence();
    m_facts->setFact(QStringLiteral("divergence"),
                     divergence ? tr("%1 nats").arg(QLocale().toString(*divergence, 'g', 3)) : QString());
    const auto& model = m_workspace.model();
    if (!model || document.plan().key_ranks.size() != static_cast<std::size_t>(model->model->config.layers)) {
        m_facts->setFact(QStringLiteral("bytes"), {});
        m_context->setText(QStringLiteral("—"));
        return;
    }
    const PlanBudget budget = planBudget(
        model->model->config, document.plan(), resolveKvFormat(m_workspace.runOptions(), *model).dtype,
        model->model->weightBytes(), static_cast<std::int64_t>(m_memory->value() * kGiB));
    m_facts->setFact(QStringLiteral("bytes"),
                     tr("%1 → %2").arg(bytesText(static_cast<double>(budget.bytes_before)),
                                       bytesText(static_cast<double>(budget.bytes_after))));
    const auto tokens = [this](std::int64_t count) {
        return count > 0 ? shortCountText(static_cast<double>(count)) : tr("does not fit");
    };
    m_context->setText(tr("%1 → %2 tokens").arg(tokens(budget.context_before), tokens(budget.context_after)));
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
