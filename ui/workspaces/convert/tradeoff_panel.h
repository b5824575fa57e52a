// SPDX-License-Identifier: GPL-3.0-or-later
// The trade-off curves with what measures them: a held-out text, a button, progress in place. GUI thread.
#pragma once

#include "ui/model/tradeoff_run.h"

#include <QTimer>
#include <QWidget>

class QLabel;
class QLineEdit;
class QPushButton;
class QSpinBox;

namespace eigenscope {

class JobProgress;
class Theme;
class TradeoffPlot;

class TradeoffPanel : public QWidget {
    Q_OBJECT
public:
    TradeoffPanel(Workspace& workspace, const Theme& theme, QWidget* parent = nullptr);
    TradeoffPlot* plot() const { return m_plot; }
    const TradeoffRun& run() const { return m_run; }

protected:
    void showEvent(QShowEvent* event) override;

private:
    QWidget* buildForm();
    void refresh();
    void drawExpected();
    void measure();
    void browse();

    Workspace& m_workspace;
    TradeoffRun m_run;
    QTimer m_expect;  // the expected front follows the plan, but not every step of a drag
    TradeoffPlot* m_plot;
    QLabel* m_note;
    QLineEdit* m_text = nullptr;
    QSpinBox* m_windows = nullptr;
    QPushButton* m_measure = nullptr;
    JobProgress* m_progress;
};

}  // namespace eigenscope
