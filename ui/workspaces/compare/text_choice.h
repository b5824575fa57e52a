// SPDX-License-Identifier: GPL-3.0-or-later
// A field for a text file with a button that browses for one. GUI thread.
#pragma once

#include <QWidget>

class QLineEdit;

namespace eigenscope {

class Settings;

class TextChoice : public QWidget {
    Q_OBJECT
public:
    explicit TextChoice(Settings& settings, QWidget* parent = nullptr);
    void suggest(const QString& file);  // kept when empty
    QString file() const;

private:
    QLineEdit* m_text;
};

}  // namespace eigenscope
