// SPDX-License-Identifier: Apache-2.0
// Mean of window means and its standard error. Pure functions.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

namespace eigenscope {

struct MeanAndError {
    double mean = 0;
    double error =
        0;  // standard error of the mean; not a number for a single window, whose spread is unknown
};

inline MeanAndError meanOfWindows(const std::vector<double>& windows) {
    const auto n = static_cast<double>(windows.size());
    double sum = 0;
    for (double value : windows)
        sum += value;
    const double mean = sum / n;
    double squares = 0;
    for (double value : windows)
        squares += (value - mean) * (value - mean);
    if (windows.size() < 2)
        return {mean, std::numeric_limits<double>::quiet_NaN()};
    return {mean, std::sqrt(squares / (n - 1) / n)};
}

}  // namespace eigenscope
