// SPDX-License-Identifier: Apache-2.0
#include "core/report/number_text.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

namespace eigenscope::text {

std::string bytes(double bytes) {
    constexpr std::array<const char*, 5> units = {"B", "KiB", "MiB", "GiB", "TiB"};
    std::size_t unit = 0;
    while (std::abs(bytes) >= 1023.5 && unit + 1 < units.size()) {
        bytes /= 1024;
        ++unit;
    }
    if (unit == 0)
        return fmt::format("{:.0f} B", bytes);
    // Three significant digits.
    const int digits = bytes < 9.995 ? 2 : bytes < 99.95 ? 1 : 0;
    return fmt::format("{:.{}f} {}", bytes, digits, units[unit]);
}

std::string count(std::int64_t count) {
    std::string digits = std::to_string(count);
    const std::size_t start = count < 0 ? 1 : 0;
    for (std::size_t i = digits.size(); i > start + 3; i -= 3)
        digits.insert(digits.begin() + static_cast<std::ptrdiff_t>(i - 3), ',');
    return digits;
}

std::string shortCount(double count) {
    if (count < 999.5)
        return fmt::format("{:.0f}", count);
    if (count < 999.5e3)
        return fmt::format("{:.3g} k", count / 1e3);
    if (count < 999.5e6)
        return fmt::format("{:.3g} M", count / 1e6);
    return fmt::format("{:.3g} B", count / 1e9);
}

std::string percent(double fraction) {
    const double percent = fraction * 100;
    return std::isfinite(percent) ? fmt::format("{:.{}f} %", percent, percent < 9.95 ? 2 : 1) : "-";
}

std::string milliseconds(double ms) {
    if (!std::isfinite(ms))
        return "-";
    return ms < 999.5 ? fmt::format("{:.3g} ms", ms) : fmt::format("{:.3g} s", ms / 1000);
}

std::string seconds(double seconds) {
    const auto whole = static_cast<std::int64_t>(std::llround(seconds));
    const std::int64_t hours = whole / 3600, minutes = whole / 60 % 60;
    return hours > 0 ? fmt::format("{}:{:02}:{:02}", hours, minutes, whole % 60)
                     : fmt::format("{}:{:02}", minutes, whole % 60);
}

std::string fixed(double value, int digits) {
    return std::isfinite(value) ? fmt::format("{:.{}f}", value, digits) : "-";
}

std::string significant(double value, int digits) {
    return std::isfinite(value) ? fmt::format("{:.{}g}", value, digits) : "-";
}

}  // namespace eigenscope::text
