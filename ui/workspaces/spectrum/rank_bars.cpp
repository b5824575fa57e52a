// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/spectrum/rank_bars.h"

#include "ui/model/plan_document.h"
#include "ui/model/units.h"
#include "ui/widgets/theme.h"

#include <QHelpEvent>
#include <QToolTip>

#include <algorithm>
#include <cmath>

namespace eigenscope {

namespace {

constexpr double kHeadroom = 1.14;     // above the full rank, for pins
constexpr double kWidestBar = 30.0;    // pixels
constexpr double kBarShare = 0.37;     // of a layer's room
constexpr double kGrab = 6.0;          // pixels around a bar's top
constexpr double kDragDistance = 3.0;  // a click is not a drag
constexpr double kPinRadius = 2.6;

}  // namespace

// Draws bars and pins; geometry and data are the plot's.
class RankBarLayer : public QCPLayerable {
public:
    explicit RankBarLayer(RankBars* plot) : QCPLayerable(plot, QStringLiteral("main")), m_plot(plot) {}

protected:
    void applyDefaultAntialiasingHint(QCPPainter* painter) const override { painter->setAntialiasing(false); }
    QRect clipRect() const override { return m_plot->axisRect()->rect(); }

    void draw(QCPPainter* painter) override {
        if (m_plot->m_document.empty()) {
            return;
        }
        const ThemeColours& colours = m_plot->theme().colours();
        const Selection& selection = m_plot->m_selection;
        const QRectF keys = m_plot->barRect(Side::Keys, selection.layer);
        const QRectF values = m_plot->barRect(Side::Values, selection.layer);
        QRectF column(QPointF(keys.left() - 3, clipRect().top()),
                      QPointF(values.right() + 3, clipRect().bottom() + 1));
        painter->fillRect(column, colours.key_wash);
        for (int layer = 0; layer < m_plot->layers(); ++layer) {
            for (const Side side : {Side::Keys, Side::Values}) {
                QColor colour = m_plot->theme().side(side == Side::Keys);
                colour.setAlpha(layer == selection.layer ? 255 : 205);
                const QRectF bar = m_plot->barRect(side, layer);
                painter->fillRect(bar, colour);
                if (isPinned(m_plot->m_document.plan(), side, layer)) {
                    drawPin(painter, QPointF(bar.center().x(), bar.top()));
                }
            }
        }
    }

private:
    void drawPin(QCPPainter* painter, const QPointF& top) const {
        painter->save();
        painter->setAntialiasing(true);
        painter->setPen(QPen(m_plot->theme().colours().text, 1.2));
        painter->setBrush(m_plot->theme().colours().panel);
        painter->drawLine(QLineF(top.x(), top.y() - 1.5, top.x(), top.y() - 6));
        painter->drawEllipse(QPointF(top.x(), top.y() - 6 - kPinRadius), kPinRadius, kPinRadius);
        painter->restore();
    }

