// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/filter_table.h"

#include "ui/model/model_tables.h"
#include "ui/widgets/panel.h"

#include <QApplication>
#include <QClipboard>
#include <QHeaderView>
#include <QKeyEvent>
#include <QLineEdit>
#include <QMenu>
#include <QShortcut>
#include <QSortFilterProxyModel>
#include <QTableView>
#include <QTimer>

#include <algorithm>

namespace eigenscope {

namespace {
constexpr int kFilterDelayMs = 200;  // typing does not re-filter a long table at every key
}

FilterTable::FilterTable(QAbstractItemModel* model, int filter_column, const QString& noun, QWidget* parent)
    : QWidget(parent), m_proxy(new QSortFilterProxyModel(this)), m_view(new QTableView(this)), m_noun(noun) {
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->setSpacing(6);
    m_proxy->setSourceModel(model);
    m_proxy->setSortRole(kSortRole);
    m_proxy->setFilterKeyColumn(std::max(filter_column, 0));
    m_proxy->setFilterCaseSensitivity(Qt::CaseInsensitive);
    if (filter_column >= 0) {
        auto* row = new QHBoxLayout;
        m_filter = new QLineEdit(this);
        m_filter->setPlaceholderText(tr("Filter…"));
        m_filter->setClearButtonEnabled(true);
        m_filter->setAccessibleName(tr("Filter %1").arg(noun));
        m_filter->installEventFilter(this);
        m_count = mutedLabel({}, this);
        row->addWidget(m_filter, 1);
        row->addWidget(m_count);
        layout->addLayout(row);
        auto* delay = new QTimer(this);
        delay->setSingleShot(true);
        connect(m_filter, &QLineEdit::textChanged, delay, [delay] { delay->start(kFilterDelayMs); });
        connect(delay, &QTimer::timeout, this, [this] {
            m_proxy->setFilterFixedString(m_filter->text());
            updateCount();
        });
        connect(model, &QAbstractItemModel::modelReset, this, &FilterTable::updateCount);
        auto* find = new QShortcut(QKeySequence::Find, this);
        find->setContext(Qt::WidgetWithChildrenShortcut);
        connect(find, &QShortcut::activated, m_filter, [this] { m_filter->setFocus(); });
    }
    m_view->setModel(m_proxy);
    m_view->setSortingEnabled(true);
    m_view->sortByColumn(-1, Qt::AscendingOrder);
    m_view->setSelectionBehavior(QAbstractItemView::SelectRows);
    m_view->setAlternatingRowColors(true);
    m_view->setShowGrid(false);
    m_view->setWordWrap(false);
    m_view->verticalHeader()->hide();
    m_view->verticalHeader()->setDefaultSectionSize(26);
    m_view->horizontalHeader()->setHighlightSections(false);
    m_view->horizontalHeader()->setSectionResizeMode(QHeaderView::ResizeToContents);
    m_view->setContextMenuPolicy(Qt::CustomContextMenu);
    connect(m_view, &QWidget::customContextMenuRequested, this, [this](const QPoint& point) {
        QMenu menu(this);
        menu.addAction(tr("Copy"), QKeySequence::Copy, this, &FilterTable::copySelection);
        menu.addAction(tr("Select all"), QKeySequence::SelectAll, m_view, &QTableView::selectAll);
        menu.exec(m_view->viewport()->mapToGlobal(point));
    });
    auto* copy = new QShortcut(QKeySequence::Copy, m_view);
    copy->setContext(Qt::WidgetShortcut);
    connect(copy, &QShortcut::activated, this, &FilterTable::copySelection);
    layout->addWidget(m_view, 1);
    updateCount();
}

int FilterTable::sourceRow(const QModelIndex& index) const { return m_proxy->mapToSource(index).row(); }

bool FilterTable::eventFilter(QObject* watched, QEvent* event) {
    if (watched == m_filter && event->type() == QEvent::KeyPress &&
        static_cast<QKeyEvent*>(event)->key() == Qt::Key_Escape) {
        m_filter->clear();
        return true;
    }
    return QWidget::eventFilter(watched, event);
}

void FilterTable::updateCount() {
    if (m_count) {
        m_count->setText(
            tr("%L1 of %L2 %3").arg(m_proxy->rowCount()).arg(m_proxy->sourceModel()->rowCount()).arg(m_noun));
    }
}

void FilterTable::copySelection() const {
    QModelIndexList rows = m_view->selectionModel()->selectedRows();
    std::sort(rows.begin(), rows.end());
    copyRows(rows);
}

void FilterTable::copyAll() const {
    QModelIndexList rows;
    for (int row = 0; row < m_proxy->rowCount(); ++row) {
        rows.append(m_proxy->index(row, 0));
    }
    copyRows(rows);
}

void FilterTable::copyRows(const QModelIndexList& rows) const {
    QStringList lines;
    QStringList header;
    for (int column = 0; column < m_proxy->columnCount(); ++column) {
        header.append(m_proxy->headerData(column, Qt::Horizontal).toString());
    }
    lines.append(header.join(QLatin1Char('\t')));
    for (const QModelIndex& row : rows) {
        QStringList cells;
        for (int column = 0; column < m_proxy->columnCount(); ++column) {
            cells.append(row.siblingAtColumn(column).data().toString());
        }
        lines.append(cells.join(QLatin1Char('\t')));
    }
    QApplication::clipboard()->setText(lines.join(QLatin1Char('\n')));
}

}  // namespace eigenscope
