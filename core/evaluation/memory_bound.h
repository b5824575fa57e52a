// SPDX-License-Identifier: Apache-2.0
// How much memory a run will take at most, stated before it begins, from the model's shapes, its weights'
// source and the run's options. Of the host: memory that is resident, what the process has taken already
// included, where the device computes in host memory. Any thread.
//
// What is counted: weights as they are held (all, or of a streamed model two parts), one layer's KV cache
// where windows go through layers one by one, activations, hidden states that are not in a file, what a run
// sums up, and what passes between them. What is allowed for beside it is kAllowance: buffers of operations,
// of the language's allocator and of the system.
#pragma once

#include "core/calibration/calibrate.h"
#include "core/evaluation/perplexity.h"
#include "core/spectrum/rank_plan.h"

#include <cstdint>
#include <utility>
#include <vector>

namespace eigenscope {

struct MemoryBound {
    bool streamed = false;
    bool spilled = false;         // hidden states are in a file
    std::int64_t process = 0;     // resident when this was stated
    std::int64_t weights = 0;     // as they are held
    std::int64_t working = 0;     // cache, activations and what passes through them
    std::int64_t states = 0;      // hidden states in memory
    std::int64_t statistics = 0;  // sums, spectra
    static constexpr std::int64_t kAllowance = std::int64_t{64} << 20;

    std::int64_t total() const { return process + weights + working + states + statistics + kAllowance; }
};

// Of runCalibration() with `samples` windows of `length` tokens, and of the error tables at `error_points`
// ranks that follow (0: none). `keeps`: whether unfinished work is kept.
MemoryBound calibrationBound(const OpenModel& model, const CalibrationOptions& options, int error_points,
                             bool keeps);

// Of converting with `plan` and measuring layer errors on the statistics' windows; with `refit_windows` of
// `refit_length` tokens (0: none) also of fitting the output projections. Statistics are loaded already.
MemoryBound conversionBound(const OpenModel& model, const Statistics& statistics, const RankPlan& plan,
                            int refit_windows, int refit_length, const RunOptions& run);

// Of perplexity() on `windows` windows of `length` tokens.
MemoryBound perplexityBound(const OpenModel& model, std::int64_t windows, std::int64_t length,
                            const PerplexityOptions& options);

// Of measuring both models on `windows` windows of `length` tokens: compareWindows(), fidelityOfWindows().
MemoryBound comparisonBound(const OpenModel& first, const OpenModel& second, std::int64_t windows,
                            std::int64_t length, const PerplexityOptions& options,
                            const RunOptions& second_run);
MemoryBound fidelityBound(const OpenModel& first, const OpenModel& second, std::int64_t windows,
                          std::int64_t length, const PerplexityOptions& options,
                          const RunOptions& second_run);

// Of diffText() on `tokens` tokens.
MemoryBound diffBound(const OpenModel& first, const OpenModel& second, std::int64_t tokens,
                      const RunOptions& first_run, const RunOptions& second_run);

// Of generate().
MemoryBound generationBound(const OpenModel& model, std::int64_t prompt_tokens,
                            const GenerationOptions& options);

// Of measureSensitivity() on `windows` windows of `length` tokens with `candidates` ranks (and bits) a layer,
// bases of `head_group` heads, and of measuring layer errors after it. Statistics are loaded already. No
// windows: of the errors alone.
MemoryBound sensitivityBound(const OpenModel& model, const Statistics& statistics, std::int64_t windows,
                             std::int64_t length, std::int64_t candidates, int head_group,
                             const RunOptions& run);

// Of measureTradeoff() with latents of up to `head_group` heads; `refit_windows` of `refit_length` tokens (0:
// none) for curves with refitted projections. Statistics are loaded already.
MemoryBound tradeoffBound(const OpenModel& model, const Statistics& statistics, int head_group,
                          std::int64_t windows, std::int64_t length, int refit_windows, int refit_length,
                          const RunOptions& run);

// Of two runs, one after the other: the larger of each part.
MemoryBound largerOf(const MemoryBound& first, const MemoryBound& second);

}  // namespace eigenscope
