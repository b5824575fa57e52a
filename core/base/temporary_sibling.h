// SPDX-License-Identifier: Apache-2.0
// Unfinished outputs: hidden files and folders beside their targets, ".NAME.PID-NUMBER.partial", which are
// renamed when they are complete. Their writer holds a lock on them (flock), which ends with the process
// however that ends. So what a killed process left is told from what another one is writing just now, and the
// next writer of the same target removes it. Where a file system has no locks, leftovers stay. Any thread.
#pragma once

#include <filesystem>

namespace eigenscope {

struct TemporarySibling {
    std::filesystem::path path;
    int fd = -1;    // holds the lock; of a file, open for writing
    int error = 0;  // errno, when fd is -1
};

TemporarySibling createTemporaryFile(const std::filesystem::path& target);
TemporarySibling createTemporaryDirectory(const std::filesystem::path& target);

// Removes what unfinished writers of this target left, as far as it is this user's.
void removeAbandoned(const std::filesystem::path& target);

std::filesystem::path folderOf(const std::filesystem::path& target);  // "." for a bare name

}  // namespace eigenscope
