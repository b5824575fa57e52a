// SPDX-License-Identifier: Apache-2.0
// How much the next-token distribution moves when one layer's keys or values alone get a lower rank: the
// curves that allocation `sensitivity` (core/spectrum/allocation.h) shares a budget by.
#pragma once

#include "core/base/job_context.h"
#include "core/calibration/statistics.h"
#include "core/generation/generate.h"
#include "core/model/model.h"
#include "core/spectrum/spectrum.h"

#include <vector>

namespace eigenscope {

// At most `count` ranks spread evenly up to basis_width, which is the last: basis_width * i / count, rounded
// up.
std::vector<int> rankGrid(int basis_width, int count);

// The ranks of a grid at which fewer bits are measured too: every second one down from the full rank, since
// each costs as much again for every number of bits, and losses between them are smooth.
std::vector<int> quantisedRanks(const std::vector<int>& grid);

// Mean over the predicted tokens of the windows (all but the first of each) of KL(original || model in which
// that layer and side alone has that rank), for each layer, side and rank of the grid (ascending, the last is
// the full width and costs nothing). With a `quantised` grid, the same with that side's cache in codes of
// each number of bits, where the full rank costs something too. Layers below are unchanged, so each
// measurement starts from their stored output: all of them together cost about layers^2 * ranks (and bits *
// their ranks) passes of one layer over the windows. On the host, or
// in a file, it holds the original's logits, 4 bytes * tokens * vocabulary, and one layer's input; of a
// streamed model also the states of all that is measured at a layer, which go through the layers above
// together, so that the model is read about layers / 2 times. The table's `text` and `fingerprint` are left
// to the caller, who knows where the windows came from.
SensitivityTable measureSensitivity(JobContext& job, const OpenModel& original, const Statistics& statistics,
                                    const Spectrum& spectrum,
                                    const std::vector<std::vector<TokenId>>& windows,
                                    const std::vector<int>& grid, const RunOptions& run,
                                    const QuantisedGrid& quantised = {});

}  // namespace eigenscope
