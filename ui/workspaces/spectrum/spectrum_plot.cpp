// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/spectrum/spectrum_plot.h"

#include "ui/model/plan_document.h"
#include "ui/model/units.h"
#include "ui/widgets/theme.h"
#include "ui/workspaces/spectrum/threshold_overlay.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace eigenscope {

namespace {

constexpr double kStep = 0.001, kLargeStep = 0.01;  // of the threshold by keyboard

std::size_t slot(Side side) { return side == Side::Keys ? 0 : 1; }

}  // namespace

SpectrumPlot::SpectrumPlot(const Theme& theme, PlanDocument& document, QWidget* parent)
    : Plot(theme, tr("spectrum"), parent), m_document(document) {
    setAccessibleName(tr("Eigenvalue spectrum"));
    setMinimumSize(240, 180);
    layer(QStringLiteral("overlay"))->setMode(QCPLayer::lmBuffered);
    m_overlay = new ThresholdOverlay(this, theme);
    yAxis2->setVisible(true);
    yAxis2->setTickLabels(true);
    yAxis2->setNumberFormat(QStringLiteral("f"));
    yAxis2->setNumberPrecision(1);
    connect(yAxis2, qOverload<const QCPRange&>(&QCPAxis::rangeChanged), this, [this](const QCPRange& range) {
        yAxis2->setNumberPrecision(range.size() > 0.5 ? 1 : range.size() > 0.05 ? 2 : 3);
    });
    xAxis->setLabel(tr("rank"));
    yAxis->setLabel(tr("eigenvalue / largest"));
    yAxis2->setLabel(tr("energy kept (dashed)"));
    for (QCPAxis* axis : {xAxis, yAxis, yAxis2}) {
        axis->setLabelPadding(4);
    }
    axisRect()->setRangeDragAxes({xAxis}, {yAxis, yAxis2});
    axisRect()->setRangeZoomAxes({xAxis}, {yAxis, yAxis2});
    for (Curves& curve : m_curves) {
        curve.low = addGraph(xAxis, yAxis);
        curve.high = addGraph(xAxis, yAxis);
        curve.high->setChannelFillGraph(curve.low);
    }
    for (Curves& curve : m_curves) {  // lines lie above both bands
        curve.kept = addGraph(xAxis, yAxis2);
        curve.mean = addGraph(xAxis, yAxis);
    }
    setHome(yAxis2, 0.0, 1.0);
    applyScale();
    SpectrumPlot::restyle();
    connect(&document, &PlanDocument::changed, this, &SpectrumPlot::documentChanged);
    documentChanged();
}

void SpectrumPlot::setShown(ShownSides shown) {
    if (shown != m_shown) {
        m_shown = shown;
        styleCurves();
        rebuild();
    }
}

void SpectrumPlot::setSelection(const Selection& selection) {
    if (!(selection == m_selection)) {
        m_selection = selection;
        styleCurves();
        rebuild();
    }
}

void SpectrumPlot::setLogScale(bool log) {
    if (log != m_log) {
        m_log = log;
        applyScale();
        rebuild();
    }
}

void SpectrumPlot::applyScale() {
    if (m_log) {
        yAxis->setScaleType(QCPAxis::stLogarithmic);
        yAxis->setTicker(QSharedPointer<QCPAxisTickerLog>::create());
        yAxis->setNumberFormat(QStringLiteral("eb"));
    } else {
        yAxis->setScaleType(QCPAxis::stLinear);
        yAxis->setTicker(QSharedPointer<QCPAxisTicker>::create());
        yAxis->setNumberFormat(QStringLiteral("g"));
    }
    yAxis->setNumberPrecision(m_log ? 0 : 3);
}

void SpectrumPlot::restyle() {
    Plot::restyle();
    if (m_curves[1].mean) {  // not from the base's constructor
        styleCurves();
        refreshMarks();
    }
}

