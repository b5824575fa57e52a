// SPDX-License-Identifier: GPL-3.0-or-later
// One measure of the benchmark over context length: a curve for each run, model, format and batch, bars from
// the least to the most of the repetitions, and, dashed in the same colour, what the hardware's ceilings
// leave at best. GUI thread.
#pragma once

#include "ui/widgets/plot.h"
#include "ui/workspaces/benchmark/benchmark_measure.h"
#include "ui/workspaces/benchmark/benchmark_series.h"

#include <vector>

namespace eigenscope {

class BenchmarkPlot : public Plot {
    Q_OBJECT
public:
    explicit BenchmarkPlot(const Theme& theme, QWidget* parent = nullptr);

    void setRecords(const std::vector<BenchmarkRecord>& records);
    void setMeasure(BenchmarkMeasure measure);
    BenchmarkMeasure measure() const { return m_measure; }
    PlotTable table() const override;

    // For tests: what is drawn of a series; null where the measure has none.
    int curves() const { return static_cast<int>(m_curves.size()); }
    const QCPGraph* curve(int series) const { return m_curves.at(static_cast<std::size_t>(series)).values; }
    const QCPGraph* ceiling(int series) const {
        return m_curves.at(static_cast<std::size_t>(series)).ceiling;
    }
    const QCPErrorBars* spread(int series) const {
        return m_curves.at(static_cast<std::size_t>(series)).bars;
    }
    double unit() const { return m_unit.scale; }   // of the value axis
    QPointF positionOf(std::size_t record) const;  // pixels

protected:
    void restyle() override;
    QString readoutAt(const QPointF& position) const override;
    void resizeEvent(QResizeEvent* event) override;

private:
    struct Curve {
        QCPGraph *values = nullptr, *ceiling = nullptr;
        QCPErrorBars* bars = nullptr;
    };
    void rebuild();
    Curve addCurve(const BenchmarkSeries& series);
    void placeCeilingName();
    void setAxes();
    void style(const Curve& curve, const BenchmarkSeries& series) const;

    BenchmarkMeasure m_measure = BenchmarkMeasure::Tpot;
    std::vector<BenchmarkRecord> m_records;
    std::vector<BenchmarkSeries> m_series;
    std::vector<Curve> m_curves;            // [series]
    QCPItemText* m_ceiling_name = nullptr;  // beside a dashed line, for all of them
    QCPItemText* m_nothing = nullptr;       // says that the measure was not taken
    AxisUnit m_unit;
};

}  // namespace eigenscope
