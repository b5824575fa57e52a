// SPDX-License-Identifier: Apache-2.0
// Where a converted model departs from its original: by layer and by head, beside what it costs in the end.
#pragma once

#include "core/evaluation/compare.h"

#include <vector>

namespace eigenscope {

// Errors are relative, in Frobenius norm over all windows: ||x - x'|| / ||x||. `mean` is the measure,
// `error` its standard error over windows (of the mean for weight_distance, by the jackknife for the
// ratios). Layers and heads are compared on the original's input to that layer, so that each answers for
// itself; core/evaluation/attention_rows.h defines the heads' measures exactly.
struct HeadFidelity {
    MeanAndError score_error;      // attention scores before the softmax, up to a constant a query
    MeanAndError weight_distance;  // total variation of the attention weights, mean over queries
    MeanAndError output_error;     // the head's part of the attention output, up to a constant
};

struct LayerFidelity {
    MeanAndError output_error;        // of the layer's output given the original's input (layerErrors())
    MeanAndError propagated_error;    // of the layer's output when the layers before it are the second's too
    std::vector<HeadFidelity> heads;  // [query_heads]
};

struct FidelityResult {
    ComparisonResult quality;
    std::vector<LayerFidelity> layers;
};

// The second model must be a conversion of the first, or another model of the same dimensions, on the same
// device. The windows are compareModels()' (evaluationWindows), each run in one piece: four passes, and
// tokens^2 * hidden / 2 operations a layer and model on the host for the scores.
FidelityResult measureFidelity(JobContext& job, const OpenModel& first, const OpenModel& second,
                               const std::filesystem::path& text, const PerplexityOptions& options,
                               const RunOptions& second_run);

// The same on windows of one length, from evaluationWindows().
FidelityResult fidelityOfWindows(JobContext& job, const OpenModel& first, const OpenModel& second,
                                 const std::vector<std::vector<TokenId>>& windows,
                                 const PerplexityOptions& options, const RunOptions& second_run);

// Whether layers and heads of the two can be compared: same numbers of layers, heads and hidden dimensions,
// on one device.
bool sameDimensions(const OpenModel& first, const OpenModel& second);

}  // namespace eigenscope
