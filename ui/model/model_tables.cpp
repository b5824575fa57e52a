// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/model/model_tables.h"

#include "core/model/kv_cache.h"
#include "ui/model/units.h"

#include <QStringList>

namespace eigenscope {

namespace {

double parametersOf(const Linear& linear) {
    if (linear.weight.empty()) {
        return 0.0;
    }
    const double bias = linear.bias.empty() ? 0.0 : static_cast<double>(linear.bias.shape().count());
    return static_cast<double>(linear.weight.shape().count()) + bias;
}

double parametersOf(const Tensor& tensor) {
    return tensor.empty() ? 0.0 : static_cast<double>(tensor.shape().count());
}

QVariant figureData(const QString& text, double value, int role) {
    switch (role) {
        case Qt::DisplayRole:
            return text;
        case kSortRole:
            return value;
        case Qt::TextAlignmentRole:
            return QVariant::fromValue(Qt::AlignRight | Qt::AlignVCenter);
        default:
            return {};
    }
}

}  // namespace

void LayerTableModel::setModel(std::shared_ptr<const Model> model, const KvFormat& kv_format) {
    beginResetModel();
    m_model = std::move(model);
    m_rows.clear();
    if (m_model) {
        const auto specs = kvLayerSpecs(m_model->config, kv_format);
        for (std::size_t i = 0; i < m_model->layers.size(); ++i) {
            const LayerWeights& layer = m_model->layers[i];
            const AttentionWeights& attention = layer.attention;
            std::array<double, ColumnCount> row{};
            row[Layer] = static_cast<double>(i);
            row[AttentionParameters] = parametersOf(attention.query) + parametersOf(attention.key) +
                                       parametersOf(attention.value) + parametersOf(attention.output) +
                                       parametersOf(attention.lift_basis) + parametersOf(attention.lift_mean);
            row[MlpParameters] = parametersOf(layer.gate) + parametersOf(layer.up) + parametersOf(layer.down);
            row[KeyWidth] = attention.key_width;
            row[ValueWidth] = attention.value_width;
            row[KvBytes] = specs[i].bytesPerToken();
            m_rows.push_back(row);
        }
    }
    endResetModel();
}

int LayerTableModel::rowCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : static_cast<int>(m_rows.size());
}

int LayerTableModel::columnCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : ColumnCount;
}

QVariant LayerTableModel::data(const QModelIndex& index, int role) const {
    if (!index.isValid()) {
        return {};
    }
    const auto column = static_cast<std::size_t>(index.column());
    const double value = m_rows[static_cast<std::size_t>(index.row())][column];
    switch (index.column()) {
        case KvBytes:
            return figureData(bytesText(value), value, role);
        default:
            return figureData(countText(static_cast<std::int64_t>(value)), value, role);
    }
}

QVariant LayerTableModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal) {
        return {};
    }
    static const QStringList kNames = {tr("Layer"),     tr("Attention"),   tr("MLP"),
                                       tr("Key width"), tr("Value width"), tr("KV per token")};
    static const QStringList kTips = {
        tr("Decoder layer, from the input on"),
        tr("Parameters of the query, key, value and output projections"),
        tr("Parameters of the feed-forward block"),
        tr("Elements cached per token and key/value head for keys: the head dimension, or the "
           "rank of a converted model"),
        tr("Elements cached per token and key/value head for values"),
        tr("Bytes this layer adds to the KV cache for each token of one sequence")};
    switch (role) {
        case Qt::DisplayRole:
            return kNames.value(section);
        case Qt::ToolTipRole:
            return kTips.value(section);
        case Qt::TextAlignmentRole:
            return QVariant::fromValue(Qt::AlignRight | Qt::AlignVCenter);
        default:
            return {};
    }
}

void TensorTableModel::setCheckpoint(std::shared_ptr<const Checkpoint> checkpoint) {
    beginResetModel();
    m_checkpoint = std::move(checkpoint);
    endResetModel();
}

int TensorTableModel::rowCount(const QModelIndex& parent) const {
    return parent.isValid() || !m_checkpoint ? 0 : static_cast<int>(m_checkpoint->tensors().size());
}

int TensorTableModel::columnCount(const QModelIndex& parent) const {
    return parent.isValid() ? 0 : ColumnCount;
}

QVariant TensorTableModel::data(const QModelIndex& index, int role) const {
    if (!index.isValid()) {
        return {};
    }
    const TensorRecord& tensor = *m_checkpoint->tensors()[static_cast<std::size_t>(index.row())];
    switch (index.column()) {
        case Name:
            if (role == Qt::DisplayRole || role == kSortRole) {
                return QString::fromStdString(tensor.name);
            }
            return role == Qt::ToolTipRole ? QString::fromStdString(tensor.file.filename().string())
                                           : QVariant();
        case Type: {
            const std::string_view name = nameOf(tensor.dtype);
            return role == Qt::DisplayRole || role == kSortRole
                       ? QVariant(
                             QString::fromLatin1(name.data(), static_cast<qsizetype>(name.size())).toLower())
                       : QVariant();
        }
        case Dimensions: {
            QStringList parts;
            for (const std::int64_t dim : tensor.shape) {
                parts.append(QString::number(dim));
            }
            return figureData(parts.join(QStringLiteral(" × ")), static_cast<double>(tensor.count()), role);
        }
        case Bytes:
            return figureData(bytesText(static_cast<double>(tensor.byteCount())),
                              static_cast<double>(tensor.byteCount()), role);
        default:
            return {};
    }
}

QVariant TensorTableModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal) {
        return {};
    }
    static const QStringList kNames = {tr("Tensor"), tr("Type"), tr("Shape"), tr("Size")};
    static const QStringList kTips = {tr("Name in the checkpoint; the tooltip of a row names its file"),
                                      tr("Element type as stored"), tr("Dimensions, output features first"),
                                      tr("Bytes on disk")};
    switch (role) {
        case Qt::DisplayRole:
            return kNames.value(section);
        case Qt::ToolTipRole:
            return kTips.value(section);
        case Qt::TextAlignmentRole:
            return QVariant::fromValue((section >= Dimensions ? Qt::AlignRight : Qt::AlignLeft) |
                                       Qt::AlignVCenter);
        default:
            return {};
    }
}

}  // namespace eigenscope
