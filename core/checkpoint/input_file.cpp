// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/input_file.h"

#include "core/base/fail.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace eigenscope {

std::shared_ptr<const InputFile> InputFile::open(const std::filesystem::path& file) {
    // Without O_NONBLOCK opening a named pipe would wait for a writer before its kind can be seen.
    const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        failIo(file, "open", errno);
    std::shared_ptr<InputFile> opened(new InputFile(file, fd, 0));  // closes it from here on
    struct stat status {};
    if (fstat(fd, &status) != 0)
        failIo(file, "open", errno);
    if (!S_ISREG(status.st_mode))
        failInput(file, "is not a regular file");
    opened->m_size = static_cast<std::uint64_t>(status.st_size);
    return opened;
}

InputFile::~InputFile() { close(m_fd); }

void InputFile::read(std::uint64_t offset, std::span<std::byte> to) const {
    constexpr std::size_t kMost = std::size_t{1} << 30;  // one call reads less than 2 GiB
    while (!to.empty()) {
        const ssize_t count =
            ::pread(m_fd, to.data(), std::min(to.size(), kMost), static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            failIo(m_path, "read", errno);
        if (count == 0)
            failInput(m_path, "ended at byte " + std::to_string(offset) + ", expected " +
                                  std::to_string(to.size()) + " more: was it cut while it was in use?");
        offset += static_cast<std::uint64_t>(count);
        to = to.subspan(static_cast<std::size_t>(count));
    }
}

std::shared_ptr<const MappedFile> InputFile::map() const {
    return MappedFile::map(m_fd, static_cast<std::size_t>(m_size), m_path);
}

}  // namespace eigenscope
