// SPDX-License-Identifier: Apache-2.0
// Hidden states of many windows between two layers, in memory or in a file that has no name and ends with
// this object. One thread at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace eigenscope {

enum class StateStorage : std::uint8_t {
    Auto,  // in memory when they take at most kStateShare of what is available, else in a file
    Memory,
    File,
};
std::string_view nameOf(StateStorage storage);  // "auto", "memory", "file"
StateStorage stateStorageFromName(std::string_view name);
inline constexpr double kStateShare = 0.25;

struct StateOptions {
    StateStorage storage = StateStorage::Auto;
    // Where the file lies; empty: $TMPDIR, else /var/tmp, which unlike /tmp is never a part of memory.
    std::filesystem::path directory;
};

// Whether states of so many bytes in all go to a file.
bool spillsStates(std::int64_t bytes, const StateOptions& options);

class HiddenStates {
public:
    // `sizes`: floats of each state.
    HiddenStates(std::vector<std::size_t> sizes, const StateOptions& options);
    ~HiddenStates();
    HiddenStates(const HiddenStates&) = delete;
    HiddenStates& operator=(const HiddenStates&) = delete;

    std::size_t count() const { return m_sizes.size(); }
    std::size_t size(std::size_t state) const { return m_sizes.at(state); }  // in floats
    bool spilled() const { return m_file >= 0; }
    // `values` are size(state) floats. Throw Io naming the folder when it is full or fails.
    void write(std::size_t state, std::span<const float> values);
    void read(std::size_t state, std::span<float> values) const;
    // Grows with every write: whoever kept these states can tell whether they are still the same.
    std::uint64_t version() const { return m_version; }

private:
    void check(std::size_t state, std::size_t floats) const;

    std::vector<std::size_t> m_sizes, m_starts;  // floats
    std::vector<std::vector<float>> m_memory;
    std::filesystem::path m_directory;
    int m_file = -1;
    std::uint64_t m_version = 0;
};

}  // namespace eigenscope
