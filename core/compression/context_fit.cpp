// SPDX-License-Identifier: Apache-2.0
#include "core/compression/context_fit.h"

#include "core/benchmark/memory_estimate.h"
#include "core/compression/converted_config.h"
#include "core/model/kv_cache.h"

#include <algorithm>
#include <array>
#include <utility>

namespace eigenscope {

namespace {

constexpr int kSteps = 30;  // of the ratio's bisection: a billionth, finer than a rank of any model
constexpr std::array kCodeBits = {8, 4, 3, 2};

// Plans of every KV ratio that an allocation reaches.
class Plans {
public:
    Plans(const RankPlan& plan, const Spectrum& spectrum, const MeasuredTables& tables)
        : m_plan(plan),
          m_spectrum(spectrum),
          m_tables(tables),
          m_smallest_ratio(smallestRatio(plan, spectrum, tables)) {}

    RankPlan at(double ratio) const {
        RankPlan plan = m_plan;
        applyTarget(plan, m_spectrum, m_tables, std::clamp(ratio, m_smallest_ratio, 1.0));
        return plan;
    }
    double smallestKvRatio() const { return m_smallest_ratio; }
    RankPlan smallest() const { return at(m_smallest_ratio); }

private:
    const RankPlan& m_plan;
    const Spectrum& m_spectrum;
    const MeasuredTables& m_tables;
    double m_smallest_ratio;
};

bool fits(const RankPlan& plan, const ContextGoal& goal) {
    return bytesNeeded(plan, goal) <= goal.memory_bytes;
}

std::int64_t longestThatFits(const RankPlan& plan, ContextGoal goal) {
    std::int64_t low = 0, high = goal.context;  // which does not fit
    while (high - low > 1) {
        goal.context = low + (high - low) / 2;
        (fits(plan, goal) ? low : high) = goal.context;
    }
    return low;
}

int bitsThatFit(const RankPlan& plan, const Spectrum& spectrum, const MeasuredTables& tables,
                const ContextGoal& goal) {
    if (plan.mixed_bits)
        return 0;  // the smallest plan has the fewest bits that were measured
    for (const int bits : kCodeBits) {
        RankPlan coded = plan;
        coded.kv_bits.keys.assign(plan.key_ranks.size(), bits);
        coded.kv_bits.values = coded.kv_bits.keys;
        if (fits(Plans(coded, spectrum, tables).smallest(), goal))
            return bits;
    }
    return 0;
}

bool fitsUnpinned(RankPlan plan, const Spectrum& spectrum, const MeasuredTables& tables,
                  const ContextGoal& goal) {
    bool any = false;
    for (int layer = 0; layer < spectrum.layers(); ++layer) {
        for (const Side side : {Side::Keys, Side::Values})
            any = any || fixedRank(plan, spectrum, side, layer).has_value();
    }
    if (!any)
        return false;
    plan.key_pinned.assign(plan.key_pinned.size(), false);
    plan.value_pinned.assign(plan.value_pinned.size(), false);
    plan.key_layer_thresholds.assign(plan.key_layer_thresholds.size(), std::nullopt);
    plan.value_layer_thresholds.assign(plan.value_layer_thresholds.size(), std::nullopt);
    return fits(Plans(plan, spectrum, tables).smallest(), goal);
}

}  // namespace

std::int64_t bytesNeeded(const RankPlan& plan, const ContextGoal& goal) {
    const ModelConfig config = convertedConfig(goal.original, plan);
    const KvFormat format = goal.format(plan);
    if (goal.weight_bytes)
        return estimateMemory(config, *goal.weight_bytes, goal.context, goal.batch, format).total();
    return static_cast<std::int64_t>(
        kvCacheBytes(config, format, goal.batch, goal.context, KvCache::kDefaultLongest));
}

ContextFit fitContext(JobContext& job, const RankPlan& plan, const Spectrum& spectrum,
                      const MeasuredTables& tables, const ContextGoal& goal) {
    checkShape(plan, spectrum);
    const Plans plans(plan, spectrum, tables);
    ContextFit fit;
    RankPlan best = plans.smallest();
    fit.bytes = bytesNeeded(best, goal);
    if (fit.bytes > goal.memory_bytes) {
        fit.longest = longestThatFits(best, goal);
        job.checkCancelled();
        fit.bits = bitsThatFit(plan, spectrum, tables, goal);
        job.checkCancelled();
        fit.unpinned = fitsUnpinned(plan, spectrum, tables, goal);
        return fit;
    }
    double low = plans.smallestKvRatio(), high = 1.0;
    if (RankPlan full = plans.at(1.0); fits(full, goal)) {
        best = std::move(full);
        low = high;
    }
    for (int step = 0; step < kSteps && low < high; ++step) {
        job.progress("fitting the context", step, kSteps);
        job.checkCancelled();
        const double middle = low + (high - low) / 2;
        if (RankPlan candidate = plans.at(middle); fits(candidate, goal)) {
            best = std::move(candidate);
            low = middle;
        } else {
            high = middle;
        }
    }
    fit.bytes = bytesNeeded(best, goal);
    fit.plan = std::move(best);
    return fit;
}

}  // namespace eigenscope
