// SPDX-License-Identifier: GPL-3.0-or-later
// Rank of every layer, keys and values side by side. Dragging a bar's top sets and pins the rank (it snaps to
// the rank multiple); a pin marks it; double click or the context menu unpins; a click selects the layer.
// Keyboard: Left/Right select, Up/Down set and pin, Delete unpins. GUI thread.
#pragma once

#include "ui/widgets/plot.h"
#include "ui/workspaces/spectrum/spectrum_view.h"

#include <optional>

namespace eigenscope {

class PlanDocument;

class RankBars : public Plot {
    Q_OBJECT
public:
    RankBars(const Theme& theme, PlanDocument& document, QWidget* parent = nullptr);

    void setSelection(const Selection& selection);
    QRectF barRect(Side side, int layer) const;  // in widget pixels

    PlotTable table() const override;

signals:
    void selected(int layer, eigenscope::Side side);

protected:
    QString readoutAt(const QPointF& position) const override;
    void prepareContextMenu(const QPoint& position) override;
    bool event(QEvent* event) override;  // tooltips
    void mousePressEvent(QMouseEvent* event) override;
    void mouseMoveEvent(QMouseEvent* event) override;
    void mouseReleaseEvent(QMouseEvent* event) override;
    void mouseDoubleClickEvent(QMouseEvent* event) override;
    void keyPressEvent(QKeyEvent* event) override;
    void keyReleaseEvent(QKeyEvent* event) override;
    void focusOutEvent(QFocusEvent* event) override;
    void showEvent(QShowEvent* event) override;

private:
    friend class RankBarLayer;
    struct Bar {
        Side side = Side::Keys;
        int layer = 0;
    };
    std::optional<Bar> columnAt(const QPointF& position) const;  // the bar above or below the pointer
    bool overTop(const QPointF& position, const Bar& bar) const;
    void documentChanged();
    int layers() const;
    void endEdit();

    PlanDocument& m_document;
    Selection m_selection;
    const Spectrum* m_shown_spectrum = nullptr;
    std::optional<Bar> m_pressed;  // on its top: a drag may follow
    QPointF m_press_position;
    double m_grab_offset = 0.0;
    bool m_dragging = false;
    bool m_key_editing = false;
};

}  // namespace eigenscope