void SpectrumPlot::styleCurves() {
    const bool both = m_shown == ShownSides::Both;
    for (const Side side : {Side::Keys, Side::Values}) {
        const Curves& curve = curves(side);
        const bool keys = side == Side::Keys;
        const QColor colour = theme().side(keys);
        QColor wash = theme().sideWash(keys);
        wash.setAlpha(both ? 150 : 255);
        curve.low->setPen(Qt::NoPen);
        curve.high->setPen(Qt::NoPen);
        curve.high->setBrush(wash);
        curve.mean->setPen(QPen(colour, 2.0));
        QPen dashed(both ? colour : theme().colours().muted, 1.4);
        dashed.setDashPattern({4.0, 3.0});
        curve.kept->setPen(dashed);
        const bool shown = shows(m_shown, side);
        const bool band = shown && m_selection.head < 0;
        curve.low->setVisible(band);
        curve.high->setVisible(band);
        curve.mean->setVisible(shown);
        curve.kept->setVisible(shown);
    }
}

void SpectrumPlot::documentChanged() {
    const bool same = m_document.spectrum().get() == m_built_from &&
                      (m_document.empty() || m_document.plan().criterion == m_built_criterion);
    if (!same) {
        rebuild();
        return;
    }
    refreshMarks();
    if (isVisible()) {
        m_overlay->layer()->replot();
    } else {
        m_stale = true;
    }
}

void SpectrumPlot::showEvent(QShowEvent* event) {
    Plot::showEvent(event);
    if (std::exchange(m_stale, false)) {
        replot(QCustomPlot::rpQueuedReplot);
    }
}

void SpectrumPlot::rebuild() {
    m_built_from = m_document.spectrum().get();
    if (!m_built_from || m_selection.layer >= m_built_from->layers() ||
        m_selection.head >= m_built_from->heads()) {
        for (Curves& curve : m_curves) {
            curve.data = {};
        }
        refreshMarks();
        return;
    }
    m_built_criterion = m_document.plan().criterion;
    double least = 1.0;
    for (const Side side : {Side::Keys, Side::Values}) {
        if (!shows(m_shown, side)) {
            continue;
        }
        Curves& curve = m_curves[slot(side)];
        curve.data =
            spectrumCurve(*m_built_from, m_selection.layer, side, m_selection.head, m_built_criterion);
        least = std::min(least, curve.data.least);
    }
    const double floor = m_log ? logFloor(least) : 0.0;
    for (const Side side : {Side::Keys, Side::Values}) {
        if (!shows(m_shown, side)) {
            continue;
        }
        Curves& curve = m_curves[slot(side)];
        const SpectrumCurve& data = curve.data;
        const auto raised = [&](QVector<double> values) {
            for (double& value : values) {
                value = std::max(value, m_log ? floor * 1e-2 : 0.0);  // zeros would break a logarithmic line
            }
            return values;
        };
        curve.low->setData(data.index, raised(data.low), true);
        curve.high->setData(data.index, raised(data.high), true);
        curve.mean->setData(data.index, raised(data.mean), true);
        curve.kept->setData(data.rank, data.kept, true);
    }
    const int width = m_built_from->basisWidth();
    auto ticker = QSharedPointer<QCPAxisTickerFixed>::create();
    ticker->setTickStep(width % 8 == 0 ? std::max(1, width / 8) : std::max(1, (width + 7) / 8));
    ticker->setScaleStrategy(QCPAxisTickerFixed::ssMultiples);
    ticker->setTickCount(10);
    xAxis->setTicker(ticker);
    setHome(xAxis, 0.0, width);
    setHome(yAxis, floor, 1.0);
    refreshMarks();
    replot(QCustomPlot::rpQueuedReplot);
}

void SpectrumPlot::refreshMarks() {
    std::vector<ThresholdMark> marks;
    const auto& spectrum = m_document.spectrum();
    if (spectrum && m_selection.layer < spectrum->layers()) {
        const RankPlan& plan = m_document.plan();
        const bool both = m_shown == ShownSides::Both;
        for (const Side side : {Side::Keys, Side::Values}) {
            if (!shows(m_shown, side)) {
                continue;
            }
            ThresholdMark mark;
            mark.side = side;
            mark.threshold = thresholdOf(plan, side, m_selection.layer);
            mark.rank = eigenscope::rankOf(plan, side, m_selection.layer);
            mark.colour = both ? theme().side(side == Side::Keys) : theme().colours().value;
            const QString number = thresholdText(mark.threshold);
            mark.label =
                both ? QStringLiteral("%1 %2").arg(sideName(side), number) : tr("threshold %1").arg(number);
            mark.rank_text = rankText(*spectrum, plan, side, m_selection.layer);
            mark.rank_short = tr("rank %1").arg(mark.rank);
            if (both) {
                mark.rank_text = QStringLiteral("%1: %2").arg(sideName(side), mark.rank_text);
            }
            if (m_selection.head >= 0 && m_selection.head < spectrum->heads()) {
                mark.rank_text += tr(" · %1: %2")
                                      .arg(headName(*spectrum, m_selection.head))
                                      .arg(spectrum->rankOf(m_selection.layer, side, m_selection.head,
                                                            mark.threshold, plan.criterion));
            }
            marks.push_back(std::move(mark));
        }
        setAccessibleDescription(
            tr("Layer %1. %2")
                .arg(m_selection.layer)
                .arg(marks.empty() ? QString()
                                   : marks.front().label + QStringLiteral(", ") + marks.front().rank_text));
    }
    m_overlay->setMarks(std::move(marks));
}

