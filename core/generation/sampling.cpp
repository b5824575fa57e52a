// SPDX-License-Identifier: Apache-2.0
#include "core/generation/sampling.h"

#include "kernels/api/error.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace eigenscope {

namespace {

[[noreturn]] void failOption(const std::string& message) { throw Error(ErrorCode::InvalidInput, message); }

// Orders candidates by logit, equal ones by id: the total order that makes choices the same on every machine.
struct LessLikely {
    bool operator()(const std::pair<float, TokenId>& a, const std::pair<float, TokenId>& b) const {
        return a.first != b.first ? a.first < b.first : a.second > b.second;
    }
};
struct MoreLikely {
    bool operator()(const std::pair<float, TokenId>& a, const std::pair<float, TokenId>& b) const {
        return LessLikely{}(b, a);
    }
};

// Numbers in [0, 1) from the generator's top 53 bits; the standard's distributions differ between libraries.
double uniform(std::mt19937_64& random) { return static_cast<double>(random() >> 11) * 0x1.0p-53; }

TokenId largest(std::span<const float> logits) {
    TokenId best = -1;
    for (std::size_t i = 0; i < logits.size(); ++i) {
        if (!std::isnan(logits[i]) && (best < 0 || logits[i] > logits[static_cast<std::size_t>(best)])) {
            best = static_cast<TokenId>(i);
        }
    }
    if (best < 0) {
        failOption("the model's logits are not numbers");
    }
    return best;
}

}  // namespace

void checkSamplingOptions(const SamplingOptions& options) {
    if (!(options.temperature >= 0.0f) || !std::isfinite(options.temperature)) {
        failOption("temperature: expected a number that is not negative, found " +
                   std::to_string(options.temperature));
    }
    if (options.top_k < 0) {
        failOption("top-k: expected 0 (all) or more, found " + std::to_string(options.top_k));
    }
    if (!(options.top_p > 0.0f && options.top_p <= 1.0f)) {
        failOption("top-p: expected a number above 0 and at most 1, found " + std::to_string(options.top_p));
    }
}

Sampler::Sampler(const SamplingOptions& options) : m_options(options), m_random(options.seed) {
    checkSamplingOptions(options);
}

TokenId Sampler::next(std::span<const float> logits) {
    const TokenId best = largest(logits);
    const double top = logits[static_cast<std::size_t>(best)];
    if (m_options.temperature == 0.0f || !std::isfinite(top)) {
        return best;
    }
    m_candidates.clear();
    for (std::size_t i = 0; i < logits.size(); ++i) {
        if (!std::isnan(logits[i])) {
            m_candidates.emplace_back(logits[i], static_cast<TokenId>(i));
        }
    }
    const auto k = static_cast<std::size_t>(m_options.top_k);
    if (k > 0 && k < m_candidates.size()) {
        std::nth_element(m_candidates.begin(), m_candidates.begin() + static_cast<std::ptrdiff_t>(k) - 1,
                         m_candidates.end(), MoreLikely{});
        m_candidates.resize(k);
        // What nth_element leaves is in an order of the library's own.
        std::sort(m_candidates.begin(), m_candidates.end(), MoreLikely{});
    }
    const auto weight = [&](const std::pair<float, TokenId>& candidate) {
        return std::exp((static_cast<double>(candidate.first) - top) /
                        static_cast<double>(m_options.temperature));
    };
    double total = 0.0;
    for (const auto& candidate : m_candidates) {
        total += weight(candidate);
    }
    if (m_options.top_p < 1.0f) {
        // The nucleus is small as a rule: take from a heap until its share is reached rather than sort
        // everything.
        std::make_heap(m_candidates.begin(), m_candidates.end(), LessLikely{});
        auto end = m_candidates.end();
        double kept = 0.0;
        while (end != m_candidates.begin() &&
               (kept == 0.0 || kept < static_cast<double>(m_options.top_p) * total)) {
            std::pop_heap(m_candidates.begin(), end, LessLikely{});
            kept += weight(*--end);
        }
        m_candidates.erase(m_candidates.begin(), end);
        total = kept;
    }
    double remaining = uniform(m_random) * total;
    for (const auto& candidate : m_candidates) {
        remaining -= weight(candidate);
        if (remaining < 0.0) {
            return candidate.second;
        }
    }
    return best;  // the sum and its parts differ by rounding
}

}  // namespace eigenscope
