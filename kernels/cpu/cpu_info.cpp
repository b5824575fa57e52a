// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/cpu_info.h"

#include "kernels/cpu/onednn_matmul.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <thread>
#include <vector>

namespace eigenscope::cpu {
namespace {

std::string readField(const char* path, std::string_view field) {
    std::ifstream in(path);
    for (std::string line; std::getline(in, line);) {
        const auto colon = line.find(':');
        if (colon == std::string::npos || line.compare(0, field.size(), field) != 0)
            continue;
        const auto value = line.find_first_not_of(" \t", colon + 1);
        return value == std::string::npos ? std::string() : line.substr(value);
    }
    return {};
}

std::optional<std::uint64_t> readNumber(const std::filesystem::path& path) {
    std::ifstream in(path);
    std::uint64_t value = 0;
    if (in >> value)
        return value;
    return std::nullopt;  // no such file, or "max"
}

// Directories of the process's control group (version 2), from its own up to the root: each may limit it.
std::vector<std::filesystem::path> controlGroups() {
    std::ifstream in("/proc/self/cgroup");
    std::vector<std::filesystem::path> groups;
    for (std::string line; std::getline(in, line);) {
        if (line.rfind("0::/", 0) != 0)
            continue;
        const std::filesystem::path root("/sys/fs/cgroup");
        std::filesystem::path relative(line.substr(4));
        for (;; relative = relative.parent_path()) {
            groups.push_back(root / relative);
            if (relative.empty() || !relative.has_relative_path())
                break;
        }
    }
    return groups;
}

std::uint64_t fieldOf(const std::filesystem::path& path, std::string_view field) {
    std::ifstream in(path);
    std::string name;
    for (std::uint64_t value = 0; in >> name >> value;)
        if (name == field)
            return value;
    return 0;
}

// Hardware threads this process may run on, within the control group's share of processor time.
int usableThreads() {
    int threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    for (const auto& group : controlGroups()) {
        std::ifstream in(group / "cpu.max");
        double quota = 0, period = 0;
        if (in >> quota >> period && period > 0 && quota > 0)
            threads = std::min(threads, std::max(1, static_cast<int>(std::ceil(quota / period))));
    }
    return threads;
}

}  // namespace

MemoryStats hostMemory() {
    const auto kibibytes = [](const char* field) -> std::uint64_t {
        std::uint64_t value = 0;
        std::istringstream(readField("/proc/meminfo", field)) >> value;
        return value * 1024;
    };
    std::uint64_t total = kibibytes("MemTotal"), available = kibibytes("MemAvailable");
    for (const auto& group : controlGroups()) {
        const auto limit = readNumber(group / "memory.max");
        if (!limit)
            continue;
        // File pages that were not used lately are given back on demand, so they count as free.
        const std::uint64_t used = readNumber(group / "memory.current").value_or(0);
        const std::uint64_t reclaimable = std::min(used, fieldOf(group / "memory.stat", "inactive_file"));
        const std::uint64_t held = used - reclaimable;
        total = std::min(total, *limit);
        available = std::min(available, *limit > held ? *limit - held : 0);
    }
    return {.total_bytes = total, .available_bytes = available};
}

DeviceInfo describeCpu() {
    DeviceInfo info;
    info.backend = "cpu";
    info.threads = usableThreads();
    std::string name = readField("/proc/cpuinfo", "model name");
    if (name.empty())
        name = "CPU";
    info.name = name + ", " + std::to_string(info.threads) + (info.threads == 1 ? " thread" : " threads");
    info.instructions = std::string(instructionSet()) + (hasNativeBf16() ? " + BF16" : "");
    info.host_accessible = true;
    return info;
}

}  // namespace eigenscope::cpu
