// SPDX-License-Identifier: GPL-3.0-or-later
// Benchmark: latency, throughput and memory of the open models over context and batch, beside what the device
// reaches at most. Measures through BenchmarkRun, one run at a time. GUI thread.
#pragma once

#include "ui/widgets/page.h"

class QStackedLayout;

namespace eigenscope {

class BenchmarkForm;
class BenchmarkResults;
class BenchmarkRun;
class Theme;
class Workspace;

class BenchmarkPage : public Page {
    Q_OBJECT
public:
    BenchmarkPage(Workspace& workspace, const Theme& theme, QWidget* parent = nullptr);
    BenchmarkRun& run() { return *m_run; }
    BenchmarkResults* results() const { return m_results; }

private:
    void refresh();

    Workspace& m_workspace;
    BenchmarkRun* m_run;
    QStackedLayout* m_stack;  // no model and no results, the rest
    BenchmarkForm* m_form;
    BenchmarkResults* m_results;
};

}  // namespace eigenscope
