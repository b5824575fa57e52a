// SPDX-License-Identifier: GPL-3.0-or-later
// Nats of held-out log-likelihood lost over KV ratio, one curve a method and allocation, with the present
// plan's ratio marked. GUI thread.
#pragma once

#include "core/evaluation/tradeoff.h"
#include "core/spectrum/allocation.h"
#include "ui/widgets/plot.h"

#include <vector>

namespace eigenscope {

class TradeoffPlot : public Plot {
    Q_OBJECT
public:
    explicit TradeoffPlot(const Theme& theme, QWidget* parent = nullptr);
    void setPoints(const std::vector<TradeoffCurve>& curves, const std::vector<TradeoffPoint>& points);
    void setPlanRatio(double ratio);
    // What the sensitivity tables lead to expect, drawn dashed; empty: nothing.
    void setExpected(const QString& name, const std::vector<FrontPoint>& front);
    PlotTable table() const override;
    // Where a point is drawn, in the widget: for tests.
    QPointF positionOf(std::size_t point) const;

protected:
    void restyle() override;
    QString readoutAt(const QPointF& position) const override;
    void resizeEvent(QResizeEvent* event) override;

private:
    void rebuild();
    QColor colour(const TradeoffCurve& curve) const;
    void style(QCPGraph* graph, const TradeoffCurve& curve) const;

    std::vector<TradeoffCurve> m_curves;
    std::vector<TradeoffPoint> m_points;
    std::vector<FrontPoint> m_expected;
    QString m_expected_name;
    QCPItemStraightLine* m_plan_line;
    QCPItemText* m_plan_text;
};

}  // namespace eigenscope
