// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/plot_legend.h"

#include "ui/widgets/theme.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace eigenscope {

namespace {

constexpr int kMostColumns = 4, kFontPixels = 11;

QString nameOf(QCPAbstractLegendItem* item) {
    auto* entry = qobject_cast<QCPPlottableLegendItem*>(item);
    return entry ? entry->plottable()->name() : QString();
}

}  // namespace

void placeLegendBelow(PlotWidget& plot) {
    QCPLegend* legend = plot.legend;
    plot.axisRect()->insetLayout()->take(legend);
    plot.plotLayout()->addElement(1, 0, legend);
    plot.plotLayout()->setRowStretchFactor(1, 0.001);
    legend->setFillOrder(QCPLegend::foColumnsFirst);
    legend->setBorderPen(Qt::NoPen);
    legend->setMargins(QMargins(8, 0, 8, 0));
    legend->setRowSpacing(0);
    legend->setColumnSpacing(16);
    legend->setIconSize(30, 16);
    legend->setVisible(true);
}

void restyleLegend(PlotWidget& plot, const ThemeColours& colours) {
    QFont small = plot.font();
    small.setPixelSize(kFontPixels);
    plot.legend->setFont(small);
    plot.legend->setTextColor(colours.text);
    plot.legend->setBrush(QBrush(colours.panel));
}

void wrapLegend(PlotWidget& plot) {
    QCPLegend* legend = plot.legend;
    const QFontMetrics metrics(legend->font());
    const int extra = legend->iconSize().width() + legend->iconTextPadding() + legend->columnSpacing();
    const int room = plot.width() - legend->margins().left() - legend->margins().right();
    const int items = legend->itemCount();
    int columns = std::clamp(items, 1, kMostColumns);
    for (; columns > 1; --columns) {
        std::vector<int> widest(static_cast<std::size_t>(columns), 0);
        for (int i = 0; i < items; ++i) {
            int& column = widest[static_cast<std::size_t>(i % columns)];
            column = std::max(column, metrics.horizontalAdvance(nameOf(legend->item(i))) + extra);
        }
        if (std::accumulate(widest.begin(), widest.end(), 0) <= room) {
            break;
        }
    }
    legend->setWrap(columns);
    legend->setFillOrder(legend->fillOrder(), true);  // those that are there, anew
}

}  // namespace eigenscope
