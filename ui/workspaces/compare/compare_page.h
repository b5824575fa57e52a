// SPDX-License-Identifier: GPL-3.0-or-later
// Compare, two views: two models answer the same prompt at the same time, with their agreement token by token
// and measurements of each running alone; and the fidelity of the other to the original by token, layer and
// head.
#pragma once

#include "ui/widgets/page.h"

#include <filesystem>
#include <memory>

class QCheckBox;
class QComboBox;
class QDoubleSpinBox;
class QMenu;
class QPlainTextEdit;
class QPushButton;
class QSpinBox;
class QStackedLayout;
class QToolButton;

namespace eigenscope {

class AgreementPlot;
class AnswerPanel;
class ChatTemplate;
class Comparison;
class FidelityPanel;
class KvFormatChoice;
struct OpenModel;
class MeasurementPanel;
class Panel;
class SegmentedControl;
class Theme;
class Workspace;

class ComparePage : public Page {
    Q_OBJECT
public:
    ComparePage(Workspace& workspace, const Theme& theme, QWidget* parent = nullptr);
    Comparison& comparison() { return *m_comparison; }

private:
    QWidget* makePrompt();
    QWidget* makeSampling();
    QWidget* makeAnswers();  // both answers, agreement and measurements
    QWidget* makeFidelity();
    KvFormatChoice* addFormatChoice(AnswerPanel* panel, const QString& name);
    std::size_t tokenBytes(const OpenModel& model, const KvFormatChoice& choice) const;
    void refreshModels();
    void refreshAnswers();
    void refreshMeasurement();
    void fillPromptMenu(QMenu* menu);
    void generate();
    void refreshChat();

    Workspace& m_workspace;
    const Theme& m_theme;
    Comparison* m_comparison;
    QStackedLayout* m_stack;
    QPlainTextEdit* m_prompt;
    QCheckBox* m_chat;
    std::shared_ptr<const ChatTemplate> m_chat_template;  // the left model's; null when it has none
    std::filesystem::path m_chat_directory;               // where that was looked for
    QDoubleSpinBox *m_temperature, *m_top_p;
    QSpinBox *m_tokens, *m_top_k, *m_seed;
    QPushButton *m_generate, *m_stop;
    AnswerPanel *m_left, *m_right;
    QStackedLayout* m_right_stack;
    KvFormatChoice *m_left_format, *m_right_format;
    QComboBox* m_other;
    Panel* m_agreement_panel;
    AgreementPlot* m_agreement;
    MeasurementPanel* m_measurement;
    SegmentedControl* m_view;
    QStackedLayout* m_views;
    FidelityPanel* m_fidelity;
};

}  // namespace eigenscope
