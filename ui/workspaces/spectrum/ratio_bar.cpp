// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/spectrum/ratio_bar.h"

#include "ui/model/units.h"
#include "ui/widgets/theme.h"

#include <QPainter>
#include <QPainterPath>

#include <algorithm>

namespace eigenscope {

namespace {
constexpr int kBarHeight = 12;
}

RatioBar::RatioBar(const Theme& theme, QWidget* parent) : QWidget(parent), m_theme(theme) {
    setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
    setAccessibleName(tr("KV cache kept"));
    setToolTip(tr("The whole bar is the original KV cache: half keys, half values. Coloured: what stays."));
    connect(&theme, &Theme::changed, this, qOverload<>(&QWidget::update));
}

void RatioBar::setRatios(double keys, double values) {
    m_keys = std::clamp(keys, 0.0, 1.0);
    m_values = std::clamp(values, 0.0, 1.0);
    setAccessibleDescription(tr("keys %1×, values %2×").arg(ratioText(m_keys), ratioText(m_values)));
    update();
}

void RatioBar::paintEvent(QPaintEvent*) {
    QPainter painter(this);
    painter.setRenderHint(QPainter::Antialiasing);
    const ThemeColours& colours = m_theme.colours();
    const double keys = m_keys / 2 * width();
    const double values = m_values / 2 * width();
    QPainterPath outline;
    outline.addRoundedRect(QRectF(0, 0, width(), kBarHeight), 3, 3);
    painter.setClipPath(outline);
    painter.fillRect(QRectF(0, 0, width(), kBarHeight), colours.line);
    painter.fillRect(QRectF(0, 0, keys, kBarHeight), colours.key);
    painter.fillRect(QRectF(keys, 0, values, kBarHeight), colours.value);
    painter.setClipping(false);

    QFont small = font();
    small.setPixelSize(11);
    painter.setFont(small);
    painter.setPen(colours.muted);
    const QRect text(0, kBarHeight + 3, width(), height() - kBarHeight - 3);
    painter.drawText(text, Qt::AlignLeft | Qt::AlignVCenter,
                     tr("keys %1×   values %2×").arg(ratioText(m_keys), ratioText(m_values)));
    painter.drawText(text, Qt::AlignRight | Qt::AlignVCenter,
                     tr("saved %1").arg(percentText(1.0 - (m_keys + m_values) / 2)));
}

}  // namespace eigenscope
