// SPDX-License-Identifier: Apache-2.0
// A whole file as read-only memory. The file's size is taken once, when it is opened: a file that another
// program truncates while it is mapped makes later reads fault (SIGBUS), which is not guarded against;
// replacing a file by renaming, as this program and download tools do, is safe. Immutable; any thread; shared
// by all who hold bytes of it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

namespace eigenscope {

class MappedFile {
public:
    static std::shared_ptr<const MappedFile> open(
        const std::filesystem::path& file);  // throws Io, InvalidInput
    // Of an open file; throws Io naming `file`.
    static std::shared_ptr<const MappedFile> map(int fd, std::size_t size, const std::filesystem::path& file);
    ~MappedFile();
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;

    std::span<const std::byte> bytes() const { return {m_data, m_size}; }  // page aligned

private:
    MappedFile(const std::byte* data, std::size_t size) : m_data(data), m_size(size) {}

    const std::byte* m_data;
    std::size_t m_size;
};

}  // namespace eigenscope
