// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/compare/layer_chart.h"

#include "ui/widgets/theme.h"

#include <algorithm>
#include <cmath>

namespace eigenscope {

LayerChart::LayerChart(const Theme& theme, const QString& name, const QString& axis, const QString& unit,
                       QWidget* parent)
    : Plot(theme, name, parent), m_unit(unit) {
    xAxis->setLabel(tr("layer"));
    yAxis->setLabel(axis);
    QSharedPointer<QCPAxisTickerFixed> ticker(new QCPAxisTickerFixed);
    ticker->setTickStep(1.0);
    ticker->setScaleStrategy(QCPAxisTickerFixed::ssMultiples);
    xAxis->setTicker(ticker);
    yAxis->ticker()->setTickCount(4);
    // Above the bars, in one row, so that it covers none.
    axisRect()->insetLayout()->take(legend);
    plotLayout()->insertRow(0);
    plotLayout()->addElement(0, 0, legend);
    plotLayout()->setRowStretchFactor(0, 0.001);
    plotLayout()->setRowSpacing(0);
    legend->setFillOrder(QCPLegend::foColumnsFirst);
    legend->setMargins(QMargins(0, 0, 0, 0));
    restyle();
}

double LayerChart::barKey(std::size_t series, std::size_t layer) const {
    const double middle = (static_cast<double>(m_series.size()) - 1.0) / 2.0;
    return static_cast<double>(layer) + (static_cast<double>(series) - middle) * 0.4;
}

void LayerChart::setSeries(const std::vector<Series>& series) {
    m_series = series;
    m_highlight = -1;
    fit();
    restyle();
}

void LayerChart::setHighlight(int layer) {
    m_highlight = layer;
    restyle();
}

void LayerChart::fit() {
    double least = 0.0, most = 0.0;
    std::size_t layers = 1;
    for (const Series& series : m_series) {
        layers = std::max(layers, series.values.size());
        for (std::size_t i = 0; i < series.values.size(); ++i) {
            const double error =
                i < series.errors.size() && std::isfinite(series.errors[i]) ? series.errors[i] : 0.0;
            least = std::min(least, series.values[i] - (series.values[i] < 0 ? error : 0.0));
            most = std::max(most, series.values[i] + error);
        }
    }
    // Nothing to show, or all zero: an axis from 0 to 1.
    const double span = most - least > 0.0 ? most - least : 1.0;
    setHome(xAxis, -0.6, static_cast<double>(layers) - 0.4);
    setHome(yAxis, least < 0.0 ? least - 0.05 * span : 0.0, least + span * 1.15);
}

// The plottables are made anew: which bars are faint is a matter of which of them they belong to.
void LayerChart::restyle() {
    Plot::restyle();
    clearPlottables();
    const ThemeColours& colours = theme().colours();
    for (std::size_t s = 0; s < m_series.size(); ++s) {
        const QColor full = s == 0 ? colours.key : colours.value;
        QColor faint = full;
        faint.setAlpha(90);
        for (const bool highlighted : {true, false}) {
            QVector<double> keys, values, errors;
            for (std::size_t i = 0; i < m_series[s].values.size(); ++i) {
                if ((m_highlight < 0 || static_cast<int>(i) == m_highlight) == highlighted) {
                    keys.append(barKey(s, i));
                    values.append(m_series[s].values[i]);
                    if (i < m_series[s].errors.size() && std::isfinite(m_series[s].errors[i])) {
                        errors.append(m_series[s].errors[i]);
                    }
                }
            }
            if (keys.isEmpty()) {
                continue;
            }
            auto* bars = new QCPBars(xAxis, yAxis);
            bars->setName(m_series[s].name);
            bars->setWidth(m_series.size() > 1 ? 0.36 : 0.6);
            bars->setPen(Qt::NoPen);
            bars->setBrush(highlighted ? full : faint);
            bars->setData(keys, values, true);
            if (!highlighted) {
                bars->removeFromLegend();
            }
            if (errors.size() == keys.size()) {
                auto* whiskers = new QCPErrorBars(xAxis, yAxis);
                whiskers->setDataPlottable(bars);
                whiskers->setData(errors);
                whiskers->setPen(QPen(colours.text, 1));
                whiskers->setWhiskerWidth(5);
                whiskers->removeFromLegend();
            }
        }
    }
    QFont small = font();
    small.setPixelSize(11);
    legend->setVisible(m_series.size() > 1);
    legend->setFont(small);
    legend->setTextColor(colours.text);
    legend->setBrush(colours.panel);
    legend->setBorderPen(Qt::NoPen);
    replot(rpQueuedReplot);
}

QString LayerChart::readoutOf(int layer) const {
    QStringList parts{tr("Layer %1").arg(layer)};
    for (const Series& series : m_series) {
        const auto i = static_cast<std::size_t>(layer);
        if (layer < 0 || i >= series.values.size()) {
            return {};
        }
        QString value = QString::number(series.values[i], 'g', 3);
        if (i < series.errors.size() && std::isfinite(series.errors[i])) {
            value += QStringLiteral(" ± ") + QString::number(series.errors[i], 'g', 2);
        }
        parts.append(series.name + QLatin1Char(' ') + value + m_unit);
    }
    return m_series.empty() ? QString() : parts.join(QStringLiteral(" · "));
}

QString LayerChart::readoutAt(const QPointF& position) const {
    return axisRect()->rect().contains(position.toPoint())
               ? readoutOf(static_cast<int>(std::lround(xAxis->pixelToCoord(position.x()))))
               : QString();
}

QPointF LayerChart::barCentre(std::size_t series, int layer) const {
    const auto i = static_cast<std::size_t>(layer);
    return {xAxis->coordToPixel(barKey(series, i)), yAxis->coordToPixel(m_series[series].values[i] / 2.0)};
}

PlotTable LayerChart::table() const {
    PlotTable table;
    table.columns = {QStringLiteral("layer")};
    std::size_t layers = 0;
    for (const Series& series : m_series) {
        table.columns.append(series.column);
        if (!series.errors.empty()) {
            table.columns.append(series.column + QStringLiteral("_standard_error"));
        }
        layers = series.values.size();
    }
    for (std::size_t i = 0; i < layers; ++i) {
        QVector<double> row{static_cast<double>(i)};
        for (const Series& series : m_series) {
            row.append(series.values[i]);
            if (!series.errors.empty()) {
                row.append(series.errors[i]);
            }
        }
        table.rows.append(row);
    }
    return table;
}

}  // namespace eigenscope
