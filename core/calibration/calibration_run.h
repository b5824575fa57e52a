// SPDX-License-Identifier: Apache-2.0
// What both ways of calibrating share: a resident model takes window after window through all layers, a
// streamed one all windows through layer after layer. For the calibration's own files only. One thread.
#pragma once

#include "core/calibration/calibrate.h"
#include "core/calibration/gram_observer.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <optional>

namespace eigenscope {

using Clock = std::chrono::steady_clock;
inline double secondsSince(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

inline constexpr double kShortWindow = 0.5;  // seconds

// Cancellation as the run follows it: at once within a long window, else when the window is done, so that the
// sums are those of whole windows.
class WindowStop {
public:
    explicit WindowStop(const JobContext& job, bool finish_short_windows)
        : m_finish(finish_short_windows),
          m_inner(m_source.get_token()),
          m_callback(job.stopToken(), Forward{this}) {}
    const JobContext& inner() const { return m_inner; }
    void windowTook(double seconds) { m_short = m_finish && seconds < kShortWindow; }

private:
    struct Forward {
        WindowStop* stop;
        void operator()() const {
            if (!stop->m_short)
                stop->m_source.request_stop();
        }
    };
    bool m_finish;
    std::atomic<bool> m_short = false;
    std::stop_source m_source;
    JobContext m_inner;
    std::stop_callback<Forward> m_callback;  // last: may run at once
};

// When sums are handed to the keeper: at intervals.
class KeepingTime {
public:
    explicit KeepingTime(const CalibrationKeeper& keeper) : m_keeper(keeper) {}

    bool due() const {
        // Keeping may take long for a large model; a twentieth of the time is enough.
        const double interval = m_keeper.interval_seconds;
        return m_keeper.keep && (interval <= 0 || secondsSince(m_last) >= std::max(interval, 20 * m_cost));
    }
    void keep(const std::function<PartialCalibration()>& partial) {
        if (!m_keeper.keep)
            return;
        const auto start = Clock::now();
        m_keeper.keep(partial());
        m_cost = secondsSince(start);
        m_last = Clock::now();
    }

private:
    const CalibrationKeeper& m_keeper;
    double m_cost = 0;
    Clock::time_point m_last = Clock::now();
};

// What a run holds beside the model: the same for both ways.
struct CalibrationTools {
    CalibrationTools(const JobContext& job, const OpenModel& model, const CalibrationPlan& plan,
                     Session& session);

    std::optional<AttentionMoments> attention;
    std::optional<SampleAverage> average;
    GramObserver observer;
};

std::int64_t calibrationChunk(const OpenModel& model, const CalibrationPlan& plan);  // tokens of a call

// Of a streamed model.
std::vector<LayerStatistics> calibrateByLayers(JobContext& job, const OpenModel& model,
                                               const CalibrationPlan& plan, const CalibrationKeeper& keeper);

}  // namespace eigenscope
