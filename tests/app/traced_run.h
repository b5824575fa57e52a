// SPDX-License-Identifier: Apache-2.0
// Runs the built eigenscope-cli, or another program, one system call at a time (ptrace) and ends it, or
// interrupts it, just before the n-th call that changes a file: a moment that no delay can hit. Test thread
// only; no other child processes may run meanwhile.
#pragma once

#include <QByteArray>
#include <QStringList>

#include <optional>

namespace eigenscope::test {

struct TracedResult {
    long writes = 0;   // calls begun: write, pwrite, fsync, rename, mkdir, unlink, and opening to create
    int status = -1;   // exit status; -1: ended by a signal
    int signal = 0;    // that ended it
    QByteArray error;  // its standard error
};

// Empty where processes may not be traced (some containers). `before`: number of the call, from 1, that
// `signal` comes before; 0: none. `file_limit`: the longest file it may write (RLIMIT_FSIZE), or none.
// `output`: where its standard output goes. `program`: another than eigenscope-cli.
std::optional<TracedResult> runTraced(const QStringList& arguments, long before = 0, int signal = 9,
                                      const QString& program = {});

// Not traced; for limits and full devices.
TracedResult runLimited(const QStringList& arguments, std::optional<unsigned long> file_limit,
                        const char* output = "/dev/null", const QString& program = {});

}  // namespace eigenscope::test
