// SPDX-License-Identifier: Apache-2.0
#include "core/calibration/partial_calibration.h"

#include "core/base/fail.h"
#include "core/checkpoint/safetensors.h"

#include <charconv>
#include <cmath>
#include <cstring>

namespace eigenscope {

namespace {

constexpr std::string_view kFormat = "eigenscope.partial-calibration";
constexpr std::size_t kMostLayers = 1 << 16;

std::string sumsName(std::size_t layer) { return "layers." + std::to_string(layer) + ".sums"; }
std::string stateName(std::size_t window) { return "states." + std::to_string(window); }

// All tensors of that name, numbered from 0 on.
std::size_t countOf(const SafetensorsFile& file, std::string (*name)(std::size_t)) {
    std::size_t count = 0;
    while (file.find(name(count)) != nullptr)
        ++count;
    return count;
}

PartialStates readStates(const SafetensorsFile& file, std::size_t count, const StateOptions& options) {
    std::vector<std::size_t> sizes;
    for (std::size_t i = 0; i < count; ++i) {
        const TensorRecord& record = file.at(stateName(i));
        if (record.dtype != FileDType::F32 || record.shape.size() != 1)
            failField(file.path(), stateName(i), "expected F32 [numbers]");
        sizes.push_back(static_cast<std::size_t>(record.count()));
    }
    PartialStates result{std::make_shared<HiddenStates>(sizes, options), 0};
    std::vector<float> values;
    for (std::size_t i = 0; i < count; ++i) {
        const TensorRecord& record = file.at(stateName(i));
        values.resize(sizes[i]);
        std::memcpy(values.data(), record.bytes.data(), record.bytes.size());
        for (const float value : values) {
            if (!std::isfinite(value))
                failField(file.path(), stateName(i), "holds a number that is not finite");
        }
        result.states->write(i, values);
    }
    result.version = result.states->version();
    return result;
}

const std::string& metadataOf(const SafetensorsFile& file, const std::string& key) {
    const auto found = file.metadata().find(key);
    if (found == file.metadata().end())
        failField(file.path(), "__metadata__." + key, "is missing");
    return found->second;
}

std::string shown(const RunIdentity& identity, const std::string& name) {
    for (const auto& [key, value] : identity) {
        if (key == name)
            return "'" + value.substr(0, 60) + "'";
    }
    return "nothing";
}

}  // namespace

std::filesystem::path partialFileOf(const std::filesystem::path& output) {
    std::filesystem::path file = output;
    file += ".partial";
    return file;
}

void savePartialCalibration(const PartialCalibration& partial, const std::filesystem::path& file) {
    std::vector<TensorSpec> specs;
    for (std::size_t i = 0; i < partial.layers.size(); ++i)
        specs.push_back({sumsName(i), FileDType::F64, {static_cast<std::int64_t>(partial.layers[i].size())}});
    const HiddenStates* states = partial.states ? partial.states->states.get() : nullptr;
    for (std::size_t i = 0; states && i < states->count(); ++i)
        specs.push_back({stateName(i), FileDType::F32, {static_cast<std::int64_t>(states->size(i))}});
    SafetensorsWriter writer(file, std::move(specs),
                             {{"format", std::string(kFormat)},
                              {"windows", std::to_string(partial.windows)},
                              {"identity", toJson(partial.identity).dump()}});
    for (std::size_t i = 0; i < partial.layers.size(); ++i)
        writer.write(sumsName(i), std::as_bytes(std::span<const double>(partial.layers[i])));
    std::vector<float> values;
    for (std::size_t i = 0; states && i < states->count(); ++i) {
        values.resize(states->size(i));
        states->read(i, values);
        writer.write(stateName(i), std::as_bytes(std::span<const float>(values)));
    }
    writer.commit();
}

PartialCalibration loadPartialCalibration(const std::filesystem::path& path, const StateOptions& options) {
    const SafetensorsFile file(path);
    const auto format = file.metadata().find("format");
    if (format == file.metadata().end() || format->second != kFormat)
        failInput(path, "is not an unfinished calibration: its metadata has no format '" +
                            std::string(kFormat) + "'");
    PartialCalibration partial;
    const std::string& windows = metadataOf(file, "windows");
    const auto [end, error] =
        std::from_chars(windows.data(), windows.data() + windows.size(), partial.windows);
    if (error != std::errc() || end != windows.data() + windows.size() || partial.windows < 1)
        failField(path, "__metadata__.windows", "expected a whole number above 0");
    const Json identity = Json::parse(metadataOf(file, "identity"), nullptr, false);
    if (identity.is_discarded())
        failField(path, "__metadata__.identity", "is not valid JSON");
    partial.identity = readRunIdentity(JsonView(identity, path, "__metadata__.identity"));
    const std::size_t layers = countOf(file, sumsName), states = countOf(file, stateName);
    if (layers < 1 || layers > kMostLayers)
        failInput(path, "expected sums of 1 to " + std::to_string(kMostLayers) + " layers");
    if (layers + states != file.tensors().size())
        failInput(path, "holds other tensors than sums of consecutive layers and states of windows");
    for (std::size_t i = 0; i < layers; ++i) {
        const TensorRecord& record = file.at(sumsName(i));
        if (record.dtype != FileDType::F64 || record.shape.size() != 1)
            failField(path, sumsName(i), "expected F64 [sums]");
        std::vector<double> sums(record.bytes.size() / sizeof(double));
        std::memcpy(sums.data(), record.bytes.data(), record.bytes.size());
        for (const double sum : sums) {
            if (!std::isfinite(sum))
                failField(path, sumsName(i), "holds a number that is not finite");
        }
        partial.layers.push_back(std::move(sums));
    }
    if (states > 0)
        partial.states = readStates(file, states, options);
    return partial;
}

void checkSameRun(const PartialCalibration& partial, const RunIdentity& identity,
                  const std::filesystem::path& file) {
    const std::string name = firstDifference(partial.identity, identity);
    if (!name.empty())
        failInput(file, "is of another calibration, its " + name + " is " + shown(partial.identity, name) +
                            ", not " + shown(identity, name) + "; delete it to start anew");
}

}  // namespace eigenscope
