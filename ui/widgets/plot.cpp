// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/plot.h"

#include "ui/widgets/theme.h"

#include <QApplication>
#include <QBuffer>
#include <QClipboard>
#include <QFileDialog>
#include <QFileInfo>
#include <QMenu>
#include <QMessageBox>
#include <QPdfWriter>
#include <QSaveFile>
#include <QStandardPaths>

#include <cmath>

namespace eigenscope {

namespace {

constexpr double kExportScale = 2.0;  // device pixels a unit in PNG exports and pictures
constexpr int kPdfResolution = 96;    // one plot unit a dot, so that text keeps its size
constexpr int kFocusInset = 1;

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

}  // namespace

QString PlotTable::toCsv() const {
    PlotTable quoted = *this;
    for (QString& column : quoted.columns) {
        column = csvHeader(column);
    }
    return tableText(quoted, QLatin1Char(','));
}

QString PlotTable::toTsv() const { return tableText(*this, QLatin1Char('\t')); }

Plot::Plot(const Theme& theme, const QString& name, QWidget* parent)
    : PlotWidget(parent), m_theme(theme), m_name(name) {
    setAccessibleName(name);
    setMouseTracking(true);
    setFocusPolicy(Qt::StrongFocus);
    setInteractions(QCP::iRangeDrag | QCP::iRangeZoom);
    setNotAntialiasedElements(QCP::aeAxes | QCP::aeGrid);
    setNoAntialiasingOnDrag(false);
    axisRect()->setRangeZoomFactor(0.85);
    for (QCPAxis* axis : {xAxis, yAxis, xAxis2, yAxis2}) {
        axis->setTickLength(0);
        axis->setSubTickLength(0);
        axis->setTickLabelPadding(6);
        axis->setSelectableParts(QCPAxis::spNone);
    }
    xAxis->grid()->setVisible(false);
    setSelectionRect(new QCPSelectionRect(this));
    connect(&theme, &Theme::changed, this, [this] {
        restyle();
        replot(QCustomPlot::rpQueuedReplot);
    });
    Plot::restyle();
}

void Plot::restyle() {
    const ThemeColours& colours = m_theme.colours();
    setBackground(QBrush(colours.panel));
    QFont small = font();
    small.setPixelSize(11);
    for (QCPAxis* axis : {xAxis, yAxis, xAxis2, yAxis2}) {
        axis->setBasePen(Qt::NoPen);
        axis->setTickPen(Qt::NoPen);
        axis->setSubTickPen(Qt::NoPen);
        axis->setTickLabelColor(colours.muted);
        axis->setTickLabelFont(small);
        axis->setLabelColor(colours.muted);
        axis->setLabelFont(small);
        axis->grid()->setPen(QPen(colours.line, 1));
        axis->grid()->setZeroLinePen(QPen(colours.line, 1));
    }
    QColor wash = colours.key;
    wash.setAlpha(40);
    selectionRect()->setPen(QPen(colours.key, 1));
    selectionRect()->setBrush(wash);
}

QString Plot::readoutAt(const QPointF&) const { return {}; }

void Plot::prepareContextMenu(const QPoint&) {}

void Plot::setHome(QCPAxis* axis, double lower, double upper) {
    const QCPRange home(lower, upper);
    if (!m_home.contains(axis)) {
        connect(axis, qOverload<const QCPRange&>(&QCPAxis::rangeChanged), this,
                [this, axis](const QCPRange& range) {
                    if (!m_bounding) {
                        m_bounding = true;
                        const QCPRange& home = m_home[axis];
                        axis->setRange(range.bounded(home.lower, home.upper));
                        m_bounding = false;
                    }
                });
    }
    m_home[axis] = home;
    axis->setRange(home);
}

void Plot::resetView() {
    for (auto it = m_home.cbegin(); it != m_home.cend(); ++it) {
        it.key()->setRange(it.value());
    }
    if (m_home.isEmpty()) {
        rescaleAxes();
    }
    replot(QCustomPlot::rpQueuedReplot);
}

bool Plot::zoomed() const {
    for (auto it = m_home.cbegin(); it != m_home.cend(); ++it) {
        // A thousandth: bounding a range may move its ends by rounding.
        if (it.key()->range().size() < it.value().size() * 0.999) {
            return true;
        }
    }
    return false;
}

void Plot::mousePressEvent(QMouseEvent* event) {
    const bool rubber_band = event->button() == Qt::LeftButton && (event->modifiers() & Qt::ShiftModifier);
    setSelectionRectMode(rubber_band ? QCP::srmZoom : QCP::srmNone);
    PlotWidget::mousePressEvent(event);
}

void Plot::mouseMoveEvent(QMouseEvent* event) {
    PlotWidget::mouseMoveEvent(event);
    emit readout(readoutAt(event->position()));
}

void Plot::mouseReleaseEvent(QMouseEvent* event) {
    PlotWidget::mouseReleaseEvent(event);
    setSelectionRectMode(QCP::srmNone);
}

void Plot::mouseDoubleClickEvent(QMouseEvent* event) {
    PlotWidget::mouseDoubleClickEvent(event);
    if (event->button() == Qt::LeftButton) {
        resetView();
    }
}

void Plot::leaveEvent(QEvent* event) {
    PlotWidget::leaveEvent(event);
    emit readout({});
}

void Plot::focusInEvent(QFocusEvent* event) {
    PlotWidget::focusInEvent(event);
    m_focus_shown = event->reason() != Qt::MouseFocusReason && event->reason() != Qt::PopupFocusReason;
    update();
}

void Plot::focusOutEvent(QFocusEvent* event) {
    PlotWidget::focusOutEvent(event);
    m_focus_shown = false;
    update();
}

void Plot::paintEvent(QPaintEvent* event) {
    PlotWidget::paintEvent(event);
    if (m_focus_shown) {
        QPainter painter(this);
        painter.setRenderHint(QPainter::Antialiasing);
        painter.setPen(QPen(m_theme.colours().key, 1.5));
        painter.drawRoundedRect(QRectF(rect()).adjusted(kFocusInset, kFocusInset, -kFocusInset, -kFocusInset),
                                5, 5);
    }
}

void Plot::contextMenuEvent(QContextMenuEvent* event) {
    m_extra_actions.clear();
    prepareContextMenu(event->pos());
    auto* menu = new QMenu(this);
    menu->setAttribute(Qt::WA_DeleteOnClose);
    for (QAction* action : m_extra_actions) {
        action->setParent(menu);
        menu->addAction(action);
    }
    if (!m_extra_actions.isEmpty()) {
        menu->addSeparator();
    }
    menu->addAction(tr("Reset zoom"), this, &Plot::resetView)->setEnabled(zoomed());
    menu->addSeparator();
    menu->addAction(tr("Copy picture"), this, &Plot::copyPicture);
    menu->addAction(tr("Copy data"), this, &Plot::copyData);
    menu->addSeparator();
    menu->addAction(tr("Export as PNG…"), this, [this] { exportByDialog(QStringLiteral("png")); });
    menu->addAction(tr("Export as PDF…"), this, [this] { exportByDialog(QStringLiteral("pdf")); });
    menu->addAction(tr("Export data as CSV…"), this, [this] { exportByDialog(QStringLiteral("csv")); });
    menu->popup(event->globalPos());
}

void Plot::copyPicture() { QApplication::clipboard()->setPixmap(toPixmap(0, 0, kExportScale)); }

void Plot::copyData() const { QApplication::clipboard()->setText(table().toTsv()); }

void Plot::exportByDialog(const QString& suffix) {
    const QString folder = QStandardPaths::writableLocation(QStandardPaths::DocumentsLocation);
    const QString file = QFileDialog::getSaveFileName(
        this, tr("Export %1").arg(m_name), QStringLiteral("%1/%2.%3").arg(folder, m_name, suffix),
        QStringLiteral("%1 (*.%2)").arg(suffix.toUpper(), suffix));
    if (file.isEmpty()) {
        return;
    }
    QString error;
    const bool named = QFileInfo(file).suffix().compare(suffix, Qt::CaseInsensitive) == 0;
    if (!exportTo(named ? file : file + QLatin1Char('.') + suffix, &error)) {
        auto* box = new QMessageBox(QMessageBox::Warning, tr("The plot could not be exported"), error,
                                    QMessageBox::Close, this);
        box->setAttribute(Qt::WA_DeleteOnClose);
        box->open();
    }
}

bool Plot::exportTo(const QString& file, QString* error) {
    QString ignored;
    QString& message = error ? *error : ignored;
    const QString suffix = QFileInfo(file).suffix().toLower();
    QByteArray bytes;
    if (suffix == QLatin1String("csv")) {
        bytes = table().toCsv().toUtf8();
    } else if (suffix == QLatin1String("png")) {
        QBuffer buffer(&bytes);
        buffer.open(QIODevice::WriteOnly);
        toPixmap(0, 0, kExportScale).save(&buffer, "PNG");
    } else if (suffix == QLatin1String("pdf")) {
        QBuffer buffer(&bytes);
        buffer.open(QIODevice::WriteOnly);
        QPdfWriter writer(&buffer);
        writer.setTitle(m_name);
        writer.setResolution(kPdfResolution);
        writer.setPageSize(QPageSize(QSizeF(size()) / kPdfResolution, QPageSize::Inch));
        writer.setPageMargins(QMarginsF());
        QCPPainter painter(&writer);
        painter.setMode(QCPPainter::pmVectorized);
        painter.setMode(QCPPainter::pmNoCaching);
        toPainter(&painter, width(), height());
    } else {
        message = tr("%1: expected a file name that ends in .png, .pdf or .csv").arg(file);
        return false;
    }
    // Written beside the target and renamed, so that a full disk leaves no half file.
    QSaveFile output(file);
    if (!output.open(QIODevice::WriteOnly) || output.write(bytes) != bytes.size() || !output.commit()) {
        message = tr("%1: cannot write: %2").arg(file, output.errorString());
        return false;
    }
    return true;
}

}  // namespace eigenscope
