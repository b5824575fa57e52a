// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/spectrum/rank_map.h"

#include "ui/model/plan_document.h"
#include "ui/model/units.h"
#include "ui/widgets/theme.h"

#include <QHelpEvent>
#include <QMenu>
#include <QMouseEvent>
#include <QPainter>
#include <QPdfWriter>
#include <QToolTip>

#include <algorithm>
#include <cmath>

namespace eigenscope {

namespace {

constexpr int kGutter = 26;   // row labels
constexpr int kTopInset = 3;  // room for the selection's outline
constexpr int kLegendHeight = 34;
constexpr int kLegendBar = 8;
constexpr int kBlockGap = 10;     // between keys and values
constexpr int kBlockTitle = 16;   // above the blocks when both are shown
constexpr int kTallestCell = 88;  // a few layers do not become a wall of colour
constexpr int kLabelSpacing = 26;
constexpr int kHaloHeight = 12;                       // lower rows would vanish under a second outline
constexpr int kNumberWidth = 24, kNumberHeight = 15;  // smallest cell that shows its rank

std::size_t slot(Side side) { return side == Side::Keys ? 0 : 1; }

// Cell i of n in [from, from + extent): whole pixels, no cumulative error.
int edge(int from, int extent, int i, int n) {
    return from + static_cast<int>(static_cast<long long>(extent) * i / std::max(n, 1));
}

}  // namespace

RankMap::RankMap(const Theme& theme, PlanDocument& document, QWidget* parent)
    : QWidget(parent), m_theme(theme), m_document(document) {
    setMouseTracking(true);
    setFocusPolicy(Qt::StrongFocus);
    setAccessibleName(tr("Rank kept, layers by heads"));
    connect(&theme, &Theme::changed, this, [this] {
        m_cells = QImage();
        update();
    });
    connect(&document, &PlanDocument::changed, this, &RankMap::documentChanged);
    documentChanged();
}

void RankMap::setShown(ShownSides shown) {
    if (shown != m_shown) {
        m_shown = shown;
        documentChanged();
        m_cells = QImage();
        update();
    }
}

void RankMap::setSelection(const Selection& selection) {
    if (!(selection == m_selection)) {
        m_selection = selection;
        setAccessibleDescription(describe(m_selection));
        update();
    }
}

void RankMap::documentChanged() {
    const auto& spectrum = m_document.spectrum();
    const RankPlan& plan = m_document.plan();
    if (spectrum.get() != m_from || plan.criterion != m_criterion) {
        m_from = spectrum.get();
        m_criterion = plan.criterion;
        m_layers = m_from ? m_from->layers() : 0;
        m_heads = m_from ? m_from->heads() : 0;
        m_width = m_from ? m_from->basisWidth() : 0;
        m_thresholds = {};
        m_cells = QImage();
    }
    if (m_from) {
        recompute();
    }
    if (m_cells.isNull()) {
        update();
    }
}

void RankMap::recompute() {
    for (const Side side : {Side::Keys, Side::Values}) {
        if (!shows(m_shown, side)) {
            continue;
        }
        std::vector<double> thresholds;
        for (int layer = 0; layer < m_layers; ++layer) {
            thresholds.push_back(thresholdOf(m_document.plan(), side, layer));
        }
        if (thresholds == m_thresholds[slot(side)]) {
            continue;
        }
        m_thresholds[slot(side)] = thresholds;
        auto& ranks = m_ranks[slot(side)];
        ranks.resize(static_cast<std::size_t>(m_layers) * static_cast<std::size_t>(m_heads));
        auto cell = ranks.begin();
        for (int layer = 0; layer < m_layers; ++layer) {
            for (int head = 0; head < m_heads; ++head) {
                *cell++ = m_from->rankOf(layer, side, head, thresholds[static_cast<std::size_t>(layer)],
                                         m_criterion);
            }
        }
        m_cells = QImage();
    }
}

QRect RankMap::gridArea() const {
    const int top = kTopInset + (m_shown == ShownSides::Both ? kBlockTitle : 0);
    const int height = std::min(this->height() - top - kLegendHeight, kTallestCell * std::max(m_layers, 1));
    return {kGutter, top, std::max(1, width() - kGutter - 3), std::max(1, height)};
}

std::vector<RankMap::Block> RankMap::blocks() const {
    const QRect area = gridArea();
    if (m_shown != ShownSides::Both) {
        return {{m_shown == ShownSides::Keys ? Side::Keys : Side::Values, area}};
    }
    const int half = (area.width() - kBlockGap) / 2;
    return {{Side::Keys, QRect(area.left(), area.top(), half, area.height())},
            {Side::Values, QRect(area.left() + half + kBlockGap, area.top(), half, area.height())}};
}

QRect RankMap::cellRect(int layer, int head, Side side) const {
    for (const Block& block : blocks()) {
        if (block.side == side) {
            const int left = edge(block.area.left(), block.area.width(), head, m_heads);
            const int top = edge(block.area.top(), block.area.height(), layer, m_layers);
            return {QPoint(left, top),
                    QPoint(edge(block.area.left(), block.area.width(), head + 1, m_heads) - 1,
                           edge(block.area.top(), block.area.height(), layer + 1, m_layers) - 1)};
        }
    }
    return {};
}

int RankMap::rankAt(int layer, int head, Side side) const {
    const auto& ranks = m_ranks[slot(side)];
    const auto index =
        static_cast<std::size_t>(layer) * static_cast<std::size_t>(m_heads) + static_cast<std::size_t>(head);
    return index < ranks.size() ? ranks[index] : 0;
}

bool RankMap::find(const QPoint& position, Selection* found) const {
    if (!m_from) {
        return false;
    }
    const std::vector<Block> shown = blocks();
    for (const Block& block : shown) {
        // The row's label stands for all heads.
        const bool label = position.x() < kGutter && block.side == shown.front().side;
        const bool in_rows = position.y() >= block.area.top() && position.y() <= block.area.bottom();
        if (!in_rows || (!label && !block.area.contains(position))) {
            continue;
        }
        // The inverse of edge(), which rounds down.
        const QPoint inside = position - block.area.topLeft();
        found->layer = std::min(((inside.y() + 1) * m_layers - 1) / block.area.height(), m_layers - 1);
        found->head =
            label ? -1 : std::min(((inside.x() + 1) * m_heads - 1) / block.area.width(), m_heads - 1);
        found->side = label && shows(m_shown, m_selection.side) ? m_selection.side : block.side;
        return true;
    }
    return false;
}

QString RankMap::describe(const Selection& cell) const {
    if (!m_from || cell.layer >= m_layers || cell.head >= m_heads) {
        return {};
    }
    const RankPlan& plan = m_document.plan();
    const QString layer_rank = rankText(*m_from, plan, cell.side, cell.layer);
    if (cell.head < 0) {
        return tr("Layer %1 · %2 · %3").arg(cell.layer).arg(sideName(cell.side), layer_rank);
    }
    const int rank = m_from->rankOf(cell.layer, cell.side, cell.head,
                                    thresholdOf(plan, cell.side, cell.layer), plan.criterion);
    const double kept = m_from->kept(cell.layer, cell.side, cell.head,
                                     eigenscope::rankOf(plan, cell.side, cell.layer), Criterion::Energy);
    return tr("Layer %1 · %2 · %3 · needs rank %4 of %5 · layer keeps %6: energy %7")
        .arg(cell.layer)
        .arg(headName(*m_from, cell.head), sideName(cell.side))
        .arg(rank)
        .arg(m_width)
        .arg(eigenscope::rankOf(plan, cell.side, cell.layer))
        .arg(percentText(kept));
}

void RankMap::renderCells(const Block& block, QImage& image, double scale) const {
    std::vector<QRgb> colours(static_cast<std::size_t>(m_width) + 1);
    for (int rank = 0; rank <= m_width; ++rank) {
        colours[static_cast<std::size_t>(rank)] = Theme::viridis(static_cast<double>(rank) / m_width).rgb();
    }
    const auto device = [scale](int pixel) { return static_cast<int>(std::lround(pixel * scale)); };
    // A hairline between cells while there is room for it both ways; one way alone would look like stripes.
    const int gap = block.area.width() / m_heads >= 4 && block.area.height() / m_layers >= 4 ? 1 : 0;
    for (int layer = 0; layer < m_layers; ++layer) {
        const int top = device(edge(block.area.top(), block.area.height(), layer, m_layers));
        const int bottom = device(edge(block.area.top(), block.area.height(), layer + 1, m_layers) - gap);
        if (top >= bottom || bottom > image.height()) {
            continue;
        }
        auto* first = reinterpret_cast<QRgb*>(image.scanLine(top));
        for (int head = 0; head < m_heads; ++head) {
            const int left = device(edge(block.area.left(), block.area.width(), head, m_heads));
            const int right = device(edge(block.area.left(), block.area.width(), head + 1, m_heads) - gap);
            const auto rank =
                static_cast<std::size_t>(std::clamp(rankAt(layer, head, block.side), 0, m_width));
            std::fill(first + left, first + std::min(right, image.width()), colours[rank]);
        }
        const int left = device(block.area.left());
        const int right = std::min(device(block.area.right() + 1), image.width());
        for (int y = top + 1; y < bottom; ++y) {
            std::copy(first + left, first + right, reinterpret_cast<QRgb*>(image.scanLine(y)) + left);
        }
    }
}

void RankMap::paintEvent(QPaintEvent*) {
    QPainter painter(this);
    if (!m_from) {
        return;
    }
    const double scale = devicePixelRatioF();
    const QSize pixels(static_cast<int>(std::ceil(width() * scale)),
                       static_cast<int>(std::ceil(height() * scale)));
    if (m_cells.size() != pixels) {
        m_cells = QImage(pixels, QImage::Format_ARGB32_Premultiplied);
        m_cells.setDevicePixelRatio(scale);
        m_cells.fill(Qt::transparent);
        for (const Block& block : blocks()) {
            renderCells(block, m_cells, scale);
        }
    }
    painter.drawImage(0, 0, m_cells);
    for (const Block& block : blocks()) {
        drawNumbers(painter, block);
    }
    drawLabels(painter);
    drawSelection(painter);
    drawLegend(painter);
    if (m_focus_shown) {
        painter.setRenderHint(QPainter::Antialiasing);
        painter.setBrush(Qt::NoBrush);
        painter.setPen(QPen(m_theme.colours().key, 1.5));
        painter.drawRoundedRect(QRectF(rect()).adjusted(1, 1, -1, -1), 5, 5);
    }
}

void RankMap::drawNumbers(QPainter& painter, const Block& block) const {
    if (block.area.width() / m_heads < kNumberWidth || block.area.height() / m_layers < kNumberHeight) {
        return;
    }
    QFont small = font();
    small.setPixelSize(11);
    painter.setFont(small);
    for (int layer = 0; layer < m_layers; ++layer) {
        for (int head = 0; head < m_heads; ++head) {
            const int rank = rankAt(layer, head, block.side);
            // Viridis is dark below the middle.
            painter.setPen(rank * 2 < m_width ? QColor(255, 255, 255) : QColor(16, 19, 26));
            painter.drawText(cellRect(layer, head, block.side), Qt::AlignCenter, QString::number(rank));
        }
    }
}

void RankMap::drawLabels(QPainter& painter) const {
    QFont small = font();
    small.setPixelSize(11);
    painter.setFont(small);
    painter.setPen(m_theme.colours().muted);
    const QRect area = gridArea();
    int step = 1;
    while (area.height() * step / m_layers < kLabelSpacing && step < m_layers) {
        step *= 2;
    }
    for (int layer = 0; layer < m_layers; layer += step) {
        const int top = edge(area.top(), area.height(), layer, m_layers);
        const int bottom = edge(area.top(), area.height(), layer + 1, m_layers);
        painter.drawText(QRect(0, (top + bottom) / 2 - 8, kGutter - 7, 16), Qt::AlignRight | Qt::AlignVCenter,
                         QString::number(layer));
    }
    if (m_shown == ShownSides::Both) {
        for (const Block& block : blocks()) {
            painter.setPen(m_theme.side(block.side == Side::Keys));
            painter.drawText(QRect(block.area.left(), 0, block.area.width(), kBlockTitle),
                             Qt::AlignLeft | Qt::AlignTop,
                             block.side == Side::Keys ? tr("Keys") : tr("Values"));
        }
    }
}

void RankMap::drawSelection(QPainter& painter) const {
    if (m_selection.layer >= m_layers) {
        return;
    }
    painter.setRenderHint(QPainter::Antialiasing, false);
    painter.setBrush(Qt::NoBrush);
    for (const Block& block : blocks()) {
        const QRect row = cellRect(m_selection.layer, 0, block.side)
                              .united(cellRect(m_selection.layer, m_heads - 1, block.side));
        // The light line sets the accent off from dark cells.
        const bool active = block.side == m_selection.side || m_shown != ShownSides::Both;
        if (row.height() >= kHaloHeight) {
            painter.setPen(QPen(m_theme.colours().panel, 1));
            painter.drawRect(row.adjusted(0, 0, -1, -1));
        }
        painter.setPen(QPen(active ? m_theme.colours().key : m_theme.colours().muted, 2));
        painter.drawRect(row.adjusted(-1, -1, 1, 1));
        if (m_selection.head >= 0 && m_selection.head < m_heads && active) {
            const QRect cell = cellRect(m_selection.layer, m_selection.head, block.side);
            painter.setPen(QPen(Qt::white, 2));
            painter.drawRect(cell.adjusted(1, 1, -1, -1));
        }
    }
}

void RankMap::drawLegend(QPainter& painter) const {
    const QRect area = gridArea();
    const int top = area.bottom() + 9;
    for (int x = 0; x < area.width(); ++x) {
        painter.fillRect(area.left() + x, top, 1, kLegendBar,
                         Theme::viridis(static_cast<double>(x) / std::max(1, area.width() - 1)));
    }
    QFont small = font();
    small.setPixelSize(11);
    painter.setFont(small);
    painter.setPen(m_theme.colours().muted);
    const QRect text(area.left(), top + kLegendBar + 2, area.width(), 15);
    painter.drawText(text, Qt::AlignLeft | Qt::AlignVCenter, tr("rank 0"));
    painter.drawText(text, Qt::AlignRight | Qt::AlignVCenter, tr("rank %1").arg(m_width));
}

bool RankMap::event(QEvent* event) {
    if (event->type() == QEvent::ToolTip) {
        const auto* help = static_cast<QHelpEvent*>(event);
        Selection cell;
        if (find(help->pos(), &cell)) {
            QToolTip::showText(help->globalPos(), describe(cell), this);
        } else {
            QToolTip::hideText();
        }
        return true;
    }
    return QWidget::event(event);
}

void RankMap::choose(const Selection& selection) {
    setSelection(selection);
    emit selected(m_selection);
    emit readout(describe(m_selection));
}

void RankMap::mousePressEvent(QMouseEvent* event) {
    Selection cell;
    if (event->button() != Qt::LeftButton || !find(event->pos(), &cell)) {
        return;
    }
    if (cell == m_selection) {
        cell.head = -1;  // a second click goes back to all heads
    }
    choose(cell);
}

void RankMap::mouseMoveEvent(QMouseEvent* event) {
    Selection cell;
    emit readout(find(event->pos(), &cell) ? describe(cell) : QString());
}

void RankMap::leaveEvent(QEvent*) { emit readout({}); }

void RankMap::keyPressEvent(QKeyEvent* event) {
    if (!m_from) {
        QWidget::keyPressEvent(event);
        return;
    }
    Selection next = m_selection;
    const auto otherBlock = [&](Side side) { return m_shown == ShownSides::Both && next.side != side; };
    switch (event->key()) {
        case Qt::Key_Up:
            next.layer -= 1;
            break;
        case Qt::Key_Down:
            next.layer += 1;
            break;
        case Qt::Key_PageUp:
            next.layer -= 8;
            break;
        case Qt::Key_PageDown:
            next.layer += 8;
            break;
        case Qt::Key_Home:
            next.layer = 0;
            break;
        case Qt::Key_End:
            next.layer = m_layers - 1;
            break;
        case Qt::Key_Escape:
            next.head = -1;
            break;
        case Qt::Key_Left:
            if (next.head == 0 && otherBlock(Side::Keys)) {
                next.side = Side::Keys;
                next.head = m_heads - 1;
            } else {
                next.head -= 1;
            }
            break;
        case Qt::Key_Right:
            if (next.head == m_heads - 1 && otherBlock(Side::Values)) {
                next.side = Side::Values;
                next.head = 0;
            } else {
                next.head += 1;
            }
            break;
        default:
            QWidget::keyPressEvent(event);
            return;
    }
    next.layer = std::clamp(next.layer, 0, m_layers - 1);
    next.head = std::clamp(next.head, -1, m_heads - 1);
    choose(next);
}

PlotTable RankMap::table() const {
    PlotTable table;
    table.columns = {QStringLiteral("layer"), QStringLiteral("head")};
    for (const Block& block : blocks()) {
        table.columns << (block.side == Side::Keys ? QStringLiteral("key_rank")
                                                   : QStringLiteral("value_rank"));
    }
    for (int layer = 0; layer < m_layers; ++layer) {
        for (int head = 0; head < m_heads; ++head) {
            QVector<double> row{static_cast<double>(layer), static_cast<double>(head)};
            for (const Block& block : blocks()) {
                row << rankAt(layer, head, block.side);
            }
            table.rows << row;
        }
    }
    return table;
}

Figure RankMap::figure() {
    Figure figure;
    figure.name = tr("rank-map");
    figure.size = size();
    figure.picture = [this](double scale) {
        QPixmap pixmap(size() * scale);
        pixmap.setDevicePixelRatio(scale);
        pixmap.fill(m_theme.colours().panel);
        render(&pixmap, {}, {}, QWidget::DrawChildren);
        return pixmap;
    };
    figure.vectors = [this](QPdfWriter& writer) {
        QPainter painter(&writer);
        painter.fillRect(rect(), m_theme.colours().panel);
        render(&painter, {}, {}, QWidget::DrawChildren);
    };
    figure.table = [this] { return table(); };
    return figure;
}

void RankMap::contextMenuEvent(QContextMenuEvent* event) {
    auto* menu = new QMenu(this);
    menu->setAttribute(Qt::WA_DeleteOnClose);
    addFigureActions(menu, this, figure());
    menu->popup(event->globalPos());
}

void RankMap::focusInEvent(QFocusEvent* event) {
    m_focus_shown = event->reason() != Qt::MouseFocusReason && event->reason() != Qt::PopupFocusReason;
    update();
}

void RankMap::focusOutEvent(QFocusEvent*) {
    m_focus_shown = false;
    update();
}

}  // namespace eigenscope
