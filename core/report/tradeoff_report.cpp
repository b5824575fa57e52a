// SPDX-License-Identifier: Apache-2.0
#include "core/report/tradeoff_report.h"

#include "core/report/svg_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

namespace eigenscope {

namespace {

// Losses below this are drawn at it: a likelihood that rose has no logarithm.
constexpr double kLeastShown = 1e-5;

// Okabe and Ito's colours, told apart by readers with any colour vision; dark enough or light enough on both
// backgrounds.
constexpr std::array<const char*, 8> kColours = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                 "#e69f00", "#56b4e9", "#8a8a00", "#777777"};

std::string colourClass(std::size_t curve) { return fmt::format("curve{}", curve % kColours.size()); }

std::string style() {
    std::string css =
        "<style>svg{font-family:'Noto Sans','DejaVu Sans',sans-serif;background:#fff}"
        "text{font-size:11px;fill:#6b7585}.line{fill:none;stroke-width:1.8;stroke-linejoin:round}"
        ".dashed{stroke-dasharray:5 4}.grid{stroke:#dfe3ea}.axis{stroke:#6b7585}"
        "@media(prefers-color-scheme:dark){svg{background:#1d2129}text{fill:#8d97a6}.grid{stroke:#2d333e}}";
    for (std::size_t i = 0; i < kColours.size(); ++i)
        css += fmt::format(".line.curve{0}{{stroke:{1}}}.fill.curve{0}{{fill:{1}}}", i, kColours[i]);
    return css + "</style>\n";
}

// RFC 4180: what holds a comma stands in quotes.
std::string csvField(const std::string& text) {
    return text.find(',') == std::string::npos ? text : '"' + text + '"';
}

// Empty for what is not known.
std::string finite(double value) {
    return std::isfinite(value) ? fmt::format("{:.9g}", value) : std::string();
}

double shown(double loss) { return std::isfinite(loss) ? std::max(loss, kLeastShown) : 1e3; }

void drawCurve(SvgPlot& plot, const TradeoffResult& result, const TradeoffCurve& curve, std::size_t index) {
    std::vector<double> ratios, losses;
    const std::string css = colourClass(index);
    for (const TradeoffPoint& point : result.points) {
        if (point.curve != index)
            continue;
        ratios.push_back(point.kv_ratio);
        losses.push_back(shown(point.nats_lost));
        if (std::isfinite(point.standard_error)) {
            const std::array<double, 2> x = {point.kv_ratio, point.kv_ratio};
            const std::array<double, 2> y = {shown(point.nats_lost - point.standard_error),
                                             shown(point.nats_lost + point.standard_error)};
            plot.line(x, y, css);
        }
    }
    plot.line(ratios, losses, css, curve.refit);
    for (const TradeoffPoint& point : result.points) {
        if (point.curve == index)
            plot.point(point.kv_ratio, shown(point.nats_lost), css,
                       fmt::format("{}, KV ratio {:.3f}: {:.3g} nats lost, perplexity {:.4g}{}", curve.name,
                                   point.kv_ratio, point.nats_lost, point.perplexity,
                                   point.bits.empty() ? "" : ", " + point.bits.text()));
    }
}

}  // namespace

std::string tradeoffCsv(const TradeoffResult& result, const std::vector<TradeoffCurve>& curves) {
    std::string csv =
        "method,allocation,refit,name,target,kv_ratio,bytes_per_token,perplexity,nats_lost,standard_error,"
        "bits,"
        "expected_divergence\n";
    csv += fmt::format("original,,false,original,1,1,{},{:.9g},0,0,,\n", result.original_bytes_per_token,
                       result.original.perplexity);
    for (const TradeoffPoint& point : result.points) {
        const TradeoffCurve& curve = curves[point.curve];
        fmt::format_to(std::back_inserter(csv), "{},{},{},{},{:.9g},{:.9g},{},{:.9g},{:.9g},",
                       curve.plain() ? "plain" : curve.method, curve.plain() ? "" : nameOf(curve.allocation),
                       curve.refit, csvField(curve.name), point.target, point.kv_ratio, point.bytes_per_token,
                       point.perplexity, point.nats_lost);
        csv += finite(point.standard_error) + "," +
               (point.bits.empty() ? std::string() : csvField(point.bits.text())) + "," +
               finite(point.expected_divergence) + "\n";
    }
    return csv;
}

std::string tradeoffSvg(const TradeoffResult& result, const std::vector<TradeoffCurve>& curves) {
    double least = 1, most = kLeastShown, smallest = 1;
    for (const TradeoffPoint& point : result.points) {
        least = std::min(least, shown(point.nats_lost));
        most = std::max(most, shown(point.nats_lost));
        smallest = std::min(smallest, point.kv_ratio);
    }
    PlotAxis y{.label = "nats lost a token", .log = true};
    y.min = std::pow(10.0, std::floor(std::log10(std::min(least, most))));
    y.max = std::pow(10.0, std::ceil(std::log10(most)));
    if (y.max <= y.min)
        y.max = y.min * 10;
    SvgPlot plot(900, 420, {.label = "KV ratio", .min = std::floor(smallest * 10) / 10, .max = 1}, y);
    for (std::size_t i = 0; i < curves.size(); ++i)
        plot.legend(colourClass(i), curves[i].name);
    for (std::size_t i = 0; i < curves.size(); ++i)
        drawCurve(plot, result, curves[i], i);
    std::string svg = plot.svg("Nats of held-out log-likelihood lost over KV ratio");
    svg.replace(0, 4, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"900\" height=\"420\"");
    svg.insert(svg.find('\n') + 1, style());
    return svg;
}

}  // namespace eigenscope
