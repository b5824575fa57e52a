// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/compare/agreement_plot.h"

#include "ui/widgets/theme.h"

#include <algorithm>

namespace eigenscope {

AgreementPlot::AgreementPlot(const Theme& theme, QWidget* parent)
    : Plot(theme, QStringLiteral("token-divergence"), parent), m_bars(new QCPBars(xAxis, yAxis)) {
    m_bars->setWidthType(QCPBars::wtPlotCoords);
    m_bars->setWidth(0.9);
    xAxis->setLabel(tr("token of the text"));
    yAxis->setLabel(tr("KL, nats"));
    setAccessibleName(tr("KL divergence by token"));
    connect(this, &QCustomPlot::mouseMove, this, [this](QMouseEvent* event) {
        const auto token = static_cast<std::ptrdiff_t>(std::lround(xAxis->pixelToCoord(event->pos().x())));
        if (token >= 0 && token < static_cast<std::ptrdiff_t>(m_kl.size())) {
            emit readout(
                tr("token %L1: KL %2 nats").arg(token).arg(m_kl[static_cast<std::size_t>(token)], 0, 'g', 3));
        }
    });
    setDivergence({});
    restyle();
}

void AgreementPlot::setDivergence(const std::vector<double>& token_kl) {
    m_kl = token_kl;
    QVector<double> keys, values;
    keys.reserve(static_cast<qsizetype>(m_kl.size()));
    values.reserve(keys.capacity());
    double largest = 1e-6;
    for (std::size_t i = 0; i < m_kl.size(); ++i) {
        keys.append(static_cast<double>(i));
        values.append(m_kl[i]);
        largest = std::max(largest, m_kl[i]);
    }
    m_bars->setData(keys, values, true);
    xAxis->setRange(-1.0, std::max<double>(1.0, static_cast<double>(m_kl.size())));
    yAxis->setRange(0.0, largest * 1.05);
    // Nothing measured: no numbers on the axes either.
    xAxis->setTickLabels(!m_kl.empty());
    yAxis->setTickLabels(!m_kl.empty());
    replot(rpQueuedReplot);
}

PlotTable AgreementPlot::table() const {
    PlotTable table;
    table.columns = {QStringLiteral("token"), QStringLiteral("kl_nats")};
    for (std::size_t i = 0; i < m_kl.size(); ++i) {
        table.rows.append({static_cast<double>(i), m_kl[i]});
    }
    return table;
}

void AgreementPlot::restyle() {
    Plot::restyle();
    // A pen of one pixel keeps single tokens visible when there are more tokens than pixels.
    m_bars->setPen(QPen(theme().colours().value, 1.0));
    m_bars->setAntialiased(false);
    m_bars->setBrush(theme().colours().value);
    replot(rpQueuedReplot);
}

}  // namespace eigenscope
