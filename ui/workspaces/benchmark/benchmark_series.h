// SPDX-License-Identifier: GPL-3.0-or-later
// Benchmark results as curves over context length: one for each run, model, KV format and batch. Pure
// functions.
#pragma once

#include "core/model/kv_format.h"
#include "ui/model/benchmark_run.h"

#include <QString>

#include <vector>

namespace eigenscope {

struct BenchmarkSeries {
    QString name;  // "llama-stories · f16 · batch 1"; with the run where that is not unique
    std::vector<std::size_t> points;  // indices of records, by context
    int kind = 0;                     // counts runs, models and formats: colours
    int batch = 0;                    // counts batches: marks
};
// In the order in which they were measured.
std::vector<BenchmarkSeries> seriesOf(const std::vector<BenchmarkRecord>& records);

// As the boxes call a format, with how codes are grouped where that is not the default.
QString benchmarkFormatText(const KvFormat& format);

}  // namespace eigenscope
