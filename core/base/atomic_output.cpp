// SPDX-License-Identifier: Apache-2.0
#include "core/base/atomic_output.h"

#include "core/base/fail.h"
#include "core/base/regular_file.h"
#include "core/base/temporary_sibling.h"

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace eigenscope {

namespace fs = std::filesystem;

namespace {

// "a/b/" and "a/b" are the same target.
fs::path withoutTrailingSlash(const fs::path& path) {
    return !path.has_filename() && path.has_relative_path() ? path.parent_path() : path;
}

// Best effort: some file systems do not sync directories, and the contents are complete either way.
void syncFolder(const fs::path& folder) {
    const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

void syncTree(const fs::path& folder) {
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
        if (!entry.is_regular_file())
            continue;
        const int fd = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            failIo(entry.path(), "open", errno);
        const int status = fsync(fd);
        const int error = errno;
        close(fd);
        if (status != 0 && error != EINVAL)
            failIo(entry.path(), "write to disk", error);
    }
    syncFolder(folder);
}

}  // namespace

AtomicFile::AtomicFile(fs::path target) : m_target(std::move(target)) {
    if (!m_target.has_filename())
        failInput(m_target, "expected the name of a file to write");
    std::error_code error;
    const fs::file_status status = fs::status(m_target, error);
    if (fs::exists(status) && !fs::is_regular_file(status))
        failInput(m_target, fs::is_directory(status) ? "is a directory, expected a file to write"
                                                     : "is not a regular file, cannot be replaced");
    const TemporarySibling sibling = createTemporaryFile(m_target);
    if (sibling.fd < 0)
        failIo(m_target, "write", sibling.error);
    m_temporary = sibling.path;
    m_fd = sibling.fd;
}

AtomicFile::~AtomicFile() {
    if (m_fd < 0)
        return;
    unlink(m_temporary.c_str());
    close(m_fd);
}

void AtomicFile::write(std::span<const std::byte> bytes) {
    // Linux writes at most 2 GiB a call.
    constexpr std::size_t kChunk = std::size_t{1} << 30;
    while (!bytes.empty()) {
        const ssize_t written = ::write(m_fd, bytes.data(), std::min(bytes.size(), kChunk));
        if (written < 0) {
            if (errno == EINTR)
                continue;
            failIo(m_target, "write", errno);
        }
        bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }

void AtomicFile::commit() {
    if (fsync(m_fd) != 0 && errno != EINVAL)
        failIo(m_target, "write to disk", errno);
    if (rename(m_temporary.c_str(), m_target.c_str()) != 0)
        failIo(m_target, "rename the finished file", errno);
    close(std::exchange(m_fd, -1));
    syncFolder(folderOf(m_target));
}

AtomicDirectory::AtomicDirectory(fs::path target) : m_target(withoutTrailingSlash(std::move(target))) {
    std::error_code error;
    if (m_target.empty())
        failInput(m_target, "expected the name of a directory to write");
    if (fs::exists(m_target, error)) {
        if (!fs::is_directory(m_target, error))
            failInput(m_target, "exists and is no directory, expected a new or empty directory");
        const bool empty = fs::is_empty(m_target, error);
        if (error)
            failIo(m_target, "read", error.value());
        if (!empty)
            failInput(m_target, "exists and is not empty, expected a new or empty directory");
        m_target = fs::canonical(m_target);  // "." and links: the rename needs the directory's own name
    }
    const TemporarySibling sibling = createTemporaryDirectory(m_target);
    if (sibling.fd < 0)
        failIo(m_target, "create", sibling.error);
    m_temporary = sibling.path;
    m_lock = sibling.fd;
}

AtomicDirectory::~AtomicDirectory() {
    if (!m_temporary.empty()) {
        std::error_code error;
        fs::remove_all(m_temporary, error);
    }
    if (m_lock >= 0)
        close(m_lock);
}

void AtomicDirectory::fill(const std::function<void()>& write) const {
    try {
        write();
    } catch (const Error& error) {
        std::string message = error.what();
        const std::string temporary = m_temporary.string();
        const std::string target = m_target.string();
        for (std::size_t at = 0; (at = message.find(temporary, at)) != std::string::npos; at += target.size())
            message.replace(at, temporary.size(), target);
        throw Error(error.code(), message);
    }
}

void AtomicDirectory::commit() {
    syncTree(m_temporary);
    // rename(2) replaces an empty directory in one step and refuses one that has been filled meanwhile.
    if (rename(m_temporary.c_str(), m_target.c_str()) != 0)
        failIo(m_target, "rename the finished directory", errno);
    m_temporary.clear();
    close(std::exchange(m_lock, -1));
    syncFolder(folderOf(m_target));
}

void writeTextFile(const fs::path& target, std::string_view text) {
    AtomicFile file(target);
    file.write(text);
    file.commit();
}

std::string readTextFile(const fs::path& path, std::size_t max_bytes) {
    const RegularFile file(path);
    // Read to the end rather than by size: files of /proc say that they are empty.
    std::string text;
    std::size_t used = 0;
    text.resize(static_cast<std::size_t>(std::min<std::uint64_t>(file.size(), max_bytes)) + 1);
    for (;;) {
        const std::size_t got =
            file.read(std::as_writable_bytes(std::span(text.data() + used, text.size() - used)));
        if (got == 0)
            break;
        used += got;
        if (used > max_bytes)
            failInput(path, "is larger than " + std::to_string(max_bytes) + " bytes");
        if (used == text.size())
            text.resize(std::min(2 * text.size(), max_bytes + 1));
    }
    text.resize(used);
    return text;
}

}  // namespace eigenscope
