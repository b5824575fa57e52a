// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/hub_cache.h"

#include "core/base/atomic_output.h"
#include "core/base/fail.h"
#include "core/base/regular_file.h"

#include <string_view>
#include <vector>

namespace eigenscope {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kRepositoryPrefix = "models--";
constexpr std::string_view kSeparator = "--";

bool isDirectory(const fs::path& path) {
    std::error_code error;
    return fs::is_directory(path, error);
}

// What refs/main names; empty when there is none or it is no plain name.
std::string mainCommit(const fs::path& repository) {
    const fs::path file = repository / "refs" / "main";
    if (!hasRegularFile(file))
        return {};
    const std::string text = readTextFile(file), commit = text.substr(0, text.find_first_of("\r\n"));
    const bool plain = commit.find('/') == std::string::npos && commit != ".." && commit != ".";
    return plain ? commit : std::string();
}

}  // namespace

fs::path hubSnapshot(const fs::path& directory) {
    const fs::path snapshots = directory / "snapshots";
    std::error_code error;
    if (fs::exists(directory / "config.json", error) || !isDirectory(snapshots))
        return directory;
    if (const std::string commit = mainCommit(directory); !commit.empty() && isDirectory(snapshots / commit))
        return snapshots / commit;
    std::vector<fs::path> found;
    for (fs::directory_iterator i(snapshots, error), last; !error && i != last; i.increment(error)) {
        if (isDirectory(i->path()))
            found.push_back(i->path());
    }
    if (error)
        failIo(snapshots, "read", error.value());
    if (found.size() != 1)
        failInput(snapshots, found.empty() ? "has no snapshot: the download is not complete"
                                           : "has " + std::to_string(found.size()) +
                                                 " snapshots and refs/main names none of them: open one");
    return found.front();
}

std::string hubName(const fs::path& snapshot) {
    const fs::path snapshots = snapshot.parent_path();
    const std::string repository = snapshots.parent_path().filename().string();
    if (snapshots.filename() != "snapshots" || !repository.starts_with(kRepositoryPrefix))
        return {};
    const std::size_t separator = repository.rfind(kSeparator);
    return repository.substr(separator + kSeparator.size());
}

}  // namespace eigenscope
