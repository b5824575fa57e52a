// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/compare/token_diff_view.h"

#include "ui/model/comparison.h"
#include "ui/model/units.h"
#include "ui/widgets/theme.h"

#include <QHelpEvent>
#include <QMenu>
#include <QMouseEvent>
#include <QPainter>
#include <QPdfWriter>
#include <QScrollBar>
#include <QToolTip>

#include <algorithm>
#include <cmath>

namespace eigenscope {

namespace {

constexpr int kLineHeight = 25;
constexpr int kCellHeight = 20;
constexpr int kInset = 4;
constexpr int kLegendHeight = 30;
constexpr int kLegendBar = 110;
constexpr double kStrongest = 0.85;  // share of the tint's colour at the largest divergence

// Relative luminance and contrast ratio of WCAG 2.1.
double luminance(const QColor& colour) {
    const auto linear = [](double c) {
        return c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4);
    };
    return 0.2126 * linear(colour.redF()) + 0.7152 * linear(colour.greenF()) +
           0.0722 * linear(colour.blueF());
}

double contrast(const QColor& a, const QColor& b) {
    const double x = luminance(a) + 0.05, y = luminance(b) + 0.05;
    return std::max(x, y) / std::min(x, y);
}

}  // namespace

TokenDiffView::TokenDiffView(const Theme& theme, QWidget* parent)
    : QAbstractScrollArea(parent), m_theme(theme) {
    setFrameShape(QFrame::NoFrame);
    setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    setFocusPolicy(Qt::StrongFocus);
    viewport()->setMouseTracking(true);
    setAccessibleName(tr("Text, token by token"));
    verticalScrollBar()->setSingleStep(kLineHeight);
    connect(&theme, &Theme::changed, viewport(), qOverload<>(&QWidget::update));
}

QFont TokenDiffView::textFont() const {
    QFont text = font();
    text.setPixelSize(14);
    return text;
}

void TokenDiffView::show(const Fidelity* fidelity) {
    m_fidelity = fidelity;
    m_selected = -1;
    m_cells.clear();
    m_largest = 0.0;
    m_first = -1;
    if (m_fidelity) {
        const TextDiff& diff = m_fidelity->diff;
        m_first = diff.firstDivergence();
        for (const TokenDiff& token : diff.tokens) {
            m_largest = std::max(m_largest, token.kl);
        }
        for (std::size_t i = 0; i < diff.ids.size(); ++i) {
            Cell cell;
            cell.text = QString::fromStdString(m_fidelity->texts[i]);
            // Special tokens and parts of characters add no text: their name stands for them.
            if (cell.text.isEmpty()) {
                cell.text = QString::fromStdString(m_fidelity->tokenizer->piece(diff.ids[i]));
            }
            cell.breaks = cell.text.contains(QLatin1Char('\n'));
            cell.text.replace(QLatin1Char('\n'), QStringLiteral("↵"))
                .replace(QLatin1Char('\t'), QLatin1Char(' '));
            m_cells.push_back(cell);
        }
    }
    verticalScrollBar()->setValue(0);
    layOut(viewport()->width());
    viewport()->update();
}

// Lines break between words, and within a word that is longer than a line.
void TokenDiffView::layOut(int width) {
    const QFontMetricsF metrics(textFont());
    const double right = width - kInset;
    double x = kInset, y = kInset;
    const auto newLine = [&] {
        x = kInset;
        y += kLineHeight;
    };
    for (std::size_t i = 0; i < m_cells.size(); ++i) {
        const bool begins = i == 0 || m_cells[i].text.startsWith(QLatin1Char(' ')) || m_cells[i - 1].breaks;
        if (begins) {
            double word = 0.0;
            for (std::size_t j = i; j < m_cells.size(); ++j) {
                if (j > i && (m_cells[j].text.startsWith(QLatin1Char(' ')) || m_cells[j - 1].breaks)) {
                    break;
                }
                word += metrics.horizontalAdvance(m_cells[j].text) + 1.0;
            }
            if (x > kInset && x + word > right && word <= right - kInset) {
                newLine();
            }
        }
        const double advance = metrics.horizontalAdvance(m_cells[i].text) + 1.0;
        if (x > kInset && x + advance > right) {
            newLine();
        }
        m_cells[i].area = QRectF(x, y, advance, kCellHeight);
        x += advance;
        if (m_cells[i].breaks) {
            newLine();
        }
    }
    m_content = m_cells.empty() ? 0.0 : m_cells.back().area.bottom() + kInset;
    verticalScrollBar()->setPageStep(textHeight());
    verticalScrollBar()->setRange(0, std::max(0, static_cast<int>(std::ceil(m_content)) - textHeight()));
}

