// SPDX-License-Identifier: Apache-2.0
// What every fuzz target needs: input bytes as the files that the program's readers open, and what must hold
// of whatever they answer. A target is one function, LLVMFuzzerTestOneInput; libFuzzer calls it, or
// replay.cpp does without libFuzzer. One thread.
#pragma once

#include "core/checkpoint/tensor_record.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// The name that libFuzzer looks for.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace eigenscope::fuzz {

// A folder of the process's own in memory (/dev/shm where there is one), removed at exit.
const std::filesystem::path& inputFolder();
// Writes one of its files anew and returns its path.
std::filesystem::path inputFile(const std::string& name, std::string_view contents);
void removeInput(const std::string& name);

// Inputs that stand for several files have this line between them; what is missing is empty.
inline constexpr std::string_view kSeparator = "\n-----\n";
std::vector<std::string_view> splitInput(std::string_view input, std::size_t parts);

// A safetensors file of a header's text and the data behind it, the header's length put right: mutations
// then reach what the header says instead of failing at its length.
std::string safetensorsOf(std::string_view header, std::string_view data);

// Runs a reader. An Error is an answer as good as any other when it is one line that a person can read;
// everything else that is thrown is a defect and ends the process.
void read(const std::function<void()>& reader);

// Ends the process, as a sanitizer does, when something does not hold.
void require(bool condition, const char* what);

// Reads every byte, so that a view beyond its memory is noticed.
void touch(std::span<const std::byte> bytes);
void touch(const std::vector<TensorRecord>& tensors);

inline std::string_view textOf(const std::uint8_t* data, std::size_t size) {
    return {reinterpret_cast<const char*>(data), size};
}

}  // namespace eigenscope::fuzz
