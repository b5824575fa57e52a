// SPDX-License-Identifier: Apache-2.0
#include "core/model/hidden_states.h"

#include "core/base/fail.h"
#include "core/base/process_memory.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <numeric>
#include <string>

#include <fcntl.h>
#include <unistd.h>

namespace eigenscope {

namespace {

namespace fs = std::filesystem;

fs::path spillDirectory(const StateOptions& options) {
    if (!options.directory.empty())
        return options.directory;
    const char* chosen = std::getenv("TMPDIR");
    if (chosen != nullptr && *chosen != '\0')
        return chosen;
    return access("/var/tmp", W_OK) == 0 ? fs::path("/var/tmp") : fs::temp_directory_path();
}

int openNameless(const fs::path& directory) {
    int file = ::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file >= 0)
        return file;
    // Not every file system knows O_TMPFILE.
    std::string name = (directory / "eigenscope-states-XXXXXX").string();
    file = mkostemp(name.data(), O_CLOEXEC);
    if (file < 0)
        failIo(directory, "make a file for hidden states", errno);
    unlink(name.c_str());
    return file;
}

}  // namespace

std::string_view nameOf(StateStorage storage) {
    switch (storage) {
        case StateStorage::Memory:
            return "memory";
        case StateStorage::File:
            return "file";
        case StateStorage::Auto:
            break;
    }
    return "auto";
}

StateStorage stateStorageFromName(std::string_view name) {
    for (StateStorage storage : {StateStorage::Auto, StateStorage::Memory, StateStorage::File}) {
        if (name == nameOf(storage))
            return storage;
    }
    throw Error(ErrorCode::InvalidInput,
                "hidden states: expected auto, memory or file, found " + std::string(name));
}

bool spillsStates(std::int64_t bytes, const StateOptions& options) {
    if (options.storage != StateStorage::Auto)
        return options.storage == StateStorage::File;
    return static_cast<double>(bytes) > kStateShare * static_cast<double>(availableHostBytes());
}

HiddenStates::HiddenStates(std::vector<std::size_t> sizes, const StateOptions& options)
    : m_sizes(std::move(sizes)) {
    m_starts.assign(1, 0);
    for (std::size_t size : m_sizes)
        m_starts.push_back(m_starts.back() + size);
    if (spillsStates(static_cast<std::int64_t>(m_starts.back() * sizeof(float)), options)) {
        m_directory = spillDirectory(options);
        m_file = openNameless(m_directory);
        return;
    }
    for (std::size_t size : m_sizes)
        m_memory.emplace_back(size);
}

HiddenStates::~HiddenStates() {
    if (m_file >= 0)
        close(m_file);
}

void HiddenStates::check(std::size_t state, std::size_t floats) const {
    if (floats != m_sizes.at(state))
        throw Error(ErrorCode::InvalidInput, "hidden state " + std::to_string(state) + " has " +
                                                 std::to_string(m_sizes[state]) + " numbers, not " +
                                                 std::to_string(floats));
}

void HiddenStates::write(std::size_t state, std::span<const float> values) {
    check(state, values.size());
    ++m_version;
    if (!spilled()) {
        std::ranges::copy(values, m_memory[state].begin());
        return;
    }
    std::span<const std::byte> bytes = std::as_bytes(values);
    auto offset = static_cast<off_t>(m_starts[state] * sizeof(float));
    while (!bytes.empty()) {
        const ssize_t count = pwrite(m_file, bytes.data(), bytes.size(), offset);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            failIo(m_directory, "write hidden states to a file in this folder", errno);
        bytes = bytes.subspan(static_cast<std::size_t>(count));
        offset += count;
    }
}

void HiddenStates::read(std::size_t state, std::span<float> values) const {
    check(state, values.size());
    if (!spilled()) {
        std::ranges::copy(m_memory[state], values.begin());
        return;
    }
    std::span<std::byte> bytes = std::as_writable_bytes(values);
    auto offset = static_cast<off_t>(m_starts[state] * sizeof(float));
    while (!bytes.empty()) {
        const ssize_t count = pread(m_file, bytes.data(), bytes.size(), offset);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            failIo(m_directory, "read hidden states from a file in this folder", count < 0 ? errno : EIO);
        bytes = bytes.subspan(static_cast<std::size_t>(count));
        offset += count;
    }
}

}  // namespace eigenscope
