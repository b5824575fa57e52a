// SPDX-License-Identifier: Apache-2.0
#include "core/model/positions.h"

#include <bit>
#include <cmath>
#include <cstddef>

namespace eigenscope {

RotaryNumbers rotaryNumbers(int positions, int head_dim, double theta) {
    const int pairs = head_dim / 2;
    std::vector<float> frequencies;
    for (int i = 0; i < pairs; ++i) {
        // Single precision on purpose, here and in the product below: models were trained with angles rounded
        // so, and at position 4096 the difference is visible.
        const float power = static_cast<float>(std::pow(theta, 2.0 * i / head_dim));
        frequencies.push_back(1.0f / power);
    }
    RotaryNumbers numbers;
    numbers.cos.reserve(static_cast<std::size_t>(positions) * static_cast<std::size_t>(pairs));
    numbers.sin.reserve(numbers.cos.capacity());
    for (int position = 0; position < positions; ++position) {
        for (const float frequency : frequencies) {
            const float angle = static_cast<float>(position) * frequency;
            numbers.cos.push_back(static_cast<float>(std::cos(static_cast<double>(angle))));
            numbers.sin.push_back(static_cast<float>(std::sin(static_cast<double>(angle))));
        }
    }
    return numbers;
}

std::vector<float> alibiSlopes(int heads, double bias_max) {
    const int power = static_cast<int>(std::bit_ceil(static_cast<unsigned>(heads)));
    const auto slope = [&](int j) { return static_cast<float>(std::exp2(-bias_max * j / power)); };
    std::vector<float> slopes;
    if (power == heads) {
        for (int j = 1; j <= power; ++j) {
            slopes.push_back(slope(j));
        }
        return slopes;
    }
    for (int j = 2; j <= power; j += 2) {
        slopes.push_back(slope(j));
    }
    for (int j = 1; j <= power; j += 2) {
        slopes.push_back(slope(j));
    }
    slopes.resize(static_cast<std::size_t>(heads));
    return slopes;
}

}  // namespace eigenscope
