// SPDX-License-Identifier: Apache-2.0
#include "core/report/report.h"

#include "core/report/number_text.h"
#include "core/report/report_plots.h"
#include "core/report/report_style.h"
#include "core/report/svg_plot.h"

#include <fmt/format.h>

#include <algorithm>

namespace eigenscope {

namespace {

// Text cut into words, each with the white space before it, so that joining them gives the text again.
std::vector<std::string> wordsOf(const std::string& text) {
    std::vector<std::string> words;
    bool in_word = false;
    for (const char c : text) {
        const bool space = c == ' ' || c == '\n' || c == '\t';
        if (words.empty() || (space && in_word))
            words.emplace_back();
        in_word = !space;
        words.back() += c;
    }
    return words;
}

// Which words are part of the longest common subsequence with `other` (dynamic programming, Wagner and
// Fischer).
std::vector<bool> inCommon(const std::vector<std::string>& words, const std::vector<std::string>& other) {
    const std::size_t n = words.size(), m = other.size();
    std::vector<int> length((n + 1) * (m + 1));  // [i, j]: of words from i on and of other from j on
    const auto at = [&](std::size_t i, std::size_t j) -> int& { return length[i * (m + 1) + j]; };
    for (std::size_t i = n; i-- > 0;) {
        for (std::size_t j = m; j-- > 0;)
            at(i, j) = words[i] == other[j] ? at(i + 1, j + 1) + 1 : std::max(at(i + 1, j), at(i, j + 1));
    }
    std::vector<bool> common(n);
    for (std::size_t i = 0, j = 0; i < n && j < m;) {
        if (words[i] == other[j]) {
            common[i] = true;
            ++i, ++j;
        } else if (at(i + 1, j) >= at(i, j + 1)) {
            ++i;
        } else {
            ++j;
        }
    }
    return common;
}

std::string section(std::string_view title, std::string_view note, const std::string& body) {
    return fmt::format("<section><h2>{}<span>{}</span></h2>\n{}</section>\n", escapeHtml(title),
                       escapeHtml(note), body);
}

std::string headerHtml(const ReportData& data) {
    return fmt::format(
        "<header><h1>{}</h1><span class=\"chip\">{}</span><span class=\"chip\">{}</span><span "
        "class=\"chip\">KV ratio "
        "<b>{:.3f}</b></span></header>\n",
        escapeHtml(data.model_name), escapeHtml(data.device), escapeHtml(data.calibration), data.kv_ratio);
}

std::string factsHtml(const ReportData& data) {
    std::string rows;
    for (const auto& [label, value] : data.facts)
        rows += fmt::format("<tr><td>{}</td><td>{}</td></tr>\n", escapeHtml(label), escapeHtml(value));
    return section("Model", "", "<table class=\"facts\">" + rows + "</table>");
}

std::string planHtml(const ReportData& data) {
    const int head_dim = data.spectrum->basisWidth();
    double keys = 0, values = 0;
    const auto layers = static_cast<double>(data.plan.key_ranks.size());
    for (std::size_t i = 0; i < data.plan.key_ranks.size(); ++i) {
        keys += data.plan.key_ranks[i] / layers / head_dim;
        values += data.plan.value_ranks[i] / layers / head_dim;
    }
    const auto bytes = [](std::size_t value) { return text::bytes(static_cast<double>(value)); };
    std::string body = fmt::format(
        "<div class=\"big\">{:.3f}×<small>KV cache</small></div>"
        "<div class=\"meter\"><i class=\"keys\" style=\"width:{:.2f}%\"></i><i class=\"values\" "
        "style=\"width:{:.2f}%\"></i></div>"
        "<div class=\"small\">keys {:.2f}× · values {:.2f}×</div>",
        data.kv_ratio, keys * 50, values * 50, keys, values);
    body += "<table class=\"facts\">";
    body += fmt::format("<tr><td>Bytes per token</td><td>{} → {}</td></tr>",
                        bytes(data.kv_bytes_per_token[0]), bytes(data.kv_bytes_per_token[1]));
    body += fmt::format("<tr><td>Method</td><td>{}, criterion {}, ranks in steps of {}</td></tr>",
                        escapeHtml(data.plan.method), nameOf(data.plan.criterion), data.plan.rank_multiple);
    body += fmt::format("<tr><td>Thresholds</td><td>keys {:.4f}, values {:.4f}</td></tr>",
                        data.plan.key_threshold, data.plan.value_threshold);
    body += fmt::format("<tr><td>Expected error</td><td>{}</td></tr></table>",
                        text::percent(expectedErrorOf(data.plan, *data.spectrum)));
    return section("Plan", "", body);
}

std::string measurementsHtml(const ReportData& data) {
    const ComparisonResult& c = data.comparison;
    const GenerationResult &a = data.generations[0], &b = data.generations[1];
    std::string rows = "<tr><th></th><th>original</th><th>converted</th></tr>";
    const auto row = [&rows](std::string_view label, const std::string& first, const std::string& second) {
        rows += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td></tr>\n", label, first, second);
    };
    const auto bytes = [](auto value) { return text::bytes(static_cast<double>(value)); };
    row("Perplexity", text::fixed(c.first.perplexity, 3), text::fixed(c.second.perplexity, 3));
    row("Top-1 agreement", "", text::percent(c.top1_agreement));
    row("KL divergence", "", text::significant(c.kl_divergence, 3) + " nats");
    row("KV cache of this text", bytes(a.kv_cache_bytes), bytes(b.kv_cache_bytes));
    row("Time to first token", text::milliseconds(a.ttft_ms), text::milliseconds(b.ttft_ms));
    row("Time per token", text::milliseconds(a.tpot_ms), text::milliseconds(b.tpot_ms));
    row("Peak memory", bytes(a.peak_memory_bytes), bytes(b.peak_memory_bytes));
    row("Weights", bytes(data.weight_bytes[0]), bytes(data.weight_bytes[1]));
    return section("Side by side", fmt::format("{}, {} tokens", data.text_name, text::count(c.first.tokens)),
                   "<div class=\"wide\"><table>" + rows + "</table></div>");
}

std::string generationHtml(const ReportData& data) {
    const auto side = [&data](const std::string& tag, const std::string& story) {
        return fmt::format(
            "<div><h3>{}<span class=\"tag\">{}</span></h3><div class=\"story\"><span "
            "class=\"prompt\">{}</span>{}</div>"
            "</div>\n",
            escapeHtml(data.model_name), escapeHtml(tag), escapeHtml(data.prompt), story);
    };
    const std::string &a = data.generations[0].text, &b = data.generations[1].text;
    const std::string body =
        "<div class=\"pair\">\n" + side("original", escapeHtml(a)) +
        side(fmt::format("{:.2f}× {}", data.kv_ratio, data.plan.method), markDifferences(b, a)) + "</div>";
    return section("The same prompt", a == b ? "both wrote the same" : "first difference outlined", body);
}

std::string tradeOffHtml(const ReportData& data) {
    if (data.trade_off.size() < 2)
        return {};
    std::string rows = "<tr><th>KV ratio</th><th>perplexity</th><th>KL, nats</th></tr>";
    for (const TradeOffPoint& point : data.trade_off) {
        rows +=
            fmt::format("<tr><td>{:.3f}</td><td>{}</td><td>{}</td></tr>\n", point.kv_ratio,
                        text::significant(point.perplexity, 4), text::significant(point.kl_divergence, 3));
    }
    std::string body = "<div class=\"pair\"><div>" + tradeOffPlot(data.trade_off, data.kv_ratio) +
                       "</div><div class=\"wide\"><table>" + rows + "</table></div></div>";
    std::string stories;
    for (const TradeOffPoint& point : data.trade_off) {
        stories += fmt::format("<h3>{:.2f}×</h3><div class=\"story\">{}</div>", point.kv_ratio,
                               markDifferences(point.text, data.generations[0].text));
    }
    body += "<details><summary class=\"small\">What each of them writes after the prompt</summary>" +
            stories + "</details>";
    return section("Trade-off", "perplexity over KV ratio, one threshold for all layers", body);
}

std::string spectraHtml(const ReportData& data) {
    std::string body;
    for (int layer = 0; layer < data.spectrum->layers(); ++layer) {
        const auto index = static_cast<std::size_t>(layer);
        body += fmt::format(
            "<div class=\"pair\"><div><h3>Layer {} · keys</h3>{}</div><div><h3>Layer {} · "
            "values</h3>{}</div></div>\n",
            layer, layerSpectrumPlot(*data.spectrum, layer, Side::Keys, data.plan.key_ranks[index]), layer,
            layerSpectrumPlot(*data.spectrum, layer, Side::Values, data.plan.value_ranks[index]));
    }
    const int heads = data.spectrum->heads();
    return section(
        "Spectra",
        fmt::format("{} head{}: mean and spread; dashed: energy kept", heads, heads == 1 ? "" : "s"), body);
}

}  // namespace

std::string markDifferences(const std::string& text, const std::string& other) {
    const std::vector<std::string> words = wordsOf(text);
    const std::vector<bool> common = inCommon(words, wordsOf(other));
    const std::string first_css = " class=\"first\"";
    std::string html;
    bool differs = false;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::string& word = words[i];
        const std::size_t start = std::min(word.find_first_not_of(" \n\t"), word.size());
        if (common[i] || start == word.size()) {
            html += escapeHtml(word);
            continue;
        }
        html += fmt::format("{}<mark{}>{}</mark>", escapeHtml(word.substr(0, start)),
                            differs ? "" : first_css, escapeHtml(word.substr(start)));
        differs = true;
    }
    return html;
}

