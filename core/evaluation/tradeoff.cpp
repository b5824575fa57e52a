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
    plan.allocation = curve.allocation;
    plan.mixed_bits = curve.mixed_bits;
    return plan;
}

void check(const Statistics& statistics, const std::vector<TradeoffCurve>& curves,
           const TradeoffOptions& options) {
    const auto fail = [](const std::string& message) {
        throw Error(ErrorCode::InvalidInput, "trade-off: " + message);
    };
    if (options.windows.empty())
        fail("no windows to measure on");
    for (const auto* ratios : {&options.ratios, &options.mixed_ratios}) {
        for (double ratio : *ratios) {
            if (!(ratio > 0 && ratio <= 1))
                fail("KV ratio " + std::to_string(ratio) + ": expected a number above 0, at most 1");
        }
    }
    for (const TradeoffCurve& curve : curves) {
        if (curve.plain())
            continue;
        basisMethod(curve.method);
        if (!canAllocate(curve.allocation, planOf(curve, options.criterion), statistics.tables))
            fail(curve.name + ": the statistics hold no tables for it");
        if (curve.refit && options.refit_windows.empty())
            fail(curve.name + ": no windows to refit on");
    }
}

constexpr int kPlainBits[] = {8, 4, 3, 2};

const std::vector<double>& ratiosOf(const TradeoffCurve& curve, const TradeoffOptions& options) {
    return curve.mixed_bits ? options.mixed_ratios : options.ratios;
}

std::size_t pointsOf(const TradeoffCurve& curve, const TradeoffOptions& options) {
    return curve.plain() ? std::size(kPlainBits) : ratiosOf(curve, options).size();
}

// Measures the points of one curve after the other against the original.
class Measurement {
public:
    Measurement(JobContext& job, const OpenModel& original, const Statistics& statistics,
                const std::vector<TradeoffCurve>& curves, const TradeoffOptions& options,
                const std::function<void(const TradeoffPoint&)>& sink)
        : m_job(job),
          m_silent(job.stopToken()),
          m_original(original),
          m_statistics(statistics),
          m_options(options),
          m_sink(sink),
          m_total(1) {
        for (const TradeoffCurve& curve : curves)
            m_total += static_cast<std::int64_t>(pointsOf(curve, options));
        step(0);
        m_result.original = perplexityOf(m_silent, original, options.windows, perplexityOptions(options.run));
        m_result.original_bytes_per_token =
            kvBytesPerToken(original.model->config, resolveKvFormat(options.run, original));
    }

    void measurePlain(std::size_t index) {
        const ModelConfig& config = m_original.model->config;
        double full = 0;
        for (const KvLayerSpec& spec : kvLayerSpecs(config, DType::F16))
            full += spec.bytesPerToken();
        for (int bits : kPlainBits) {
            step();
            RunOptions run = m_options.run;
            run.kv_format = m_options.plain;
            run.kv_format->bits = bits;
            KvFormat format = resolveKvFormat(run, m_original);
            TradeoffPoint point{.curve = index};
            point.bytes_per_token = kvBytesPerToken(config, format);
            // As KV ratios are counted: what stays exact in a recent window is none of the long run.
            format.dtype = DType::F16;
            point.kv_ratio = 0;
            for (const KvLayerSpec& spec : kvLayerSpecs(config, format))
                point.kv_ratio += spec.bytesPerToken() / full;
            point.target = point.kv_ratio;
            point.bits = KvBits::uniform(static_cast<std::size_t>(config.layers), bits, bits);
            point.bits.group = format.group;
            point.bits.key_grouping = format.keys;
            point.bits.recent = format.recent;
            measure(std::move(point), m_original, run);
        }
    }

    void measureConverted(std::size_t index, const TradeoffCurve& curve) {
        const auto spectrum =
            computeSpectrum(m_silent, *m_original.backend, m_statistics, curve.method, curve.options);
        RankPlan plan = fullPlan(*spectrum, m_options.rank_multiple);
        plan.criterion = m_options.criterion;
        plan.allocation = curve.allocation;
        plan.mixed_bits = curve.mixed_bits;
        const double smallest = smallestRatio(plan, *spectrum, m_statistics.tables);
        const SensitivityTable* table = m_statistics.tables.findSensitivity(curve.method, curve.options);
        RunOptions run = m_options.run;
        if (curve.mixed_bits)
            run.kv_format.reset();  // what the plan says
        for (double target : ratiosOf(curve, m_options)) {
            step();
            if (target < smallest)
                continue;
            applyTarget(plan, *spectrum, m_statistics.tables, target);
            OpenModel converted = convertInMemory(m_silent, m_original, m_statistics, *spectrum, plan);
            if (curve.refit) {
                RefitOptions refit;
                refit.run = m_options.run;
                converted = refitOutputs(m_silent, m_original, converted, m_options.refit_windows, refit);
            }
            TradeoffPoint point{.curve = index, .target = target};
            point.kv_ratio = kvRatio(converted.model->config);
            point.bytes_per_token = kvBytesPerToken(converted.model->config, resolveKvFormat(run, converted));
            point.key_ranks = plan.key_ranks;
            point.value_ranks = plan.value_ranks;
            point.bits = plan.kv_bits;
            if (table)
                point.expected_divergence = expectedDivergence(plan, *table);
            measure(std::move(point), converted, run);
        }
    }

