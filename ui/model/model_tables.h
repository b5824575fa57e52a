// SPDX-License-Identifier: GPL-3.0-or-later
// Tables over an open model: its layers, and every tensor of its checkpoint. Sorting uses SortRole (plain
// numbers); headers explain their column. GUI thread.
#pragma once

#include "core/model/kv_format.h"
#include "core/model/model.h"

#include <QAbstractTableModel>

#include <array>
#include <memory>
#include <vector>

namespace eigenscope {

inline constexpr int kSortRole = Qt::UserRole + 1;

class LayerTableModel : public QAbstractTableModel {
    Q_OBJECT
public:
    enum Column { Layer, AttentionParameters, MlpParameters, KeyWidth, ValueWidth, KvBytes, ColumnCount };
    using QAbstractTableModel::QAbstractTableModel;
    void setModel(std::shared_ptr<const Model> model, const KvFormat& kv_format);

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

private:
    std::shared_ptr<const Model> m_model;
    std::vector<std::array<double, ColumnCount>> m_rows;
};

class TensorTableModel : public QAbstractTableModel {
    Q_OBJECT
public:
    enum Column { Name, Type, Dimensions, Bytes, ColumnCount };
    using QAbstractTableModel::QAbstractTableModel;
    void setCheckpoint(std::shared_ptr<const Checkpoint> checkpoint);

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

private:
    std::shared_ptr<const Checkpoint> m_checkpoint;
};

}  // namespace eigenscope
