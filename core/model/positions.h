// SPDX-License-Identifier: Apache-2.0
// The numbers behind rotary and ALiBi positions. Pure functions.
#pragma once

#include "core/model/model_config.h"

#include <cstdint>
#include <span>
#include <vector>

namespace eigenscope {

// Angle of pair i at position p is p * f_i with f_i = theta^(-2i / head_dim) (RoFormer, arXiv 2104.09864),
// changed by config.rope_scaling, s its factor and n its original positions:
// Linear: f_i / s.
// Dynamic (NTK-aware): theta grows with the length L > n of the text, theta (s L / n - (s - 1))^(d / (d -
// 2)).
//     All positions of a run must agree, however the text is fed: L is what the run's cache has room for.
// Llama3: wavelengths above n / low_freq_factor are stretched by s, below n / high_freq_factor not at all,
//     and in between in part.
// Yarn (arXiv 2309.00071): pairs that make fewer than beta_slow turns in n positions are stretched by s,
//     those with more than beta_fast not at all, and in between in part.
std::vector<float> rotaryFrequencies(const ModelConfig& config, std::int64_t length);  // [head_dim / 2]
// Whether a run of `length` positions has frequencies of its own, other than those of short ones.
bool rotationDependsOnLength(const ModelConfig& config, std::int64_t length);

struct RotaryNumbers {
    std::vector<float> cos, sin;  // [positions, pairs]
};
RotaryNumbers rotaryNumbers(std::span<const float> frequencies, std::int64_t positions);

// Slopes as MPT defines them, for any number of heads: those of the next power of two P are 2^(-bias_max * j
// / P), j = 1..P; when `heads` is not P, the even j come first, then the odd ones, and the first `heads` are
// kept.
std::vector<float> alibiSlopes(int heads, double bias_max);  // [heads]

}  // namespace eigenscope
