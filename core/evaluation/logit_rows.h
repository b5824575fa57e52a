// SPDX-License-Identifier: Apache-2.0
// Two models' logits of the same position: what perplexity, divergence and agreement are computed from. In
// double precision. Pure functions.
#pragma once

#include "kernels/api/ops.h"

#include <cstddef>
#include <span>

namespace eigenscope {

struct LogitRows {
    double first_log_sum = 0, second_log_sum = 0;  // log sum_j exp(logit_j)
    double kl = 0;                                 // KL(first || second), nats
    TokenId first_top = 0, second_top = 0;         // the most likely token, the smaller id of equals
};

// Both rows are [vocab].
LogitRows compareLogits(std::span<const float> first, std::span<const float> second);

// Negative log-likelihood of a token, given its row's log sum.
inline double nllOf(std::span<const float> row, double log_sum, TokenId token) {
    return log_sum - static_cast<double>(row[static_cast<std::size_t>(token)]);
}

}  // namespace eigenscope
