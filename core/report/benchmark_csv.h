// SPDX-License-Identifier: Apache-2.0
// Benchmark rows as comma-separated values. Pure functions.
#pragma once

#include "core/benchmark/benchmark.h"

#include <string>
#include <vector>

namespace eigenscope {

// A line a row, times in milliseconds, rates in bytes and operations a second, fractions of 1:
// model,context,batch,new_tokens,kv_format,compute,ttft_ms,ttft_ms_min,ttft_ms_max,tpot_ms,...,
// matmul_flops_per_second. What was not measured is empty.
std::string benchmarkCsv(const std::vector<BenchmarkRow>& rows);

}  // namespace eigenscope
