// SPDX-License-Identifier: GPL-3.0-or-later
// A plot's legend below its axes, in as many columns as the width has room for: for plots of many curves,
// which fill the axes. GUI thread.
#pragma once

#include "ui/widgets/plot_widget.h"

namespace eigenscope {

struct ThemeColours;

void placeLegendBelow(PlotWidget& plot);  // once, after construction
void restyleLegend(PlotWidget& plot, const ThemeColours& colours);
// The most columns whose widest entries, one beside the other, fit. After changes of entries or width.
void wrapLegend(PlotWidget& plot);

}  // namespace eigenscope
