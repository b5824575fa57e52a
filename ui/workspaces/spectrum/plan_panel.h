// SPDX-License-Identifier: GPL-3.0-or-later
// The right panel of the Spectrum workspace: how ranks are chosen and what they cost, live. Edits the plan
// document; changing the basis asks the workspace for a new spectrum. GUI thread.
#pragma once

#include "core/spectrum/rank_plan.h"
#include "ui/widgets/panel.h"

#include <optional>

class QCheckBox;
class QComboBox;
class QPushButton;

namespace eigenscope {

class BasisBox;
class CacheBox;
class ContextBox;
class Job;
class JobProgress;
class MeasureBox;
class SliderRow;
class Theme;
class Workspace;

class PlanPanel : public Panel {
    Q_OBJECT
public:
    PlanPanel(Workspace& workspace, const Theme& theme, QWidget* parent = nullptr);

signals:
    void convertRequested();
    void recalibrateRequested();
    void linkedChanged(bool linked);

private:
    QWidget* buildChoices();
    QWidget* buildThresholds(const Theme& theme);
    void buildActions();
    void connectRow(SliderRow* row);
    void editThresholds(SliderRow* row, double value);
    void changeAllocation(bool mixed);
    void syncAllocation();
    void follow(Job* job);
    void sync();  // everything from the document
    void savePlan();
    void loadPlan();
    void saveStatistics();

    Workspace& m_workspace;
    BasisBox* m_basis = nullptr;
    CacheBox* m_cache = nullptr;
    ContextBox* m_context = nullptr;
    QComboBox *m_criterion = nullptr, *m_multiple = nullptr, *m_allocation = nullptr;
    QCheckBox *m_mixed = nullptr, *m_link = nullptr;
    SliderRow *m_keys = nullptr, *m_values = nullptr, *m_budget = nullptr, *m_target = nullptr;
    MeasureBox* m_measure = nullptr;
    QPushButton *m_convert = nullptr, *m_recalibrate = nullptr;
    struct Wanted {
        Allocation allocation = Allocation::Threshold;
        bool mixed = false;
    };
    std::optional<Wanted> m_wanted;  // chosen, but its tables are not measured yet
    JobProgress* m_progress = nullptr;
    bool m_targeting = false;  // the change at hand comes from the target: keep what was asked for
};

}  // namespace eigenscope
