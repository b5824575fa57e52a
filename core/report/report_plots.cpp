// SPDX-License-Identifier: Apache-2.0
#include "core/report/report_plots.h"

#include "core/report/number_text.h"
#include "core/report/svg_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace eigenscope {

namespace {

const char* cssOf(Side side) { return side == Side::Keys ? "keys" : "values"; }

// Below this share of the largest eigenvalue lies what rounding left behind.
constexpr double kSmallestShown = 1e-9;

constexpr double kWorstShown = 1e6;  // perplexity of a model that is broken beyond numbers

// A round number at or above the largest value, so that the axis ends on a tick.
double roundUp(double value) {
    if (!(value > 0))
        return 1;
    const double step = linearTicks(0, value, 4)[1];
    return std::ceil(value / step - 1e-9) * step;
}

struct HeadSpread {
    std::vector<double> rank, mean, low, high, energy;
};

HeadSpread spreadOf(const Spectrum& spectrum, int layer, Side side) {
    HeadSpread spread;
    for (int i = 0; i < spectrum.basisWidth(); ++i) {
        double log_sum = 0, low = 1, high = kSmallestShown, energy = 0;
        for (int head = 0; head < spectrum.heads(); ++head) {
            const std::vector<double>& values = spectrum.basis(layer, side, head).eigenvalues;
            const double largest = values.front() > 0 ? values.front() : 1;
            const double value = std::max(values[static_cast<std::size_t>(i)] / largest, kSmallestShown);
            log_sum += std::log(value);
            low = std::min(low, value);
            high = std::max(high, value);
            energy += spectrum.kept(layer, side, head, i + 1, Criterion::Energy);
        }
        spread.rank.push_back(i + 1);
        spread.mean.push_back(std::exp(log_sum / spectrum.heads()));
        spread.low.push_back(low);
        spread.high.push_back(high);
        spread.energy.push_back(energy / spectrum.heads());
    }
    return spread;
}

}  // namespace

std::string layerSpectrumPlot(const Spectrum& spectrum, int layer, Side side, int rank) {
    const HeadSpread spread = spreadOf(spectrum, layer, side);
    const double smallest = *std::min_element(spread.low.begin(), spread.low.end());
    const double floor =
        std::pow(10.0, std::floor(std::log10(std::clamp(smallest, kSmallestShown, 0.1)) + 1e-9));
    SvgPlot plot(
        520, 230,
        {.label = "rank", .min = 1, .max = static_cast<double>(spectrum.basisWidth()), .whole_numbers = true},
        {.label = "eigenvalue", .min = floor, .max = 1, .log = true});
    plot.setRightAxis({.label = "energy kept", .percent = true});
    plot.band(spread.rank, spread.low, spread.high, cssOf(side));
    plot.line(spread.rank, spread.mean, cssOf(side));
    plot.line(spread.rank, spread.energy, "muted", true, true);
    const double kept = spread.energy[static_cast<std::size_t>(rank - 1)];
    plot.verticalLine(rank, cssOf(side), fmt::format("rank {}, {} kept", rank, text::percent(kept)));
    return plot.svg(fmt::format("Eigenvalues of layer {}, {}", layer, cssOf(side)));
}

std::string rankBarsPlot(const RankPlan& plan, int head_dim) {
    const auto layers = static_cast<int>(plan.key_ranks.size());
    SvgPlot plot(520, 230, {.label = "layer", .min = -0.5, .max = layers - 0.5, .whole_numbers = true},
                 {.label = "rank", .min = 0, .max = static_cast<double>(head_dim), .whole_numbers = true});
    plot.legend("keys", "keys");
    plot.legend("values", "values");
    for (int layer = 0; layer < layers; ++layer) {
        const auto index = static_cast<std::size_t>(layer);
        plot.bar(layer - 0.38, layer - 0.02, plan.key_ranks[index], "keys",
                 fmt::format("layer {}: keys rank {} of {}", layer, plan.key_ranks[index], head_dim));
        plot.bar(layer + 0.02, layer + 0.38, plan.value_ranks[index], "values",
                 fmt::format("layer {}: values rank {} of {}", layer, plan.value_ranks[index], head_dim));
    }
    return plot.svg("Ranks per layer");
}

