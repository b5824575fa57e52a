// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/spectrum/plan_figures.h"

#include "ui/model/units.h"
#include "ui/model/workspace.h"
#include "ui/widgets/fact_list.h"
#include "ui/widgets/panel.h"
#include "ui/workspaces/spectrum/ratio_bar.h"
#include "ui/workspaces/spectrum/spectrum_view.h"

#include <QBoxLayout>
#include <QLabel>
#include <QLocale>

namespace eigenscope {

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
    const bool of_model =
        model && document.plan().key_ranks.size() == static_cast<std::size_t>(model->model->config.layers);
    m_facts->setFact(QStringLiteral("bytes"), of_model ? tokenBytesText(m_workspace) : QString());
}

}  // namespace eigenscope