    TradeoffResult finish() {
        m_job.progress(kStage, m_total, m_total);
        return std::move(m_result);
    }

private:
    static constexpr std::string_view kStage = "measuring trade-off";

    static PerplexityOptions perplexityOptions(const RunOptions& run) {
        PerplexityOptions options;
        options.run = run;
        return options;
    }
    void step(std::int64_t by = 1) {
        m_done += by;
        m_job.progress(kStage, m_done, m_total);
        m_job.checkCancelled();
    }
    void measure(TradeoffPoint point, const OpenModel& model, const RunOptions& run) {
        const PerplexityResult measured =
            perplexityOf(m_silent, model, m_options.windows, perplexityOptions(run));
        const MeanAndError loss = pairedLoss(m_result.original, measured);
        point.perplexity = measured.perplexity;
        point.nats_lost = loss.mean;
        point.standard_error = loss.error;
        m_result.points.push_back(std::move(point));
        if (m_sink)
            m_sink(m_result.points.back());
    }

    JobContext& m_job;
    // Conversions and measurements report progress of their own; here only the points count.
    JobContext m_silent;
    const OpenModel& m_original;
    const Statistics& m_statistics;
    const TradeoffOptions& m_options;
    const std::function<void(const TradeoffPoint&)>& m_sink;
    std::int64_t m_done = 0, m_total;
    TradeoffResult m_result;
};

}  // namespace

TradeoffCurve publishedCurve(const Statistics& statistics) {
    return {"published", "eigen", {.share_key_basis = statistics.rotary}, Allocation::Threshold, false};
}

TradeoffCurve plainCurve() {
    TradeoffCurve curve;
    curve.name = "plain cache, 8 to 2 bit";
    return curve;
}

TradeoffCurve tradeoffCurve(std::string method, Allocation allocation, bool refit, BasisOptions options) {
    std::string name = method;
    if (options.head_group > 1)
        name += ", " + std::to_string(options.head_group) + " heads a latent";
    name += " + " + std::string(nameOf(allocation)) + (refit ? " + refit" : "");
    return {name, std::move(method), options, allocation, refit};
}

TradeoffCurve mixedCurve(std::string method, BasisOptions options, bool refit) {
    TradeoffCurve curve = tradeoffCurve(std::move(method), Allocation::Sensitivity, refit, options);
    curve.name += " + mixed bits";
    curve.mixed_bits = true;
    return curve;
}

std::vector<TradeoffCurve> availableCurves(const Statistics& statistics, Criterion criterion) {
    std::vector<TradeoffCurve> curves{publishedCurve(statistics), plainCurve()};
    const bool attention = !statistics.layers.empty() && statistics.layers.front().hasAttentionMoments();
    const auto add = [&](TradeoffCurve curve) {
        const bool published = curve.method == curves.front().method &&
                               curve.options == curves.front().options &&
                               curve.allocation == curves.front().allocation;
        if (!published && canAllocate(curve.allocation, planOf(curve, criterion), statistics.tables))
            curves.push_back(std::move(curve));
    };
    for (const BasisMethod& method : basisMethods()) {
        if (method.needs_attention_moments && !attention)
            continue;
        for (int head_group : {1, statistics.head_group}) {
            const BasisOptions bases{.head_group = head_group};
            for (Allocation allocation :
                 {Allocation::Threshold, Allocation::ErrorBudget, Allocation::Sensitivity})
                add(tradeoffCurve(std::string(method.name), allocation, false, bases));
            add(mixedCurve(std::string(method.name), bases));
            if (statistics.head_group == 1)
                break;
        }
    }
    return curves;
}

TradeoffResult measureTradeoff(JobContext& job, const OpenModel& original, const Statistics& statistics,
                               const std::vector<TradeoffCurve>& curves, const TradeoffOptions& options,
                               const std::function<void(const TradeoffPoint&)>& sink) {
    check(statistics, curves, options);
    Measurement measurement(job, original, statistics, curves, options, sink);
    for (std::size_t c = 0; c < curves.size(); ++c) {
        if (curves[c].plain())
            measurement.measurePlain(c);
        else
            measurement.measureConverted(c, curves[c]);
    }
    return measurement.finish();
}

}  // namespace eigenscope
