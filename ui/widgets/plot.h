// SPDX-License-Identifier: GPL-3.0-or-later
// The base of every plot: QCustomPlot with the theme's colours, hover read-out, zoom (wheel, rubber band with
// Shift) and pan (drag), reset by double click, and a context menu: copy as picture or data, export as PNG,
// PDF, CSV. The only place that includes qcustomplot.h is plot_widget.h; everyone else sees this. GUI thread.
#pragma once

#include "ui/widgets/figure_export.h"
#include "ui/widgets/plot_widget.h"

#include <QHash>
#include <QString>

namespace eigenscope {

class Theme;

class Plot : public PlotWidget {
    Q_OBJECT
public:
    Plot(const Theme& theme, const QString& name,
         QWidget* parent = nullptr);  // name: default file name of exports

    virtual PlotTable table() const = 0;
    bool exportTo(const QString& file, QString* error);  // by suffix: .png (2x), .pdf, .csv; atomic
    void resetView();                                    // undoes zoom and pan

signals:
    void readout(const QString& text);

protected:
    const Theme& theme() const { return m_theme; }
    virtual void
    restyle();  // colours of axes and grid; subclasses add their own and call it once constructed
    virtual QString readoutAt(const QPointF& position) const;  // what the pointer is over; empty: nothing
    // Puts new actions for what is there into m_extra_actions; the menu owns them.
    virtual void prepareContextMenu(const QPoint& position);
    // Range the axis shows unless zoomed; zoom and pan stay inside it.
    void setHome(QCPAxis* axis, double lower, double upper);
    bool zoomed() const;

    void mousePressEvent(QMouseEvent* event) override;
    void mouseMoveEvent(QMouseEvent* event) override;
    void mouseReleaseEvent(QMouseEvent* event) override;
    void mouseDoubleClickEvent(QMouseEvent* event) override;
    void leaveEvent(QEvent* event) override;
    void focusInEvent(QFocusEvent* event) override;
    void focusOutEvent(QFocusEvent* event) override;
    void paintEvent(QPaintEvent* event) override;
    void contextMenuEvent(QContextMenuEvent* event) override;
    // Actions of subclasses go on top of the context menu.
    QList<QAction*> m_extra_actions;

private:
    Figure figure();

    const Theme& m_theme;
    QString m_name;
    QHash<QCPAxis*, QCPRange> m_home;
    bool m_bounding = false;     // guards against the range change that bounding makes
    bool m_focus_shown = false;  // focused by keyboard: the ring is drawn
};

}  // namespace eigenscope
