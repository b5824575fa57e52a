// SPDX-License-Identifier: GPL-3.0-or-later
// What lies over the spectrum plot and moves while a threshold is dragged: threshold lines with their handles
// on the right axis, and dotted lines at the ranks that follow. On a buffered layer of its own, so that a
// drag redraws nothing else. Owned by its plot; GUI thread.
#pragma once

#include "core/spectrum/basis_method.h"
#include "ui/widgets/plot_widget.h"

#include <vector>

namespace eigenscope {

class Theme;

struct ThresholdMark {
    Side side = Side::Keys;
    double threshold = 1.0;  // on the right axis
    int rank = 0;            // on the x axis
    QString label;           // "threshold 0.947"
    QString rank_text;       // "rank 40 (38, rounded to 8)"
    QString rank_short;      // "rank 40", where there is no room for more
    QColor colour;
};

class ThresholdOverlay : public QCPLayerable {
public:
    ThresholdOverlay(PlotWidget* plot, const Theme& theme);

    void setMarks(std::vector<ThresholdMark> marks);
    void setActive(int mark);  // drawn stronger: under the pointer or dragged; -1: none
    int active() const { return m_active; }
    int hit(const QPointF& position) const;  // mark whose line or handle is there, or -1
    const std::vector<ThresholdMark>& marks() const { return m_marks; }
    QRectF handleRect(int mark) const;  // in the plot's pixels

protected:
    void applyDefaultAntialiasingHint(QCPPainter* painter) const override;
    void draw(QCPPainter* painter) override;

private:
    double lineY(const ThresholdMark& mark) const;
    void drawRank(QCPPainter* painter, const ThresholdMark& mark, int row) const;
    void drawThreshold(QCPPainter* painter, int mark) const;

    const Theme& m_theme;
    std::vector<ThresholdMark> m_marks;
    int m_active = -1;
};

}  // namespace eigenscope
