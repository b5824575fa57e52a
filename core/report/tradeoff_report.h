// SPDX-License-Identifier: Apache-2.0
// Trade-off curves as a table and as a picture that stands alone. Pure functions.
#pragma once

#include "core/evaluation/tradeoff.h"

#include <string>
#include <vector>

namespace eigenscope {

// A line a point, the original's first:
// method,allocation,refit,name,target,kv_ratio,bytes_per_token,perplexity,nats_lost,standard_error,bits,
// expected_divergence; method is `plain` for quantised caches of the original.
std::string tradeoffCsv(const TradeoffResult& result, const std::vector<TradeoffCurve>& curves);

// Nats lost over KV ratio (log axis, since methods differ by orders of magnitude), a line a curve, with
// whiskers of a standard error. SVG with its own style, light and dark.
std::string tradeoffSvg(const TradeoffResult& result, const std::vector<TradeoffCurve>& curves);

}  // namespace eigenscope
