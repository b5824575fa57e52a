// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/elided_label.h"

#include <QPainter>
#include <QStyle>

namespace eigenscope {

ElidedLabel::ElidedLabel(const QString& text, QWidget* parent, Qt::TextElideMode mode)
    : QLabel(text, parent), m_mode(mode) {
    setTextFormat(Qt::PlainText);
    setMinimumWidth(1);  // in place of the text's width
    setProperty("elides", true);
}

void ElidedLabel::paintEvent(QPaintEvent*) {
    const QString shown = fontMetrics().elidedText(text(), m_mode, width());
    if (toolTip() == m_rest) {  // no tooltip of the owner's
        m_rest = shown == text() ? QString() : text();
        setToolTip(m_rest);
    }
    QPainter painter(this);
    style()->drawItemText(&painter, rect(), static_cast<int>(alignment()), palette(), isEnabled(), shown,
                          foregroundRole());
}

}  // namespace eigenscope
