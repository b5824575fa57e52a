// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/interrupt.h"

#include "kernels/api/error.h"

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <string>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace eigenscope {

Interrupt::Interrupt() {
    // A shell that starts a program in the background lets it ignore SIGINT; a signal that someone sends it
    // on purpose should still end it cleanly.
    std::signal(SIGINT, SIG_DFL);
    // A limit on files' sizes (ulimit -f) is a failed write with a reason, as a full disk is, instead of the
    // end of the process.
    std::signal(SIGXFSZ, SIG_IGN);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    m_signals = signalfd(-1, &set, SFD_CLOEXEC);
    m_end = eventfd(0, EFD_CLOEXEC);
    if (m_signals < 0 || m_end < 0)
        throw Error(ErrorCode::Io, std::string("cannot wait for signals: ") + std::strerror(errno));
    m_thread = std::thread([this] { wait(); });
}

Interrupt::~Interrupt() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(m_end, &one, sizeof(one));
    m_thread.join();
    close(m_signals);
    close(m_end);
}

void Interrupt::wait() {
    pollfd files[2] = {{m_signals, POLLIN, 0}, {m_end, POLLIN, 0}};
    for (;;) {
        if (poll(files, 2, -1) < 0 && errno != EINTR)
            return;
        if (files[1].revents != 0)
            return;
        signalfd_siginfo info;
        if (files[0].revents != 0 && read(m_signals, &info, sizeof(info)) == sizeof(info))
            m_source.request_stop();
    }
}

}  // namespace eigenscope