int TokenDiffView::textHeight() const { return std::max(1, viewport()->height() - kLegendHeight); }

QColor TokenDiffView::tint(double fraction) const {
    const ThemeColours& c = m_theme.colours();
    const double share = kStrongest * std::clamp(fraction, 0.0, 1.0);
    const auto mix = [share](int from, int to) {
        return static_cast<int>(std::lround(from + share * (to - from)));
    };
    return {mix(c.panel.red(), c.value.red()), mix(c.panel.green(), c.value.green()),
            mix(c.panel.blue(), c.value.blue())};
}

QColor TokenDiffView::textOn(const QColor& background) const {
    const QColor dark(Qt::black), light(Qt::white);  // one of them has a contrast of 4.58 at least
    const QColor usual = m_theme.colours().text;
    // The theme's own where it reads well: 4.5, WCAG 2.1's bound for text.
    if (contrast(usual, background) >= 4.5) {
        return usual;
    }
    return contrast(dark, background) > contrast(light, background) ? dark : light;
}

void TokenDiffView::draw(QPainter& painter, const QRectF& visible) const {
    const ThemeColours& c = m_theme.colours();
    painter.setRenderHint(QPainter::Antialiasing);
    painter.setFont(textFont());
    for (std::size_t i = 0; i < m_cells.size(); ++i) {
        const Cell& cell = m_cells[i];
        if (!cell.area.intersects(visible)) {
            continue;
        }
        const int token = static_cast<int>(i) - 1;
        if (token < 0) {  // nothing predicts it
            painter.setPen(c.muted);
            painter.drawText(cell.area, Qt::AlignCenter, cell.text);
            continue;
        }
        const TokenDiff& diff = m_fidelity->diff.tokens[static_cast<std::size_t>(token)];
        // The root keeps small divergences visible beside large ones.
        const QColor background = tint(m_largest > 0.0 ? std::sqrt(diff.kl / m_largest) : 0.0);
        const QRectF box = cell.area.adjusted(0.5, 0, -0.5, 0);
        painter.setPen(Qt::NoPen);
        painter.setBrush(background);
        painter.drawRoundedRect(box, 3, 3);
        if (diff.top1Changed()) {
            painter.fillRect(QRectF(box.left() + 1, box.bottom() - 1, box.width() - 2, 2), c.bad);
        }
        painter.setBrush(Qt::NoBrush);
        if (token == m_first) {
            painter.setPen(QPen(c.bad, 2));
            painter.drawRoundedRect(box.adjusted(-1, -1, 1, 1), 3, 3);
        }
        if (token == m_selected) {
            painter.setPen(QPen(c.key, 2));
            painter.drawRoundedRect(box.adjusted(-2, -2, 2, 2), 4, 4);
        }
        painter.setPen(textOn(background));
        painter.drawText(cell.area, Qt::AlignCenter, cell.text);
    }
}

