// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/checkpoint_files.h"

#include "core/base/fail.h"
#include "core/base/json.h"
#include "core/base/regular_file.h"

#include <algorithm>

namespace eigenscope {

namespace fs = std::filesystem;

namespace {

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";
constexpr const char* kPytorchFile = "pytorch_model.bin";
constexpr const char* kPytorchIndexFile = "pytorch_model.bin.index.json";

// An index may only name its neighbours: a downloaded file must not make the program read elsewhere.
bool isPlainName(const std::string& name) {
    return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
           name.find('\\') == std::string::npos && name.find('\0') == std::string::npos;
}

WeightFiles readIndex(const fs::path& directory, const char* index) {
    WeightFiles files;
    files.index = directory / index;
    const Json document = readJsonFile(files.index);
    const JsonView map = JsonView(document, files.index).at("weight_map");
    if (!map.json().is_object())
        map.fail("expected an object of tensor names and file names");
    if (map.json().empty())
        map.fail("names no tensor");
    std::map<std::string, std::size_t> known;
    for (const auto& [tensor, value] : map.json().items()) {
        const JsonView entry(value, files.index, "weight_map." + tensor);
        const std::string name = entry.string();
        if (!isPlainName(name))
            entry.fail("'" + name + "' is not the plain name of a file in the directory");
        const auto [position, added] = known.emplace(name, files.shards.size());
        if (added) {
            if (!hasRegularFile(directory / name))
                entry.fail("the file '" + name + "' is missing from the directory");
            files.shards.push_back(directory / name);
        }
        files.weight_map.emplace(tensor, position->second);
    }
    return files;
}

// Files of the directory with this beginning and end, in order of name.
std::vector<fs::path> filesNamed(const fs::path& directory, std::string_view begin, std::string_view end) {
    std::vector<fs::path> files;
    std::error_code error;
    for (fs::directory_iterator i(directory, error), last; !error && i != last; i.increment(error)) {
        const std::string name = i->path().filename().string();
        if (name.starts_with(begin) && name.ends_with(end) && !name.starts_with('.') &&
            hasRegularFile(i->path()))
            files.push_back(i->path());
    }
    if (error)
        failIo(directory, "read", error.value());
    std::sort(files.begin(), files.end());
    return files;
}

}  // namespace

WeightFiles findWeightFiles(const fs::path& directory) {
    if (hasRegularFile(directory / kSingleFile))
        return {{directory / kSingleFile}, {}, {}};
    if (hasRegularFile(directory / kIndexFile))
        return readIndex(directory, kIndexFile);
    if (auto files = filesNamed(directory, "", ".safetensors"); !files.empty())
        return {std::move(files), {}, {}};
    if (hasRegularFile(directory / kPytorchFile))
        return {{directory / kPytorchFile}, {}, {}};
    if (hasRegularFile(directory / kPytorchIndexFile))
        return readIndex(directory, kPytorchIndexFile);
    if (auto files = filesNamed(directory, "pytorch_model", ".bin"); !files.empty())
        return {std::move(files), {}, {}};
    failInput(directory, std::string("no weights found, looked for ") + kSingleFile + ", " + kIndexFile +
                             ", *.safetensors, " + kPytorchFile + ", " + kPytorchIndexFile +
                             " and pytorch_model*.bin");
}

}  // namespace eigenscope
