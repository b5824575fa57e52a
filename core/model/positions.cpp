// SPDX-License-Identifier: Apache-2.0
#include "core/model/positions.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>

namespace eigenscope {

namespace {

constexpr double kPi = 3.14159265358979323846;

double stretchedLlama3(double frequency, const RopeScaling& scaling) {
    const double wavelength = 2.0 * kPi / frequency, n = scaling.original_positions;
    if (wavelength < n / scaling.high_freq_factor) {
        return frequency;
    }
    if (wavelength > n / scaling.low_freq_factor) {
        return frequency / scaling.factor;
    }
    const double smooth =
        (n / wavelength - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
    return (1.0 - smooth) * frequency / scaling.factor + smooth * frequency;
}

// Yarn: the part of pair i that is stretched, a ramp between two pairs.
class YarnRamp {
public:
    YarnRamp(const ModelConfig& config) {
        const RopeScaling& scaling = config.rope_scaling;
        // The pair that makes `turns` turns in the original positions.
        const auto pairOf = [&](double turns) {
            return config.head_dim * std::log(scaling.original_positions / (turns * 2.0 * kPi)) /
                   (2.0 * std::log(config.rope_theta));
        };
        m_low = pairOf(scaling.beta_fast);
        m_high = pairOf(scaling.beta_slow);
        if (scaling.truncate) {
            m_low = std::floor(m_low);
            m_high = std::ceil(m_high);
        }
        m_low = std::max(m_low, 0.0);
        m_high = std::min(m_high, config.head_dim - 1.0);
        if (m_low == m_high) {
            m_high += 0.001;  // a step
        }
    }
    double at(int pair) const { return std::clamp((pair - m_low) / (m_high - m_low), 0.0, 1.0); }

private:
    double m_low, m_high;
};

}  // namespace

bool rotationDependsOnLength(const ModelConfig& config, std::int64_t length) {
    return config.position == PositionKind::Rotary &&
           config.rope_scaling.kind == RopeScaling::Kind::Dynamic &&
           static_cast<double>(length) > config.rope_scaling.original_positions;
}

std::vector<float> rotaryFrequencies(const ModelConfig& config, std::int64_t length) {
    using Kind = RopeScaling::Kind;
    const RopeScaling& scaling = config.rope_scaling;
    const int d = config.head_dim;
    double theta = config.rope_theta;
    if (rotationDependsOnLength(config, length)) {
        const double growth = scaling.factor * static_cast<double>(length) / scaling.original_positions;
        theta *= std::pow(growth - (scaling.factor - 1.0), d / (d - 2.0));
    }
    std::vector<float> frequencies;
    for (int i = 0; i < d / 2; ++i) {
        // Single precision on purpose, here and in the angles: models were trained with numbers rounded so,
        // and at position 4096 the difference is visible.
        const float power = static_cast<float>(std::pow(theta, 2.0 * i / d));
        frequencies.push_back(1.0f / power);
    }
    if (scaling.kind == Kind::Linear) {
        for (float& frequency : frequencies) {
            frequency /= static_cast<float>(scaling.factor);
        }
    } else if (scaling.kind == Kind::Llama3) {
        for (float& frequency : frequencies) {
            frequency = static_cast<float>(stretchedLlama3(frequency, scaling));
        }
    } else if (scaling.kind == Kind::Yarn) {
        const YarnRamp ramp(config);
        for (int i = 0; i < d / 2; ++i) {
            float& frequency = frequencies[static_cast<std::size_t>(i)];
            const double stretched = ramp.at(i);
            frequency =
                static_cast<float>(frequency / scaling.factor * stretched + frequency * (1.0 - stretched));
        }
    }
    return frequencies;
}

RotaryNumbers rotaryNumbers(std::span<const float> frequencies, std::int64_t positions) {
    RotaryNumbers numbers;
    numbers.cos.reserve(static_cast<std::size_t>(positions) * frequencies.size());
    numbers.sin.reserve(numbers.cos.capacity());
    for (std::int64_t position = 0; position < positions; ++position) {
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
