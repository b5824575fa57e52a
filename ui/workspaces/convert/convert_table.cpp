// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/convert/convert_table.h"

#include "core/compression/converted_config.h"
#include "core/model/kv_cache.h"
#include "ui/model/model_tables.h"
#include "ui/model/units.h"
#include "ui/model/workspace.h"
#include "ui/widgets/nav_rail.h"
#include "ui/widgets/theme.h"
#include "ui/workspaces/spectrum/spectrum_view.h"

#include <QPainter>

#include <algorithm>
#include <array>
#include <cmath>

namespace eigenscope {

namespace {

constexpr int kBarHeight = 3;
constexpr int kBarInset = 6;
constexpr int kPinSize = 14;

// "24", and of a quantised cache "24 × 4 bit".
QString rankText(int rank, int bits) {
    return bits == kUnquantised ? QString::number(rank) : ConvertTable::tr("%1 × %2 bit").arg(rank).arg(bits);
}

}  // namespace

ConvertTable::ConvertTable(Workspace& workspace, const Theme& theme, QObject* parent)
    : QAbstractTableModel(parent), m_workspace(workspace), m_theme(theme) {
    connect(&workspace.plan(), &PlanDocument::changed, this, &ConvertTable::refresh);
    connect(&workspace, &Workspace::conversionChanged, this, &ConvertTable::refresh);
    connect(&workspace, &Workspace::modelChanged, this, &ConvertTable::refresh);
    connect(&theme, &Theme::changed, this, &ConvertTable::recolour);
    recolour();
}

bool ConvertTable::pinnedIn(const Row& row, int column) {
    return (column == KeyRank && row.key_pinned) || (column == ValueRank && row.value_pinned);
}

void ConvertTable::recolour() {
    const QColor& muted = m_theme.colours().muted;
    m_pin = themedIcon(QStringLiteral("pin"), muted, muted, kPinSize);
    refresh();
}

void ConvertTable::refresh() {
    const auto& model = m_workspace.model();
    const auto& spectrum = m_workspace.spectrum();
    const bool usable = model && spectrum && spectrum->layers() == model->model->config.layers;
    const std::size_t count = usable ? static_cast<std::size_t>(spectrum->layers()) : 0;
    const bool reset = count != m_rows.size();
    if (reset) {
        beginResetModel();
    }
    m_rows.assign(count, Row());
    m_largest_error = 0.0;
    m_stale = m_workspace.planChangedSinceConversion();
    if (usable) {
        const RankPlan& plan = m_workspace.plan().plan();
        const auto& conversion = m_workspace.conversion();
        m_head_dim = spectrum->basisWidth();
        const auto specs =
            kvLayerSpecs(convertedConfig(model->model->config, plan),
                         convertedFormat(plan, resolveKvFormat(m_workspace.runOptions(), *model).dtype));
        const double full = 2.0 * KvSideFormat{.dtype = DType::F16}.bytesPerRow(m_head_dim);
        for (std::size_t i = 0; i < count; ++i) {
            const int layer = static_cast<int>(i);
            Row& row = m_rows[i];
            row.key_rank = rankOf(plan, Side::Keys, layer);
            row.value_rank = rankOf(plan, Side::Values, layer);
            row.key_bits = bitsOf(plan, Side::Keys, i);
            row.value_bits = bitsOf(plan, Side::Values, i);
            row.key_pinned = isPinned(plan, Side::Keys, layer);
            row.value_pinned = isPinned(plan, Side::Values, layer);
            row.ratio = (plan.kv_bits.keysOf(i, DType::F16).bytesPerRow(row.key_rank) +
                         plan.kv_bits.valuesOf(i, DType::F16).bytesPerRow(row.value_rank)) /
                        full;
            row.bytes = specs[i].bytesPerToken();
            const double keys = spectrum->expectedError(layer, Side::Keys, row.key_rank);
            const double values = spectrum->expectedError(layer, Side::Values, row.value_rank);
            row.expected = std::sqrt((keys * keys + values * values) / 2.0);
            if (conversion && i < conversion->layer_errors.size()) {
                row.measured = conversion->layer_errors[i];
                m_largest_error = std::max(m_largest_error, row.measured);
            }
        }
    }
    if (reset) {
        endResetModel();
    } else if (count > 0) {
        emit dataChanged(index(0, 0), index(static_cast<int>(count) - 1, Columns - 1));
    }
}

int ConvertTable::rowCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : static_cast<int>(m_rows.size());
}

int ConvertTable::columnCount(const QModelIndex& parent) const { return parent.isValid() ? 0 : Columns; }

QString ConvertTable::textOf(const Row& row, int layer, int column) const {
    switch (column) {
        case Layer:
            return QString::number(layer);
        case KeyRank:
            return rankText(row.key_rank, row.key_bits);
        case ValueRank:
            return rankText(row.value_rank, row.value_bits);
        case HeadDim:
            return QString::number(m_head_dim);
        case KvRatio:
            return ratioText(row.ratio);
        case BytesPerToken:
            return bytesText(row.bytes);
        case ExpectedError:
            return percentText(row.expected);
        case MeasuredError:
            return row.measured < 0 ? QStringLiteral("—") : percentText(row.measured);
        default:
            return {};
    }
}