    RankBars* m_plot;
};

RankBars::RankBars(const Theme& theme, PlanDocument& document, QWidget* parent)
    : Plot(theme, tr("ranks"), parent), m_document(document) {
    setAccessibleName(tr("Rank per layer"));
    setMinimumSize(200, 90);
    axisRect()->setRangeDrag(Qt::Horizontal);
    axisRect()->setRangeZoom(Qt::Horizontal);
    axisRect()->setMinimumMargins(QMargins(4, 4, 4, 4));
    auto layers = QSharedPointer<QCPAxisTickerFixed>::create();
    layers->setScaleStrategy(QCPAxisTickerFixed::ssMultiples);
    layers->setTickStep(1.0);
    layers->setTickCount(10);
    xAxis->setTicker(layers);
    xAxis->setNumberFormat(QStringLiteral("f"));
    xAxis->setNumberPrecision(0);
    new RankBarLayer(this);  // owned by the plot
    connect(&document, &PlanDocument::changed, this, &RankBars::documentChanged);
    documentChanged();
}

int RankBars::layers() const { return m_document.empty() ? 0 : m_document.spectrum()->layers(); }

void RankBars::documentChanged() {
    const Spectrum* spectrum = m_document.spectrum().get();
    if (spectrum && spectrum != m_shown_spectrum) {
        setHome(xAxis, -0.5, spectrum->layers() - 0.5);
        setHome(yAxis, 0.0, spectrum->basisWidth() * kHeadroom);
        auto ticker = QSharedPointer<QCPAxisTickerFixed>::create();
        ticker->setTickStep(spectrum->basisWidth() / 2.0);
        yAxis->setTicker(ticker);
    }
    m_shown_spectrum = spectrum;
    if (isVisible()) {  // else when it is shown
        replot(QCustomPlot::rpQueuedReplot);
    }
}

void RankBars::showEvent(QShowEvent* event) {
    Plot::showEvent(event);
    replot(QCustomPlot::rpQueuedReplot);
}

void RankBars::setSelection(const Selection& selection) {
    if (!(selection == m_selection)) {
        m_selection = selection;
        replot(QCustomPlot::rpQueuedReplot);
    }
}

QRectF RankBars::barRect(Side side, int layer) const {
    const double centre = xAxis->coordToPixel(layer);
    const double room = xAxis->coordToPixel(layer + 1) - centre;
    const double width = std::max(1.0, std::floor(std::min(room * kBarShare, kWidestBar)));
    const double left = side == Side::Keys ? std::round(centre) - width : std::round(centre) + 1.0;
    const double bottom = yAxis->coordToPixel(0.0);
    const double top = std::round(yAxis->coordToPixel(eigenscope::rankOf(m_document.plan(), side, layer)));
    return {left, top, width, std::max(1.0, bottom - top)};
}

std::optional<RankBars::Bar> RankBars::columnAt(const QPointF& position) const {
    if (m_document.empty() || !axisRect()->rect().contains(position.toPoint())) {
        return std::nullopt;
    }
    const double coordinate = xAxis->pixelToCoord(position.x());
    Bar bar;
    bar.layer = std::clamp(static_cast<int>(std::lround(coordinate)), 0, layers() - 1);
    bar.side = coordinate < bar.layer ? Side::Keys : Side::Values;
    return bar;
}

bool RankBars::overTop(const QPointF& position, const Bar& bar) const {
    const QRectF rect = barRect(bar.side, bar.layer);
    return position.x() >= rect.left() - 1 && position.x() <= rect.right() + 1 &&
           std::abs(position.y() - rect.top()) <= kGrab;
}

void RankBars::mousePressEvent(QMouseEvent* event) {
    const auto bar = columnAt(event->position());
    if (event->button() == Qt::LeftButton && bar && !(event->modifiers() & Qt::ShiftModifier)) {
        emit selected(bar->layer, bar->side);
        if (overTop(event->position(), *bar)) {
            m_pressed = bar;
            m_press_position = event->position();
            m_grab_offset = barRect(bar->side, bar->layer).top() - event->position().y();
            return;  // the base would pan
        }
    }
    Plot::mousePressEvent(event);
}

void RankBars::mouseMoveEvent(QMouseEvent* event) {
    if (m_pressed) {
        if (!m_dragging && std::abs(event->position().y() - m_press_position.y()) >= kDragDistance) {
            m_dragging = true;
            m_document.beginDrag();
        }
        if (m_dragging) {
            const int rank =
                snappedRank(yAxis->pixelToCoord(event->position().y() + m_grab_offset),
                            m_document.plan().rank_multiple, m_document.spectrum()->basisWidth());
            m_document.setRank(m_pressed->side, m_pressed->layer, rank);
            emit readout(tr("Layer %1 · %2 · rank %3, pinned")
                             .arg(m_pressed->layer)
                             .arg(sideName(m_pressed->side))
                             .arg(rank));
        }
        return;
    }
    const auto bar = columnAt(event->position());
    if (event->buttons() == Qt::NoButton && bar && overTop(event->position(), *bar)) {
        setCursor(Qt::SizeVerCursor);
    } else {
        unsetCursor();
    }
    Plot::mouseMoveEvent(event);
}

void RankBars::mouseReleaseEvent(QMouseEvent* event) {
    if (m_pressed && event->button() == Qt::LeftButton) {
        m_pressed.reset();
        if (m_dragging) {
            m_dragging = false;
            m_document.endDrag();
        }
        return;
    }
    Plot::mouseReleaseEvent(event);
}

void RankBars::mouseDoubleClickEvent(QMouseEvent* event) {
    const auto bar = columnAt(event->position());
    if (bar && isPinned(m_document.plan(), bar->side, bar->layer)) {
        m_document.unpin(bar->side, bar->layer);
        return;
    }
    Plot::mouseDoubleClickEvent(event);
}

void RankBars::keyPressEvent(QKeyEvent* event) {
    if (m_document.empty() || m_dragging) {
        Plot::keyPressEvent(event);
        return;
    }
    const Side side = m_selection.side;
    const int layer = m_selection.layer;
    switch (event->key()) {
        case Qt::Key_Left:
            emit selected(std::max(layer - 1, 0), side);
            break;
        case Qt::Key_Right:
            emit selected(std::min(layer + 1, layers() - 1), side);
            break;
        case Qt::Key_Up:
        case Qt::Key_Down:
            if (!m_key_editing) {
                m_key_editing = true;
                m_document.beginDrag();
            }
            m_document.setRank(
                side, layer,
                steppedRank(eigenscope::rankOf(m_document.plan(), side, layer),
                            event->key() == Qt::Key_Up ? 1 : -1, m_document.plan().rank_multiple,
                            m_document.spectrum()->basisWidth()));
            break;
        case Qt::Key_Delete:
        case Qt::Key_Backspace:
            m_document.unpin(side, layer);
            break;
        default:
            Plot::keyPressEvent(event);
            return;
    }
}

void RankBars::keyReleaseEvent(QKeyEvent* event) {
    if (!event->isAutoRepeat()) {
        endEdit();
    }
    Plot::keyReleaseEvent(event);
}

void RankBars::focusOutEvent(QFocusEvent* event) {
    endEdit();
    Plot::focusOutEvent(event);
}

void RankBars::endEdit() {
    if (m_key_editing) {
        m_key_editing = false;
        m_document.endDrag();
    }
}

void RankBars::prepareContextMenu(const QPoint& position) {
    if (m_document.empty()) {
        return;
    }
    const RankPlan& plan = m_document.plan();
    const Bar bar = columnAt(position).value_or(Bar{m_selection.side, m_selection.layer});
    auto* unpin = new QAction(tr("Unpin layer %1 %2").arg(bar.layer).arg(sideName(bar.side)), this);
    unpin->setEnabled(isPinned(plan, bar.side, bar.layer));
    connect(unpin, &QAction::triggered, this, [this, bar] { m_document.unpin(bar.side, bar.layer); });
    auto* all = new QAction(tr("Unpin all"), this);
    const auto any = [](const std::vector<bool>& pinned) {
        return std::find(pinned.begin(), pinned.end(), true) != pinned.end();
    };
    all->setEnabled(any(plan.key_pinned) || any(plan.value_pinned));
    connect(all, &QAction::triggered, &m_document, &PlanDocument::unpinAll);
    m_extra_actions = {unpin, all};
}

bool RankBars::event(QEvent* event) {
    if (event->type() == QEvent::ToolTip) {
        const auto* help = static_cast<QHelpEvent*>(event);
        const QString text = readoutAt(help->pos());
        if (text.isEmpty()) {
            QToolTip::hideText();
        } else {
            QToolTip::showText(help->globalPos(), text, this);
        }
        return true;
    }
    return Plot::event(event);
}

QString RankBars::readoutAt(const QPointF& position) const {
    const auto bar = columnAt(position);
    if (!bar) {
        return {};
    }
    const RankPlan& plan = m_document.plan();
    const Spectrum& spectrum = *m_document.spectrum();
    const int rank = eigenscope::rankOf(plan, bar->side, bar->layer);
    return tr("Layer %1 · %2 · %3 of %4 · expected error %5")
        .arg(bar->layer)
        .arg(sideName(bar->side), rankText(spectrum, plan, bar->side, bar->layer))
        .arg(spectrum.basisWidth())
        .arg(percentText(spectrum.expectedError(bar->layer, bar->side, rank)));
}

PlotTable RankBars::table() const {
    PlotTable table;
    table.columns = {QStringLiteral("layer"), QStringLiteral("key_rank"), QStringLiteral("value_rank"),
                     QStringLiteral("key_pinned"), QStringLiteral("value_pinned")};
    const RankPlan& plan = m_document.plan();
    for (int layer = 0; layer < layers(); ++layer) {
        table.rows << QVector<double>{
            static_cast<double>(layer), static_cast<double>(eigenscope::rankOf(plan, Side::Keys, layer)),
            static_cast<double>(eigenscope::rankOf(plan, Side::Values, layer)),
            isPinned(plan, Side::Keys, layer) ? 1.0 : 0.0, isPinned(plan, Side::Values, layer) ? 1.0 : 0.0};
    }
    return table;
}

}  // namespace eigenscope
