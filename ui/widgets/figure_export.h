// SPDX-License-Identifier: GPL-3.0-or-later
// Copying and exporting what a view draws: as a picture, as vectors, as numbers. Plots and custom-painted
// views share it. GUI thread.
#pragma once

#include <QPixmap>
#include <QString>
#include <QStringList>
#include <QVector>

#include <functional>

class QMenu;
class QPdfWriter;
class QWidget;

namespace eigenscope {

// A figure's data as a table, for CSV and the clipboard.
struct PlotTable {
    QStringList columns;
    QVector<QVector<double>> rows;
    QString toCsv() const;  // comma separated, '.' decimals
    QString toTsv() const;
};

// What can be exported, asked for when it is.
struct Figure {
    QString name;  // default file name
    QSize size;    // in device-independent pixels
    std::function<QPixmap(double scale)> picture;
    std::function<void(QPdfWriter& writer)> vectors;  // one unit a pixel of `size`
    std::function<PlotTable()> table;
};

// By suffix: .png (2x), .pdf, .csv; the file appears whole or not at all. On failure one line in *error (may
// be null).
bool exportFigure(const Figure& figure, const QString& file, QString* error);
// Copy picture, copy data, export as PNG, PDF and CSV. `parent` must outlive the menu.
void addFigureActions(QMenu* menu, QWidget* parent, const Figure& figure);

}  // namespace eigenscope
