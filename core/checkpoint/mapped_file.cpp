// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/mapped_file.h"

#include "core/base/fail.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace eigenscope {

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& file) {
    // Without O_NONBLOCK opening a named pipe would wait for a writer before its kind can be seen.
    const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        failIo(file, "open", errno);
    struct Closer {
        int fd;
        ~Closer() { close(fd); }
    } closer{fd};
    struct stat status {};
    if (fstat(fd, &status) != 0)
        failIo(file, "open", errno);
    if (!S_ISREG(status.st_mode))
        failInput(file, "is not a regular file");
    return map(fd, static_cast<std::size_t>(status.st_size), file);
}

std::shared_ptr<const MappedFile> MappedFile::map(int fd, std::size_t size,
                                                  const std::filesystem::path& file) {
    void* data = nullptr;
    if (size > 0) {  // an empty mapping does not exist
        data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            failIo(file, "map into memory", errno);
    }
    return std::shared_ptr<const MappedFile>(new MappedFile(static_cast<const std::byte*>(data), size));
}

MappedFile::~MappedFile() {
    if (m_size > 0)
        munmap(const_cast<std::byte*>(m_data), m_size);
}

}  // namespace eigenscope
