// SPDX-License-Identifier: Apache-2.0
#include "core/evaluation/tradeoff.h"

#include "core/compression/convert.h"
#include "core/compression/refit.h"
#include "core/evaluation/window_mean.h"
#include "core/model/kv_cache.h"
#include "core/spectrum/allocation.h"

#include <cmath>
#include <optional>

namespace eigenscope {

namespace {

// Mean and standard error of the differences, window by window: what both models find hard cancels.
MeanAndError pairedLoss(const PerplexityResult& original, const PerplexityResult& converted) {
    std::vector<double> differences;
    for (std::size_t i = 0; i < original.window_nll.size(); ++i)
        differences.push_back(converted.window_nll[i] - original.window_nll[i]);
    return meanOfWindows(differences);
}

// A plan for the curve's bases, without ranks.
RankPlan planOf(const TradeoffCurve& curve, Criterion criterion) {
    RankPlan plan;
    plan.method = curve.method;
    plan.criterion = criterion;
    plan.setBasisOptions(curve.options);
    return plan;
}

void check(const Statistics& statistics, const std::vector<TradeoffCurve>& curves,
           const TradeoffOptions& options) {
    const auto fail = [](const std::string& message) {
        throw Error(ErrorCode::InvalidInput, "trade-off: " + message);
    };
    if (options.windows.empty())
        fail("no windows to measure on");
    for (double ratio : options.ratios) {
        if (!(ratio > 0 && ratio <= 1))
            fail("KV ratio " + std::to_string(ratio) + ": expected a number above 0, at most 1");
    }
    for (const TradeoffCurve& curve : curves) {
        basisMethod(curve.method);
        if (!canAllocate(curve.allocation, planOf(curve, options.criterion), statistics.tables))
            fail(curve.name + ": the statistics hold no tables for it");
        if (curve.refit && options.refit_windows.empty())
            fail(curve.name + ": no windows to refit on");
    }
}

}  // namespace

TradeoffCurve publishedCurve(const Statistics& statistics) {
    return {"published", "eigen", {.share_key_basis = statistics.rotary}, Allocation::Threshold, false};
}

TradeoffCurve tradeoffCurve(std::string method, Allocation allocation, bool refit, BasisOptions options) {
    std::string name = method;
    if (options.head_group > 1)
        name += ", " + std::to_string(options.head_group) + " heads a latent";
    name += " + " + std::string(nameOf(allocation)) + (refit ? " + refit" : "");
    return {name, std::move(method), options, allocation, refit};
}

std::vector<TradeoffCurve> availableCurves(const Statistics& statistics, Criterion criterion) {
    std::vector<TradeoffCurve> curves{publishedCurve(statistics)};
    const bool attention = !statistics.layers.empty() && statistics.layers.front().hasAttentionMoments();
    const auto add = [&](std::string_view method, Allocation allocation, int head_group) {
        TradeoffCurve curve =
            tradeoffCurve(std::string(method), allocation, false, {.head_group = head_group});
        const bool published = curve.method == curves.front().method &&
                               curve.options == curves.front().options &&
                               curve.allocation == curves.front().allocation;
        if (!published && canAllocate(allocation, planOf(curve, criterion), statistics.tables))
            curves.push_back(std::move(curve));
    };
    for (const BasisMethod& method : basisMethods()) {
        if (method.needs_attention_moments && !attention)
            continue;
        for (Allocation allocation :
             {Allocation::Threshold, Allocation::ErrorBudget, Allocation::Sensitivity}) {
            add(method.name, allocation, 1);
            if (statistics.head_group > 1)
                add(method.name, allocation, statistics.head_group);
        }
    }
    return curves;
}

TradeoffResult measureTradeoff(JobContext& job, const OpenModel& original, const Statistics& statistics,
                               const std::vector<TradeoffCurve>& curves, const TradeoffOptions& options,
                               const std::function<void(const TradeoffPoint&)>& sink) {
    check(statistics, curves, options);
    PerplexityOptions perplexity;
    perplexity.run = options.run;
    const KvFormat format = resolveKvFormat(options.run, original);
    // Conversions and measurements report progress of their own; here only the points count.
    JobContext silent(job.stopToken());
    const auto total = static_cast<std::int64_t>(curves.size() * options.ratios.size()) + 1;
    std::int64_t done = 0;
    constexpr std::string_view kStage = "measuring trade-off";
    job.progress(kStage, done, total);
    TradeoffResult result;
    result.original = perplexityOf(silent, original, options.windows, perplexity);
    result.original_bytes_per_token = kvBytesPerToken(original.model->config, format);
    for (std::size_t c = 0; c < curves.size(); ++c) {
        const TradeoffCurve& curve = curves[c];
        const auto spectrum =
            computeSpectrum(silent, *original.backend, statistics, curve.method, curve.options);
        RankPlan plan = fullPlan(*spectrum, options.rank_multiple);
        plan.criterion = options.criterion;
        plan.allocation = curve.allocation;
        const double smallest = smallestRatio(plan, *spectrum, statistics.tables);
        for (double target : options.ratios) {
            job.progress(kStage, ++done, total);
            job.checkCancelled();
            if (target < smallest)
                continue;
            applyTarget(plan, *spectrum, statistics.tables, target);
            OpenModel converted = convertInMemory(silent, original, statistics, *spectrum, plan);
            if (curve.refit) {
                RefitOptions refit;
                refit.run = options.run;
                converted = refitOutputs(silent, original, converted, options.refit_windows, refit);
            }
            const PerplexityResult measured = perplexityOf(silent, converted, options.windows, perplexity);
            const MeanAndError loss = pairedLoss(result.original, measured);
            result.points.push_back({c, target, kvRatio(converted.model->config),
                                     kvBytesPerToken(converted.model->config, format), measured.perplexity,
                                     loss.mean, loss.error, plan.key_ranks, plan.value_ranks});
            if (sink)
                sink(result.points.back());
        }
    }
    job.progress(kStage, total, total);
    return result;
}

}  // namespace eigenscope
