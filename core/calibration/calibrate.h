// SPDX-License-Identifier: Apache-2.0
// The calibration run: sampled windows through the original model, an observer adding Gram matrices.
#pragma once

#include "core/calibration/statistics.h"
#include "core/generation/generate.h"
#include "core/model/model.h"

#include <filesystem>

namespace eigenscope {

struct CalibrationOptions {
    int samples = 128;
    int sequence_length = 2048;  // at most the model's max positions
    std::uint64_t seed = 0;
    // Query positions sampled in each window for method `attention-aware`; 0 leaves its moments out. With
    // them a window is one forward call, so activations and scratch hold sequence_length rows instead of 256,
    // and the host one layer's queries, keys, values and outputs of a window.
    int attention_queries = 32;
    // Windows whose rows are averaged position by position before they are counted (the published code); a
    // divisor of `samples`. Above 1 attention_queries must be 0: averaged rows attend to nothing.
    int average_samples = 1;
    RunOptions run;
};

// Throws InvalidInput for a converted model (its keys are no longer the original's).
Statistics calibrate(JobContext& job, const OpenModel& model, const std::filesystem::path& text,
                     const CalibrationOptions& options);

}  // namespace eigenscope
