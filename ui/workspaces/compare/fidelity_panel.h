// SPDX-License-Identifier: GPL-3.0-or-later
// Where the other model departs from the original: a text token by token with the layer that explains a
// token, and errors by layer and head; and the form that starts the measurement. GUI thread.
#pragma once

#include <QWidget>

class QPushButton;
class QSpinBox;
class QStackedLayout;

namespace eigenscope {

class Comparison;
class EmptyState;
class HeadErrorMap;
class LayerChart;
class Panel;
class SegmentedControl;
class Settings;
class TextChoice;
class Theme;
class TokenDiffView;

class FidelityPanel : public QWidget {
    Q_OBJECT
public:
    FidelityPanel(Comparison& comparison, const Theme& theme, Settings& settings, QWidget* parent = nullptr);
    void suggestText(const QString& file);
    QString textFile() const;
    int windows() const;
    bool diffsPrompt() const;

signals:
    void measureRequested();
    void spectrumRequested();  // there is nothing to compare with
    void readout(const QString& text);

private:
    QWidget* makeForm(Settings& settings);
    QWidget* makeContent(const Theme& theme);
    void refresh();
    void refreshReady();
    void explain(int token);

    Comparison& m_comparison;
    TextChoice* m_text;
    QSpinBox* m_windows;
    SegmentedControl* m_source;
    QPushButton* m_measure;
    QStackedLayout* m_stack;
    Panel *m_tokens_panel, *m_explanation_panel, *m_layers_panel;
    QStackedLayout* m_layers_stack;
    TokenDiffView* m_tokens;
    LayerChart *m_explanation, *m_layers;
    HeadErrorMap* m_heads;
};

}  // namespace eigenscope
