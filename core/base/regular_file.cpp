// SPDX-License-Identifier: Apache-2.0
#include "core/base/regular_file.h"

#include "core/base/fail.h"

#include <cerrno>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace eigenscope {

namespace {

std::string kindOf(mode_t mode) {
    if (S_ISDIR(mode))
        return "directory";
    if (S_ISFIFO(mode))
        return "named pipe";
    if (S_ISSOCK(mode))
        return "socket";
    return "device";
}

void checkRegular(const std::filesystem::path& path, mode_t mode) {
    if (!S_ISREG(mode))
        failInput(path, "is a " + kindOf(mode) + ", expected a regular file");
}

}  // namespace

RegularFile::RegularFile(std::filesystem::path path) : m_path(std::move(path)) {
    struct stat status {};
    // Without O_NONBLOCK opening a named pipe would wait for a writer before its kind can be seen.
    m_descriptor = ::open(m_path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (m_descriptor < 0) {
        const int error = errno;
        // A socket, or a device without a driver, cannot be opened; that is not what is wrong with it.
        if (error == ENXIO && ::stat(m_path.c_str(), &status) == 0)
            checkRegular(m_path, status.st_mode);
        failIo(m_path, "open", error);
    }
    try {
        if (fstat(m_descriptor, &status) != 0)
            failIo(m_path, "open", errno);
        checkRegular(m_path, status.st_mode);
    } catch (...) {
        close(m_descriptor);
        throw;
    }
    m_size = static_cast<std::uint64_t>(status.st_size);
}

RegularFile::~RegularFile() { close(m_descriptor); }

std::size_t RegularFile::read(std::span<std::byte> to) const {
    for (;;) {
        const ssize_t got = ::read(m_descriptor, to.data(), to.size());
        if (got >= 0)
            return static_cast<std::size_t>(got);
        if (errno != EINTR)
            failIo(m_path, "read", errno);
    }
}

bool hasRegularFile(const std::filesystem::path& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0)
        return false;
    checkRegular(path, status.st_mode);
    return true;
}

}  // namespace eigenscope
