// SPDX-License-Identifier: GPL-3.0-or-later
// The terminal: results on standard output, progress and messages on standard error. Calls come from the main
// thread, except progress(), which comes from whichever thread runs the job.
#pragma once

#include "core/base/job_context.h"

#include <nlohmann/json.hpp>

#include <chrono>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace eigenscope {

// Keys in the order they are documented.
using ResultJson = nlohmann::ordered_json;

class Console {
public:
    Console(bool json, bool quiet);

    bool json() const { return m_json; }
    // One updating line on a terminal; otherwise a line every few seconds, none for short work.
    void progress(const Progress& progress);
    // Which part of a longer job the following progress belongs to: shown in front of it.
    void setStep(std::string step);
    void clearProgress();
    // A line on standard error; not shown when quiet.
    void message(std::string_view text);
    // Human output. Nothing is printed in JSON mode.
    void print(std::string_view text);
    void printResult(const ResultJson& result);  // JSON mode only
    void flush();                                // throws Io when standard output cannot be written

private:
    std::mutex m_mutex;
    bool m_json, m_quiet, m_terminal;
    bool m_line_shown = false;
    std::string m_step, m_stage;
    std::chrono::steady_clock::time_point m_stage_start{}, m_last_line{};
};

// "Label   value" lines, labels padded to one width.
std::string factLines(const std::vector<std::pair<std::string, std::string>>& facts);

// Columns padded to their widest cell; the first is aligned left, the others right. Row 0 is the heading.
std::string tableLines(const std::vector<std::vector<std::string>>& rows);

}  // namespace eigenscope
