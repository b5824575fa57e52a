// SPDX-License-Identifier: Apache-2.0
// The middle and the ends of repeated measurements. Plain values.
#pragma once

#include <algorithm>
#include <vector>

namespace eigenscope {

struct Spread {
    double median = 0.0, least = 0.0, most = 0.0;
    int samples = 0;
    bool operator==(const Spread&) const = default;
};

// All zero without samples. The median of an even number is the mean of the two in the middle.
inline Spread spreadOf(std::vector<double> samples) {
    if (samples.empty()) {
        return {};
    }
    std::sort(samples.begin(), samples.end());
    const std::size_t middle = samples.size() / 2;
    const double median =
        samples.size() % 2 == 1 ? samples[middle] : 0.5 * (samples[middle - 1] + samples[middle]);
    return {median, samples.front(), samples.back(), static_cast<int>(samples.size())};
}

}  // namespace eigenscope
