// SPDX-License-Identifier: Apache-2.0
// Estimates over windows and their standard errors. Two models run on the same windows, so whatever compares
// them is computed window by window first: the windows' own difficulty cancels (paired windows). Pure
// functions.
#pragma once

#include <algorithm>
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

// Relative error sqrt(sum of differences / sum of norms) of sums of squares, and its standard error by the
// jackknife over windows (Efron and Stein, 1981): a ratio has no window means to take the spread of.
inline MeanAndError relativeErrorOfWindows(const std::vector<double>& differences,
                                           const std::vector<double>& norms) {
    const auto n = static_cast<double>(norms.size());
    double difference = 0, norm = 0;
    for (std::size_t i = 0; i < norms.size(); ++i) {
        difference += differences[i];
        norm += norms[i];
    }
    const auto ratio = [](double d, double n) { return n > 0 ? std::sqrt(std::max(0.0, d) / n) : 0.0; };
    const double all = ratio(difference, norm);
    if (norms.size() < 2)
        return {all, std::numeric_limits<double>::quiet_NaN()};
    std::vector<double> without;
    for (std::size_t i = 0; i < norms.size(); ++i)
        without.push_back(ratio(difference - differences[i], norm - norms[i]));
    // The standard error of a mean of n is what this is of n values that each lack one window, times n - 1.
    return {all, meanOfWindows(without).error * (n - 1)};
}

}  // namespace eigenscope
