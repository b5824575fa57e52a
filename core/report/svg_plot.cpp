// SPDX-License-Identifier: Apache-2.0
#include "core/report/svg_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace eigenscope {

namespace {

double share(const PlotAxis& axis, double value) {
    double low = axis.min, high = axis.max;
    if (axis.log) {
        low = std::log10(low);
        high = std::log10(high);
        value = std::log10(std::max(value, axis.min));
    }
    if (!std::isfinite(value))
        value = high;
    return std::clamp((value - low) / (high - low), 0.0, 1.0);
}

std::vector<double> logTicks(double min, double max) {
    const int low = static_cast<int>(std::ceil(std::log10(min) - 1e-9));
    const int high = static_cast<int>(std::floor(std::log10(max) + 1e-9));
    const int step = std::max(1, (high - low + 4) / 5);
    std::vector<double> ticks;
    for (int power = high; power >= low; power -= step)
        ticks.push_back(std::pow(10.0, power));
    return ticks;
}

std::vector<double> ticksOf(const PlotAxis& axis, int wanted) {
    return axis.log ? logTicks(axis.min, axis.max)
                    : linearTicks(axis.min, axis.max, wanted, axis.whole_numbers);
}

std::string tickText(const PlotAxis& axis, double value) {
    if (std::abs(value) < 1e-12)
        value = 0;  // what adding steps left, and no "-0"
    if (axis.percent)
        return fmt::format("{:g} %", value * 100);
    if (axis.log) {
        const double power = std::round(std::log10(value));
        return power >= -3 && power <= 3 ? fmt::format("{:g}", value) : fmt::format("1e{:g}", power);
    }
    return fmt::format("{:g}", value);
}

}  // namespace

std::string escapeHtml(std::string_view text) {
    std::string result;
    for (const char c : text) {
        switch (c) {
            case '&':
                result += "&amp;";
                break;
            case '<':
                result += "&lt;";
                break;
            case '>':
                result += "&gt;";
                break;
            case '"':
                result += "&quot;";
                break;
            default:
                // Control characters are not allowed in XML; tabs and newlines are.
                result += static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' ? ' ' : c;
        }
    }
    return result;
}

std::vector<double> linearTicks(double min, double max, int wanted, bool whole_numbers) {
    const double raw = (max - min) / std::max(1, wanted);
    const double power = std::pow(10.0, std::floor(std::log10(raw)));
    double step = power * 10;
    for (const double factor : {1.0, 2.0, 5.0}) {
        if (factor * power >= raw * 0.999) {
            step = factor * power;
            break;
        }
    }
    if (whole_numbers)
        step = std::max(1.0, std::round(step));
    std::vector<double> ticks;
    for (double tick = std::ceil(min / step - 1e-9) * step; tick <= max + step * 1e-9; tick += step)
        ticks.push_back(tick);
    return ticks;
}

SvgPlot::SvgPlot(int width, int height, PlotAxis x, PlotAxis y)
    : m_width(width), m_height(height), m_x(std::move(x)), m_y(std::move(y)) {
    m_legend_x = m_left;
}

void SvgPlot::setRightAxis(PlotAxis axis) {
    m_y2 = std::move(axis);
    m_has_right = true;
    m_right = 52;
}

double SvgPlot::toX(double value) const { return m_left + share(m_x, value) * (m_width - m_left - m_right); }

double SvgPlot::toY(double value, const PlotAxis& axis) const {
    return m_height - m_bottom - share(axis, value) * (m_height - m_top - m_bottom);
}

void SvgPlot::line(std::span<const double> x, std::span<const double> y, std::string_view css, bool dashed,
                   bool right) {
    std::string points;
    for (std::size_t i = 0; i < x.size(); ++i)
        points += fmt::format("{:.1f},{:.1f} ", toX(x[i]), toY(y[i], right ? m_y2 : m_y));
    m_marks +=
        fmt::format("<polyline class=\"line {}{}\" points=\"{}\"/>\n", css, dashed ? " dashed" : "", points);
}

void SvgPlot::band(std::span<const double> x, std::span<const double> low, std::span<const double> high,
                   std::string_view css) {
    std::string points;
    for (std::size_t i = 0; i < x.size(); ++i)
        points += fmt::format("{:.1f},{:.1f} ", toX(x[i]), toY(high[i], m_y));
    for (std::size_t i = x.size(); i-- > 0;)
        points += fmt::format("{:.1f},{:.1f} ", toX(x[i]), toY(low[i], m_y));
    m_marks += fmt::format("<polygon class=\"wash {}\" points=\"{}\"/>\n", css, points);
}