void TokenDiffView::drawLegend(QPainter& painter, const QRectF& area) const {
    const ThemeColours& c = m_theme.colours();
    QFont small = font();
    small.setPixelSize(11);
    painter.setFont(small);
    const QFontMetricsF metrics(small);
    const double middle = area.center().y();
    double x = area.left() + kInset;
    const auto write = [&](const QString& text) {
        painter.setPen(c.muted);
        painter.drawText(QRectF(x, area.top(), area.right() - x, area.height()),
                         Qt::AlignLeft | Qt::AlignVCenter, text);
        x += metrics.horizontalAdvance(text) + 6;
    };
    write(tr("KL 0"));
    for (int i = 0; i < kLegendBar; ++i) {
        painter.fillRect(QRectF(x + i, middle - 4, 1.5, 8), tint(static_cast<double>(i) / (kLegendBar - 1)));
    }
    x += kLegendBar + 6;
    write(tr("%1 nats (root scale)").arg(m_largest, 0, 'g', 2));
    x += 10;
    painter.fillRect(QRectF(x, middle + 2, 16, 2), c.bad);
    x += 22;
    write(tr("most likely token changed"));
    x += 10;
    painter.setBrush(Qt::NoBrush);
    painter.setPen(QPen(c.bad, 2));
    painter.drawRoundedRect(QRectF(x, middle - 6, 16, 12), 3, 3);
    x += 22;
    write(tr("first"));
}

void TokenDiffView::paintEvent(QPaintEvent*) {
    QPainter painter(viewport());
    painter.fillRect(viewport()->rect(), m_theme.colours().panel);
    if (!m_fidelity) {
        return;
    }
    const double top = verticalScrollBar()->value();
    painter.save();
    painter.setClipRect(0, 0, viewport()->width(), textHeight());
    painter.translate(0, -top);
    draw(painter, QRectF(0, top, viewport()->width(), textHeight()));
    painter.restore();
    painter.setRenderHint(QPainter::Antialiasing);
    drawLegend(painter, QRectF(0, textHeight(), viewport()->width(), kLegendHeight));
    if (hasFocus()) {
        painter.setPen(QPen(m_theme.colours().key, 1));
        painter.setBrush(Qt::NoBrush);
        painter.drawRoundedRect(QRectF(viewport()->rect()).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4);
    }
}

void TokenDiffView::resizeEvent(QResizeEvent*) { layOut(viewport()->width()); }

std::optional<int> TokenDiffView::tokenAt(const QPoint& position) const {
    if (position.y() >= textHeight()) {
        return std::nullopt;
    }
    const QPointF place = position + QPointF(0, verticalScrollBar()->value());
    for (std::size_t i = 1; i < m_cells.size(); ++i) {
        if (m_cells[i].area.contains(place)) {
            return static_cast<int>(i) - 1;
        }
    }
    return std::nullopt;
}

QRect TokenDiffView::tokenRect(int token) const {
    return m_cells[static_cast<std::size_t>(token) + 1]
        .area.translated(0, -verticalScrollBar()->value())
        .toRect();
}

QString TokenDiffView::describe(int token) const {
    const auto i = static_cast<std::size_t>(token);
    const TokenDiff& diff = m_fidelity->diff.tokens[i];
    const auto expects = [this](TokenId top, double probability) {
        return QStringLiteral("“%1” %2").arg(m_fidelity->tokenText(top), percentText(probability));
    };
    return tr("Token %L1 “%2” · KL %3 nats · original expects %4, other %5 · this token: %6 → %7")
        .arg(token + 1)
        .arg(m_cells[i + 1].text)
        .arg(diff.kl, 0, 'g', 3)
        .arg(expects(diff.first_top, diff.first_top_probability),
             expects(diff.second_top, diff.second_top_probability), percentText(std::exp(-diff.first_nll)),
             percentText(std::exp(-diff.second_nll)));
}

void TokenDiffView::select(int token) {
    if (!m_fidelity || token < 0 || token >= static_cast<int>(m_fidelity->diff.tokens.size())) {
        return;
    }
    m_selected = token;
    setAccessibleDescription(describe(token));
    const QRectF area = m_cells[static_cast<std::size_t>(token) + 1].area;
    const int top = static_cast<int>(area.top()) - kInset, bottom = static_cast<int>(area.bottom()) + kInset;
    if (top < verticalScrollBar()->value()) {
        verticalScrollBar()->setValue(top);
    } else if (bottom > verticalScrollBar()->value() + textHeight()) {
        verticalScrollBar()->setValue(bottom - textHeight());
    }
    viewport()->update();
    emit tokenSelected(token);
}

