// SPDX-License-Identifier: Apache-2.0
#include "core/base/process_memory.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include <sys/resource.h>

namespace eigenscope {

namespace {

namespace fs = std::filesystem;

// A line "Name:   123 kB" of a file of /proc.
std::int64_t bytesIn(const char* file, const std::string& name) {
    std::ifstream status(file);
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with(name + ":"))
            return std::strtoll(line.c_str() + name.size() + 1, nullptr, 10) * 1024;
    }
    return 0;
}

std::int64_t statusBytes(const std::string& name) { return bytesIn("/proc/self/status", name); }

std::optional<std::int64_t> numberIn(const fs::path& file) {
    std::ifstream stream(file);
    std::int64_t number = 0;  // "max" is no number
    return stream >> number ? std::optional(number) : std::nullopt;
}

void lower(std::optional<std::int64_t>& room, std::int64_t to) {
    to = std::max<std::int64_t>(to, 0);
    room = std::min(room.value_or(to), to);
}

void lowerByLimit(std::optional<std::int64_t>& room, decltype(RLIMIT_AS) resource, const char* used) {
    rlimit limit{};
    if (getrlimit(resource, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        lower(room, static_cast<std::int64_t>(limit.rlim_cur) - statusBytes(used));
}

}  // namespace

std::optional<std::int64_t> limitRoom() {
    std::optional<std::int64_t> room;
    lowerByLimit(room, RLIMIT_AS, "VmSize");
    lowerByLimit(room, RLIMIT_DATA, "VmData");
    std::ifstream groups("/proc/self/cgroup");
    for (std::string line; std::getline(groups, line);) {
        if (!line.starts_with("0::/"))
            continue;
        const fs::path root = "/sys/fs/cgroup";
        for (fs::path group = root / line.substr(4);; group = group.parent_path()) {
            const auto most = numberIn(group / "memory.max"), used = numberIn(group / "memory.current");
            // What the group's files take can be given back by the kernel.
            std::int64_t files = 0;
            std::ifstream stat(group / "memory.stat");
            std::string key;
            for (std::int64_t value = 0; stat >> key >> value;) {
                if (key == "inactive_file" || key == "active_file")
                    files += value;
            }
            if (most && used)
                lower(room, *most - *used + files);
            if (group == root || group == group.parent_path())
                break;
        }
    }
    return room;
}

std::int64_t availableHostBytes() {
    const std::int64_t available = bytesIn("/proc/meminfo", "MemAvailable");
    return std::min(available, limitRoom().value_or(available));
}

std::int64_t residentBytes() { return statusBytes("VmRSS"); }
std::int64_t peakResidentBytes() { return statusBytes("VmHWM"); }

}  // namespace eigenscope
