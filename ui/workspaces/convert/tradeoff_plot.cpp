// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/convert/tradeoff_plot.h"

#include "ui/model/units.h"
#include "ui/widgets/plot_legend.h"
#include "ui/widgets/theme.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace eigenscope {

namespace {

// Losses below this are drawn at it: a likelihood that rose has no logarithm.
constexpr double kLeastShown = 1e-5;
constexpr double kReach = 12.0;  // pixels from a point at which it is read out

double shown(double loss) { return std::isfinite(loss) ? std::max(loss, kLeastShown) : 1e3; }

}  // namespace

TradeoffPlot::TradeoffPlot(const Theme& theme, QWidget* parent)
    : Plot(theme, QStringLiteral("trade-off"), parent),
      m_plan_line(new QCPItemStraightLine(this)),
      m_plan_text(new QCPItemText(this)) {
    setAccessibleName(tr("Nats lost over KV ratio"));
    setMinimumSize(240, 180);
    xAxis->setLabel(tr("KV ratio"));
    yAxis->setLabel(tr("nats lost a token"));
    yAxis->setScaleType(QCPAxis::stLogarithmic);
    yAxis->setTicker(QSharedPointer<QCPAxisTickerLog>::create());
    yAxis->setNumberFormat(QStringLiteral("eb"));
    yAxis->setNumberPrecision(0);
    for (QCPAxis* axis : {xAxis, yAxis}) {
        axis->setLabelPadding(4);
    }
    m_plan_text->setText(tr("plan"));
    m_plan_text->setPositionAlignment(Qt::AlignLeft | Qt::AlignTop);
    m_plan_text->position->setTypeX(QCPItemPosition::ptPlotCoords);
    m_plan_text->position->setTypeY(QCPItemPosition::ptAxisRectRatio);
    m_plan_text->setPadding(QMargins(4, 2, 0, 0));
    placeLegendBelow(*this);
    setPlanRatio(1.0);
    setPoints({}, {});
    TradeoffPlot::restyle();
}

// What bases a curve has decides its colour: the published method and the plain cache, which are what others
// are held against, stay grey and black; the others' colours are told apart with any colour vision (Okabe and
// Ito).
QColor TradeoffPlot::colour(const TradeoffCurve& curve) const {
    const ThemeColours& c = theme().colours();
    if (curve.plain()) {
        return c.text;
    }
    if (curve == m_curves.front()) {
        return c.muted;
    }
    const bool published = curve.method == "eigen", shared = curve.options.head_group > 1;
    return published ? (shared ? QColor(0xcc, 0x79, 0xa7) : c.key)
                     : (shared ? QColor(0x00, 0x9e, 0x73) : c.value);
}

// How ranks are shared out decides the line, mixtures with bits the marks.
void TradeoffPlot::style(QCPGraph* graph, const TradeoffCurve& curve) const {
    const QColor of = colour(curve);
    const bool reference = curve.plain() || curve == m_curves.front();
    const Qt::PenStyle line = reference || curve.allocation == Allocation::Sensitivity ? Qt::SolidLine
                              : curve.allocation == Allocation::ErrorBudget            ? Qt::DashDotLine
                                                                                       : Qt::DotLine;
    graph->setPen(QPen(of, curve.mixed_bits ? 2.6 : curve.refit ? 1.2 : 1.8, line));
    const auto mark = curve.plain()      ? QCPScatterStyle::ssSquare
                      : curve.mixed_bits ? QCPScatterStyle::ssDiamond
                      : curve.refit      ? QCPScatterStyle::ssCircle
                                         : QCPScatterStyle::ssDisc;
    graph->setScatterStyle(QCPScatterStyle(
        mark, of, curve.plain() || curve.refit ? theme().colours().panel : of, curve.mixed_bits ? 9 : 7));
}

void TradeoffPlot::setPoints(const std::vector<TradeoffCurve>& curves,
                             const std::vector<TradeoffPoint>& points) {
    m_curves = curves;
    m_points = points;
    rebuild();
}

void TradeoffPlot::setExpected(const QString& name, const std::vector<FrontPoint>& front) {
    m_expected_name = name;
    m_expected = front;
    rebuild();
}

void TradeoffPlot::rebuild() {
    clearPlottables();
    double least = 1e-2, most = 1e-1, smallest = 0.5;
    for (std::size_t c = 0; c < m_curves.size(); ++c) {
        QVector<double> ratios, losses, errors;
        for (const TradeoffPoint& point : m_points) {
            if (point.curve == c) {
                ratios.append(point.kv_ratio);
                losses.append(shown(point.nats_lost));
                errors.append(std::isfinite(point.standard_error) ? point.standard_error : 0.0);
                least = std::min(least, losses.constLast());
                most = std::max(most, losses.constLast());
                smallest = std::min(smallest, point.kv_ratio);
            }
        }
        QCPGraph* graph = addGraph();
        graph->setName(QString::fromStdString(m_curves[c].name)
                           .replace(QLatin1String(" heads a latent"), tr(" heads"))
                           .replace(QLatin1String("mixed bits"), tr("bits")));
        graph->setData(ratios, losses);
        auto* bars = new QCPErrorBars(xAxis, yAxis);
        bars->setDataPlottable(graph);
        bars->setData(errors);
        bars->removeFromLegend();
    }
    if (!m_expected.empty()) {
        QVector<double> ratios, losses;
        for (const FrontPoint& point : m_expected) {
            // What loses nothing to be seen ends the line; what was measured sets the scale.
            if (point.divergence < kLeastShown && !losses.isEmpty()) {
                break;
            }
            ratios.append(point.kv_ratio);
            losses.append(shown(point.divergence));
        }
        smallest = std::min(smallest, std::max(ratios.constFirst(), 0.1));
        most = std::max(most, std::min(losses.constFirst(), 1.0));
        QCPGraph* graph = addGraph();
        graph->setName(m_expected_name);
        graph->setData(ratios, losses);
    }
    setHome(xAxis, std::floor(smallest * 10.0) / 10.0, 1.0);
    setHome(yAxis, std::pow(10.0, std::floor(std::log10(least))),
            std::pow(10.0, std::ceil(std::log10(most))));
    restyle();
    replot(rpQueuedReplot);
}

