// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/figure_export.h"

#include "core/base/atomic_output.h"
#include "kernels/api/error.h"

#include <QApplication>
#include <QBuffer>
#include <QClipboard>
#include <QFile>
#include <QFileDialog>
#include <QFileInfo>
#include <QMenu>
#include <QMessageBox>
#include <QPdfWriter>
#include <QStandardPaths>

#include <cmath>

namespace eigenscope {

namespace {

constexpr double kExportScale = 2.0;  // device pixels a unit in PNG exports and pictures
constexpr int kPdfResolution = 96;    // one unit a dot, so that text keeps its size

QString say(const char* text) { return QCoreApplication::translate("FigureExport", text); }

QString tableText(const PlotTable& table, QChar separator) {
    QStringList lines{table.columns.join(separator)};
    for (const auto& row : table.rows) {
        QStringList cells;
        for (const double value : row) {
            cells << (std::isfinite(value) ? QString::number(value, 'g', 10) : QString());
        }
        lines << cells.join(separator);
    }
    return lines.join(QLatin1Char('\n')) + QLatin1Char('\n');
}

QString csvHeader(const QString& text) {
    if (!text.contains(QLatin1Char(',')) && !text.contains(QLatin1Char('"'))) {
        return text;
    }
    QString quoted = text;
    return QLatin1Char('"') + quoted.replace(QLatin1Char('"'), QLatin1String("\"\"")) + QLatin1Char('"');
}

QByteArray pngOf(const Figure& figure) {
    QByteArray bytes;
    QBuffer buffer(&bytes);
    buffer.open(QIODevice::WriteOnly);
    figure.picture(kExportScale).save(&buffer, "PNG");
    return bytes;
}

QByteArray pdfOf(const Figure& figure) {
    QByteArray bytes;
    QBuffer buffer(&bytes);
    buffer.open(QIODevice::WriteOnly);
    QPdfWriter writer(&buffer);
    writer.setTitle(figure.name);
    writer.setResolution(kPdfResolution);
    writer.setPageSize(QPageSize(QSizeF(figure.size) / kPdfResolution, QPageSize::Inch));
    writer.setPageMargins(QMarginsF());
    figure.vectors(writer);
    return bytes;
}

void exportByDialog(QWidget* parent, const Figure& figure, const QString& suffix) {
    const QString folder = QStandardPaths::writableLocation(QStandardPaths::DocumentsLocation);
    const QString file =
        QFileDialog::getSaveFileName(parent, say("Export %1").arg(figure.name),
                                     QStringLiteral("%1/%2.%3").arg(folder, figure.name, suffix),
                                     QStringLiteral("%1 (*.%2)").arg(suffix.toUpper(), suffix));
    if (file.isEmpty()) {
        return;
    }
    QString error;
    const bool named = QFileInfo(file).suffix().compare(suffix, Qt::CaseInsensitive) == 0;
    if (!exportFigure(figure, named ? file : file + QLatin1Char('.') + suffix, &error)) {
        auto* box = new QMessageBox(QMessageBox::Warning, say("The figure could not be exported"), error,
                                    QMessageBox::Close, parent);
        box->setAttribute(Qt::WA_DeleteOnClose);
        box->open();
    }
}

}  // namespace

QString PlotTable::toCsv() const {
    PlotTable quoted = *this;
    for (QString& column : quoted.columns) {
        column = csvHeader(column);
    }
    return tableText(quoted, QLatin1Char(','));
}

QString PlotTable::toTsv() const { return tableText(*this, QLatin1Char('\t')); }

bool exportFigure(const Figure& figure, const QString& file, QString* error) {
    QString ignored;
    QString& message = error ? *error : ignored;
    const QString suffix = QFileInfo(file).suffix().toLower();
    QByteArray bytes;
    if (suffix == QLatin1String("csv")) {
        bytes = figure.table().toCsv().toUtf8();
    } else if (suffix == QLatin1String("png")) {
        bytes = pngOf(figure);
    } else if (suffix == QLatin1String("pdf")) {
        bytes = pdfOf(figure);
    } else {
        message = say("%1: expected a file name that ends in .png, .pdf or .csv").arg(file);
        return false;
    }
    try {
        writeTextFile(QFile::encodeName(file).toStdString(),
                      std::string_view(bytes.constData(), static_cast<std::size_t>(bytes.size())));
    } catch (const Error& failure) {
        message = QString::fromUtf8(failure.what());
        return false;
    }
    return true;
}

void addFigureActions(QMenu* menu, QWidget* parent, const Figure& figure) {
    menu->addAction(say("Copy picture"), parent,
                    [figure] { QApplication::clipboard()->setPixmap(figure.picture(kExportScale)); });
    menu->addAction(say("Copy data"), parent,
                    [figure] { QApplication::clipboard()->setText(figure.table().toTsv()); });
    menu->addSeparator();
    const auto add = [&](const QString& title, const QString& suffix) {
        menu->addAction(title, parent, [parent, figure, suffix] { exportByDialog(parent, figure, suffix); });
    };
    add(say("Export as PNG…"), QStringLiteral("png"));
    add(say("Export as PDF…"), QStringLiteral("pdf"));
    add(say("Export data as CSV…"), QStringLiteral("csv"));
}

}  // namespace eigenscope
