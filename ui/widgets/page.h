// SPDX-License-Identifier: GPL-3.0-or-later
// A workspace: one page of the main window. Pages read the Workspace and send it intents; they compute
// nothing but pixels. readout() goes to the status line.
#pragma once

#include "ui/widgets/tab_order.h"

#include <QWidget>

namespace eigenscope {

enum class PageId { Start, Model, Spectrum, Convert, Compare, Benchmark };

class Page : public QWidget {
    Q_OBJECT
public:
    using QWidget::QWidget;

signals:
    void readout(const QString& text);            // live read-out of what the pointer is over
    void pageRequested(eigenscope::PageId page);  // "go on to ..."

protected:
    void showEvent(QShowEvent* event) override {
        QWidget::showEvent(event);
        tabInReadingOrder(this);
    }
};

}  // namespace eigenscope
