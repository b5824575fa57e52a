// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/export/spectrum_png.h"

#include "core/base/atomic_output.h"
#include "kernels/api/error.h"
#include "ui/widgets/plot_widget.h"
#include "ui/workspaces/spectrum/spectrum_view.h"

#include <QBuffer>
#include <QCoreApplication>

#include <algorithm>

namespace eigenscope {

namespace {

// In units of the figure; the picture has kScale pixels for each.
constexpr int kWidth = 1000, kHeight = 420;
constexpr double kScale = 2.0;

// The window's light palette: a figure is for paper.
const QColor kText(0x1d2430), kMuted(0x6b7585), kLine(0xdfe3ea);
const QColor kKey(0x2f6bd8), kKeyWash(0xdbe7fb), kValue(0xd9822b), kValueWash(0xfae7d2);

QString label(const char* text) { return QCoreApplication::translate("SpectrumFigure", text); }

void styleAxis(QCPAxis* axis, const QFont& small, const QString& title) {
    axis->setVisible(true);
    axis->setTickLabels(true);
    axis->setBasePen(Qt::NoPen);
    axis->setTickPen(Qt::NoPen);
    axis->setSubTickPen(Qt::NoPen);
    axis->setTickLabelFont(small);
    axis->setLabelFont(small);
    axis->setTickLabelColor(kMuted);
    axis->setLabelColor(kMuted);
    axis->setLabel(title);
    axis->grid()->setPen(QPen(kLine, 1));
    axis->grid()->setZeroLinePen(QPen(kLine, 1));
}

void drawSide(PlotWidget& plot, int column, const Spectrum& spectrum, int layer, Side side, double floor) {
    const SpectrumCurve curve = spectrumCurve(spectrum, layer, side, -1, Criterion::Energy);
    QFont small = plot.font();
    small.setPixelSize(11);
    QFont bold = plot.font();
    bold.setPixelSize(13);
    bold.setWeight(QFont::DemiBold);
    const QString heads =
        spectrum.heads() == 1 ? label("1 head") : label("%1 heads, mean and spread").arg(spectrum.heads());
    auto* title =
        new QCPTextElement(&plot, label("Layer %1 · %2 · %3").arg(layer).arg(sideName(side), heads), bold);
    title->setTextColor(kText);
    plot.plotLayout()->addElement(0, column, title);
    auto* area = new QCPAxisRect(&plot, true);
    plot.plotLayout()->addElement(1, column, area);
    QCPAxis* x = area->axis(QCPAxis::atBottom);
    QCPAxis* left = area->axis(QCPAxis::atLeft);
    QCPAxis* right = area->axis(QCPAxis::atRight);
    styleAxis(x, small, label("rank"));
    styleAxis(left, small, label("eigenvalue / largest"));
    styleAxis(right, small, label("energy kept (dashed)"));
    x->grid()->setVisible(false);
    left->setScaleType(QCPAxis::stLogarithmic);
    left->setTicker(QSharedPointer<QCPAxisTickerLog>::create());
    left->setNumberFormat(QStringLiteral("eb"));
    left->setNumberPrecision(0);
    x->setRange(0, spectrum.basisWidth());
    left->setRange(floor, 1.0);
    right->setRange(0.0, 1.0);
    right->setNumberFormat(QStringLiteral("f"));
    right->setNumberPrecision(1);
    auto ticker = QSharedPointer<QCPAxisTickerFixed>::create();
    ticker->setTickStep(std::max(1, spectrum.basisWidth() / 8));
    ticker->setScaleStrategy(QCPAxisTickerFixed::ssMultiples);
    ticker->setTickCount(9);
    x->setTicker(ticker);

    const auto raised = [floor](QVector<double> values) {
        for (double& value : values) {
            value = std::max(value, floor * 1e-2);  // zeros would break a logarithmic line
        }
        return values;
    };
    const bool keys = side == Side::Keys;
    auto* low = plot.addGraph(x, left);
    auto* high = plot.addGraph(x, left);
    auto* kept = plot.addGraph(x, right);
    auto* mean = plot.addGraph(x, left);
    low->setData(curve.index, raised(curve.low), true);
    high->setData(curve.index, raised(curve.high), true);
    mean->setData(curve.index, raised(curve.mean), true);
    kept->setData(curve.rank, curve.kept, true);
    low->setPen(Qt::NoPen);
    high->setPen(Qt::NoPen);
    high->setBrush(keys ? kKeyWash : kValueWash);
    high->setChannelFillGraph(low);
    mean->setPen(QPen(keys ? kKey : kValue, 2.0));
    QPen dashed(kMuted, 1.4);
    dashed.setDashPattern({4.0, 3.0});
    kept->setPen(dashed);
}

}  // namespace

bool renderSpectrumPng(const Spectrum& spectrum, int layer, const std::string& file, std::string* error) {
    std::string ignored;
    std::string& message = error ? *error : ignored;
    if (layer < 0 || layer >= spectrum.layers()) {
        message =
            "layer " + std::to_string(layer) + ": expected 0 to " + std::to_string(spectrum.layers() - 1);
        return false;
    }
    // Both sides share the scale, so that they can be compared.
    const double floor =
        logFloor(std::min(spectrumCurve(spectrum, layer, Side::Keys, -1, Criterion::Energy).least,
                          spectrumCurve(spectrum, layer, Side::Values, -1, Criterion::Energy).least));
    PlotWidget plot;
    plot.setNotAntialiasedElements(QCP::aeAxes | QCP::aeGrid);
    plot.plotLayout()->clear();
    plot.plotLayout()->setColumnSpacing(24);
    plot.setBackground(QBrush(Qt::white));
    drawSide(plot, 0, spectrum, layer, Side::Keys, floor);
    drawSide(plot, 1, spectrum, layer, Side::Values, floor);

    QByteArray bytes;
    QBuffer buffer(&bytes);
    buffer.open(QIODevice::WriteOnly);
    if (!plot.toPixmap(kWidth, kHeight, kScale).save(&buffer, "PNG")) {
        message = file + ": cannot encode the picture";
        return false;
    }
    try {
        writeTextFile(file, std::string_view(bytes.constData(), static_cast<std::size_t>(bytes.size())));
    } catch (const Error& failure) {
        message = failure.what();
        return false;
    }
    return true;
}

}  // namespace eigenscope
