// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/plot.h"

#include "ui/widgets/theme.h"

#include <QMenu>
#include <QPdfWriter>

namespace eigenscope {

namespace {

constexpr int kFocusInset = 1;

}  // namespace

Plot::Plot(const Theme& theme, const QString& name, QWidget* parent)
    : PlotWidget(parent), m_theme(theme), m_name(name) {
    setAccessibleName(name);
    setMouseTracking(true);
    setFocusPolicy(Qt::StrongFocus);
    setInteractions(QCP::iRangeDrag | QCP::iRangeZoom);
    setNotAntialiasedElements(QCP::aeAxes | QCP::aeGrid);
    setNoAntialiasingOnDrag(false);
    axisRect()->setRangeZoomFactor(0.85);
    for (QCPAxis* axis : {xAxis, yAxis, xAxis2, yAxis2}) {
        axis->setTickLength(0);
        axis->setSubTickLength(0);
        axis->setTickLabelPadding(6);
        axis->setSelectableParts(QCPAxis::spNone);
    }
    xAxis->grid()->setVisible(false);
    setSelectionRect(new QCPSelectionRect(this));
    connect(&theme, &Theme::changed, this, [this] {
        restyle();
        replot(QCustomPlot::rpQueuedReplot);
    });
    Plot::restyle();
}

void Plot::restyle() {
    const ThemeColours& colours = m_theme.colours();
    setBackground(QBrush(colours.panel));
    QFont small = font();
    small.setPixelSize(11);
    for (QCPAxis* axis : {xAxis, yAxis, xAxis2, yAxis2}) {
        axis->setBasePen(Qt::NoPen);
        axis->setTickPen(Qt::NoPen);
        axis->setSubTickPen(Qt::NoPen);
        axis->setTickLabelColor(colours.muted);
        axis->setTickLabelFont(small);
        axis->setLabelColor(colours.muted);
        axis->setLabelFont(small);
        axis->grid()->setPen(QPen(colours.line, 1));
        axis->grid()->setZeroLinePen(QPen(colours.line, 1));
    }
    QColor wash = colours.key;
    wash.setAlpha(40);
    selectionRect()->setPen(QPen(colours.key, 1));
    selectionRect()->setBrush(wash);
}

QString Plot::readoutAt(const QPointF&) const { return {}; }

void Plot::prepareContextMenu(const QPoint&) {}

void Plot::setHome(QCPAxis* axis, double lower, double upper) {
    const QCPRange home(lower, upper);
    if (!m_home.contains(axis)) {
        connect(axis, qOverload<const QCPRange&>(&QCPAxis::rangeChanged), this,
                [this, axis](const QCPRange& range) {
                    if (!m_bounding) {
                        m_bounding = true;
                        const QCPRange& home = m_home[axis];
                        axis->setRange(range.bounded(home.lower, home.upper));
                        m_bounding = false;
                    }
                });
    }
    m_home[axis] = home;
    axis->setRange(home);
}

void Plot::resetView() {
    for (auto it = m_home.cbegin(); it != m_home.cend(); ++it) {
        it.key()->setRange(it.value());
    }
    if (m_home.isEmpty()) {
        rescaleAxes();
    }
    replot(QCustomPlot::rpQueuedReplot);
}

bool Plot::zoomed() const {
    for (auto it = m_home.cbegin(); it != m_home.cend(); ++it) {
        // A thousandth: bounding a range may move its ends by rounding.
        if (it.key()->range().size() < it.value().size() * 0.999) {
            return true;
        }
    }
    return false;
}

void Plot::mousePressEvent(QMouseEvent* event) {
    const bool rubber_band = event->button() == Qt::LeftButton && (event->modifiers() & Qt::ShiftModifier);
    setSelectionRectMode(rubber_band ? QCP::srmZoom : QCP::srmNone);
    PlotWidget::mousePressEvent(event);
}

void Plot::mouseMoveEvent(QMouseEvent* event) {
    PlotWidget::mouseMoveEvent(event);
    emit readout(readoutAt(event->position()));
}

void Plot::mouseReleaseEvent(QMouseEvent* event) {
    PlotWidget::mouseReleaseEvent(event);
    setSelectionRectMode(QCP::srmNone);
}

void Plot::mouseDoubleClickEvent(QMouseEvent* event) {
    PlotWidget::mouseDoubleClickEvent(event);
    if (event->button() == Qt::LeftButton) {
        resetView();
    }
}

void Plot::leaveEvent(QEvent* event) {
    PlotWidget::leaveEvent(event);
    emit readout({});
}

void Plot::focusInEvent(QFocusEvent* event) {
    PlotWidget::focusInEvent(event);
    m_focus_shown = event->reason() != Qt::MouseFocusReason && event->reason() != Qt::PopupFocusReason;
    update();
}

void Plot::focusOutEvent(QFocusEvent* event) {
    PlotWidget::focusOutEvent(event);
    m_focus_shown = false;
    update();
}

void Plot::paintEvent(QPaintEvent* event) {
    PlotWidget::paintEvent(event);
    if (m_focus_shown) {
        QPainter painter(this);
        painter.setRenderHint(QPainter::Antialiasing);
        painter.setPen(QPen(m_theme.colours().key, 1.5));
        painter.drawRoundedRect(QRectF(rect()).adjusted(kFocusInset, kFocusInset, -kFocusInset, -kFocusInset),
                                5, 5);
    }
}

void Plot::contextMenuEvent(QContextMenuEvent* event) {
    m_extra_actions.clear();
    prepareContextMenu(event->pos());
    auto* menu = new QMenu(this);
    menu->setAttribute(Qt::WA_DeleteOnClose);
    for (QAction* action : m_extra_actions) {
        action->setParent(menu);
        menu->addAction(action);
    }
    if (!m_extra_actions.isEmpty()) {
        menu->addSeparator();
    }
    menu->addAction(tr("Reset zoom"), this, &Plot::resetView)->setEnabled(zoomed());
    menu->addSeparator();
    addFigureActions(menu, this, figure());
    menu->popup(event->globalPos());
}

Figure Plot::figure() {
    Figure figure;
    figure.name = m_name;
    figure.size = size();
    figure.picture = [this](double scale) { return toPixmap(0, 0, scale); };
    figure.vectors = [this](QPdfWriter& writer) {
        QCPPainter painter(&writer);
        painter.setMode(QCPPainter::pmVectorized);
        painter.setMode(QCPPainter::pmNoCaching);
        toPainter(&painter, width(), height());
    };
    figure.table = [this] { return table(); };
    return figure;
}

bool Plot::exportTo(const QString& file, QString* error) { return exportFigure(figure(), file, error); }

}  // namespace eigenscope
