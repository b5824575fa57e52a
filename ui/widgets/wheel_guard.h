// SPDX-License-Identifier: GPL-3.0-or-later
// The wheel scrolls; a field that it happens to pass keeps its value. Numbers, choices and sliders follow the
// wheel only while they have the focus, and do not take it from the wheel. GUI thread.
#pragma once

#include <QObject>

namespace eigenscope {

// An event filter of the application.
class WheelGuard : public QObject {
    Q_OBJECT
public:
    using QObject::QObject;
    bool eventFilter(QObject* watched, QEvent* event) override;
};

}  // namespace eigenscope