QPoint SpectrumPlot::handleCentre(Side side) const {
    const auto& marks = m_overlay->marks();
    for (std::size_t i = 0; i < marks.size(); ++i) {
        if (marks[i].side == side) {
            return m_overlay->handleRect(static_cast<int>(i)).center().toPoint();
        }
    }
    return {};
}

double SpectrumPlot::thresholdAt(double y) const {
    const double exact = yAxis2->pixelToCoord(y);
    // Thousandths, or finer when zoomed in so far that a pixel is less.
    const double pixel = yAxis2->range().size() / std::max(1, axisRect()->height());
    const double step = pixel < kStep ? kStep / 10 : kStep;
    return std::clamp(std::round(exact / step) * step, 0.0, 1.0);
}

void SpectrumPlot::moveThreshold(double threshold) {
    editThreshold(m_document, m_drag_side, m_selection.layer, threshold, m_linked);
}

void SpectrumPlot::mousePressEvent(QMouseEvent* event) {
    const int mark = m_overlay->hit(event->position());
    if (event->button() == Qt::LeftButton && mark >= 0 && !(event->modifiers() & Qt::ShiftModifier)) {
        const ThresholdMark& taken = m_overlay->marks()[static_cast<std::size_t>(mark)];
        m_dragging = true;
        m_drag_side = taken.side;
        m_grab_offset = yAxis2->coordToPixel(taken.threshold) - event->position().y();
        m_document.beginDrag();
        event->accept();
        return;  // the base would pan
    }
    Plot::mousePressEvent(event);
}

void SpectrumPlot::mouseMoveEvent(QMouseEvent* event) {
    if (m_dragging) {
        moveThreshold(thresholdAt(event->position().y() + m_grab_offset));
        const auto& marks = m_overlay->marks();
        for (const ThresholdMark& mark : marks) {
            if (mark.side == m_drag_side) {
                emit readout(QStringLiteral("%1 · %2").arg(mark.label, mark.rank_text));
            }
        }
        return;
    }
    const int mark = event->buttons() == Qt::NoButton ? m_overlay->hit(event->position()) : -1;
    if (mark != m_overlay->active()) {
        m_overlay->setActive(mark);
        m_overlay->layer()->replot();
        if (mark >= 0) {
            setCursor(Qt::SizeVerCursor);
        } else {
            unsetCursor();
        }
    }
    Plot::mouseMoveEvent(event);
}

void SpectrumPlot::mouseReleaseEvent(QMouseEvent* event) {
    if (m_dragging && event->button() == Qt::LeftButton) {
        m_dragging = false;
        m_document.endDrag();
        return;
    }
    Plot::mouseReleaseEvent(event);
}

void SpectrumPlot::mouseDoubleClickEvent(QMouseEvent* event) {
    if (m_overlay->hit(event->position()) < 0) {
        Plot::mouseDoubleClickEvent(event);
    }
}

void SpectrumPlot::leaveEvent(QEvent* event) {
    if (!m_dragging && m_overlay->active() >= 0) {
        m_overlay->setActive(-1);
        m_overlay->layer()->replot();
        unsetCursor();
    }
    Plot::leaveEvent(event);
}

