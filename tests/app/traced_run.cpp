// SPDX-License-Identifier: Apache-2.0
#include "tests/app/traced_run.h"

#include "tests/app/cli_run.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace eigenscope::test {

namespace {

constexpr int kCannotTrace = 126;

// What execv needs, made before the fork.
class Program {
public:
    Program(const QString& program, const QStringList& arguments) {
        m_texts.push_back((program.isEmpty() ? cliProgram() : program).toLocal8Bit());
        for (const QString& argument : arguments)
            m_texts.push_back(argument.toLocal8Bit());
        for (QByteArray& text : m_texts)
            m_pointers.push_back(text.data());
        m_pointers.push_back(nullptr);
    }
    // In the child.
    [[noreturn]] void start(int error, const char* output) {
        setenv("OMP_WAIT_POLICY", "passive", 1);
        const int out = open(output, O_WRONLY);
        if (out < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(error, STDERR_FILENO) < 0)
            _exit(127);
        execv(m_pointers.front(), m_pointers.data());
        _exit(127);
    }

private:
    std::vector<QByteArray> m_texts;
    std::vector<char*> m_pointers;
};

// Standard error as a pipe: no limit on files reaches it, and what a short run says fits into it.
struct ErrorPipe {
    int ends[2] = {-1, -1};
    ErrorPipe() {
        if (pipe2(ends, O_CLOEXEC) != 0)
            ends[0] = ends[1] = -1;
    }
    ~ErrorPipe() {
        close(ends[0]);
        close(ends[1]);
    }
    // When the process has ended.
    QByteArray contents() {
        close(std::exchange(ends[1], -1));
        QByteArray text;
        char part[4096];
        for (ssize_t got; (got = read(ends[0], part, sizeof part)) > 0;)
            text.append(part, static_cast<qsizetype>(got));
        return text;
    }
};

bool changesFiles(const __ptrace_syscall_info& call) {
    switch (call.entry.nr) {
        case SYS_write:
        case SYS_pwrite64:
        case SYS_writev:
        case SYS_copy_file_range:
        case SYS_sendfile:
        case SYS_fsync:
        case SYS_ftruncate:
        case SYS_renameat2:
        case SYS_unlinkat:
        case SYS_mkdirat:
#ifdef SYS_rename
        case SYS_rename:
        case SYS_unlink:
        case SYS_mkdir:
        case SYS_rmdir:
#endif
            return true;
        case SYS_openat:
            return (call.entry.args[2] & O_CREAT) != 0;
        default:
            return false;
    }
}

void finish(int status, TracedResult& result) {
    result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    result.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

}  // namespace

std::optional<TracedResult> runTraced(const QStringList& arguments, long before, int signal,
                                      const QString& executable) {
    Program program(executable, arguments);
    ErrorPipe error;
    const pid_t child = fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0)
            _exit(kCannotTrace);
        setenv("ASAN_OPTIONS", "detect_leaks=0",
               1);  // its search for leaks is a tracer too, and there is one
        program.start(error.ends[1], "/dev/null");
    }
    TracedResult result;
    int status = 0;
    waitpid(child, &status, 0);  // stopped at its exec
    if (WIFEXITED(status)) {
        return std::nullopt;
    }
    constexpr long kOptions = PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE;
    if (ptrace(PTRACE_SETOPTIONS, child, nullptr, kOptions) != 0) {
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        return std::nullopt;
    }
    ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
    for (;;) {
        const pid_t thread = waitpid(-1, &status, __WALL);
        if (thread < 0)
            break;  // the last one is gone
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (thread == child)
                finish(status, result);
            continue;
        }
        long forwarded = 0;
        const int stop = WSTOPSIG(status);
        if (stop == (SIGTRAP | 0x80)) {
            __ptrace_syscall_info call{};
            ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof call, &call);
            if (call.op == PTRACE_SYSCALL_INFO_ENTRY && changesFiles(call) && ++result.writes == before)
                kill(child, signal);
        } else if (stop != SIGTRAP && stop != SIGSTOP) {
            forwarded = stop;
        }
        ptrace(PTRACE_SYSCALL, thread, nullptr, forwarded);
    }
    result.error = error.contents();
    return result;
}

TracedResult runLimited(const QStringList& arguments, std::optional<unsigned long> file_limit,
                        const char* output, const QString& executable) {
    Program program(executable, arguments);
    ErrorPipe error;
    const pid_t child = fork();
    if (child == 0) {
        if (file_limit) {
            const rlimit limit{*file_limit, *file_limit};
            setrlimit(RLIMIT_FSIZE, &limit);
        }
        program.start(error.ends[1], output);
    }
    TracedResult result;
    int status = 0;
    waitpid(child, &status, 0);
    finish(status, result);
    result.error = error.contents();
    return result;
}

}  // namespace eigenscope::test