std::string layerErrorPlot(const std::vector<double>& errors) {
    const double largest = errors.empty() ? 1 : *std::max_element(errors.begin(), errors.end());
    SvgPlot plot(520, 230,
                 {.label = "layer",
                  .min = -0.5,
                  .max = static_cast<double>(errors.size()) - 0.5,
                  .whole_numbers = true},
                 {.label = "relative error", .min = 0, .max = roundUp(largest), .percent = true});
    for (std::size_t layer = 0; layer < errors.size(); ++layer) {
        const auto at = static_cast<double>(layer);
        plot.bar(at - 0.3, at + 0.3, errors[layer], "values",
                 fmt::format("layer {}: {}", layer, text::percent(errors[layer])));
    }
    return plot.svg("Measured error of each layer's output");
}

std::string tokenKlPlot(const std::vector<double>& token_kl) {
    // More bars than pixels help nobody: a bar is the mean of a few tokens in a row.
    constexpr std::size_t kMostBars = 240;
    const std::size_t group = std::max<std::size_t>(1, (token_kl.size() + kMostBars - 1) / kMostBars);
    std::vector<double> means;
    for (std::size_t begin = 0; begin < token_kl.size(); begin += group) {
        const std::size_t end = std::min(token_kl.size(), begin + group);
        double sum = 0;
        for (std::size_t i = begin; i < end; ++i)
            sum += token_kl[i];
        means.push_back(sum / static_cast<double>(end - begin));
    }
    const double largest = means.empty() ? 1 : *std::max_element(means.begin(), means.end());
    SvgPlot plot(1060, 210,
                 {.label = group == 1 ? "token" : fmt::format("token (a bar is the mean of {})", group),
                  .min = 0,
                  .max = static_cast<double>(std::max<std::size_t>(1, means.size() * group)),
                  .whole_numbers = true},
                 {.label = "KL, nats", .min = 0, .max = roundUp(largest)});
    for (std::size_t i = 0; i < means.size(); ++i) {
        const auto begin = static_cast<double>(i * group), width = static_cast<double>(group);
        plot.bar(begin, begin + width * 0.8, means[i], "values",
                 fmt::format("tokens {} to {}: {:.3g} nats", i * group, (i + 1) * group - 1, means[i]));
    }
    return plot.svg("KL divergence of the next-token distributions, in reading order");
}

std::string tradeOffPlot(const std::vector<TradeOffPoint>& points, double chosen_ratio) {
    std::vector<double> ratios, perplexities;
    for (const TradeOffPoint& point : points) {
        ratios.push_back(point.kv_ratio);
        perplexities.push_back(std::isfinite(point.perplexity) ? point.perplexity : kWorstShown);
    }
    const auto [lowest, highest] = std::minmax_element(perplexities.begin(), perplexities.end());
    const double low = *lowest, high = *highest;
    // A broken model's perplexity is orders above a sound one's.
    const bool log = high > 5 * low;
    PlotAxis y = {.label = "perplexity", .min = 0, .max = roundUp(high), .log = log};
    if (log) {
        y.min = std::pow(10.0, std::floor(std::log10(low)));
        y.max = std::pow(10.0, std::ceil(std::log10(high)));
    } else {
        const double step = linearTicks(0, high, 4)[1];
        y.min = std::max(0.0, std::floor(low / step) * step - (low < high ? 0 : step));
    }
    SvgPlot plot(520, 250, {.label = "KV ratio", .min = 0, .max = 1}, y);
    plot.line(ratios, perplexities, "keys");
    for (const TradeOffPoint& point : points)
        plot.point(point.kv_ratio, point.perplexity, "keys",
                   fmt::format("KV ratio {:.3f}: perplexity {:.4g}, KL {:.3g} nats", point.kv_ratio,
                               point.perplexity, point.kl_divergence));
    plot.verticalLine(chosen_ratio, "values", fmt::format("{:.3f}", chosen_ratio));
    return plot.svg("Perplexity over KV ratio");
}

}  // namespace eigenscope
