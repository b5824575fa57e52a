// SPDX-License-Identifier: Apache-2.0
// Measures each layer's output error along the path of ranks that one threshold takes: what allocation
// `error-budget` (core/spectrum/error_budget.h) reads its ranks from.
#pragma once

#include "core/base/job_context.h"
#include "core/calibration/statistics.h"
#include "core/generation/generate.h"
#include "core/model/model.h"
#include "core/spectrum/spectrum.h"

#include <vector>

namespace eigenscope {

// ||O - O'||_F / ||O||_F of each decoder layer's output over all tokens of the windows (of one length), both
// layers given the original's input (Eigen Attention, arXiv 2408.05646, Algorithm 1), at `points` ranks of
// errorPath(). Costs about as much as running the windows through the model points + 2 times. On the host it
// holds one layer's inputs and outputs, 8 bytes * tokens * hidden size.
LayerErrorTable measureErrorTable(JobContext& job, const OpenModel& original, const Statistics& statistics,
                                  const Spectrum& spectrum, Criterion criterion,
                                  const std::vector<std::vector<TokenId>>& windows, int points,
                                  const RunOptions& run);

// The tables of every method that the statistics have the moments for, with bases of each head's own, and
// of the usual head group where that is another, and the energy criterion, measured on the statistics' probe
// windows: so that a budget can be planned with straight after calibration.
void measureErrorTables(JobContext& job, const OpenModel& original, Statistics& statistics, int points,
                        const RunOptions& run);
// Points that calibration measures: a table costs about a tenth of calibrating on the default windows.
constexpr int kCalibrationErrorPoints = 8;

}  // namespace eigenscope
