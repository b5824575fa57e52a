// SPDX-License-Identifier: GPL-3.0-or-later
// One model's answer as it streams: name and badge, text with the tokens that differ from the other answer
// marked, and what it took.
#pragma once

#include "ui/widgets/panel.h"

class QLabel;
class QTextBrowser;

namespace eigenscope {

class GenerationRun;
class Theme;
struct OpenModel;

class AnswerPanel : public Panel {
    Q_OBJECT
public:
    AnswerPanel(const Theme& theme, QWidget* parent = nullptr);
    // token_bytes: of its cache, a token of one sequence.
    void setModel(const QString& name, const QString& badge, std::size_t token_bytes, bool original);
    // other: the run to mark differences against, or null. first_difference: token index, -1 for none.
    void show(const GenerationRun& run, const GenerationRun* other, std::ptrdiff_t first_difference);
    QString plainText() const;

private:
    const Theme& m_theme;
    QLabel *m_name, *m_badge, *m_state, *m_figures;
    QTextBrowser* m_text;
    QString m_html;
    std::size_t m_token_bytes = 0;
};

}  // namespace eigenscope
