// SPDX-License-Identifier: GPL-3.0-or-later
// What the benchmark's plot can show of a row: names, values with their spread, what the hardware allows at
// best, units. Pure functions.
#pragma once

#include "core/benchmark/benchmark.h"

#include <QString>

#include <optional>

namespace eigenscope {

enum class BenchmarkMeasure { Tpot, Ttft, Attention, Throughput, KvCache, PeakMemory };
inline constexpr BenchmarkMeasure kBenchmarkMeasures[] = {
    BenchmarkMeasure::Tpot,       BenchmarkMeasure::Ttft,    BenchmarkMeasure::Attention,
    BenchmarkMeasure::Throughput, BenchmarkMeasure::KvCache, BenchmarkMeasure::PeakMemory};

struct MeasureWords {
    QString segment;  // "TPOT"
    QString title;    // "Time per output token"
    QString tip;      // what it is and how it is measured
    QString ceiling;  // the dashed line; empty: there is none
};
MeasureWords wordsOf(BenchmarkMeasure measure);

struct MeasuredValue {
    double value = 0.0, least = 0.0, most = 0.0;  // median and ends of the repetitions; seconds, bytes, 1/s
    std::optional<double> ceiling;                // the same unit
};
// Empty when it was not measured.
std::optional<MeasuredValue> valueOf(BenchmarkMeasure measure, const BenchmarkRow& row);
QString valueText(BenchmarkMeasure measure, double value);  // "11.2 ms", "306 KiB", "83.1 tokens/s"

// The unit that suits an axis up to `most`.
struct AxisUnit {
    double scale = 1.0;  // of one unit
    QString name;        // "ms"
};
AxisUnit axisUnit(BenchmarkMeasure measure, double most);

}  // namespace eigenscope
