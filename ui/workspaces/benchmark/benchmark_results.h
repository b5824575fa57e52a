// SPDX-License-Identifier: GPL-3.0-or-later
// What has been measured: the plot with its choice of measure above, the table with copy, export and clear
// below. GUI thread.
#pragma once

#include "ui/model/benchmark_run.h"

#include <QWidget>

class QLabel;
class QStackedWidget;
class QToolButton;

namespace eigenscope {

class BenchmarkPlot;
class BenchmarkTable;
class FilterTable;
class Panel;
class SegmentedControl;
class Theme;
class Workspace;

class BenchmarkResults : public QWidget {
    Q_OBJECT
public:
    BenchmarkResults(BenchmarkRun& run, Workspace& workspace, const Theme& theme, QWidget* parent = nullptr);
    BenchmarkPlot* plot() const { return m_plot; }
    BenchmarkTable* table() const { return m_table; }

private:
    QWidget* buildPlot(const Theme& theme);
    QWidget* buildTable();
    void chooseMeasure(int index);
    void refresh();
    void spanReasons();  // of skipped rows, across the columns of figures
    void exportCsv();
    QString ceilingsText() const;

    BenchmarkRun& m_run;
    Workspace& m_workspace;
    Panel *m_plot_panel, *m_table_panel;
    SegmentedControl* m_measure;
    QStackedWidget* m_stack;  // nothing yet, plot
    BenchmarkPlot* m_plot;
    QLabel* m_ceilings;
    BenchmarkTable* m_table;
    FilterTable* m_view;
    QToolButton *m_copy, *m_export, *m_clear;
};

}  // namespace eigenscope
