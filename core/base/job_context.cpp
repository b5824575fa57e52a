// SPDX-License-Identifier: Apache-2.0
#include "core/base/job_context.h"

#include <utility>

namespace eigenscope {

namespace {
// Twenty reports a second look continuous and cost a receiver nothing.
constexpr std::chrono::milliseconds kReportInterval{50};
}  // namespace

JobContext::JobContext(std::stop_token stop, ProgressSink sink)
    : m_stop(std::move(stop)), m_sink(std::move(sink)) {}

void JobContext::progress(std::string_view stage, std::int64_t done, std::int64_t total) {
    if (!m_sink)
        return;
    const auto now = std::chrono::steady_clock::now();
    const bool first = m_last_report == std::chrono::steady_clock::time_point{} || stage != m_last_stage;
    const bool last = total > 0 && done >= total;
    if (!first && !last && now - m_last_report < kReportInterval)
        return;
    if (first)
        m_last_stage = stage;
    m_last_report = now;
    m_sink(Progress{m_last_stage, done, total});
}

void JobContext::checkCancelled() const {
    if (cancelled())
        throw Cancelled();
}

}  // namespace eigenscope
