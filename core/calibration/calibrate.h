// SPDX-License-Identifier: Apache-2.0
// The calibration run: sampled windows through the original model, an observer adding Gram matrices. Drawing
// the windows and running them are two steps, so that who has statistics of the same windows already can see
// that before the long part.
#pragma once

#include "core/calibration/corpus_sample.h"
#include "core/calibration/partial_calibration.h"
#include "core/calibration/statistics.h"
#include "core/generation/generate.h"
#include "core/model/model.h"

#include <functional>
#include <optional>
#include <vector>

namespace eigenscope {

// The head group that CalibrationOptions::head_group 0 stands for.
int automaticHeadGroup(int kv_heads, int head_dim);

// The widest joint moments that are kept without being asked for: as much again as the heads' own for the
// usual head dimension of 128.
constexpr int kJointWidth = 256;

struct CalibrationOptions {
    int samples = 128;
    int sequence_length = 2048;  // at most the model's max positions
    std::uint64_t seed = 0;
    // Query positions sampled in each window for method `attention-aware`; 0 leaves its moments out. With
    // them a window is one forward call, so activations and scratch hold sequence_length rows, and the device
    // the weights of the sampled queries by key, 32 MiB at a time.
    int attention_queries = 32;
    // Windows whose rows are averaged position by position before they are counted (the published code); a
    // divisor of `samples`. Above 1 attention_queries must be 0: averaged rows attend to nothing.
    int average_samples = 1;
    // Consecutive key/value heads whose moments are taken side by side as well, for latents that they share;
    // 0: the most that divide the heads with at most kJointWidth elements together; 1: none.
    int head_group = 0;
    RunOptions run;
};

struct CalibrationPlan {
    Statistics description;                     // all but the sums
    std::vector<std::vector<TokenId>> windows;  // [samples] of [length]
    CalibrationOptions options;
};

// Reads the texts and draws the windows. Throws InvalidInput for a converted model (its keys are no longer
// the original's).
CalibrationPlan planCalibration(JobContext& job, const OpenModel& model, const CorpusSpec& corpus,
                                const CalibrationOptions& options);

// Where an unfinished run is kept and goes on from. `keep` gets the sums between windows, at intervals and
// when the run is cancelled. A window that takes less than half a second is finished before a cancellation is
// followed; a longer one is given up, and what was kept last stays.
struct CalibrationKeeper {
    std::optional<PartialCalibration> start{};
    std::function<void(const PartialCalibration&)> keep{};
    double interval_seconds = 30;  // 0: after every window
};

Statistics runCalibration(JobContext& job, const OpenModel& model, const CalibrationPlan& plan,
                          const CalibrationKeeper& keeper = {});

Statistics calibrate(JobContext& job, const OpenModel& model, const CorpusSpec& corpus,
                     const CalibrationOptions& options);

// Whether `statistics` are what the plan would give (on whatever device).
bool sameCalibration(const Statistics& statistics, const CalibrationPlan& plan);

}  // namespace eigenscope
