// SPDX-License-Identifier: GPL-3.0-or-later
// The Spectrum workspace: what calibration found and the plan made from it. Without a model it leads to
// Start, without statistics it offers calibration; with them, heat map, spectrum, ranks and plan follow each
// other live. GUI thread.
#pragma once

#include "ui/widgets/page.h"
#include "ui/workspaces/spectrum/spectrum_view.h"

class QSplitter;
class QStackedWidget;

namespace eigenscope {

class CalibrationForm;
class EmptyState;
class FactList;
class Panel;
class PlanPanel;
class RankBars;
class RankMap;
class SegmentedControl;
class SpectrumPlot;
class SubspaceDialog;
class Theme;
class Workspace;

class SpectrumPage : public Page {
    Q_OBJECT
public:
    SpectrumPage(Workspace& workspace, const Theme& theme, QWidget* parent = nullptr);

protected:
    void hideEvent(QHideEvent* event) override;  // remembers the layout

private:
    QWidget* buildMain();
    Panel* buildMapPanel();
    Panel* buildPlotPanel();
    Panel* buildBarsPanel();
    void showWhatFits();
    void setShown(ShownSides shown);
    void select(const Selection& selection);
    void selectionChanged();
    void syncHeader();  // titles and the facts of the selection
    void convert();
    SubspaceDialog& subspaces();  // made when it is first wanted

    Workspace& m_workspace;
    const Theme& m_theme;
    QStackedWidget* m_stack = nullptr;
    EmptyState *m_no_model = nullptr, *m_converted = nullptr;
    CalibrationForm* m_form = nullptr;
    QSplitter *m_columns = nullptr, *m_rows = nullptr;
    Panel* m_plot_panel = nullptr;
    SegmentedControl *m_sides = nullptr, *m_scale = nullptr;
    FactList* m_selected = nullptr;
    RankMap* m_map = nullptr;
    SpectrumPlot* m_plot = nullptr;
    RankBars* m_bars = nullptr;
    PlanPanel* m_plan = nullptr;
    SubspaceDialog* m_subspaces = nullptr;
    bool m_recalibrating = false;
};

}  // namespace eigenscope
