// SPDX-License-Identifier: Apache-2.0
// The numbers behind rotary and ALiBi positions. Pure functions.
#pragma once

#include <vector>

namespace eigenscope {

struct RotaryNumbers {
    std::vector<float> cos, sin;  // [positions, head_dim / 2]
};
// Angle of pair i at position p: p * theta^(-2i / head_dim) (RoFormer, arXiv 2104.09864).
RotaryNumbers rotaryNumbers(int positions, int head_dim, double theta);

// Slopes as MPT defines them, for any number of heads: those of the next power of two P are 2^(-bias_max * j
// / P), j = 1..P; when `heads` is not P, the even j come first, then the odd ones, and the first `heads` are
// kept.
std::vector<float> alibiSlopes(int heads, double bias_max);  // [heads]

}  // namespace eigenscope
