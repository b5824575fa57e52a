// SPDX-License-Identifier: Apache-2.0
// First argument of everything long: where progress goes and whether to stop. Copyable and cheap; may be used
// from the worker thread that runs the job. Reports are throttled (at most one every 50 ms for the same
// stage, but the first and the last always arrive), so call progress() as often as you like. Call
// checkCancelled() at least every 100 ms of work.
#pragma once

#include "kernels/api/cancelled.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>

namespace eigenscope {

struct Progress {
    std::string stage;  // "calibrating", "converting layer"
    std::int64_t done = 0;
    std::int64_t total = 0;  // 0: unknown
};

class JobContext {
public:
    using ProgressSink = std::function<void(const Progress&)>;

    JobContext() = default;  // silent, never cancelled
    explicit JobContext(std::stop_token stop, ProgressSink sink = {});

    void progress(std::string_view stage, std::int64_t done, std::int64_t total);
    bool cancelled() const { return m_stop.stop_requested(); }
    void checkCancelled() const;  // throws Cancelled
    const std::stop_token& stopToken() const { return m_stop; }

private:
    std::stop_token m_stop;
    ProgressSink m_sink;
    std::string m_last_stage;
    std::chrono::steady_clock::time_point m_last_report{};
};

}  // namespace eigenscope
