// SPDX-License-Identifier: GPL-3.0-or-later
// What converting changes, layer by layer: ranks, KV ratio, bytes, and the error measured once converted.
// Follows the workspace. GUI thread. Cells with a bar carry its length and colour by role.
#pragma once

#include <QAbstractTableModel>
#include <QColor>
#include <QIcon>
#include <QStyledItemDelegate>

#include <vector>

namespace eigenscope {

class Theme;
class Workspace;

class ConvertTable : public QAbstractTableModel {
    Q_OBJECT
public:
    enum Column {
        Layer,
        KeyRank,
        ValueRank,
        HeadDim,
        KvRatio,
        BytesPerToken,
        ExpectedError,
        MeasuredError,
        Columns
    };
    enum Role { BarRole = Qt::UserRole + 20, BarColourRole };

    ConvertTable(Workspace& workspace, const Theme& theme, QObject* parent = nullptr);
    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

private:
    struct Row {
        int key_rank = 0, value_rank = 0;
        int key_bits = 16, value_bits = 16;
        bool key_pinned = false, value_pinned = false;
        double ratio = 1.0, expected = 0.0;
        double bytes = 0.0;      // a token
        double measured = -1.0;  // negative: not measured
    };
    void refresh();
    void recolour();
    static bool pinnedIn(const Row& row, int column);
    QString textOf(const Row& row, int layer, int column) const;
    double numberOf(const Row& row, int layer, int column) const;

    Workspace& m_workspace;
    const Theme& m_theme;
    std::vector<Row> m_rows;
    QIcon m_pin;
    int m_head_dim = 0;
    double m_largest_error = 0.0;
    bool m_stale = false;  // the errors are of another plan
};

// Draws a thin bar under the number of cells that have one.
class BarDelegate : public QStyledItemDelegate {
    Q_OBJECT
public:
    using QStyledItemDelegate::QStyledItemDelegate;
    void paint(QPainter* painter, const QStyleOptionViewItem& option,
               const QModelIndex& index) const override;
};

}  // namespace eigenscope
