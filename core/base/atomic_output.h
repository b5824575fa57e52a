// SPDX-License-Identifier: Apache-2.0
// Output that appears whole or not at all. Both classes write to a hidden temporary sibling of the target
// (same file system) and rename it in commit(); without commit() the destructor removes it, and what a killed
// process left is removed by the next writer of the same target (temporary_sibling.h). One thread.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace eigenscope {

class AtomicFile {
public:
    explicit AtomicFile(
        std::filesystem::path target);  // throws Io when the folder is missing or not writable
    ~AtomicFile();
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    void write(std::span<const std::byte> bytes);
    void write(std::string_view text);
    void commit();  // flushes to disk, then renames over the target

private:
    std::filesystem::path m_target, m_temporary;
    int m_fd = -1;
};

class AtomicDirectory {
public:
    // The target must not exist, unless it is an empty directory (throws InvalidInput otherwise: nothing is
    // overwritten).
    explicit AtomicDirectory(std::filesystem::path target);
    ~AtomicDirectory();
    AtomicDirectory(const AtomicDirectory&) = delete;
    AtomicDirectory& operator=(const AtomicDirectory&) = delete;

    const std::filesystem::path& path() const { return m_temporary; }  // write the contents here
    void commit();
    // Runs what writes the contents; errors that name the temporary directory name the target instead, which
    // is what the user knows.
    void fill(const std::function<void()>& write) const;

private:
    std::filesystem::path m_target, m_temporary;
    int m_lock = -1;
};

// Whole text file written atomically.
void writeTextFile(const std::filesystem::path& target, std::string_view text);
// The whole of a regular file (regular_file.h); throws when it is larger than `max_bytes`.
std::string readTextFile(const std::filesystem::path& file, std::size_t max_bytes = std::size_t{1} << 30);

}  // namespace eigenscope
