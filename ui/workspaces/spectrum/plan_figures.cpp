// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/spectrum/plan_figures.h"

#include "ui/model/units.h"
#include "ui/model/workspace.h"
#include "ui/widgets/fact_list.h"
#include "ui/widgets/panel.h"
#include "ui/workspaces/spectrum/plan_budget.h"
#include "ui/workspaces/spectrum/ratio_bar.h"

#include <QDoubleSpinBox>
#include <QGridLayout>

namespace eigenscope {

namespace {
constexpr double kDefaultMemoryGiB = 24.0;
constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
const QString kMemoryKey = QStringLiteral("spectrum/memoryGiB");
}  // namespace

PlanFigures::PlanFigures(Workspace& workspace, const Theme& theme, QWidget* parent)
    : QWidget(parent), m_workspace(workspace) {
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(6);
    m_headline = new QWidget(this);
    auto* rows = new QVBoxLayout(m_headline);
    rows->setContentsMargins(0, 0, 0, 0);
    rows->setSpacing(6);
    auto* headline = new QHBoxLayout;
    headline->setSpacing(8);
    m_ratio = new QLabel(m_headline);
    m_ratio->setProperty("role", "hero");
    m_ratio->setAccessibleName(tr("KV ratio"));
    m_ratio->setObjectName(QStringLiteral("kvRatio"));
    m_ratio->setToolTip(tr("KV ratio: converted KV-cache bytes / original KV-cache bytes."));
    headline->addWidget(m_ratio);
    auto* unit = mutedLabel(tr("KV cache"), m_headline);
    unit->setContentsMargins(0, 0, 0, 5);  // onto the figure's baseline
    headline->addWidget(unit, 0, Qt::AlignBottom);
    headline->addStretch(1);
    rows->addLayout(headline);
    m_bar = new RatioBar(theme, m_headline);
    rows->addWidget(m_bar);
    column->addWidget(m_headline);

    m_facts = new FactList(this);
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
    m_memory = new QDoubleSpinBox(this);
    m_memory->setRange(0.1, 100000.0);
    m_memory->setDecimals(1);
    m_memory->setSuffix(tr(" GiB"));
    m_memory->setFixedWidth(84);
    m_memory->setAccessibleName(tr("Memory for the longest context"));
    m_memory->setValue(m_workspace.settings().value(kMemoryKey, kDefaultMemoryGiB).toDouble());
    const QString teach =
        tr("Tokens of one sequence that fit into this memory beside weights and scratch. The "
           "model's own limit on positions is not applied.");
    auto* label = mutedLabel(tr("Longest context in"), this);
    label->setToolTip(teach);
    label->setBuddy(m_memory);
    m_context = figureLabel(QStringLiteral("—"), this);
    m_context->setToolTip(teach);
    m_context->setAccessibleName(tr("Longest context"));
    context->addWidget(label, 0, 0);
    context->addWidget(m_memory, 0, 1);
    context->addWidget(m_context, 1, 0, 1, 2);
    context->setColumnStretch(0, 1);
    column->addLayout(context);
    connect(m_memory, &QDoubleSpinBox::valueChanged, this, [this](double gib) {
        m_workspace.settings().setValue(kMemoryKey, gib);
        sync();
    });
    connect(&workspace.plan(), &PlanDocument::changed, this, &PlanFigures::sync);
    connect(&workspace, &Workspace::modelChanged, this, &PlanFigures::sync);
    sync();
}

void PlanFigures::sync() {
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

}  // namespace eigenscope
