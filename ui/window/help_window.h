// SPDX-License-Identifier: GPL-3.0-or-later
// The help: the pages of resources/help, a list of them, and a search over all. A window of its own, so that
// it can lie beside the work. GUI thread.
#pragma once

#include <QWidget>

class QLineEdit;
class QListWidget;
class QTextBrowser;

namespace eigenscope {

class Theme;

class HelpWindow : public QWidget {
    Q_OBJECT
public:
    HelpWindow(Theme& theme, QWidget* parent);

    // A page by its file's name without ending, e.g. "ranks"; the window comes to the front.
    void open(const QString& page);

protected:
    void keyPressEvent(QKeyEvent* event) override;

private:
    void render();  // the current page, with the search's words marked
    void search(const QString& words);

    Theme& m_theme;
    QListWidget* m_pages;
    QLineEdit* m_find;
    QTextBrowser* m_text;
};

}  // namespace eigenscope
