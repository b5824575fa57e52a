// SPDX-License-Identifier: Apache-2.0
// Small charts as inline SVG. Colours are CSS classes of the surrounding page ("keys", "values", "muted",
// ...), so one drawing serves light and dark. A plain value; one thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace eigenscope {

std::string escapeHtml(std::string_view text);

struct PlotAxis {
    std::string label;
    double min = 0, max = 1;
    bool log = false;            // min and max are powers' values, both positive
    bool percent = false;        // ticks are written as percentages
    bool whole_numbers = false;  // ticks only at whole numbers
};

class SvgPlot {
public:
    SvgPlot(int width, int height, PlotAxis x, PlotAxis y);

    void setRightAxis(PlotAxis axis);
    // Points outside the axes are moved to their edge. `css` names the colour; `dashed` the style.
    void line(std::span<const double> x, std::span<const double> y, std::string_view css, bool dashed = false,
              bool right = false);
    void band(std::span<const double> x, std::span<const double> low, std::span<const double> high,
              std::string_view css);
    void bar(double x_begin, double x_end, double y, std::string_view css, std::string_view tooltip);
    void point(double x, double y, std::string_view css, std::string_view tooltip);
    void verticalLine(double x, std::string_view css, std::string_view label);
    void horizontalLine(double y, std::string_view css, std::string_view label);
    void legend(std::string_view css, std::string_view label);  // makes room: before the marks

    // `title` is what a screen reader says.
    std::string svg(std::string_view title) const;

private:
    double toX(double value) const;
    double toY(double value, const PlotAxis& axis) const;
    std::string axes() const;
    std::string yAxis(const PlotAxis& axis, bool right) const;
    std::string xAxis() const;

    int m_width, m_height;
    int m_left = 54, m_right = 14, m_top = 14, m_bottom = 38;
    PlotAxis m_x, m_y, m_y2;
    bool m_has_right = false;
    std::string m_marks, m_legend;
    double m_legend_x = 0;
    int m_legend_y = 6;
};

// Round values for ticks: about `wanted` of them from min to max, in steps of 1, 2 or 5 times a power of ten.
std::vector<double> linearTicks(double min, double max, int wanted, bool whole_numbers = false);

}  // namespace eigenscope
