// SPDX-License-Identifier: GPL-3.0-or-later
// Heat map of one fidelity measure: layers down, query heads across. GUI thread.
#pragma once

#include "core/evaluation/fidelity.h"
#include "ui/widgets/plot.h"

#include <vector>

namespace eigenscope {

class HeadErrorMap : public Plot {
    Q_OBJECT
public:
    enum class Measure { Scores, Weights, Output };

    explicit HeadErrorMap(const Theme& theme, QWidget* parent = nullptr);
    void setLayers(const std::vector<LayerFidelity>& layers);
    void setMeasure(Measure measure);
    double valueAt(int layer, int head) const;
    QPointF cellCentre(int layer, int head) const;  // in widget pixels
    PlotTable table() const override;               // all measures

protected:
    QString readoutAt(const QPointF& position) const override;
    void restyle() override;

private:
    const MeanAndError& measure(const HeadFidelity& head) const;
    void refill();

    QCPColorMap* m_map;
    QCPColorScale* m_scale;
    std::vector<LayerFidelity> m_layers;
    Measure m_measure = Measure::Scores;
};

}  // namespace eigenscope
