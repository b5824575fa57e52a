// SPDX-License-Identifier: Apache-2.0
// Splitting work over the threads of a stream with OpenMP. The bodies must not throw. A team is either the
// stream's whole thread count or the calling thread alone: libgomp ends the surplus threads of a pool that
// shrinks, which costs more than idle ones.
#pragma once

#include <omp.h>

#include <cstdint>

namespace eigenscope::cpu {

// body(begin, end, thread) over consecutive parts of [0, count); serial when there is less than two grains of
// work.
template <class Body>
void parallelRanges(int threads, std::int64_t count, std::int64_t grain, Body&& body) {
    if (count <= 0)
        return;
    if (threads <= 1 || count < 2 * grain || count < 2) {
        body(std::int64_t{0}, count, 0);
        return;
    }
#pragma omp parallel num_threads(threads)
    {
        const std::int64_t team = omp_get_num_threads(), me = omp_get_thread_num();
        const std::int64_t begin = count * me / team, end = count * (me + 1) / team;
        if (begin < end)
            body(begin, end, static_cast<int>(me));
    }
}

// body(task, thread) for every task in [0, count), handed out one at a time; for tasks of uneven cost.
template <class Body>
void parallelTasks(int threads, std::int64_t count, bool worthwhile, Body&& body) {
    if (threads <= 1 || count < 2 || !worthwhile) {
        for (std::int64_t task = 0; task < count; ++task)
            body(task, 0);
        return;
    }
#pragma omp parallel num_threads(threads)
    {
        const int me = omp_get_thread_num();
#pragma omp for schedule(dynamic, 1)
        for (std::int64_t task = 0; task < count; ++task)
            body(task, me);
    }
}

inline std::int64_t roundUp(std::int64_t value, std::int64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

}  // namespace eigenscope::cpu
