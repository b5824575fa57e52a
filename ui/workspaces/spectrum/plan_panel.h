// SPDX-License-Identifier: GPL-3.0-or-later
// The right panel of the Spectrum workspace: how ranks are chosen and what they cost, live. Edits the plan
// document; changing the basis asks the workspace for a new spectrum. GUI thread.
#pragma once

#include "core/spectrum/rank_plan.h"
#include "ui/widgets/panel.h"

#include <optional>
#include <vector>

class QCheckBox;
class QComboBox;
class QDoubleSpinBox;
class QGridLayout;
class QPushButton;

namespace eigenscope {

class FactList;
class Job;
class JobProgress;
class MeasureBox;
class RatioBar;
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
    QWidget* buildFigures(const Theme& theme);
    void buildActions();
    void connectRow(SliderRow* row);
    void editThresholds(SliderRow* row, double value);
    QComboBox* bitsRow(QGridLayout* grid, const QString& name);
    void syncBits(QComboBox* combo, const std::vector<int>& bits);
    void changeBasis();
    void changeAllocation();
    void syncAllocation();
    void syncGroups();
    void follow(Job* job);
    void sync();         // everything from the document
    void syncFigures();  // totals
    void savePlan();
    void loadPlan();
    void saveStatistics();

    Workspace& m_workspace;
    QComboBox *m_method = nullptr, *m_criterion = nullptr, *m_multiple = nullptr, *m_allocation = nullptr,
              *m_group = nullptr, *m_key_bits = nullptr, *m_value_bits = nullptr;
    QCheckBox *m_share = nullptr, *m_link = nullptr;
    SliderRow *m_keys = nullptr, *m_values = nullptr, *m_budget = nullptr, *m_target = nullptr;
    MeasureBox* m_measure = nullptr;
    QLabel *m_ratio = nullptr, *m_context = nullptr;
    RatioBar* m_bar = nullptr;
    FactList* m_facts = nullptr;
    QDoubleSpinBox* m_memory = nullptr;
    QPushButton *m_convert = nullptr, *m_recalibrate = nullptr;
    std::optional<Allocation> m_wanted;  // chosen, but its tables are not measured yet
    JobProgress* m_progress = nullptr;
    bool m_targeting = false;  // the change at hand comes from the target: keep what was asked for
};

}  // namespace eigenscope
