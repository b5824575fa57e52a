// SPDX-License-Identifier: GPL-3.0-or-later
// A panel: white (or dark) card with a short bold title, muted secondary text beside it, and a layout for its
// content.
#pragma once

#include <QFrame>
#include <QLabel>
#include <QVBoxLayout>

class QHBoxLayout;
class QScrollArea;

namespace eigenscope {

class Panel : public QFrame {
    Q_OBJECT
public:
    explicit Panel(const QString& title = {}, QWidget* parent = nullptr);
    void setTitle(const QString& title);
    void setNote(const QString& text);  // muted, right of the title
    QVBoxLayout* body() { return m_body; }
    QHBoxLayout* header() { return m_header; }  // add widgets at its right end

private:
    QLabel* m_title;
    QLabel* m_note;
    QHBoxLayout* m_header;
    QVBoxLayout* m_body;
};

// A column that scrolls down where the window is too low for it, and is never narrower than its content
// needs. The content is owned by the scroll area that is returned.
QScrollArea* scrolledDown(QWidget* content);

// What an empty view shows: one sentence on what belongs here and, where it helps, the action that fills it.
class EmptyState : public QWidget {
    Q_OBJECT
public:
    EmptyState(const QString& title, const QString& text, const QString& action = {},
               QWidget* parent = nullptr);
    void setText(const QString& title, const QString& text);

signals:
    void activated();

private:
    QLabel *m_title, *m_text;
};

// Style helpers: labels and buttons whose look the style sheet knows by property.
QLabel* mutedLabel(const QString& text, QWidget* parent = nullptr);
QLabel* figureLabel(const QString& text = {},
                    QWidget* parent = nullptr);  // bold, tabular figures, right aligned
void setPrimary(QWidget* button);                // the accent button

}  // namespace eigenscope