double ConvertTable::numberOf(const Row& row, int layer, int column) const {
    switch (column) {
        case KeyRank:
            return row.key_rank;
        case ValueRank:
            return row.value_rank;
        case HeadDim:
            return m_head_dim;
        case KvRatio:
            return row.ratio;
        case BytesPerToken:
            return row.bytes;
        case ExpectedError:
            return row.expected;
        case MeasuredError:
            return row.measured;
        default:
            return layer;
    }
}

QVariant ConvertTable::data(const QModelIndex& index, int role) const {
    if (!index.isValid() || index.row() >= rowCount()) {
        return {};
    }
    const Row& row = m_rows[static_cast<std::size_t>(index.row())];
    const int column = index.column();
    switch (role) {
        case Qt::DisplayRole:
            return textOf(row, index.row(), column);
        case kSortRole:
            return numberOf(row, index.row(), column);
        case Qt::TextAlignmentRole:
            return QVariant::fromValue(Qt::Alignment(Qt::AlignRight | Qt::AlignVCenter));
        case Qt::ForegroundRole:
            return column == Layer || column == HeadDim ||
                           (column == MeasuredError && (m_stale || row.measured < 0))
                       ? QVariant(m_theme.colours().muted)
                       : QVariant();
        case Qt::DecorationRole:
            return pinnedIn(row, column) ? QVariant(m_pin) : QVariant();
        case Qt::AccessibleTextRole: {
            const QString text = textOf(row, index.row(), column);
            return pinnedIn(row, column) ? tr("%1, pinned").arg(text) : text;
        }
        case Qt::ToolTipRole:
            if (pinnedIn(row, column)) {
                return tr("Set by hand: it stays whatever the thresholds do");
            }
            return column == MeasuredError && m_stale && row.measured >= 0
                       ? QVariant(tr("Measured with the plan converted last; the plan has changed since."))
                       : QVariant();
        case BarRole:
            if (column == KeyRank || column == ValueRank) {
                return static_cast<double>(column == KeyRank ? row.key_rank : row.value_rank) /
                       std::max(m_head_dim, 1);
            }
            if (column == MeasuredError && row.measured >= 0 && m_largest_error > 0) {
                return row.measured / m_largest_error;
            }
            return {};
        case BarColourRole:
            return column == MeasuredError ? (m_stale ? m_theme.colours().line : m_theme.colours().bad)
                                           : m_theme.side(column == KeyRank);
        default:
            return {};
    }
}

QVariant ConvertTable::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal) {
        return {};
    }
    static const std::array<std::pair<const char*, const char*>, Columns> kHeaders = {{
        {QT_TR_NOOP("Layer"), QT_TR_NOOP("Transformer layer, from the input")},
        {QT_TR_NOOP("Key rank"),
         QT_TR_NOOP("Numbers kept of every key of every key/value head. The bar is its "
                    "share of the head dimension.")},
        {QT_TR_NOOP("Value rank"),
         QT_TR_NOOP("Numbers kept of every value of every key/value head. The bar is its "
                    "share of the head dimension.")},
        {QT_TR_NOOP("Head dim"),
         QT_TR_NOOP("Head dimension: the length of a key or value in the original model")},
        {QT_TR_NOOP("KV ratio"), QT_TR_NOOP("The layer's KV-cache bytes, converted / original")},
        {QT_TR_NOOP("Bytes per token"),
         QT_TR_NOOP("KV cache that one more token takes in this layer, converted")},
        {QT_TR_NOOP("Expected error"),
         QT_TR_NOOP(
             "Root mean square of the shares of energy that keys and values drop: from the spectrum alone")},
        {QT_TR_NOOP("Measured error"),
         QT_TR_NOOP(
             "‖O − O′‖ / ‖O‖ of the layer's attention output, converted against original, on windows of the "
             "calibration text. Known once the model is converted.")},
    }};
    if (section < 0 || section >= Columns) {
        return {};
    }
    const auto& [title, tooltip] = kHeaders[static_cast<std::size_t>(section)];
    switch (role) {
        case Qt::DisplayRole:
            return tr(title);
        case Qt::ToolTipRole:
            return tr(tooltip);
        case Qt::TextAlignmentRole:  // narrow windows wrap the names
            return static_cast<int>(Qt::AlignRight) | Qt::AlignVCenter | Qt::TextWordWrap;
        default:
            return {};
    }
}

void BarDelegate::paint(QPainter* painter, const QStyleOptionViewItem& option,
                        const QModelIndex& index) const {
    QStyledItemDelegate::paint(painter, option, index);
    const QVariant length = index.data(ConvertTable::BarRole);
    if (!length.isValid()) {
        return;
    }
    const double share = std::clamp(length.toDouble(), 0.0, 1.0);
    const QRectF track(option.rect.left() + kBarInset, option.rect.bottom() - kBarHeight - 1,
                       option.rect.width() - 2 * kBarInset, kBarHeight);
    painter->save();
    painter->setRenderHint(QPainter::Antialiasing);
    painter->setPen(Qt::NoPen);
    painter->setBrush(option.palette.color(QPalette::Mid));
    painter->drawRoundedRect(track, 1.5, 1.5);
    painter->setBrush(index.data(ConvertTable::BarColourRole).value<QColor>());
    // From the right, under the right-aligned number.
    const double width = track.width() * share;
    painter->drawRoundedRect(QRectF(track.right() - width, track.top(), width, track.height()), 1.5, 1.5);
    painter->restore();
}

}  // namespace eigenscope
