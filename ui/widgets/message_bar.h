// SPDX-License-Identifier: GPL-3.0-or-later
// A bar on top of the workspace for messages that must be read. Errors stay until closed; good news leaves by
// itself.
#pragma once

#include <QFrame>

class QLabel;
class QTimer;

namespace eigenscope {

class MessageBar : public QFrame {
    Q_OBJECT
public:
    explicit MessageBar(QWidget* parent = nullptr);
    void showMessage(const QString& title, const QString& text, bool error);
    QString text() const;

private:
    QLabel* m_text;
    QTimer* m_leave;
};

}  // namespace eigenscope
