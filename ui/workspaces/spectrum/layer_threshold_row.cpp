// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/spectrum/layer_threshold_row.h"

#include "ui/model/workspace.h"
#include "ui/workspaces/spectrum/slider_row.h"
#include "ui/workspaces/spectrum/spectrum_view.h"

#include <QCheckBox>
#include <QVBoxLayout>

#include <algorithm>

namespace eigenscope {

namespace {

// What a layer's own threshold starts from: the plan's where there is one, else the share that its rank keeps
// of every head, so that nothing changes yet.
double startOf(const PlanDocument& document, Side side, int layer) {
    const RankPlan& plan = document.plan();
    if (plan.allocation == Allocation::Threshold) {
        return thresholdOf(plan, side, layer);
    }
    const Spectrum& spectrum = *document.spectrum();
    const int rank = ranksOf(plan, side)[static_cast<std::size_t>(layer)];
    double least = 1.0;
    for (int head = 0; head < spectrum.heads(); ++head) {
        least = std::min(least, spectrum.kept(layer, side, head, rank, plan.criterion));
    }
    return least;
}

}  // namespace

LayerThresholdRow::LayerThresholdRow(Workspace& workspace, const Theme& theme, QWidget* parent)
    : QWidget(parent), m_workspace(workspace), m_own(new QCheckBox(this)) {
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(6);
    m_own->setObjectName(QStringLiteral("layerThreshold"));
    m_own->setToolTip(
        tr("A threshold for the selected layer's keys or values alone. Its rank then stays, "
           "whatever the allocation does with other layers."));
    column->addWidget(m_own);
    const auto make = [&](const QString& name, const QString& role) {
        auto* made = new SliderRow(theme, name, role, SliderRow::Scale::FineNearOne, this);
        column->addWidget(made);
        connect(made, &SliderRow::dragStarted, &workspace.plan(), &PlanDocument::beginDrag);
        connect(made, &SliderRow::dragEnded, &workspace.plan(), &PlanDocument::endDrag);
        connect(made, &SliderRow::edited, this, [this](double threshold) {
            m_workspace.plan().setLayerThreshold(m_workspace.selectedSide(), m_workspace.selectedLayer(),
                                                 threshold);
        });
        return made;
    };
    m_keys = make(tr("This layer's keys"), QStringLiteral("keys"));
    m_values = make(tr("This layer's values"), QStringLiteral("values"));
    m_keys->setObjectName(QStringLiteral("layerKeyThreshold"));
    m_values->setObjectName(QStringLiteral("layerValueThreshold"));
    connect(m_own, &QCheckBox::clicked, this, [this](bool own) {
        PlanDocument& document = m_workspace.plan();
        const Side side = m_workspace.selectedSide();
        const int layer = m_workspace.selectedLayer();
        document.setLayerThreshold(side, layer,
                                   own ? std::optional(startOf(document, side, layer)) : std::nullopt);
    });
    connect(&workspace.plan(), &PlanDocument::changed, this, &LayerThresholdRow::sync);
    connect(&workspace, &Workspace::selectionChanged, this, &LayerThresholdRow::sync);
    sync();
}

void LayerThresholdRow::sync() {
    const PlanDocument& document = m_workspace.plan();
    const Side side = m_workspace.selectedSide();
    const int layer = m_workspace.selectedLayer();
    const bool known = !document.empty() && layer < document.spectrum()->layers();
    const std::optional<double> own = known ? ownThreshold(document.plan(), side, layer) : std::nullopt;
    m_own->setEnabled(known);
    m_own->setChecked(own.has_value());
    m_own->setText((side == Side::Keys ? tr("Own threshold for keys of layer %1")
                                       : tr("Own threshold for values of layer %1"))
                       .arg(layer));
    m_keys->setVisible(own && side == Side::Keys);
    m_values->setVisible(own && side == Side::Values);
    if (own) {
        (side == Side::Keys ? m_keys : m_values)->setValue(*own);
    }
}

}  // namespace eigenscope