std::string renderReport(const ReportData& data) {
    std::string html = fmt::format(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{} - Eigenscope "
        "report</title>\n"
        "<style>{}</style>\n</head>\n<body>\n<main>\n",
        escapeHtml(data.model_name), kReportStyle);
    html += headerHtml(data);
    html += "<div class=\"grid\">" + factsHtml(data) + planHtml(data) + measurementsHtml(data) + "</div>\n";
    html += generationHtml(data);
    html += "<div class=\"grid\">" +
            section("Rank per layer", fmt::format("of {}", data.spectrum->basisWidth()),
                    rankBarsPlot(data.plan, data.spectrum->basisWidth())) +
            section("Measured error per layer", "of the layer's output, given the original's input",
                    layerErrorPlot(data.layer_errors)) +
            "</div>\n";
    html += section("Agreement with the original, token by token",
                    "KL divergence of the next-token distributions", tokenKlPlot(data.comparison.token_kl));
    html += tradeOffHtml(data);
    html += spectraHtml(data);
    std::string commands;
    for (const std::string& command : data.commands)
        commands += escapeHtml(command) + "\n";
    html += section("The same by hand", "", "<pre>" + commands + "</pre>");
    html +=
        "<footer>Written by eigenscope-cli. Figures of one run on the device above; the times are not a "
        "benchmark."
        "</footer>\n</main>\n</body>\n</html>\n";
    return html;
}

}  // namespace eigenscope
