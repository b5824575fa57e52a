// SPDX-License-Identifier: GPL-3.0-or-later
// Model: architecture at a glance, layers, tensors, a tokenizer to try out, and what the KV cache will take.
#pragma once

#include "ui/widgets/page.h"

class QLabel;
class QPlainTextEdit;
class QSpinBox;
class QStackedLayout;
class QTabWidget;
class QTextBrowser;

namespace eigenscope {

class FactList;
class KvFormatBox;
class LayerTableModel;
class Panel;
class TensorTableModel;
class Theme;
class Workspace;

class ModelPage : public Page {
    Q_OBJECT
public:
    ModelPage(Workspace& workspace, const Theme& theme, QWidget* parent = nullptr);

private:
    QWidget* makeArchitecture();
    QWidget* makeTables();
    QWidget* makeTokenizer();
    QWidget* makeCalculator();
    void refresh();
    void refreshTokens();
    void refreshCalculator();
    void refreshLayers();

    Workspace& m_workspace;
    const Theme& m_theme;
    QStackedLayout* m_stack;
    FactList *m_facts, *m_memory;
    QLabel* m_conversion;
    LayerTableModel* m_layers;
    TensorTableModel* m_tensors;
    Panel *m_tokenizer_panel, *m_memory_panel;
    QPlainTextEdit* m_text;
    QTextBrowser* m_pieces;
    QSpinBox *m_context, *m_batch, *m_limit;
    KvFormatBox* m_format;
};

}  // namespace eigenscope
