// SPDX-License-Identifier: GPL-3.0-or-later
// How far the leading subspaces from two texts agree, layer by layer: mean overlap of keys and of values, and
// what two random subspaces would have.
#pragma once

#include "core/spectrum/subspaces.h"
#include "ui/widgets/plot.h"

#include <vector>

namespace eigenscope {

class OverlapPlot : public Plot {
    Q_OBJECT
public:
    explicit OverlapPlot(const Theme& theme, QWidget* parent = nullptr);
    void setLayers(const std::vector<LayerSubspaces>& layers);
    PlotTable table() const override;

protected:
    void restyle() override;
    QString readoutAt(const QPointF& position) const override;

private:
    QCPGraph *m_keys, *m_values, *m_key_chance, *m_value_chance;
    std::vector<LayerSubspaces> m_layers;
};

}  // namespace eigenscope
