// SPDX-License-Identifier: Apache-2.0
// Choosing the next token from logits on the host. One thread per Sampler.
#pragma once

#include "kernels/api/ops.h"

#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace eigenscope {

struct SamplingOptions {
    float temperature = 0.0f;  // 0: greedy, the others are ignored
    int top_k = 0;             // 0: all
    float top_p = 1.0f;        // 1: all; nucleus sampling, arXiv 1904.09751
    std::uint64_t seed = 0;
};
void checkSamplingOptions(const SamplingOptions& options);  // throws naming the option and its range

class Sampler {
public:
    explicit Sampler(const SamplingOptions& options);
    TokenId next(
        std::span<const float> logits);  // the same seed and logits give the same tokens on every machine

private:
    SamplingOptions m_options;
    std::mt19937_64 m_random;
    std::vector<std::pair<float, TokenId>> m_candidates;
};

}  // namespace eigenscope
