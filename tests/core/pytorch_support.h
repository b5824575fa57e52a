// SPDX-License-Identifier: Apache-2.0
// Zip archives and pickles made byte by byte, right or wrong as a test wants them. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace eigenscope::test {

// What is not set is what the contents make right.
struct ZipPart {
    std::string name, contents;
    bool deflate = false;
    // As the directory declares them.
    std::optional<std::uint32_t> size = {}, packed = {}, offset = {}, checksum = {};
    std::uint16_t flags = 0;
    std::optional<std::uint16_t> method = {};
    std::optional<std::string> local_name = {};
    std::string extra = {};  // of the directory's record
};

struct ZipEnd {
    std::optional<std::uint16_t> entries = {}, disk = {};
    std::optional<std::uint32_t> directory_size = {}, directory_offset = {};
    std::string comment = {};
    bool zip64 = false;  // sizes and offsets are in the ZIP64 records only
};

std::string zipOf(const std::vector<ZipPart>& parts, const ZipEnd& end = {});

std::string little(std::uint64_t number, int bytes);

// Fragments of pickles.
std::string pickledText(std::string_view text);
std::string pickledInteger(std::int64_t number);
std::string pickledTuple(const std::vector<std::int64_t>& numbers);
std::string pickledGlobal(std::string_view module, std::string_view name);

struct PickledTensor {
    std::string storage = "FloatStorage", key = "0";
    std::int64_t count = 6, offset = 0;
    std::vector<std::int64_t> shape{2, 3}, strides{3, 1};
};
std::string pickledTensor(const PickledTensor& tensor);
// A dictionary of name and value.
std::string pickledDictionary(const std::vector<std::pair<std::string, std::string>>& entries);

// A weight file of this pickle and one storage "0".
std::string pytorchFile(const std::string& pickle, const std::string& storage);

}  // namespace eigenscope::test
