// SPDX-License-Identifier: Apache-2.0
// Opening files for reading. Every reader of the program opens its files here: only regular files are read.
// A named pipe would keep a reader waiting for ever, a device may have no end, and both may stand where a
// downloaded directory has a file; they are refused by name. Opening does not wait, and what was opened is
// looked at, not what its name may mean a moment later. Immutable; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace eigenscope {

class RegularFile {
public:
    // Throws Io for what cannot be opened, InvalidInput for what is no regular file.
    explicit RegularFile(std::filesystem::path path);
    ~RegularFile();
    RegularFile(const RegularFile&) = delete;
    RegularFile& operator=(const RegularFile&) = delete;

    const std::filesystem::path& path() const { return m_path; }
    int descriptor() const { return m_descriptor; }
    std::uint64_t size() const { return m_size; }  // when it was opened; files of /proc say 0
    // The next bytes of the file, at most to.size(); 0 at its end. Throws Io.
    std::size_t read(std::span<std::byte> to) const;

private:
    std::filesystem::path m_path;
    int m_descriptor = -1;
    std::uint64_t m_size = 0;
};

// Whether there is a file of this name, through links: for files that a directory may have or not. Throws
// InvalidInput for what is there but no regular file: it is neither read nor passed over as if it were
// missing.
bool hasRegularFile(const std::filesystem::path& path);

}  // namespace eigenscope
