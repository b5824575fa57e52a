// SPDX-License-Identifier: Apache-2.0
#include "core/base/temporary_sibling.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace eigenscope {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kSuffix = ".partial";

// File names end at 255 bytes: of a long name the beginning.
std::string prefixOf(const fs::path& target) { return "." + target.filename().string().substr(0, 180) + "."; }

fs::path freshName(const fs::path& target) {
    std::random_device device;
    const std::uint64_t random = (std::uint64_t{device()} << 32) | device();
    return folderOf(target) / (prefixOf(target) + std::to_string(getpid()) + "-" + std::to_string(random) +
                               std::string(kSuffix));
}

// PID-NUMBER between the prefix and the suffix.
bool isSibling(std::string_view name, std::string_view prefix) {
    if (!name.starts_with(prefix) || !name.ends_with(kSuffix) ||
        name.size() <= prefix.size() + kSuffix.size())
        return false;
    const std::string_view middle = name.substr(prefix.size(), name.size() - prefix.size() - kSuffix.size());
    const std::size_t dash = middle.find('-');
    const auto isNumber = [](std::string_view text) {
        return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
    };
    return dash != std::string_view::npos && isNumber(middle.substr(0, dash)) &&
           isNumber(middle.substr(dash + 1));
}

// Between its creation and its lock another process may have taken it for a leftover: it is still there when
// its name leads to it. Without locks nobody removes it.
bool lockAndCheck(int fd, const fs::path& path) {
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return errno != EWOULDBLOCK;
    struct stat opened {
    }, named{};
    return fstat(fd, &opened) == 0 && lstat(path.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
           opened.st_dev == named.st_dev;
}

template <typename Open>
TemporarySibling create(const fs::path& target, const Open& openNew) {
    removeAbandoned(target);
    for (;;) {
        TemporarySibling sibling{freshName(target)};
        sibling.fd = openNew(sibling.path);
        if (sibling.fd < 0) {
            sibling.error = errno;
            return sibling;
        }
        if (lockAndCheck(sibling.fd, sibling.path))
            return sibling;
        close(sibling.fd);
    }
}

void removeWhenAbandoned(const fs::path& path) {
    const int fd = open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    struct stat status {};
    const bool ours = fstat(fd, &status) == 0 && status.st_uid == geteuid() &&
                      (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode));
    if (ours && flock(fd, LOCK_EX | LOCK_NB) == 0) {
        std::error_code error;
        fs::remove_all(path, error);  // what cannot be removed does no harm
    }
    close(fd);
}

}  // namespace

fs::path folderOf(const fs::path& target) {
    const fs::path folder = target.parent_path();
    return folder.empty() ? fs::path(".") : folder;
}

void removeAbandoned(const fs::path& target) {
    const std::string prefix = prefixOf(target);
    std::vector<fs::path> siblings;
    std::error_code error;
    for (fs::directory_iterator i(folderOf(target), error), last; !error && i != last; i.increment(error)) {
        if (isSibling(i->path().filename().string(), prefix))
            siblings.push_back(i->path());
    }
    for (const fs::path& path : siblings)
        removeWhenAbandoned(path);
}

TemporarySibling createTemporaryFile(const fs::path& target) {
    return create(target, [](const fs::path& path) {
        return open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    });
}

TemporarySibling createTemporaryDirectory(const fs::path& target) {
    return create(target, [](const fs::path& path) {
        if (mkdir(path.c_str(), 0777) != 0)
            return -1;
        const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) {
            const int reason = errno;
            rmdir(path.c_str());
            errno = reason;
        }
        return fd;
    });
}

}  // namespace eigenscope
