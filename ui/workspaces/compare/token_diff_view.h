// SPDX-License-Identifier: GPL-3.0-or-later
// A text with each token tinted by how far the two models' predictions of it are apart. Tokens whose most
// likely prediction changed are underlined, the first of them is framed. Hovering reads both predictions out;
// a click or the arrow keys select a token. GUI thread.
#pragma once

#include "ui/widgets/figure_export.h"

#include <QAbstractScrollArea>
#include <QColor>

#include <optional>
#include <vector>

namespace eigenscope {

class Theme;
struct Fidelity;

class TokenDiffView : public QAbstractScrollArea {
    Q_OBJECT
public:
    explicit TokenDiffView(const Theme& theme, QWidget* parent = nullptr);

    // Of a report that outlives its being shown; null: nothing.
    void show(const Fidelity* fidelity);
    // Tokens are counted as in TextDiff::tokens: token i is the prediction of the text's token i + 1.
    int selected() const { return m_selected; }  // -1: none
    void select(int token);                      // scrolls to it
    QRect tokenRect(int token) const;            // in viewport pixels
    QString describe(int token) const;
    // Background of a divergence and the text colour on it, for KL = fraction^2 of the largest.
    QColor tint(double fraction) const;
    QColor textOn(const QColor& background) const;

    PlotTable table() const;
    Figure figure();

    QSize sizeHint() const override { return {520, 220}; }
    QSize minimumSizeHint() const override { return {200, 90}; }

signals:
    void tokenSelected(int token);
    void readout(const QString& text);

protected:
    bool viewportEvent(QEvent* event) override;  // tooltips
    void paintEvent(QPaintEvent* event) override;
    void resizeEvent(QResizeEvent* event) override;
    void mousePressEvent(QMouseEvent* event) override;
    void mouseMoveEvent(QMouseEvent* event) override;
    void keyPressEvent(QKeyEvent* event) override;
    void contextMenuEvent(QContextMenuEvent* event) override;
    void focusInEvent(QFocusEvent* event) override;
    void focusOutEvent(QFocusEvent* event) override;

private:
    struct Cell {
        QString text;
        QRectF area;  // in content pixels
        bool breaks = false;
    };
    QFont textFont() const;
    void layOut(int width);
    std::optional<int> tokenAt(const QPoint& position) const;  // in viewport pixels
    int textHeight() const;                                    // of the viewport, without the legend
    void draw(QPainter& painter, const QRectF& visible) const;
    void drawLegend(QPainter& painter, const QRectF& area) const;

    const Theme& m_theme;
    const Fidelity* m_fidelity = nullptr;
    double m_largest = 0.0;       // KL
    std::ptrdiff_t m_first = -1;  // divergence
    std::vector<Cell> m_cells;    // [ids]
    double m_content = 0.0;       // height
    int m_selected = -1;
};

}  // namespace eigenscope
