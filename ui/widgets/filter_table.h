// SPDX-License-Identifier: GPL-3.0-or-later
// A sortable table with a filter line on top ("12 of 32"), copy as tab-separated text (Ctrl+C), and Esc to
// clear the filter. Ctrl+F focuses it.
#pragma once

#include <QModelIndex>
#include <QWidget>

class QAbstractItemModel;
class QLabel;
class QLineEdit;
class QSortFilterProxyModel;
class QTableView;

namespace eigenscope {

class FilterTable : public QWidget {
    Q_OBJECT
public:
    // filter_column < 0: no filter line.
    FilterTable(QAbstractItemModel* model, int filter_column, const QString& noun, QWidget* parent = nullptr);
    QTableView* view() { return m_view; }
    int sourceRow(const QModelIndex& index) const;
    void copyAll() const;  // all rows that are shown, as Ctrl+C copies selected ones

protected:
    bool eventFilter(QObject* watched, QEvent* event) override;

private:
    void updateCount();
    void copySelection() const;
    void copyRows(const QModelIndexList& rows) const;  // by their first cells

    QSortFilterProxyModel* m_proxy;
    QTableView* m_view;
    QLineEdit* m_filter = nullptr;
    QLabel* m_count = nullptr;
    QString m_noun;
};

}  // namespace eigenscope
