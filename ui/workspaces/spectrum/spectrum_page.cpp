// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/spectrum/spectrum_page.h"

#include "ui/model/units.h"
#include "ui/model/workspace.h"
#include "ui/widgets/fact_list.h"
#include "ui/widgets/panel.h"
#include "ui/widgets/segmented_control.h"
#include "ui/widgets/theme.h"
#include "ui/workspaces/spectrum/calibration_form.h"
#include "ui/workspaces/spectrum/plan_panel.h"
#include "ui/workspaces/spectrum/rank_bars.h"
#include "ui/workspaces/spectrum/rank_map.h"
#include "ui/workspaces/spectrum/spectrum_plot.h"
#include "ui/workspaces/spectrum/subspace_dialog.h"

#include <QHBoxLayout>
#include <QPushButton>
#include <QSplitter>
#include <QStackedWidget>

namespace eigenscope {

namespace {

const QString kColumnsKey = QStringLiteral("spectrum/columns");
const QString kRowsKey = QStringLiteral("spectrum/rows");

QSplitter* splitter(Qt::Orientation orientation, QWidget* parent) {
    auto* made = new QSplitter(orientation, parent);
    made->setHandleWidth(kGap);
    made->setChildrenCollapsible(false);
    return made;
}

}  // namespace

SpectrumPage::SpectrumPage(Workspace& workspace, const Theme& theme, QWidget* parent)
    : Page(parent), m_workspace(workspace), m_theme(theme) {
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    m_stack = new QStackedWidget(this);
    layout->addWidget(m_stack);
    m_no_model =
        new EmptyState(tr("No model is open"),
                       tr("Open a model, run a calibration text through it, and its eigenvalue spectra "
                          "appear here."),
                       tr("Go to Start"), this);
    m_converted =
        new EmptyState(tr("This model is converted already"),
                       tr("Calibration needs the original model: the keys and values of a converted one "
                          "are no longer the original's. It can be compared with the original, though."),
                       tr("Go to Compare"), this);
    m_form = new CalibrationForm(workspace, this);
    m_stack->addWidget(m_no_model);
    m_stack->addWidget(m_converted);
    m_stack->addWidget(m_form);
    m_stack->addWidget(buildMain());

    connect(m_no_model, &EmptyState::activated, this, [this] { emit pageRequested(PageId::Start); });
    connect(m_converted, &EmptyState::activated, this, [this] { emit pageRequested(PageId::Compare); });
    connect(m_form, &CalibrationForm::backRequested, this, [this] {
        m_recalibrating = false;
        showWhatFits();
    });
    connect(&workspace, &Workspace::modelChanged, this, [this] {
        m_recalibrating = false;
        showWhatFits();
    });
    connect(&workspace, &Workspace::statisticsChanged, this, [this] {
        m_recalibrating = false;
        showWhatFits();
    });
    connect(&workspace, &Workspace::selectionChanged, this, &SpectrumPage::selectionChanged);
    connect(&workspace.plan(), &PlanDocument::changed, this, &SpectrumPage::syncHeader);
    connect(&workspace.plan(), &PlanDocument::spectrumChanged, this, &SpectrumPage::showWhatFits);
    selectionChanged();
    showWhatFits();
}

QWidget* SpectrumPage::buildMain() {
    m_columns = splitter(Qt::Horizontal, this);
    m_rows = splitter(Qt::Vertical, m_columns);
    m_columns->addWidget(buildMapPanel());
    m_columns->addWidget(m_rows);
    m_rows->addWidget(buildPlotPanel());
    m_rows->addWidget(buildBarsPanel());
    m_plan = new PlanPanel(m_workspace, m_theme, m_columns);
    m_plan->setMinimumWidth(300);  // its figures and a scroll bar beside them
    m_columns->addWidget(m_plan);
    m_columns->setStretchFactor(0, 0);
    m_columns->setStretchFactor(1, 1);
    m_columns->setStretchFactor(2, 0);
    m_columns->setSizes({258, 730, 300});
    m_rows->setStretchFactor(0, 3);
    m_rows->setStretchFactor(1, 1);
    m_rows->setSizes({580, 210});
    Settings& settings = m_workspace.settings();
    m_columns->restoreState(settings.value(kColumnsKey).toByteArray());
    m_rows->restoreState(settings.value(kRowsKey).toByteArray());

    connect(m_map, &RankMap::selected, this, &SpectrumPage::select);
    connect(m_map, &RankMap::readout, this, &Page::readout);
    connect(m_bars, &RankBars::selected, this, [this](int layer, Side side) {
        select({layer, m_workspace.selectedHead(), side});
    });
    connect(m_bars, &Plot::readout, this, &Page::readout);
    connect(m_plot, &Plot::readout, this, &Page::readout);
    connect(m_plan, &PlanPanel::linkedChanged, m_plot, &SpectrumPlot::setLinked);
    connect(m_plan, &PlanPanel::convertRequested, this, &SpectrumPage::convert);
    connect(m_plan, &PlanPanel::recalibrateRequested, this, [this] {
        m_recalibrating = true;
        showWhatFits();
    });
    return m_columns;
}

Panel* SpectrumPage::buildMapPanel() {
    auto* panel = new Panel(tr("Rank kept"), m_columns);
    panel->setMinimumWidth(230);
    panel->setNote(tr("layer × head"));
    m_sides = new SegmentedControl({tr("Keys"), tr("Values"), tr("Both")}, panel);
    m_sides->setToolTip(tr("Which side of the KV cache is shown, here and in the spectrum"));
    m_map = new RankMap(m_theme, m_workspace.plan(), panel);
    panel->body()->addWidget(m_sides, 0, Qt::AlignLeft);
    panel->body()->addWidget(m_map, 1);
    m_selected = new FactList(panel);
    m_selected->addFact(QStringLiteral("rank"), tr("Layer's rank"),
                        tr("Rank of the selected layer in the plan, of the head dimension."));
    m_selected->addFact(
        QStringLiteral("energy"), tr("Energy kept"),
        tr("Share of the eigenvalues that the rank keeps: the least over the layer's heads, or the "
           "selected head's."));
    m_selected->addFact(
        QStringLiteral("error"), tr("Expected error"),
        tr("Relative error of the layer's keys or values at this rank: the root of the share of "
           "energy dropped."));
    panel->body()->addWidget(m_selected);
    connect(m_sides, &SegmentedControl::selected, this,
            [this](int index) { setShown(static_cast<ShownSides>(index)); });
    return panel;
}

Panel* SpectrumPage::buildPlotPanel() {
    m_plot_panel = new Panel(tr("Spectrum"), m_rows);
    m_scale = new SegmentedControl({tr("log"), tr("linear")}, m_plot_panel);
    m_scale->setToolTip(tr("Scale of the eigenvalues"));
    m_plot_panel->header()->addWidget(m_scale);
    m_plot = new SpectrumPlot(m_theme, m_workspace.plan(), m_plot_panel);
    m_plot_panel->body()->addWidget(m_plot, 1);
    connect(m_scale, &SegmentedControl::selected, this,
            [this](int index) { m_plot->setLogScale(index == 0); });
    return m_plot_panel;
}

Panel* SpectrumPage::buildBarsPanel() {
    auto* panel = new Panel(tr("Rank per layer"), m_rows);
    panel->setNote(tr("drag a bar to pin it, double click to release"));
    auto* compare = new QPushButton(tr("Compare texts…"), panel);
    compare->setObjectName(QStringLiteral("compareStatistics"));
    compare->setToolTip(
        tr("Compare with other statistics of this model: how much the bases from two "
           "calibration texts differ, layer by layer"));
    panel->header()->addWidget(compare);
    connect(compare, &QPushButton::clicked, this, [this] { subspaces().browse(); });
    m_bars = new RankBars(m_theme, m_workspace.plan(), panel);
    panel->body()->addWidget(m_bars, 1);
    return panel;
}

void SpectrumPage::hideEvent(QHideEvent* event) {
    if (m_stack->currentWidget() == m_columns) {  // else it was never laid out
        Settings& settings = m_workspace.settings();
        settings.setValue(kColumnsKey, m_columns->saveState());
        settings.setValue(kRowsKey, m_rows->saveState());
    }
    Page::hideEvent(event);
}

void SpectrumPage::showWhatFits() {
    const auto& model = m_workspace.model();
    const bool planned = !m_workspace.plan().empty();
    m_form->setBackVisible(planned);
    if (planned && !m_recalibrating) {
        m_stack->setCurrentWidget(m_columns);
    } else if (!model) {
        m_stack->setCurrentWidget(m_no_model);
    } else if (model->model->config.low_rank) {
        m_stack->setCurrentWidget(m_converted);
    } else {
        m_stack->setCurrentWidget(m_form);
    }
    syncHeader();
}

void SpectrumPage::setShown(ShownSides shown) {
    m_sides->setIndex(static_cast<int>(shown));
    m_map->setShown(shown);
    m_plot->setShown(shown);
    if (!shows(shown, m_workspace.selectedSide())) {
        select({m_workspace.selectedLayer(), m_workspace.selectedHead(),
                shown == ShownSides::Values ? Side::Values : Side::Keys});
    }
    syncHeader();
}

void SpectrumPage::select(const Selection& selection) {
    m_workspace.select(selection.layer, selection.head, selection.side);
}

void SpectrumPage::selectionChanged() {
    const Selection selection{m_workspace.selectedLayer(), m_workspace.selectedHead(),
                              m_workspace.selectedSide()};
    const auto shown = static_cast<ShownSides>(m_sides->index());
    if (!shows(shown, selection.side)) {  // chosen elsewhere: the views go along
        setShown(selection.side == Side::Keys ? ShownSides::Keys : ShownSides::Values);
    }
    m_map->setSelection(selection);
    m_plot->setSelection(selection);
    m_bars->setSelection(selection);
    syncHeader();
}

void SpectrumPage::syncHeader() {
    const auto& spectrum = m_workspace.spectrum();
    const int layer = m_workspace.selectedLayer();
    if (!spectrum || layer >= spectrum->layers()) {
        return;
    }
    const RankPlan& plan = m_workspace.plan().plan();
    const Side side = m_workspace.selectedSide();
    const int head = m_workspace.selectedHead();
    const bool both = m_sides->index() == static_cast<int>(ShownSides::Both);
    m_plot_panel->setTitle(tr("Layer %1 · %2").arg(layer).arg(both ? tr("keys and values") : sideName(side)));
    m_plot_panel->setNote(head < 0 ? headCountText(*spectrum)
                                   : tr("%1 of %2")
                                         .arg(headName(*spectrum, head))
                                         .arg(spectrum->heads() * spectrum->options().head_group));
    const int rank = rankOf(plan, side, layer);
    double kept = 1.0;
    for (int h = 0; h < spectrum->heads(); ++h) {
        if (head < 0 || h == head) {
            kept = std::min(kept, spectrum->kept(layer, side, h, rank, Criterion::Energy));
        }
    }
    const QString of = tr("%1 of %2").arg(rank).arg(spectrum->basisWidth());
    m_selected->setFact(QStringLiteral("rank"), both ? QStringLiteral("%1 %2").arg(sideName(side), of) : of);
    m_selected->setFact(QStringLiteral("energy"), percentText(kept));
    m_selected->setFact(QStringLiteral("error"), percentText(spectrum->expectedError(layer, side, rank)));
}

SubspaceDialog& SpectrumPage::subspaces() {
    if (!m_subspaces) {
        m_subspaces = new SubspaceDialog(m_workspace, m_theme, window());
    }
    m_subspaces->show();
    m_subspaces->raise();
    return *m_subspaces;
}

void SpectrumPage::convert() {
    if (m_workspace.convert()) {
        emit pageRequested(PageId::Convert);
    }
}

}  // namespace eigenscope
