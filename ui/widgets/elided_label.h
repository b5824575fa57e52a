// SPDX-License-Identifier: GPL-3.0-or-later
// One line of text that ends with an ellipsis where there is no room for all of it; the tooltip then has the
// rest, unless its owner has given it another. It gives way to what stands beside it, down to the width of a
// few letters. GUI thread.
#pragma once

#include <QLabel>

namespace eigenscope {

class ElidedLabel : public QLabel {
    Q_OBJECT
public:
    explicit ElidedLabel(const QString& text = {}, QWidget* parent = nullptr,
                         Qt::TextElideMode mode = Qt::ElideRight);

protected:
    void paintEvent(QPaintEvent* event) override;

private:
    Qt::TextElideMode m_mode;
    QString m_rest;  // the tooltip, where the text is cut
};

}  // namespace eigenscope
