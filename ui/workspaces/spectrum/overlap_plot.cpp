// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/spectrum/overlap_plot.h"

#include "ui/widgets/theme.h"

#include <cmath>
#include <numbers>

namespace eigenscope {

namespace {

double degrees(double radians) { return radians * 180 / std::numbers::pi; }

}  // namespace

OverlapPlot::OverlapPlot(const Theme& theme, QWidget* parent)
    : Plot(theme, QStringLiteral("subspace-overlap"), parent),
      m_keys(addGraph()),
      m_values(addGraph()),
      m_key_chance(addGraph()),
      m_value_chance(addGraph()) {
    xAxis->setLabel(tr("layer"));
    yAxis->setLabel(tr("overlap"));
    m_keys->setName(tr("keys"));
    m_values->setName(tr("values"));
    m_key_chance->setName(tr("keys, by chance"));
    m_value_chance->setName(tr("values, by chance"));
    // Above the lines, where it covers none of them.
    plotLayout()->insertRow(0);
    plotLayout()->addElement(0, 0, legend);
    plotLayout()->setRowStretchFactor(0, 0.001);
    legend->setFillOrder(QCPLayoutGrid::foColumnsFirst);
    legend->setVisible(true);
    setAccessibleName(tr("Overlap of the leading subspaces by layer"));
    auto ticker = QSharedPointer<QCPAxisTicker>::create();
    ticker->setTickStepStrategy(QCPAxisTicker::tssReadability);
    xAxis->setTicker(ticker);
    restyle();
}

void OverlapPlot::setLayers(const std::vector<LayerSubspaces>& layers) {
    m_layers = layers;
    QVector<double> at, keys, values, key_chance, value_chance;
    for (std::size_t layer = 0; layer < layers.size(); ++layer) {
        at.append(static_cast<double>(layer));
        keys.append(meanOverlap(layers[layer].keys));
        values.append(meanOverlap(layers[layer].values));
        key_chance.append(meanByChance(layers[layer].keys));
        value_chance.append(meanByChance(layers[layer].values));
    }
    m_keys->setData(at, keys, true);
    m_values->setData(at, values, true);
    m_key_chance->setData(at, key_chance, true);
    m_value_chance->setData(at, value_chance, true);
    setHome(xAxis, -0.5, std::max(0.5, static_cast<double>(layers.size()) - 0.5));
    setHome(yAxis, 0.0, 1.05);
    replot(rpQueuedReplot);
}

PlotTable OverlapPlot::table() const {
    PlotTable table;
    table.columns = {QStringLiteral("layer"),
                     QStringLiteral("key_overlap"),
                     QStringLiteral("key_by_chance"),
                     QStringLiteral("key_largest_angle_degrees"),
                     QStringLiteral("value_overlap"),
                     QStringLiteral("value_by_chance"),
                     QStringLiteral("value_largest_angle_degrees")};
    for (std::size_t i = 0; i < m_layers.size(); ++i) {
        const LayerSubspaces& layer = m_layers[i];
        table.rows.append({static_cast<double>(i), meanOverlap(layer.keys), meanByChance(layer.keys),
                           degrees(largestAngle(layer.keys)), meanOverlap(layer.values),
                           meanByChance(layer.values), degrees(largestAngle(layer.values))});
    }
    return table;
}

QString OverlapPlot::readoutAt(const QPointF& position) const {
    const auto layer = static_cast<std::ptrdiff_t>(std::lround(xAxis->pixelToCoord(position.x())));
    if (layer < 0 || layer >= static_cast<std::ptrdiff_t>(m_layers.size())) {
        return {};
    }
    const LayerSubspaces& at = m_layers[static_cast<std::size_t>(layer)];
    return tr("layer %1: keys %2 (largest angle %3°), values %4 (%5°)")
        .arg(layer)
        .arg(meanOverlap(at.keys), 0, 'f', 3)
        .arg(degrees(largestAngle(at.keys)), 0, 'f', 1)
        .arg(meanOverlap(at.values), 0, 'f', 3)
        .arg(degrees(largestAngle(at.values)), 0, 'f', 1);
}

void OverlapPlot::restyle() {
    Plot::restyle();
    const auto style = [](QCPGraph* graph, const QColor& colour, bool chance) {
        graph->setPen(QPen(colour, chance ? 1.0 : 2.0, chance ? Qt::DashLine : Qt::SolidLine));
        graph->setScatterStyle(chance ? QCPScatterStyle(QCPScatterStyle::ssNone)
                                      : QCPScatterStyle(QCPScatterStyle::ssDisc, colour, colour, 6));
    };
    style(m_keys, theme().side(true), false);
    style(m_values, theme().side(false), false);
    style(m_key_chance, theme().side(true), true);
    style(m_value_chance, theme().side(false), true);
    legend->setBrush(theme().colours().panel);
    legend->setBorderPen(Qt::NoPen);
    legend->setTextColor(theme().colours().text);
    replot(rpQueuedReplot);
}

}  // namespace eigenscope