void TradeoffPlot::setPlanRatio(double ratio) {
    m_plan_line->point1->setCoords(ratio, 1.0);
    m_plan_line->point2->setCoords(ratio, 10.0);
    m_plan_text->position->setCoords(ratio, 0.0);
    replot(rpQueuedReplot);
}

void TradeoffPlot::restyle() {
    Plot::restyle();
    if (!m_plan_text) {  // not from the base's constructor
        return;
    }
    const ThemeColours& c = theme().colours();
    QFont small = font();
    small.setPixelSize(11);
    m_plan_line->setPen(QPen(c.text, 1.2, Qt::DotLine));
    m_plan_text->setColor(c.text);
    m_plan_text->setFont(small);
    restyleLegend(*this, c);
    for (int i = 0; i < graphCount(); ++i) {
        if (static_cast<std::size_t>(i) < m_curves.size()) {
            style(graph(i), m_curves[static_cast<std::size_t>(i)]);
        } else {  // the expected one
            graph(i)->setPen(QPen(c.text, 1.4, Qt::DashLine));
        }
    }
    for (int i = 0; i < plottableCount(); ++i) {
        if (auto* bars = qobject_cast<QCPErrorBars*>(plottable(i))) {
            QColor faint = bars->dataPlottable()->pen().color();  // many lie on each other
            faint.setAlphaF(0.45F);
            bars->setPen(QPen(faint, 1.0));
        }
    }
    wrapLegend(*this);
}

void TradeoffPlot::resizeEvent(QResizeEvent* event) {
    wrapLegend(*this);
    Plot::resizeEvent(event);
}

QPointF TradeoffPlot::positionOf(std::size_t point) const {
    return {xAxis->coordToPixel(m_points.at(point).kv_ratio),
            yAxis->coordToPixel(shown(m_points.at(point).nats_lost))};
}

QString TradeoffPlot::readoutAt(const QPointF& position) const {
    double nearest = kReach;
    QString text;
    for (std::size_t i = 0; i < m_points.size(); ++i) {
        const QPointF offset = positionOf(i) - position;
        const double distance = std::hypot(offset.x(), offset.y());
        if (distance < nearest) {
            nearest = distance;
            const TradeoffPoint& point = m_points[i];
            text = tr("%1%7 · KV ratio %2 · %3 nats lost (± %4) · perplexity %5 · %6 a token")
                       .arg(QString::fromStdString(m_curves[point.curve].name), ratioText(point.kv_ratio),
                            QLocale().toString(point.nats_lost, 'g', 3),
                            std::isfinite(point.standard_error)
                                ? QLocale().toString(point.standard_error, 'g', 2)
                                : tr("unknown"),
                            QLocale().toString(point.perplexity, 'g', 5),
                            bytesText(static_cast<double>(point.bytes_per_token)),
                            point.bits.empty() ? QString()
                                               : tr(" · %1").arg(QString::fromStdString(point.bits.text())));
        }
    }
    return text;
}

PlotTable TradeoffPlot::table() const {
    PlotTable table;
    table.columns = {QStringLiteral("target")};
    for (const TradeoffCurve& curve : m_curves) {
        for (const char* column : {"kv_ratio", "perplexity", "nats_lost", "standard_error"}) {
            table.columns << QStringLiteral("%1 %2").arg(QString::fromStdString(curve.name),
                                                         QLatin1String(column));
        }
    }
    if (!m_expected.empty()) {
        table.columns << QStringLiteral("expected kv_ratio") << QStringLiteral("expected KL divergence");
    }
    std::vector<double> targets;
    for (const TradeoffPoint& point : m_points) {
        targets.push_back(point.target);
    }
    std::sort(targets.begin(), targets.end(), std::greater<>());
    targets.erase(std::unique(targets.begin(), targets.end()), targets.end());
    for (const double target : targets) {
        QVector<double> row(table.columns.size(), std::numeric_limits<double>::quiet_NaN());
        row[0] = target;
        for (const TradeoffPoint& point : m_points) {
            if (point.target == target) {
                const auto at = static_cast<qsizetype>(1 + 4 * point.curve);
                row[at] = point.kv_ratio;
                row[at + 1] = point.perplexity;
                row[at + 2] = point.nats_lost;
                row[at + 3] = point.standard_error;
            }
        }
        table.rows.append(row);
    }
    for (const FrontPoint& point : m_expected) {  // ratios of its own, in rows below
        QVector<double> row(table.columns.size(), std::numeric_limits<double>::quiet_NaN());
        row[row.size() - 2] = point.kv_ratio;
        row[row.size() - 1] = point.divergence;
        table.rows.append(row);
    }
    return table;
}

}  // namespace eigenscope
