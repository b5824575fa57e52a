// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/benchmark/benchmark_plot.h"

#include "ui/model/units.h"
#include "ui/widgets/plot_legend.h"
#include "ui/widgets/theme.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace eigenscope {

namespace {

constexpr double kReach = 14.0;  // pixels from a point at which it is read out
// Values that lie further apart than this need a logarithmic axis to be told apart; on others zero is shown.
constexpr double kLinearRange = 30.0;
constexpr double kRoomBelow = 0.15;  // of a linear axis, for a line of small text

// Colours that are told apart with any colour vision (Okabe and Ito); the first two are the theme's.
QColor colourOf(int kind, const ThemeColours& colours) {
    const std::array<QColor, 6> kinds = {colours.key,
                                         colours.value,
                                         QColor(0x00, 0x9e, 0x73),
                                         QColor(0xcc, 0x79, 0xa7),
                                         QColor(0x56, 0xb4, 0xe9),
                                         colours.muted};
    return kinds[static_cast<std::size_t>(kind) % kinds.size()];
}

}  // namespace

BenchmarkPlot::BenchmarkPlot(const Theme& theme, QWidget* parent)
    : Plot(theme, QStringLiteral("benchmark"), parent),
      m_ceiling_name(new QCPItemText(this)),
      m_nothing(new QCPItemText(this)) {
    setMinimumSize(240, 180);
    xAxis->setLabel(tr("context, positions"));
    xAxis->setScaleType(QCPAxis::stLogarithmic);
    const QSharedPointer<QCPAxisTickerLog> powers(new QCPAxisTickerLog);
    powers->setLogBase(2);
    powers->setSubTickCount(0);
    xAxis->setTicker(powers);
    xAxis->setNumberFormat(QStringLiteral("f"));
    xAxis->setNumberPrecision(0);
    for (QCPAxis* axis : {xAxis, yAxis}) {
        axis->setLabelPadding(4);
    }
    m_ceiling_name->setPadding(QMargins(4, 2, 0, 2));
    m_nothing->position->setType(QCPItemPosition::ptAxisRectRatio);
    m_nothing->position->setCoords(0.5, 0.45);
    m_nothing->setText(tr("Not measured: prefill was off"));
    placeLegendBelow(*this);
    rebuild();
}

void BenchmarkPlot::setRecords(const std::vector<BenchmarkRecord>& records) {
    m_records = records;
    m_series = seriesOf(m_records);
    rebuild();
}

void BenchmarkPlot::setMeasure(BenchmarkMeasure measure) {
    m_measure = measure;
    rebuild();
}

void BenchmarkPlot::rebuild() {
    clearPlottables();
    m_curves.clear();
    setAxes();
    bool measured = false;
    for (const BenchmarkSeries& series : m_series) {
        m_curves.push_back(addCurve(series));
        measured = measured || m_curves.back().values->dataCount() > 0;
    }
    m_nothing->setVisible(!m_series.empty() && !measured);
    placeCeilingName();
    setAccessibleName(tr("%1 over context length").arg(wordsOf(m_measure).title));
    restyle();
    replot(rpQueuedReplot);
}

BenchmarkPlot::Curve BenchmarkPlot::addCurve(const BenchmarkSeries& series) {
    QVector<double> contexts, values, below, above, ceilings;
    for (const std::size_t point : series.points) {
        const BenchmarkRow& row = m_records[point].row;
        if (const auto value = valueOf(m_measure, row)) {
            contexts.append(static_cast<double>(row.context));
            values.append(value->value / m_unit.scale);
            below.append((value->value - value->least) / m_unit.scale);
            above.append((value->most - value->value) / m_unit.scale);
            if (value->ceiling) {
                ceilings.append(*value->ceiling / m_unit.scale);
            }
        }
    }
    Curve curve;
    if (!ceilings.isEmpty()) {
        curve.ceiling = addGraph();
        curve.ceiling->setData(contexts, ceilings, true);
        curve.ceiling->removeFromLegend();
    }
    curve.values = addGraph();
    curve.values->setName(series.name);
    curve.values->setData(contexts, values, true);
    if (std::any_of(above.begin(), above.end(), [](double part) { return part > 0.0; }) ||
        std::any_of(below.begin(), below.end(), [](double part) { return part > 0.0; })) {
        curve.bars = new QCPErrorBars(xAxis, yAxis);
        curve.bars->setDataPlottable(curve.values);
        curve.bars->setData(below, above);
        curve.bars->removeFromLegend();
    }
    return curve;
}

