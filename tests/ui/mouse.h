// SPDX-License-Identifier: Apache-2.0
// Mouse gestures for the window's tests.
#pragma once

#include <QTest>
#include <QWidget>
#include <QWindow>

namespace eigenscope::testing {

// Through the window, as the platform delivers mouse events: press, move in steps, release.
inline void dragMouse(QWidget* widget, const QPoint& from, const QPoint& to) {
    QWindow* window = widget->window()->windowHandle();
    const auto place = [&](const QPoint& point) { return widget->mapTo(widget->window(), point); };
    QTest::mouseMove(window, place(from));
    QTest::mousePress(window, Qt::LeftButton, {}, place(from));
    for (int step = 1; step <= 8; ++step) {
        QTest::mouseMove(window, place(from + (to - from) * step / 8));
    }
    QTest::mouseRelease(window, Qt::LeftButton, {}, place(to));
}

}  // namespace eigenscope::testing
