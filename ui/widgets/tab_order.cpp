// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/tab_order.h"

#include <QGridLayout>
#include <QScrollArea>
#include <QSplitter>

#include <algorithm>
#include <utility>
#include <vector>

namespace eigenscope {

namespace {

void collect(QWidget* widget, std::vector<QWidget*>& found);

void collect(QLayout* layout, std::vector<QWidget*>& found) {
    std::vector<std::pair<std::pair<int, int>, QLayoutItem*>>
        items;  // by row and column, or as they were added
    const auto* grid = qobject_cast<const QGridLayout*>(layout);
    for (int i = 0; i < layout->count(); ++i) {
        int row = i, column = 0, rows = 0, columns = 0;
        if (grid) {
            grid->getItemPosition(i, &row, &column, &rows, &columns);
        }
        items.push_back({{row, column}, layout->itemAt(i)});
    }
    std::stable_sort(items.begin(), items.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [place, item] : items) {
        if (item->widget()) {
            collect(item->widget(), found);
        } else if (item->layout()) {
            collect(item->layout(), found);
        }
    }
}

void collect(QWidget* widget, std::vector<QWidget*>& found) {
    if (widget->focusPolicy() & Qt::TabFocus) {
        found.push_back(widget);
    }
    if (const auto* splitter = qobject_cast<const QSplitter*>(widget)) {
        for (int i = 0; i < splitter->count(); ++i) {
            collect(splitter->widget(i), found);
        }
    } else if (const auto* scroll = qobject_cast<const QScrollArea*>(widget)) {
        if (scroll->widget()) {
            collect(scroll->widget(), found);
        }
    } else if (widget->layout()) {
        collect(widget->layout(), found);
    }
}

}  // namespace

void tabInReadingOrder(QWidget* part) {
    std::vector<QWidget*> found;
    collect(part, found);
    for (std::size_t i = 1; i < found.size(); ++i) {
        QWidget::setTabOrder(found[i - 1], found[i]);
    }
}

}  // namespace eigenscope
