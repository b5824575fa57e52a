// SPDX-License-Identifier: Apache-2.0
#include "core/evaluation/logit_rows.h"

#include <Eigen/Core>

#include <algorithm>
#include <cmath>

namespace eigenscope {

LogitRows compareLogits(std::span<const float> first, std::span<const float> second) {
    using Row = Eigen::Map<const Eigen::ArrayXf>;
    const auto size = static_cast<Eigen::Index>(first.size());
    Eigen::Index p_best = 0, q_best = 0;
    // From the largest, so that nothing overflows.
    const double p_top = Row(first.data(), size).maxCoeff(&p_best);
    const double q_top = Row(second.data(), size).maxCoeff(&q_best);
    const Eigen::ArrayXd p = Row(first.data(), size).cast<double>() - p_top;
    const Eigen::ArrayXd q = Row(second.data(), size).cast<double>() - q_top;
    const Eigen::ArrayXd weights = p.exp();
    const double p_sum = weights.sum(), q_sum = q.exp().sum();
    LogitRows rows;
    rows.first_log_sum = p_top + std::log(p_sum);
    rows.second_log_sum = q_top + std::log(q_sum);
    // In terms of the rows' difference, so that little is left to cancel when they agree; rounding can still
    // leave a negative trace.
    rows.kl = std::max(0.0, ((p - q) * weights).sum() / p_sum + std::log(q_sum) - std::log(p_sum));
    rows.first_top = static_cast<TokenId>(p_best);
    rows.second_top = static_cast<TokenId>(q_best);
    return rows;
}

}  // namespace eigenscope
