// SPDX-License-Identifier: GPL-3.0-or-later
// Ctrl-C as a stop request. A thread waits for SIGINT, SIGTERM and SIGHUP, which every other thread blocks,
// so no code runs in a signal handler. Further signals change nothing: the work is already on its way out,
// and ending it harder would leave half-written files. Create it before any other thread; one a process.
#pragma once

#include <stop_token>
#include <thread>

namespace eigenscope {

class Interrupt {
public:
    Interrupt();  // throws Error when the operating system refuses
    ~Interrupt();
    Interrupt(const Interrupt&) = delete;
    Interrupt& operator=(const Interrupt&) = delete;

    std::stop_token token() const { return m_source.get_token(); }

private:
    void wait();

    std::stop_source m_source;
    int m_signals = -1, m_end = -1;  // signalfd and eventfd
    std::thread m_thread;
};

}  // namespace eigenscope