// Where no curve is: below the lowest line of times, or above the highest where that lies too near to zero;
// above the highest line of rates. At the end of the line from which it goes away from the name.
void BenchmarkPlot::placeCeilingName() {
    const QCPGraph *lowest = nullptr, *highest = nullptr;
    const auto front = [](const QCPGraph* line) { return line->dataMainValue(0); };
    const auto back = [](const QCPGraph* line) { return line->dataMainValue(line->dataCount() - 1); };
    const auto low = [&](const QCPGraph* line) { return std::min(front(line), back(line)); };
    const auto high = [&](const QCPGraph* line) { return std::max(front(line), back(line)); };
    for (const Curve& curve : m_curves) {
        if (curve.ceiling) {
            lowest = !lowest || low(curve.ceiling) < low(lowest) ? curve.ceiling : lowest;
            highest = !highest || high(curve.ceiling) > high(highest) ? curve.ceiling : highest;
        }
    }
    m_ceiling_name->setVisible(lowest != nullptr);
    if (!lowest) {
        return;
    }
    const bool room = yAxis->scaleType() == QCPAxis::stLogarithmic ||
                      low(lowest) > kRoomBelow * (yAxis->range().upper - yAxis->range().lower);
    const bool below = m_measure != BenchmarkMeasure::Throughput && room;
    const QCPGraph* line = below ? lowest : highest;
    const bool at_front = below == (front(line) < back(line));
    const int last = line->dataCount() - 1, at = at_front ? 0 : last;
    m_ceiling_name->setText(tr("ceiling: %1").arg(wordsOf(m_measure).ceiling));
    m_ceiling_name->setPositionAlignment((last == 0  ? Qt::AlignHCenter
                                          : at_front ? Qt::AlignLeft
                                                     : Qt::AlignRight) |
                                         (below ? Qt::AlignTop : Qt::AlignBottom));
    m_ceiling_name->position->setCoords(line->dataMainKey(at), line->dataMainValue(at));
}

void BenchmarkPlot::setAxes() {
    double least = std::numeric_limits<double>::infinity(), most = 0.0;
    double first = std::numeric_limits<double>::infinity(), last = 0.0;
    for (const BenchmarkRecord& record : m_records) {
        const auto context = static_cast<double>(record.row.context);
        first = std::min(first, context);
        last = std::max(last, context);
        if (const auto value = valueOf(m_measure, record.row)) {
            least = std::min({least, value->least, value->ceiling.value_or(value->least)});
            most = std::max({most, value->most, value->ceiling.value_or(value->most)});
        }
    }
    const bool known = most > 0.0 && least > 0.0 && std::isfinite(most);
    if (!known) {
        least = most = 1.0;
    }
    if (m_records.empty()) {
        first = last = 512.0;
    }
    m_unit = axisUnit(m_measure, most);
    const bool logarithmic = most / least > kLinearRange;
    yAxis->setScaleType(logarithmic ? QCPAxis::stLogarithmic : QCPAxis::stLinear);
    if (logarithmic) {
        yAxis->setTicker(QSharedPointer<QCPAxisTickerLog>::create());
    } else {
        yAxis->setTicker(QSharedPointer<QCPAxisTicker>::create());
    }
    yAxis->setNumberFormat(QStringLiteral("g"));
    yAxis->setNumberPrecision(6);
    yAxis->setLabel(logarithmic ? tr("%1, log").arg(m_unit.name) : m_unit.name);
    yAxis->setTickLabels(known);
    // A curve of one point stands in the middle.
    const double margin = first == last ? 2.0 : std::max(1.06, std::pow(last / first, 0.04));
    setHome(xAxis, first / margin, last * margin);
    setHome(yAxis, logarithmic ? least / m_unit.scale / 2.0 : 0.0,
            most / m_unit.scale * (logarithmic ? 2.0 : 1.15));
}

void BenchmarkPlot::restyle() {
    Plot::restyle();
    if (!m_nothing) {  // not from the base's constructor
        return;
    }
    const ThemeColours& colours = theme().colours();
    m_nothing->setColor(colours.muted);
    m_nothing->setFont(font());
    for (std::size_t i = 0; i < m_curves.size(); ++i) {
        style(m_curves[i], m_series[i]);
    }
    QFont small = font();
    small.setPixelSize(11);
    QColor behind = colours.panel;
    behind.setAlphaF(0.75F);
    m_ceiling_name->setColor(colours.muted);
    m_ceiling_name->setFont(small);
    m_ceiling_name->setBrush(behind);
    restyleLegend(*this, colours);
    wrapLegend(*this);
}