void SpectrumPlot::keyPressEvent(QKeyEvent* event) {
    const int key = event->key();
    const bool vertical = key == Qt::Key_Up || key == Qt::Key_Down;
    const bool horizontal = key == Qt::Key_Left || key == Qt::Key_Right;
    if (m_document.empty() || m_dragging || (!vertical && !horizontal)) {
        Plot::keyPressEvent(event);
        return;
    }
    if (!m_key_editing) {
        m_key_editing = true;
        m_document.beginDrag();
    }
    const Side side = m_selection.side;
    const RankPlan& plan = m_document.plan();
    if (vertical) {
        const double step = event->modifiers() & Qt::ShiftModifier ? kLargeStep : kStep;
        const double moved = thresholdOf(plan, side, m_selection.layer) + (key == Qt::Key_Up ? step : -step);
        editThreshold(m_document, side, m_selection.layer, std::clamp(moved, 0.0, 1.0), m_linked);
    } else {
        const int rank =
            steppedRank(eigenscope::rankOf(plan, side, m_selection.layer), key == Qt::Key_Right ? 1 : -1,
                        plan.rank_multiple, m_document.spectrum()->basisWidth());
        m_document.setRank(side, m_selection.layer, rank);
    }
}

void SpectrumPlot::keyReleaseEvent(QKeyEvent* event) {
    if (!event->isAutoRepeat()) {
        endEdit();
    }
    Plot::keyReleaseEvent(event);
}

void SpectrumPlot::focusOutEvent(QFocusEvent* event) {
    endEdit();
    Plot::focusOutEvent(event);
}

void SpectrumPlot::endEdit() {
    if (m_key_editing) {
        m_key_editing = false;
        m_document.endDrag();
    }
}

void SpectrumPlot::prepareContextMenu(const QPoint&) {
    if (m_document.empty()) {
        return;
    }
    const Side side = m_selection.side;
    const int layer = m_selection.layer;
    if (isPinned(m_document.plan(), side, layer)) {
        auto* unpin = new QAction(tr("Unpin layer %1 %2").arg(layer).arg(sideName(side)), this);
        connect(unpin, &QAction::triggered, this, [this, side, layer] { m_document.unpin(side, layer); });
        m_extra_actions << unpin;
    }
}

QString SpectrumPlot::readoutAt(const QPointF& position) const {
    if (!m_built_from || !axisRect()->rect().contains(position.toPoint())) {
        return {};
    }
    const Side side = shows(m_shown, m_selection.side) ? m_selection.side : Side::Keys;
    const SpectrumCurve& data = curves(side).data;
    if (data.index.isEmpty()) {
        return {};
    }
    const int width = static_cast<int>(data.index.size());
    const int index = std::clamp(static_cast<int>(std::lround(xAxis->pixelToCoord(position.x()))), 1, width);
    const auto number = [](double value) { return QLocale().toString(value, 'g', 3); };
    QString text = tr("Layer %1 · %2 · eigenvalue %3: %4 of the largest")
                       .arg(m_selection.layer)
                       .arg(sideName(side))
                       .arg(index)
                       .arg(number(data.mean[index - 1]));
    if (m_selection.head < 0 && m_built_from->heads() > 1) {
        text += tr(" (heads: %1 to %2)").arg(number(data.low[index - 1]), number(data.high[index - 1]));
    }
    return text + tr(" · rank %1 keeps %2").arg(index).arg(percentText(data.kept[index]));
}

PlotTable SpectrumPlot::table() const {
    PlotTable table;
    table.columns << QStringLiteral("rank");
    std::vector<const SpectrumCurve*> shown;
    for (const Side side : {Side::Keys, Side::Values}) {
        if (shows(m_shown, side) && !curves(side).data.index.isEmpty()) {
            const QString name = side == Side::Keys ? QStringLiteral("keys") : QStringLiteral("values");
            table.columns << name + QStringLiteral("_mean") << name + QStringLiteral("_min")
                          << name + QStringLiteral("_max") << name + QStringLiteral("_kept");
            shown.push_back(&curves(side).data);
        }
    }
    for (int i = 0; !shown.empty() && i < shown.front()->index.size(); ++i) {
        QVector<double> row{shown.front()->index[i]};
        for (const SpectrumCurve* curve : shown) {
            row << curve->mean[i] << curve->low[i] << curve->high[i] << curve->kept[i + 1];
        }
        table.rows << row;
    }
    return table;
}

}  // namespace eigenscope
