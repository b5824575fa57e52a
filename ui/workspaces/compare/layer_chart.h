// SPDX-License-Identifier: GPL-3.0-or-later
// Bars of one or two quantities by layer, with standard errors where they are known. GUI thread.
#pragma once

#include "ui/widgets/plot.h"

#include <vector>

namespace eigenscope {

class LayerChart : public Plot {
    Q_OBJECT
public:
    struct Series {
        QString name;                     // in the legend and read-outs
        QString column;                   // in exported tables
        std::vector<double> values = {};  // [layers]
        std::vector<double> errors = {};  // [layers], or empty; not a number: unknown
    };

    // name: default file name of exports; unit: behind values in read-outs.
    LayerChart(const Theme& theme, const QString& name, const QString& axis, const QString& unit,
               QWidget* parent = nullptr);
    void setSeries(const std::vector<Series>& series);  // at most two
    void setHighlight(int layer);                       // drawn full, the others faint; -1: all full
    PlotTable table() const override;
    QString readoutOf(int layer) const;
    QPointF barCentre(std::size_t series, int layer) const;  // in widget pixels

protected:
    QString readoutAt(const QPointF& position) const override;
    void restyle() override;

private:
    double barKey(std::size_t series, std::size_t layer) const;
    void fit();

    QString m_unit;
    std::vector<Series> m_series;
    int m_highlight = -1;
};

}  // namespace eigenscope
