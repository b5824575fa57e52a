// SPDX-License-Identifier: Apache-2.0
// Trade-off curves: what a held-out text's likelihood loses as the KV cache shrinks, for ways of making and
// sharing out ranks (and bits), beside the plain quantised cache that they compete with.
#pragma once

#include "core/base/job_context.h"
#include "core/calibration/statistics.h"
#include "core/evaluation/perplexity.h"
#include "core/spectrum/rank_plan.h"

#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace eigenscope {

// One way of getting to a KV ratio: a conversion, or the original with its cache in codes of a few bits.
struct TradeoffCurve {
    std::string name;    // "attention-aware + sensitivity"
    std::string method;  // empty: the original's cache quantised, a point for each number of bits
    BasisOptions options;
    Allocation allocation = Allocation::Threshold;
    bool refit = false;       // output projections refitted
    bool mixed_bits = false;  // ranks and bits shared out together (RankPlan::mixed_bits)
    bool plain() const { return method.empty(); }
    bool operator==(const TradeoffCurve&) const = default;
};

// The published method: `eigen`, one threshold for all layers, the key basis shared by a layer's heads where
// positions are rotary.
TradeoffCurve publishedCurve(const Statistics& statistics);
// The original with its whole cache at 8, 4, 3 and 2 bits.
TradeoffCurve plainCurve();
TradeoffCurve mixedCurve(std::string method, BasisOptions options = {}, bool refit = false);
TradeoffCurve tradeoffCurve(std::string method, Allocation allocation, bool refit = false,
                            BasisOptions options = {});
// The published one and the plain cache, then every method, head group, allocation and mixture whose moments
// and tables the statistics hold.
std::vector<TradeoffCurve> availableCurves(const Statistics& statistics, Criterion criterion);

struct TradeoffPoint {
    std::size_t curve = 0;
    double target = 1;    // the KV ratio asked for
    double kv_ratio = 1;  // the one met, at most the target
    std::size_t bytes_per_token = 0;
    double perplexity = 0;
    double nats_lost = 0;       // mean over windows of the rise of the negative log-likelihood a token
    double standard_error = 0;  // of nats_lost, from the windows' differences; not a number for one window
    std::vector<int> key_ranks = {}, value_ranks = {};  // empty for a plain cache
    KvBits bits = {};                                   // empty: not quantised
    // What the sensitivity tables led to expect, nats a token; not a number without them.
    double expected_divergence = std::numeric_limits<double>::quiet_NaN();
};

struct TradeoffOptions {
    std::vector<double> ratios{0.8, 0.7, 0.6, 0.5, 0.4};
    std::vector<double> mixed_ratios{0.5, 0.4, 0.3, 0.25, 0.1875};  // of curves with mixed bits
    // How the plain caches are grouped: group, keys and recent of it.
    KvFormat plain = KvFormat::quantised(8);
    Criterion criterion = Criterion::Energy;
    int rank_multiple = 8;
    std::vector<std::vector<TokenId>> windows;        // of one length, held out
    std::vector<std::vector<TokenId>> refit_windows;  // of one length; needed by curves with refit
    RunOptions run;
};

struct TradeoffResult {
    PerplexityResult original;
    std::size_t original_bytes_per_token = 0;
    std::vector<TradeoffPoint>
        points;  // by curve, then by ratio; ratios below a curve's smallest are left out
};

// `sink` gets each point as it is measured, on this thread. Throws InvalidInput when a curve's tables are
// missing.
TradeoffResult measureTradeoff(JobContext& job, const OpenModel& original, const Statistics& statistics,
                               const std::vector<TradeoffCurve>& curves, const TradeoffOptions& options,
                               const std::function<void(const TradeoffPoint&)>& sink = {});

}  // namespace eigenscope
