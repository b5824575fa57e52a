// SPDX-License-Identifier: GPL-3.0-or-later
// The selected layer's eigenvalues (mean and spread over the heads, or one head) with the energy kept on the
// right axis and the threshold as a line to drag. Edits the plan document; keyboard: Up/Down move the
// threshold, Left/Right the layer's rank. GUI thread.
#pragma once

#include "ui/widgets/plot.h"
#include "ui/workspaces/spectrum/spectrum_view.h"

#include <array>

namespace eigenscope {

class PlanDocument;
class ThresholdOverlay;

class SpectrumPlot : public Plot {
    Q_OBJECT
public:
    SpectrumPlot(const Theme& theme, PlanDocument& document, QWidget* parent = nullptr);

    void setShown(ShownSides shown);
    void setSelection(const Selection& selection);
    void setLogScale(bool log);
    void setLinked(bool linked) { m_linked = linked; }  // one threshold moves both

    PlotTable table() const override;
    QPoint handleCentre(Side side) const;  // of the threshold's handle, in widget pixels; null when not shown

protected:
    void restyle() override;
    QString readoutAt(const QPointF& position) const override;
    void prepareContextMenu(const QPoint& position) override;
    void mousePressEvent(QMouseEvent* event) override;
    void mouseMoveEvent(QMouseEvent* event) override;
    void mouseReleaseEvent(QMouseEvent* event) override;
    void mouseDoubleClickEvent(QMouseEvent* event) override;
    void leaveEvent(QEvent* event) override;
    void keyPressEvent(QKeyEvent* event) override;
    void keyReleaseEvent(QKeyEvent* event) override;
    void focusOutEvent(QFocusEvent* event) override;
    void showEvent(QShowEvent* event) override;

private:
    struct Curves {
        QCPGraph *low = nullptr, *high = nullptr, *mean = nullptr, *kept = nullptr;
        SpectrumCurve data;
    };
    const Curves& curves(Side side) const { return m_curves[side == Side::Keys ? 0 : 1]; }
    void documentChanged();
    void rebuild();  // curves and axes
    void refreshMarks();
    void styleCurves();
    void applyScale();
    void moveThreshold(double threshold);
    void endEdit();
    double thresholdAt(double y) const;

    PlanDocument& m_document;
    ThresholdOverlay* m_overlay;
    std::array<Curves, 2> m_curves;
    ShownSides m_shown = ShownSides::Keys;
    Selection m_selection;
    bool m_log = true, m_linked = false;
    const Spectrum* m_built_from = nullptr;  // what the curves show
    Criterion m_built_criterion = Criterion::Energy;
    bool m_stale = false;        // changed while hidden
    bool m_dragging = false;     // a threshold, by mouse
    bool m_key_editing = false;  // a key is held: one undo step until it is released
    Side m_drag_side = Side::Keys;
    double m_grab_offset = 0.0;  // pixels from the pointer to the line
};

}  // namespace eigenscope
