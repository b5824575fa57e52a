// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/compare/head_error_map.h"

#include "ui/widgets/theme.h"

#include <algorithm>
#include <cmath>

namespace eigenscope {

HeadErrorMap::HeadErrorMap(const Theme& theme, QWidget* parent)
    : Plot(theme, QStringLiteral("head-errors"), parent),
      m_map(new QCPColorMap(xAxis, yAxis)),
      m_scale(new QCPColorScale(this)) {
    setAccessibleName(tr("Errors, layers by heads"));
    xAxis->setLabel(tr("query head"));
    yAxis->setLabel(tr("layer"));
    yAxis->setRangeReversed(true);
    for (QCPAxis* axis : {xAxis, yAxis}) {
        QSharedPointer<QCPAxisTickerFixed> ticker(new QCPAxisTickerFixed);
        ticker->setTickStep(1.0);
        ticker->setScaleStrategy(QCPAxisTickerFixed::ssMultiples);
        axis->setTicker(ticker);
        axis->grid()->setVisible(false);
    }
    plotLayout()->addElement(0, 1, m_scale);
    m_scale->setType(QCPAxis::atRight);
    m_scale->setBarWidth(8);
    m_scale->axis()->ticker()->setTickCount(3);
    m_map->setColorScale(m_scale);
    m_map->setInterpolate(false);
    m_map->setTightBoundary(false);
    QCPColorGradient gradient;
    gradient.clearColorStops();
    for (int i = 0; i <= 16; ++i) {
        gradient.setColorStopAt(i / 16.0, Theme::viridis(i / 16.0));
    }
    m_map->setGradient(gradient);
    auto* group = new QCPMarginGroup(this);
    axisRect()->setMarginGroup(QCP::msBottom | QCP::msTop, group);
    m_scale->setMarginGroup(QCP::msBottom | QCP::msTop, group);
    restyle();
}

const MeanAndError& HeadErrorMap::measure(const HeadFidelity& head) const {
    switch (m_measure) {
        case Measure::Weights:
            return head.weight_distance;
        case Measure::Output:
            return head.output_error;
        case Measure::Scores:
            break;
    }
    return head.score_error;
}

double HeadErrorMap::valueAt(int layer, int head) const {
    return measure(m_layers[static_cast<std::size_t>(layer)].heads[static_cast<std::size_t>(head)]).mean;
}

void HeadErrorMap::setLayers(const std::vector<LayerFidelity>& layers) {
    m_layers = layers;
    const double heads = m_layers.empty() ? 1.0 : static_cast<double>(m_layers.front().heads.size());
    setHome(xAxis, -0.5, heads - 0.5);
    setHome(yAxis, -0.5, std::max<double>(1.0, static_cast<double>(m_layers.size())) - 0.5);
    refill();
}

void HeadErrorMap::setMeasure(Measure measure) {
    m_measure = measure;
    refill();
}

void HeadErrorMap::refill() {
    const int layers = static_cast<int>(m_layers.size());
    const int heads = layers > 0 ? static_cast<int>(m_layers.front().heads.size()) : 0;
    m_map->setVisible(layers > 0);
    m_map->data()->setSize(std::max(heads, 1), std::max(layers, 1));
    // With one cell along an axis its range is the cell's centre, twice.
    m_map->data()->setRange(QCPRange(0, std::max(heads - 1, 0)), QCPRange(0, std::max(layers - 1, 0)));
    double most = 0.0;
    for (int layer = 0; layer < layers; ++layer) {
        for (int head = 0; head < heads; ++head) {
            m_map->data()->setCell(head, layer, valueAt(layer, head));
            most = std::max(most, valueAt(layer, head));
        }
    }
    m_scale->setDataRange(QCPRange(0.0, most > 0.0 ? most : 1.0));
    replot(rpQueuedReplot);
}

void HeadErrorMap::restyle() {
    Plot::restyle();
    QFont small = font();
    small.setPixelSize(11);
    m_scale->axis()->setTickLabelColor(theme().colours().muted);
    m_scale->axis()->setTickLabelFont(small);
    for (QCPAxis* axis : {m_scale->axis(), m_scale->axis()->axisRect()->axis(QCPAxis::atLeft),
                          m_scale->axis()->axisRect()->axis(QCPAxis::atTop),
                          m_scale->axis()->axisRect()->axis(QCPAxis::atBottom)}) {
        axis->setBasePen(Qt::NoPen);
        axis->setTickPen(Qt::NoPen);
        axis->setSubTickPen(Qt::NoPen);
    }
    replot(rpQueuedReplot);
}

QPointF HeadErrorMap::cellCentre(int layer, int head) const {
    return {xAxis->coordToPixel(head), yAxis->coordToPixel(layer)};
}

QString HeadErrorMap::readoutAt(const QPointF& position) const {
    if (!axisRect()->rect().contains(position.toPoint())) {
        return {};
    }
    const auto head = std::lround(xAxis->pixelToCoord(position.x()));
    const auto layer = std::lround(yAxis->pixelToCoord(position.y()));
    if (layer < 0 || layer >= static_cast<long>(m_layers.size()) || head < 0 ||
        head >= static_cast<long>(m_layers.front().heads.size())) {
        return {};
    }
    const HeadFidelity& cell =
        m_layers[static_cast<std::size_t>(layer)].heads[static_cast<std::size_t>(head)];
    const auto text = [](const MeanAndError& value) {
        const QString mean = QString::number(value.mean, 'g', 3);
        return std::isfinite(value.error)
                   ? mean + QStringLiteral(" ± ") + QString::number(value.error, 'g', 2)
                   : mean;
    };
    return tr("Layer %1 · head %2 · scores %3 · weights %4 · output %5")
        .arg(layer)
        .arg(head)
        .arg(text(cell.score_error), text(cell.weight_distance), text(cell.output_error));
}

PlotTable HeadErrorMap::table() const {
    PlotTable table;
    table.columns = {QStringLiteral("layer"), QStringLiteral("head")};
    for (const char* name : {"score_error", "weight_distance", "output_error"}) {
        table.columns.append(QString::fromLatin1(name));
        table.columns.append(QString::fromLatin1(name) + QStringLiteral("_standard_error"));
    }
    for (std::size_t layer = 0; layer < m_layers.size(); ++layer) {
        for (std::size_t head = 0; head < m_layers[layer].heads.size(); ++head) {
            QVector<double> row{static_cast<double>(layer), static_cast<double>(head)};
            const HeadFidelity& cell = m_layers[layer].heads[head];
            for (const MeanAndError* value : {&cell.score_error, &cell.weight_distance, &cell.output_error}) {
                row << value->mean << value->error;
            }
            table.rows.append(row);
        }
    }
    return table;
}

}  // namespace eigenscope
