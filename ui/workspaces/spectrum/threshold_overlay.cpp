// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/spectrum/threshold_overlay.h"

#include "ui/widgets/theme.h"

#include <cmath>

namespace eigenscope {

namespace {

constexpr double kGrab = 5.0;  // pixels around the line that take hold of it
constexpr double kHandleHeight = 20.0;
constexpr double kHandlePadding = 9.0;
constexpr double kHandleInset = 4.0;  // from the right end of the plot
constexpr double kTextRow = 18.0;     // of rank texts at the bottom
constexpr double kTextGap = 6.0;

QFont labelFont(const PlotWidget* plot) {
    QFont font = plot->font();
    font.setPixelSize(11);
    font.setWeight(QFont::DemiBold);
    return font;
}

}  // namespace

ThresholdOverlay::ThresholdOverlay(PlotWidget* plot, const Theme& theme)
    : QCPLayerable(plot, QStringLiteral("overlay")), m_theme(theme) {}

void ThresholdOverlay::setMarks(std::vector<ThresholdMark> marks) { m_marks = std::move(marks); }

void ThresholdOverlay::setActive(int mark) { m_active = mark; }

double ThresholdOverlay::lineY(const ThresholdMark& mark) const {
    return mParentPlot->yAxis2->coordToPixel(mark.threshold);
}

QRectF ThresholdOverlay::handleRect(int mark) const {
    const QRect area = mParentPlot->axisRect()->rect();
    const QFontMetricsF metrics(labelFont(mParentPlot));
    // Handles of two sides stand next to each other, so that equal thresholds do not hide one another.
    double right = area.right() - kHandleInset;
    for (int i = 0; i < mark; ++i) {
        right -=
            metrics.horizontalAdvance(m_marks[static_cast<std::size_t>(i)].label) + 2 * kHandlePadding + 8;
    }
    const auto& wanted = m_marks[static_cast<std::size_t>(mark)];
    const double width = metrics.horizontalAdvance(wanted.label) + 2 * kHandlePadding;
    return {right - width, lineY(wanted) - kHandleHeight / 2, width, kHandleHeight};
}

int ThresholdOverlay::hit(const QPointF& position) const {
    for (int i = 0; i < static_cast<int>(m_marks.size()); ++i) {
        if (handleRect(i).contains(position)) {
            return i;
        }
    }
    const QRect area = mParentPlot->axisRect()->rect();
    int nearest = -1;
    double distance = kGrab;
    for (int i = 0; i < static_cast<int>(m_marks.size()); ++i) {
        const double away = std::abs(position.y() - lineY(m_marks[static_cast<std::size_t>(i)]));
        if (position.x() >= area.left() && position.x() <= area.right() && away <= distance) {
            nearest = i;
            distance = away;
        }
    }
    return nearest;
}

void ThresholdOverlay::applyDefaultAntialiasingHint(QCPPainter* painter) const {
    painter->setAntialiasing(true);
}

void ThresholdOverlay::draw(QCPPainter* painter) {
    painter->setFont(labelFont(mParentPlot));
    for (std::size_t i = 0; i < m_marks.size(); ++i) {
        drawRank(painter, m_marks[i], static_cast<int>(m_marks.size() - 1 - i));
    }
    for (std::size_t i = 0; i < m_marks.size(); ++i) {
        drawThreshold(painter, static_cast<int>(i));
    }
}

void ThresholdOverlay::drawRank(QCPPainter* painter, const ThresholdMark& mark, int row) const {
    const QRect area = mParentPlot->axisRect()->rect();
    const double x = std::round(mParentPlot->xAxis->coordToPixel(mark.rank)) + 0.5;
    if (x < area.left() - 1 || x > area.right() + 2) {
        return;
    }
    QPen dotted(mark.colour, 1.2);
    dotted.setDashPattern({2.5, 2.5});
    painter->setPen(dotted);
    painter->drawLine(QLineF(x, area.top(), x, area.bottom()));

    // Right of the line, else left of it, else shorter.
    const auto fits = [&](double width) {
        return x + kTextGap + width <= area.right() - 2 || x - kTextGap - width >= area.left() + 2;
    };
    const bool whole = fits(painter->fontMetrics().horizontalAdvance(mark.rank_text));
    const QString& words = whole ? mark.rank_text : mark.rank_short;
    const double width = painter->fontMetrics().horizontalAdvance(words);
    const bool right = x + kTextGap + width <= area.right() - 2;
    const QRectF text(right ? x + kTextGap : x - kTextGap - width, area.bottom() - 4 - kTextRow * (row + 1),
                      width, kTextRow);
    QColor behind = m_theme.colours().panel;
    behind.setAlpha(215);  // curves stay visible, the text legible
    painter->setPen(Qt::NoPen);
    painter->setBrush(behind);
    painter->drawRoundedRect(text.adjusted(-3, 1, 3, -1), 3, 3);
    painter->setPen(mark.colour);
    painter->drawText(text, Qt::AlignLeft | Qt::AlignVCenter, words);
}

void ThresholdOverlay::drawThreshold(QCPPainter* painter, int index) const {
    const ThresholdMark& mark = m_marks[static_cast<std::size_t>(index)];
    const QRect area = mParentPlot->axisRect()->rect();
    const double y = lineY(mark);
    if (y < area.top() - 2 || y > area.bottom() + 2) {
        return;
    }
    painter->setPen(QPen(mark.colour, index == m_active ? 2.6 : 1.8));
    painter->drawLine(QLineF(area.left(), y, area.right() + 1, y));
    const QRectF handle = handleRect(index);
    painter->setPen(index == m_active ? QPen(m_theme.colours().text, 1.2) : QPen(Qt::NoPen));
    painter->setBrush(mark.colour);
    painter->drawRoundedRect(handle, kHandleHeight / 2, kHandleHeight / 2);
    painter->setPen(m_theme.colours().on_accent);
    painter->drawText(handle, Qt::AlignCenter, mark.label);
}

}  // namespace eigenscope
