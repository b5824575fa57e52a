// SPDX-License-Identifier: Apache-2.0
// A loop shared by threads that live as long as the call. For coarse items: starting a thread costs some 20
// us.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace eigenscope {

// body(i) for each i in [0, count), in no order, on `threads` threads (0: as many as there are processors).
// The first exception is thrown again here, after all threads have ended; items not begun by then are left
// out.
template <typename Body>
void parallelFor(std::int64_t count, int threads, const Body& body) {
    const int available =
        threads > 0 ? threads : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    std::atomic<std::int64_t> next{0};
    std::exception_ptr failure;
    std::mutex mutex;
    const auto work = [&] {
        try {
            for (std::int64_t i = next++; i < count; i = next++)
                body(i);
        } catch (...) {
            const std::lock_guard lock(mutex);
            if (!failure)
                failure = std::current_exception();
            next = count;
        }
    };
    {
        std::vector<std::jthread> helpers;
        for (std::int64_t i = 1; i < std::min<std::int64_t>(available, count); ++i)
            helpers.emplace_back(work);
        work();
    }
    if (failure)
        std::rethrow_exception(failure);
}

}  // namespace eigenscope
