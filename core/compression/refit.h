// SPDX-License-Identifier: Apache-2.0
// Refitting the output projections of a converted model: they take up what low rank and the layers before
// have lost. Layer by layer, with the layers before already converted and refitted, W_o and its bias become
// those that bring block input + attention output nearest to the original's at the same place, by ridge
// regression: closed form from the Gram matrix of the heads' outputs and their products with what is missing.
#pragma once

#include "core/base/job_context.h"
#include "core/generation/generate.h"
#include "core/model/model.h"

#include <string>
#include <vector>

namespace eigenscope {

struct RefitOptions {
    // Added to the Gram matrix's diagonal, as a share of its mean: how strongly the projection is held where
    // it was.
    double ridge = 1e-3;
    // What the windows are from, for the converted model's description: file name and fingerprint.
    std::string text{}, fingerprint{};
    RunOptions run;
};

// What regression needs of rows of features f (the heads' outputs) and residuals r (what is missing):
// constant in size however many rows.
struct RefitSums {
    int features = 0, outputs = 0;
    double rows = 0;
    std::vector<double> gram;          // [features, features], sum f f^T
    std::vector<double> cross;         // [outputs, features], sum r f^T
    std::vector<double> feature_sum;   // [features]
    std::vector<double> residual_sum;  // [outputs]

    RefitSums(int features, int outputs);
    // `count` rows; may be called often.
    void add(const JobContext& job, const float* f, const float* r, std::int64_t count);
};

// The change of weight [outputs, features] and bias [outputs] that makes sum |r - D f - b|^2 + lambda |D|^2
// least, lambda = ridge * mean diagonal of the centred Gram matrix. The bias is free: features and residuals
// are centred. No change of the weight where there is nothing to learn from.
struct RefitChange {
    std::vector<double> weight, bias;
};
RefitChange solveRefit(const JobContext& job, const RefitSums& sums, double ridge);

// `converted` (from convertInMemory on `original`) with refitted output projections, and saying so. Windows
// of one length; on the host, or in a file, it holds both models' hidden states of all of them at one layer,
// 8 bytes * tokens * hidden size, and of a streamed model the refitted projections. Costs about three passes
// of the windows through the model.
OpenModel refitOutputs(JobContext& job, const OpenModel& original, const OpenModel& converted,
                       const std::vector<std::vector<TokenId>>& windows, const RefitOptions& options);

}  // namespace eigenscope
