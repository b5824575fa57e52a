// SPDX-License-Identifier: GPL-3.0-or-later
// Heat map of the rank each head needs at the threshold, as a fraction of the head dimension: layers down,
// key/value heads across; keys, values, or both as two blocks. Click or arrow keys select a layer and head.
// From 4 x 2 to 80 x 64 cells: the cells are one picture that is rebuilt when a threshold moves. GUI thread.
#pragma once

#include "ui/widgets/figure_export.h"
#include "ui/workspaces/spectrum/spectrum_view.h"

#include <QImage>
#include <QWidget>

#include <array>
#include <vector>

namespace eigenscope {

class PlanDocument;
class Theme;

class RankMap : public QWidget {
    Q_OBJECT
public:
    RankMap(const Theme& theme, PlanDocument& document, QWidget* parent = nullptr);

    void setShown(ShownSides shown);
    void setSelection(const Selection& selection);
    QRect cellRect(int layer, int head,
                   Side side) const;                   // in widget pixels; empty when that side is not shown
    int rankAt(int layer, int head, Side side) const;  // what the cell shows

    PlotTable table() const;  // a row for each layer and head, the sides that are shown
    Figure figure();

    QSize sizeHint() const override { return {236, 420}; }
    QSize minimumSizeHint() const override { return {150, 120}; }

signals:
    void selected(const eigenscope::Selection& selection);
    void readout(const QString& text);

protected:
    bool event(QEvent* event) override;  // tooltips
    void paintEvent(QPaintEvent* event) override;
    void mousePressEvent(QMouseEvent* event) override;
    void mouseMoveEvent(QMouseEvent* event) override;
    void leaveEvent(QEvent* event) override;
    void keyPressEvent(QKeyEvent* event) override;
    void contextMenuEvent(QContextMenuEvent* event) override;
    void focusInEvent(QFocusEvent* event) override;
    void focusOutEvent(QFocusEvent* event) override;

private:
    struct Block {
        Side side;
        QRect area;
    };
    std::vector<Block> blocks() const;
    QRect gridArea() const;  // all cells, without labels and legend
    void documentChanged();
    void recompute();
    bool find(const QPoint& position, Selection* found) const;
    QString describe(const Selection& cell) const;
    void renderCells(const Block& block, QImage& image, double scale) const;
    void drawNumbers(QPainter& painter, const Block& block) const;
    void drawLabels(QPainter& painter) const;
    void drawSelection(QPainter& painter) const;
    void drawLegend(QPainter& painter) const;
    void choose(const Selection& selection);

    const Theme& m_theme;
    PlanDocument& m_document;
    ShownSides m_shown = ShownSides::Keys;
    Selection m_selection;
    int m_layers = 0, m_heads = 0, m_width = 0;
    std::array<std::vector<int>, 2> m_ranks;  // [side][layers * heads]
    // What m_ranks was computed for.
    const Spectrum* m_from = nullptr;
    std::array<std::vector<double>, 2> m_thresholds;  // [side][layers]
    Criterion m_criterion = Criterion::Energy;
    QImage m_cells;  // picture of all blocks; null: to be rebuilt
    bool m_focus_shown = false;
};

}  // namespace eigenscope
