// SPDX-License-Identifier: GPL-3.0-or-later
// A row of exclusive choices ("Keys | Values"), operable by mouse and arrow keys.
#pragma once

#include <QStringList>
#include <QWidget>

class QButtonGroup;

namespace eigenscope {

class SegmentedControl : public QWidget {
    Q_OBJECT
public:
    explicit SegmentedControl(const QStringList& choices, QWidget* parent = nullptr);
    int index() const;
    void setIndex(int index);  // silent: no signal

signals:
    void selected(int index);  // by the user

private:
    QButtonGroup* m_group;
};

}  // namespace eigenscope
