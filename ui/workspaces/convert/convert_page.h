// SPDX-License-Identifier: GPL-3.0-or-later
// The Convert workspace: what the plan changes in every layer and in total, or what each KV ratio costs
// (trade-off curves); the conversion as a job with its progress in place, the measured errors, and saving.
// GUI thread.
#pragma once

#include "ui/widgets/page.h"

class QCheckBox;
class QLabel;
class QPushButton;
class QStackedWidget;

namespace eigenscope {

class ConvertTable;
class EmptyState;
class FactList;
class FilterTable;
class Job;
class JobProgress;
class Panel;
class RatioBar;
class SegmentedControl;
class Theme;
class TradeoffPanel;
class Workspace;

class ConvertPage : public Page {
    Q_OBJECT
public:
    ConvertPage(Workspace& workspace, const Theme& theme, QWidget* parent = nullptr);

private:
    QWidget* buildMain();
    Panel* buildSummary();
    void refresh();
    void refreshFacts();
    void refreshState();
    void save();
    void convert();

    Workspace& m_workspace;
    const Theme& m_theme;
    QStackedWidget* m_stack = nullptr;
    EmptyState *m_no_model = nullptr, *m_no_plan = nullptr;
    QWidget* m_main = nullptr;
    Panel* m_table_panel = nullptr;
    ConvertTable* m_table = nullptr;
    SegmentedControl* m_views = nullptr;
    QStackedWidget* m_view = nullptr;
    TradeoffPanel* m_tradeoff = nullptr;
    QCheckBox* m_refit = nullptr;
    QLabel *m_ratio = nullptr, *m_badge = nullptr, *m_state = nullptr, *m_saved = nullptr,
           *m_groups = nullptr;
    RatioBar* m_bar = nullptr;
    FactList* m_facts = nullptr;
    JobProgress *m_progress = nullptr, *m_save_progress = nullptr;
    QPushButton *m_convert = nullptr, *m_save = nullptr, *m_compare = nullptr, *m_plan = nullptr;
};

}  // namespace eigenscope