bool TokenDiffView::viewportEvent(QEvent* event) {
    if (event->type() == QEvent::ToolTip) {
        const auto* help = static_cast<QHelpEvent*>(event);
        if (const auto token = tokenAt(help->pos())) {
            QToolTip::showText(help->globalPos(), describe(*token), viewport());
        } else {
            QToolTip::hideText();
        }
        return true;
    }
    if (event->type() == QEvent::Leave) {
        emit readout({});
    }
    return QAbstractScrollArea::viewportEvent(event);
}

void TokenDiffView::mousePressEvent(QMouseEvent* event) {
    if (event->button() == Qt::LeftButton) {
        if (const auto token = tokenAt(event->pos())) {
            select(*token);
        }
    }
}

void TokenDiffView::mouseMoveEvent(QMouseEvent* event) {
    const auto token = tokenAt(event->pos());
    emit readout(token ? describe(*token) : QString());
}

void TokenDiffView::keyPressEvent(QKeyEvent* event) {
    if (m_fidelity && (event->key() == Qt::Key_Left || event->key() == Qt::Key_Right)) {
        const int last = static_cast<int>(m_fidelity->diff.tokens.size()) - 1;
        select(std::clamp(m_selected + (event->key() == Qt::Key_Left ? -1 : 1), 0, last));
        emit readout(describe(m_selected));
        return;
    }
    QAbstractScrollArea::keyPressEvent(event);
}

void TokenDiffView::contextMenuEvent(QContextMenuEvent* event) {
    if (!m_fidelity) {
        return;
    }
    auto* menu = new QMenu(this);
    menu->setAttribute(Qt::WA_DeleteOnClose);
    addFigureActions(menu, this, figure());
    menu->popup(event->globalPos());
}

void TokenDiffView::focusInEvent(QFocusEvent* event) {
    QAbstractScrollArea::focusInEvent(event);
    viewport()->update();
}

void TokenDiffView::focusOutEvent(QFocusEvent* event) {
    QAbstractScrollArea::focusOutEvent(event);
    viewport()->update();
}

PlotTable TokenDiffView::table() const {
    PlotTable table;
    for (const char* column :
         {"token", "id", "kl", "top1_changed", "nll_first", "nll_second", "first_top_id", "first_probability",
          "second_top_id", "second_probability", "explaining_layer", "kl_removed"}) {
        table.columns.append(QString::fromLatin1(column));
    }
    if (m_fidelity) {
        const TextDiff& diff = m_fidelity->diff;
        for (std::size_t i = 0; i < diff.tokens.size(); ++i) {
            const TokenDiff& token = diff.tokens[i];
            const int layer = diff.explainingLayer(i);
            table.rows.append({static_cast<double>(i + 1), static_cast<double>(token.id), token.kl,
                               token.top1Changed() ? 1.0 : 0.0, token.first_nll, token.second_nll,
                               static_cast<double>(token.first_top), token.first_top_probability,
                               static_cast<double>(token.second_top), token.second_top_probability,
                               static_cast<double>(layer), layer < 0 ? 0.0 : diff.removed(layer, i)});
        }
    }
    return table;
}

// The whole text, not only what is scrolled into view.
Figure TokenDiffView::figure() {
    const QSize size(viewport()->width(), static_cast<int>(std::ceil(m_content)) + kLegendHeight);
    const auto paint = [this, size](QPainter& painter) {
        painter.fillRect(QRect(QPoint(), size), m_theme.colours().panel);
        draw(painter, QRectF(QPointF(), size));
        drawLegend(painter, QRectF(0, size.height() - kLegendHeight, size.width(), kLegendHeight));
    };
    Figure figure;
    figure.name = QStringLiteral("token-diff");
    figure.size = size;
    figure.picture = [size, paint](double scale) {
        QPixmap pixmap(size * scale);
        pixmap.setDevicePixelRatio(scale);
        QPainter painter(&pixmap);
        paint(painter);
        return pixmap;
    };
    figure.vectors = [paint](QPdfWriter& writer) {
        QPainter painter(&writer);
        paint(painter);
    };
    figure.table = [this] { return table(); };
    return figure;
}

}  // namespace eigenscope
