// SPDX-License-Identifier: GPL-3.0-or-later
// What to measure: models, contexts, batches, repetitions, KV format; says what is wrong and what will not
// fit in memory before a run begins; starts the run and shows its progress. Remembers its inputs. GUI thread.
#pragma once

#include "ui/model/benchmark_run.h"
#include "ui/widgets/panel.h"

#include <array>

class QCheckBox;
class QGridLayout;
class QLabel;
class QLineEdit;
class QPushButton;
class QSpinBox;
class QToolButton;

namespace eigenscope {

class JobProgress;
class KvFormatChoice;
class Workspace;

class BenchmarkForm : public Panel {
    Q_OBJECT
public:
    BenchmarkForm(BenchmarkRun& run, Workspace& workspace, QWidget* parent = nullptr);

private:
    QWidget* buildModels();
    QWidget* buildNumbers();
    void addNumberRows(QGridLayout* grid);
    void addFoot();  // what stays in sight below the inputs: messages, progress, the button
    void restore();
    void remember() const;

    // What is typed, and in *problem the first thing that is wrong with it (empty: nothing).
    BenchmarkRequest request(QString* problem) const;
    std::int64_t positions() const;  // of the chosen model that has the fewest; 0: none is chosen
    void refreshModels();
    void refresh();
    void suggestContexts();
    void showUnfit(const BenchmarkRequest& request, bool valid);
    void openOther();
    void start();

    BenchmarkRun& m_run;
    Workspace& m_workspace;
    std::array<QCheckBox*, std::size(kBenchmarkModels)> m_models{};
    std::array<bool, std::size(kBenchmarkModels)> m_wanted{};  // also while there is no such model
    QLineEdit *m_contexts = nullptr, *m_batches = nullptr;
    QSpinBox *m_new_tokens = nullptr, *m_repetitions = nullptr;
    QCheckBox* m_prefill = nullptr;
    KvFormatChoice* m_format = nullptr;
    QLabel *m_problem = nullptr, *m_unfit = nullptr;
    QToolButton* m_suggest = nullptr;
    JobProgress* m_progress = nullptr;
    QPushButton* m_start = nullptr;
    bool m_own_contexts = false;  // typed by the user; else they follow the model
};

}  // namespace eigenscope
