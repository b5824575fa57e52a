// SPDX-License-Identifier: Apache-2.0
// Which files of a directory hold a checkpoint's weights. Pure functions; any thread.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace eigenscope {

struct WeightFiles {
    std::vector<std::filesystem::path> shards;  // in order of first mention, or of name
    // Tensor name -> position in `shards`, from the index file. Empty without one: every tensor of every file
    // counts.
    std::map<std::string, std::size_t, std::less<>> weight_map;
    std::filesystem::path index;  // empty without one
};

// model.safetensors, else model.safetensors.index.json, else every *.safetensors; where there are none,
// pytorch_model.bin, else pytorch_model.bin.index.json, else every pytorch_model*.bin. Throws naming what was
// looked for.
WeightFiles findWeightFiles(const std::filesystem::path& directory);

}  // namespace eigenscope
