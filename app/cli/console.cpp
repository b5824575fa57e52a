// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/console.h"

#include "core/report/number_text.h"
#include "kernels/api/error.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include <sys/ioctl.h>
#include <unistd.h>

namespace eigenscope {

namespace {

using Clock = std::chrono::steady_clock;
// Log files want few lines, and none for work that is over at once.
constexpr auto kLineInterval = std::chrono::seconds(4);

// Display columns of UTF-8 text, counting a code point as one: close enough for labels and token pieces.
std::size_t columns(std::string_view text) {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string progressText(const Progress& progress, double seconds) {
    if (progress.total <= 0)
        return fmt::format("{}  {} done, {}", progress.stage, text::count(progress.done),
                           text::seconds(seconds));
    const double fraction = static_cast<double>(progress.done) / static_cast<double>(progress.total);
    std::string line = fmt::format("{}  {}/{}  {:.0f} %  {}", progress.stage, text::count(progress.done),
                                   text::count(progress.total), fraction * 100, text::seconds(seconds));
    // The first moments say little about the rest.
    if (progress.done > 0 && progress.done < progress.total && seconds > 1)
        line += ", " + text::seconds(seconds / fraction * (1 - fraction)) + " left";
    return line;
}

// A line longer than the terminal would wrap, and only its last row could be wiped.
std::string fitted(std::string line) {
    winsize size{};
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return line;
    while (columns(line) >= size.ws_col) {
        while (!line.empty() && (line.back() & 0xC0) == 0x80)
            line.pop_back();
        line.pop_back();
    }
    return line;
}

}  // namespace

Console::Console(bool json, bool quiet)
    : m_json(json), m_quiet(quiet), m_terminal(isatty(STDERR_FILENO) == 1) {}

void Console::progress(const Progress& progress) {
    if (m_quiet)
        return;
    const std::lock_guard lock(m_mutex);
    const auto now = Clock::now();
    if (progress.stage != m_stage) {
        // A stage before the first line counts from the program's first work, so that short stages stay
        // silent.
        if (m_stage.empty())
            m_last_line = now;
        m_stage = progress.stage;
        m_stage_start = now;
    }
    if (!m_terminal && now - m_last_line < kLineInterval)
        return;
    m_last_line = now;
    const std::string line =
        (m_step.empty() ? "" : m_step + ": ") +
        progressText(progress, std::chrono::duration<double>(now - m_stage_start).count());
    if (m_terminal)
        fmt::print(stderr, "\r\033[K{}", fitted(line));
    else
        fmt::print(stderr, "{}\n", line);
    std::fflush(stderr);
    m_line_shown = m_terminal;
}

void Console::setStep(std::string step) {
    const std::lock_guard lock(m_mutex);
    m_step = std::move(step);
    m_stage_start = Clock::now();
}

void Console::clearProgress() {
    const std::lock_guard lock(m_mutex);
    if (m_line_shown)
        fmt::print(stderr, "\r\033[K");
    m_line_shown = false;
}

void Console::message(std::string_view text) {
    clearProgress();
    if (!m_quiet)
        fmt::print(stderr, "{}\n", text);
}

void Console::print(std::string_view text) {
    if (m_json)
        return;
    clearProgress();
    std::fwrite(text.data(), 1, text.size(), stdout);
}

void Console::printResult(const ResultJson& result) {
    if (!m_json)
        return;
    clearProgress();
    // Text that a model stops in the middle of a character must not cost the whole result.
    fmt::print("{}\n", result.dump(-1, ' ', false, ResultJson::error_handler_t::replace));
}

void Console::flush() {
    // A failure of an earlier, larger write is in the stream's error flag alone.
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
        throw Error(ErrorCode::Io, std::string("standard output: cannot write: ") + std::strerror(errno));
}

std::string factLines(const std::vector<std::pair<std::string, std::string>>& facts) {
    std::size_t width = 0;
    for (const auto& [label, value] : facts)
        width = std::max(width, columns(label));
    std::string lines;
    for (const auto& [label, value] : facts)
        lines += label + std::string(width - columns(label) + 2, ' ') + value + "\n";
    return lines;
}

std::string tableLines(const std::vector<std::vector<std::string>>& rows) {
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i)
            widths[i] = std::max(widths[i], columns(row[i]));
    }
    std::string lines;
    for (const auto& row : rows) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) {
            const std::string pad(widths[i] - columns(row[i]), ' ');
            line += (i > 0 ? "  " : "") + (i > 0 ? pad + row[i] : row[i] + pad);
        }
        line.erase(line.find_last_not_of(' ') + 1);
        lines += line + "\n";
    }
    return lines;
}

}  // namespace eigenscope
