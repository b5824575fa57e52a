// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/mapped_file.h"

#include "core/base/fail.h"
#include "core/base/regular_file.h"

#include <cerrno>

#include <sys/mman.h>

namespace eigenscope {

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& file) {
    const RegularFile opened(file);
    return map(opened.descriptor(), static_cast<std::size_t>(opened.size()), file);
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
