// SPDX-License-Identifier: Apache-2.0
// Finds text that has less room than it needs, and steps of the Tab key that jump, for the tests of the
// window's layouts. What ends with an ellipsis of its own accord, and what a scroll area can bring into view,
// is not clipped.
#pragma once

#include <QAbstractButton>
#include <QAbstractScrollArea>
#include <QAbstractSpinBox>
#include <QComboBox>
#include <QLabel>
#include <QLineEdit>
#include <QScrollArea>
#include <QStringList>
#include <QToolButton>

#include <algorithm>

namespace eigenscope::testing {

// Whether a part of the widget lies outside one of its ancestors, as far as no scroll area lies between them.
inline bool cutOffByParents(const QWidget* widget) {
    for (const QWidget* above = widget->parentWidget(); above; above = above->parentWidget()) {
        const QRect place(widget->mapTo(above, QPoint(0, 0)), widget->size());
        if (const auto* area = qobject_cast<const QAbstractScrollArea*>(above->parentWidget())) {
            return area->horizontalScrollBarPolicy() == Qt::ScrollBarAlwaysOff &&
                   qobject_cast<const QScrollArea*>(area) &&
                   (place.left() < 0 || place.right() > above->rect().right());
        }
        if (!above->rect().contains(place)) {
            return true;
        }
        if (above->isWindow()) {
            return false;
        }
    }
    return false;
}

inline bool hasRoom(const QWidget* widget) {
    const QSize size = widget->size();
    if (const auto* label = qobject_cast<const QLabel*>(widget)) {
        if (label->text().isEmpty() || label->property("elides").toBool()) {
            return size.height() >= label->fontMetrics().height() || label->text().isEmpty();
        }
        if (label->wordWrap()) {
            return size.height() >= label->heightForWidth(size.width());
        }
        return size.width() >= label->sizeHint().width() && size.height() >= label->sizeHint().height();
    }
    if (const auto* button = qobject_cast<const QAbstractButton*>(widget)) {
        // The padding may give way, the text may not.
        const auto* tool = qobject_cast<const QToolButton*>(button);
        const Qt::ToolButtonStyle style = tool ? tool->toolButtonStyle() : Qt::ToolButtonTextBesideIcon;
        if (style == Qt::ToolButtonIconOnly && !button->icon().isNull()) {
            return true;
        }
        const bool beside = style == Qt::ToolButtonTextBesideIcon && !button->icon().isNull();
        return size.width() >= button->fontMetrics().size(Qt::TextShowMnemonic, button->text()).width() +
                                   (beside ? button->iconSize().width() : 0);
    }
    if (const auto* combo = qobject_cast<const QComboBox*>(widget)) {
        constexpr int kArrowAndPadding = 30;
        return size.width() >=
               combo->fontMetrics().horizontalAdvance(combo->currentText()) + kArrowAndPadding;
    }
    if (qobject_cast<const QAbstractSpinBox*>(widget)) {
        const auto* edit = widget->findChild<const QLineEdit*>();
        constexpr int kMargins = 4;
        return edit->width() >= edit->fontMetrics().horizontalAdvance(edit->text()) + kMargins;
    }
    return true;
}

// "QLabel bytes: 4.00 KiB → 2.38 KiB", one for each text that is cut.
inline QStringList clippedTexts(const QWidget* window) {
    QStringList found;
    for (const QWidget* widget : window->findChildren<QWidget*>()) {
        if (!widget->isVisible() || widget->window() != window) {
            continue;
        }
        const QString text = widget->property("text").toString() + widget->property("currentText").toString();
        const bool writes =
            qobject_cast<const QLabel*>(widget) || qobject_cast<const QAbstractButton*>(widget) ||
            qobject_cast<const QComboBox*>(widget) || qobject_cast<const QAbstractSpinBox*>(widget);
        if (writes && (!hasRoom(widget) || (!text.isEmpty() && cutOffByParents(widget)))) {
            found << QStringLiteral("%1 %2: %3, %4 by %5")
                         .arg(QString::fromLatin1(widget->metaObject()->className()), widget->objectName(),
                              text)
                         .arg(widget->width())
                         .arg(widget->height());
        }
    }
    return found;
}

// Where a widget is on the page; where it is scrolled out of view, the edge it left by.
inline QPoint seenAt(const QWidget* widget, const QWidget* page) {
    QPoint place = widget->mapTo(page, QPoint(0, widget->height() / 2));
    for (const QWidget* above = widget->parentWidget(); above != page; above = above->parentWidget()) {
        if (qobject_cast<const QAbstractScrollArea*>(above)) {
            const int top = above->mapTo(page, QPoint(0, 0)).y();
            place.setY(std::clamp(place.y(), top, top + above->height()));
        }
    }
    return place;
}

// "QSpinBox seed -> QLineEdit text": steps of the Tab key on a page that go up, other than to a column
// further right: from the last control of a panel to the first of the next.
inline QStringList tabsThatJump(const QWidget* page) {
    constexpr int kLine = 12;  // controls of one row are centred on it
    QStringList found;
    const QWidget* last = nullptr;
    const QWidget* widget = page;
    const auto name = [](const QWidget* of) {
        return QStringLiteral("%1 %2%3").arg(QString::fromLatin1(of->metaObject()->className()),
                                             of->objectName(), of->property("text").toString());
    };
    while ((widget = widget->nextInFocusChain()) != page) {
        if (!page->isAncestorOf(widget) || !widget->isVisible() || !widget->isEnabled() ||
            !(widget->focusPolicy() & Qt::TabFocus) || widget->focusProxy()) {
            continue;
        }
        if (last) {
            const QPoint from = seenAt(last, page), to = seenAt(widget, page);
            if (to.y() < from.y() - kLine && to.x() <= from.x()) {
                found << QStringLiteral("Tab goes up: %1 -> %2").arg(name(last), name(widget));
            }
        }
        last = widget;
    }
    return found;
}

}  // namespace eigenscope::testing