// Run, model and format decide the colour, the batch the mark.
void BenchmarkPlot::style(const Curve& curve, const BenchmarkSeries& series) const {
    static constexpr std::array kMarks = {QCPScatterStyle::ssDisc, QCPScatterStyle::ssSquare,
                                          QCPScatterStyle::ssDiamond, QCPScatterStyle::ssTriangle};
    const QColor colour = colourOf(series.kind, theme().colours());
    curve.values->setPen(QPen(colour, 1.8));
    curve.values->setScatterStyle(
        QCPScatterStyle(kMarks[static_cast<std::size_t>(series.batch) % kMarks.size()], colour,
                        series.batch == 0 ? colour : theme().colours().panel, 7));
    if (curve.ceiling) {
        QColor faint = colour;
        faint.setAlphaF(0.75F);
        curve.ceiling->setPen(QPen(faint, 1.4, Qt::DashLine));
    }
    if (curve.bars) {
        curve.bars->setPen(QPen(colour, 1.2));
    }
}

void BenchmarkPlot::resizeEvent(QResizeEvent* event) {
    wrapLegend(*this);
    Plot::resizeEvent(event);
}

QPointF BenchmarkPlot::positionOf(std::size_t record) const {
    const BenchmarkRow& row = m_records.at(record).row;
    const auto value = valueOf(m_measure, row);
    return {xAxis->coordToPixel(static_cast<double>(row.context)),
            value ? yAxis->coordToPixel(value->value / m_unit.scale) : -1e6};
}

QString BenchmarkPlot::readoutAt(const QPointF& position) const {
    double nearest = kReach;
    QString text;
    for (const BenchmarkSeries& series : m_series) {
        for (const std::size_t point : series.points) {
            const QPointF offset = positionOf(point) - position;
            const double distance = std::hypot(offset.x(), offset.y());
            if (distance >= nearest) {
                continue;
            }
            nearest = distance;
            const BenchmarkRow& row = m_records[point].row;
            const MeasuredValue value = *valueOf(m_measure, row);
            text = tr("%1 · context %L2 · %3")
                       .arg(series.name)
                       .arg(row.context)
                       .arg(valueText(m_measure, value.value));
            if (value.most > value.least) {
                text += tr(" (%1 to %2)")
                            .arg(valueText(m_measure, value.least), valueText(m_measure, value.most));
            }
            if (value.ceiling) {
                text += tr(" · ceiling %1").arg(valueText(m_measure, *value.ceiling));
            }
        }
    }
    return text;
}

PlotTable BenchmarkPlot::table() const {
    PlotTable table;
    table.columns = {QStringLiteral("context")};
    std::vector<std::int64_t> contexts;
    for (const BenchmarkRecord& record : m_records) {
        contexts.push_back(record.row.context);
    }
    std::sort(contexts.begin(), contexts.end());
    contexts.erase(std::unique(contexts.begin(), contexts.end()), contexts.end());
    const QString quantity = QStringLiteral("%1 %2").arg(wordsOf(m_measure).segment, m_unit.name);
    for (const BenchmarkSeries& series : m_series) {
        for (const char* part : {"", " min", " max", " ceiling"}) {
            table.columns << QStringLiteral("%1: %2%3").arg(series.name, quantity, QLatin1String(part));
        }
    }
    for (const std::int64_t context : contexts) {
        QVector<double> line(table.columns.size(), std::numeric_limits<double>::quiet_NaN());
        line[0] = static_cast<double>(context);
        for (std::size_t s = 0; s < m_series.size(); ++s) {
            for (const std::size_t point : m_series[s].points) {
                const auto value = valueOf(m_measure, m_records[point].row);
                if (value && m_records[point].row.context == context) {
                    const auto at = static_cast<qsizetype>(1 + 4 * s);
                    line[at] = value->value / m_unit.scale;
                    line[at + 1] = value->least / m_unit.scale;
                    line[at + 2] = value->most / m_unit.scale;
                    line[at + 3] = value->ceiling ? *value->ceiling / m_unit.scale : line[at + 3];
                }
            }
        }
        table.rows.append(line);
    }
    return table;
}

}  // namespace eigenscope