void SvgPlot::bar(double x_begin, double x_end, double y, std::string_view css, std::string_view tooltip) {
    const double left = toX(x_begin), top = toY(y, m_y);
    m_marks += fmt::format(
        "<rect class=\"fill {}\" x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" "
        "height=\"{:.2f}\"><title>{}</title></rect>\n",
        css, left, top, std::max(0.5, toX(x_end) - left), std::max(0.0, m_height - m_bottom - top),
        escapeHtml(tooltip));
}

void SvgPlot::point(double x, double y, std::string_view css, std::string_view tooltip) {
    m_marks += fmt::format(
        "<circle class=\"fill {}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\"><title>{}</title></circle>\n", css,
        toX(x), toY(y, m_y), escapeHtml(tooltip));
}

void SvgPlot::verticalLine(double x, std::string_view css, std::string_view label) {
    const double at = toX(x);
    const bool left = at > m_width - m_right - 60;  // no room on the right
    m_marks +=
        fmt::format("<line class=\"line {} dotted\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{}\" y2=\"{}\"/>\n", css,
                    at, at, m_top, m_height - m_bottom);
    m_marks += fmt::format("<text class=\"mark {}\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"{}\">{}</text>\n",
                           css, left ? at - 4 : at + 4, m_height - m_bottom - 6, left ? "end" : "start",
                           escapeHtml(label));
}

void SvgPlot::horizontalLine(double y, std::string_view css, std::string_view label) {
    const double at = toY(y, m_y);
    m_marks +=
        fmt::format("<line class=\"line {} dotted\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>\n", css,
                    m_left, m_width - m_right, at, at);
    m_marks += fmt::format("<text class=\"mark {}\" x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n",
                           css, m_width - m_right - 4, at - 5, escapeHtml(label));
}

void SvgPlot::legend(std::string_view css, std::string_view label) {
    const double width = 15 + 6.6 * static_cast<double>(label.size()) + 18;  // about that of 11 px letters
    if (m_legend_x > m_left && m_legend_x + width > m_width) {               // the next line
        m_legend_x = m_left;
        m_legend_y += 16;
    }
    m_top = std::max(m_top, m_legend_y + 24);
    m_legend += fmt::format(
        "<rect class=\"fill {}\" x=\"{:.0f}\" y=\"{}\" width=\"10\" height=\"10\" rx=\"2\"/>"
        "<text class=\"tick\" x=\"{:.0f}\" y=\"{}\">{}</text>\n",
        css, m_legend_x, m_legend_y, m_legend_x + 15, m_legend_y + 9, escapeHtml(label));
    m_legend_x += width;
}

std::string SvgPlot::yAxis(const PlotAxis& axis, bool right) const {
    std::string text;
    const int edge = right ? m_width - m_right : m_left;
    for (const double tick : ticksOf(axis, std::max(2, (m_height - m_top - m_bottom) / 44))) {
        const double y = toY(tick, axis);
        if (!right) {
            text += fmt::format("<line class=\"grid\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>",
                                m_left, m_width - m_right, y, y);
        }
        text +=
            fmt::format("<text class=\"tick\" x=\"{}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n",
                        right ? edge + 6 : edge - 6, y + 4, right ? "start" : "end", tickText(axis, tick));
    }
    if (!axis.label.empty()) {
        const int x = right ? m_width - 6 : 11;
        const int y = (m_top + m_height - m_bottom) / 2;
        text += fmt::format(
            "<text class=\"label\" transform=\"rotate(-90 {} {})\" x=\"{}\" y=\"{}\" "
            "text-anchor=\"middle\">{}</text>\n",
            x, y, x, y, escapeHtml(axis.label));
    }
    return text;
}

std::string SvgPlot::xAxis() const {
    std::string text;
    const int bottom = m_height - m_bottom;
    for (const double tick : ticksOf(m_x, (m_width - m_left - m_right) / 60)) {
        text += fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                            toX(tick), bottom + 15, tickText(m_x, tick));
    }
    text += fmt::format("<line class=\"axis\" x1=\"{}\" x2=\"{}\" y1=\"{}\" y2=\"{}\"/>\n", m_left,
                        m_width - m_right, bottom, bottom);
    text += fmt::format("<text class=\"label\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                        (m_left + m_width - m_right) / 2, m_height - 6, escapeHtml(m_x.label));
    return text;
}

std::string SvgPlot::axes() const {
    std::string text = yAxis(m_y, false);
    if (m_has_right)
        text += yAxis(m_y2, true);
    return text + xAxis();
}

std::string SvgPlot::svg(std::string_view title) const {
    return fmt::format("<svg class=\"plot\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n", m_width,
                       m_height, escapeHtml(title)) +
           axes() + m_marks + m_legend + "</svg>\n";
}

}  // namespace eigenscope
