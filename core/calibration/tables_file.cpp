// SPDX-License-Identifier: Apache-2.0
#include "core/calibration/tables_file.h"

#include "core/calibration/metadata_reader.h"
#include "core/model/kv_format.h"

#include <algorithm>
#include <cstring>

namespace eigenscope {

namespace {

constexpr std::int64_t kMany = std::int64_t{1} << 53;
constexpr std::size_t kMostTables = 64;

std::string name(std::string_view kind, std::size_t index, std::string_view part) {
    return std::string(kind) + "." + std::to_string(index) + "." + std::string(part);
}
std::string sensitivityName(std::size_t index, std::string_view part) {
    return name("sensitivity", index, part);
}
std::string errorName(std::size_t index, std::string_view part) { return name("layer_errors", index, part); }

// What both kinds of table say of their bases and windows.
template <typename Table, typename Name>
void describeBases(const Table& table, std::size_t index, const Name& name,
                   std::map<std::string, std::string>& metadata) {
    metadata[name(index, "method")] = table.method;
    metadata[name(index, "share_key_basis")] = table.options.share_key_basis ? "true" : "false";
    metadata[name(index, "center")] = table.options.center ? "true" : "false";
    metadata[name(index, "head_group")] = std::to_string(table.options.head_group);
    metadata[name(index, "windows")] = std::to_string(table.windows);
    metadata[name(index, "sequence_length")] = std::to_string(table.sequence_length);
}

template <typename Table, typename Name>
void readBases(const MetadataReader& metadata, std::size_t index, const Name& name, int head_group,
               Table& table) {
    table.method = metadata.text(name(index, "method"));
    table.options.share_key_basis = metadata.boolean(name(index, "share_key_basis"));
    table.options.center = metadata.booleanOr(name(index, "center"), false);
    if (metadata.has(name(index, "head_group")))
        table.options.head_group = metadata.integer<int>(name(index, "head_group"), 1, head_group);
    table.windows = metadata.integer<std::int64_t>(name(index, "windows"), 1, kMany);
    table.sequence_length = metadata.integer<std::int64_t>(name(index, "sequence_length"), 1, kMany);
}

// A list of numbers, I32 [1 to `most`].
std::vector<int> readIntegers(const SafetensorsFile& file, const std::string& field, std::int64_t most) {
    const TensorRecord& record = file.at(field);
    if (record.dtype != FileDType::I32 || record.shape.size() != 1 || record.shape[0] < 1 ||
        record.shape[0] > most)
        failField(file.path(), field, "expected I32 [1 to " + std::to_string(most) + "]");
    std::vector<int> numbers(static_cast<std::size_t>(record.shape[0]));
    std::memcpy(numbers.data(), record.bytes.data(), record.bytes.size());
    return numbers;
}

std::vector<int> readRanks(const SafetensorsFile& file, const std::string& field, int width) {
    std::vector<int> ranks = readIntegers(file, field, width);
    int previous = 0;
    for (int rank : ranks) {
        if (rank <= previous)
            failField(file.path(), field, "expected ascending ranks above 0");
        previous = rank;
    }
    if (previous != width)
        failField(file.path(), field, "expected the full rank, " + std::to_string(width) + ", at the end");
    return ranks;
}

std::vector<double> readDivergences(const SafetensorsFile& file, const std::string& field,
                                    const std::vector<std::int64_t>& shape) {
    std::vector<double> kl = readDoubles(file, field, shape);
    for (double value : kl) {
        if (value < 0)
            failField(file.path(), field, "holds a negative divergence");
    }
    return kl;
}

QuantisedSensitivity readQuantised(const SafetensorsFile& file, std::size_t index, std::int64_t layers,
                                   int width) {
    const MetadataReader metadata(file);
    QuantisedSensitivity quantised;
    QuantisedGrid& grid = quantised.grid;
    const std::string field = sensitivityName(index, "bits");
    constexpr int kChoices[] = {8, 4, 3, 2};
    grid.bits = readIntegers(file, field, std::ssize(kChoices));
    int previous = kUnquantised;
    for (int bits : grid.bits) {
        if (bits >= previous || std::ranges::find(kChoices, bits) == std::end(kChoices))
            failField(file.path(), field, "expected 8, 4, 3 or 2, descending");
        previous = bits;
    }
    grid.group = metadata.integer<int>(sensitivityName(index, "kv_group"), 8, kMostGroup);
    if (grid.group % 8 != 0)
        failField(file.path(), sensitivityName(index, "kv_group"), "expected a multiple of 8");
    const auto keys = kvGroupingFromName(metadata.text(sensitivityName(index, "kv_keys")));
    if (!keys)
        failField(file.path(), sensitivityName(index, "kv_keys"), "expected token or channel");
    grid.keys = *keys;
    grid.recent = metadata.integer<int>(sensitivityName(index, "kv_recent"), 0, kMostRecent);
    grid.ranks = readRanks(file, sensitivityName(index, "bit_ranks"), width);
    quantised.kl = readDivergences(file, sensitivityName(index, "bit_kl"),
                                   {layers, 2, std::ssize(grid.bits), std::ssize(grid.ranks)});
    return quantised;
}

SensitivityTable readSensitivity(const SafetensorsFile& file, std::size_t index, std::int64_t layers,
                                 int head_dim, int head_group) {
    const MetadataReader metadata(file);
    SensitivityTable table;
    readBases(metadata, index, sensitivityName, head_group, table);
    const int width = head_dim * table.options.head_group;
    table.text = metadata.text(sensitivityName(index, "text"));
    table.fingerprint = metadata.text(sensitivityName(index, "fingerprint"));
    table.ranks = readRanks(file, sensitivityName(index, "ranks"), width);
    table.kl = readDivergences(file, sensitivityName(index, "kl"), {layers, 2, std::ssize(table.ranks)});
    if (file.find(sensitivityName(index, "bits")) != nullptr)
        table.quantised = readQuantised(file, index, layers, width);
    return table;
}

LayerErrorTable readErrors(const SafetensorsFile& file, std::size_t index, std::int64_t layers, int head_dim,
                           int head_group) {
    const MetadataReader metadata(file);
    LayerErrorTable table;
    readBases(metadata, index, errorName, head_group, table);
    const int width = head_dim * table.options.head_group;
    table.criterion = metadata.text(errorName(index, "criterion"));
    const std::string ranks_name = errorName(index, "ranks"), error_name = errorName(index, "error");
    const TensorRecord& record = file.at(ranks_name);
    if (record.dtype != FileDType::I32 || record.shape.size() != 3 || record.shape[0] != layers ||
        record.shape[1] < 1 || record.shape[1] > 2 * width || record.shape[2] != 2)
        failField(file.path(), ranks_name,
                  "expected I32 [" + std::to_string(layers) + ", 1 to " + std::to_string(2 * width) + ", 2]");
    std::vector<std::int32_t> ranks(static_cast<std::size_t>(record.count()));
    std::memcpy(ranks.data(), record.bytes.data(), record.bytes.size());
    const std::vector<double> errors = readDoubles(file, error_name, {layers, record.shape[1]});
    const auto points = static_cast<std::size_t>(record.shape[1]);
    for (std::size_t layer = 0; layer < static_cast<std::size_t>(layers); ++layer) {
        std::vector<LayerErrorTable::Point>& path = table.layers.emplace_back();
        for (std::size_t i = 0; i < points; ++i) {
            const std::size_t at = layer * points + i;
            path.push_back({ranks[2 * at], ranks[2 * at + 1], errors[at]});
            const LayerErrorTable::Point& point = path.back();
            const LayerErrorTable::Point before = i > 0 ? path[i - 1] : LayerErrorTable::Point{1, 1, 0};
            if (point.key_rank < before.key_rank || point.value_rank < before.value_rank)
                failField(file.path(), ranks_name, "expected ranks above 0 that do not fall");
            if (point.error < 0)
                failField(file.path(), error_name, "holds a negative error");
        }
        if (path.back().key_rank != width || path.back().value_rank != width)
            failField(file.path(), ranks_name,
                      "expected the full rank, " + std::to_string(width) + ", at the end");
    }
    return table;
}

bool consistentSensitivity(const SensitivityTable& table, std::size_t layers) {
    if (table.ranks.empty() || table.kl.size() != layers * 2 * table.ranks.size())
        return false;
    if (!table.quantised)
        return true;
    const QuantisedGrid& grid = table.quantised->grid;
    return !grid.bits.empty() && !grid.ranks.empty() &&
           table.quantised->kl.size() == layers * 2 * grid.bits.size() * grid.ranks.size();
}

std::size_t countOf(const SafetensorsFile& file, const std::string& key) {
    const MetadataReader metadata(file);
    return metadata.has(key) ? metadata.integer<std::size_t>(key, 0, kMostTables) : 0;
}

}  // namespace

const SensitivityTable* MeasuredTables::findSensitivity(std::string_view method,
                                                        const BasisOptions& options) const {
    for (const SensitivityTable& table : sensitivity) {
        if (table.method == method && table.options == options)
            return &table;
    }
    return nullptr;
}

const LayerErrorTable* MeasuredTables::findLayerErrors(std::string_view method, const BasisOptions& options,
                                                       std::string_view criterion) const {
    for (const LayerErrorTable& table : layer_errors) {
        if (table.method == method && table.options == options && table.criterion == criterion)
            return &table;
    }
    return nullptr;
}

void MeasuredTables::set(SensitivityTable table) {
    std::erase_if(sensitivity, [&](const SensitivityTable& other) {
        return other.method == table.method && other.options == table.options;
    });
    sensitivity.push_back(std::move(table));
}

void MeasuredTables::set(LayerErrorTable table) {
    std::erase_if(layer_errors, [&](const LayerErrorTable& other) {
        return other.method == table.method && other.options == table.options &&
               other.criterion == table.criterion;
    });
    layer_errors.push_back(std::move(table));
}

bool consistent(const MeasuredTables& tables, std::size_t layers) {
    bool fits = tables.sensitivity.size() <= kMostTables && tables.layer_errors.size() <= kMostTables;
    for (const SensitivityTable& table : tables.sensitivity)
        fits = fits && consistentSensitivity(table, layers);
    for (const LayerErrorTable& table : tables.layer_errors) {
        fits = fits && table.layers.size() == layers;
        for (const auto& path : table.layers)
            fits = fits && !path.empty() && path.size() == table.layers.front().size();
    }
    return fits;
}

void describeTables(const MeasuredTables& tables, std::map<std::string, std::string>& metadata) {
    if (!tables.sensitivity.empty())
        metadata["sensitivity.count"] = std::to_string(tables.sensitivity.size());
    for (std::size_t i = 0; i < tables.sensitivity.size(); ++i) {
        const SensitivityTable& table = tables.sensitivity[i];
        describeBases(table, i, sensitivityName, metadata);
        metadata[sensitivityName(i, "text")] = table.text;
        metadata[sensitivityName(i, "fingerprint")] = table.fingerprint;
        if (table.quantised) {
            metadata[sensitivityName(i, "kv_group")] = std::to_string(table.quantised->grid.group);
            metadata[sensitivityName(i, "kv_keys")] = nameOf(table.quantised->grid.keys);
            metadata[sensitivityName(i, "kv_recent")] = std::to_string(table.quantised->grid.recent);
        }
    }
    if (!tables.layer_errors.empty())
        metadata["layer_errors.count"] = std::to_string(tables.layer_errors.size());
    for (std::size_t i = 0; i < tables.layer_errors.size(); ++i) {
        describeBases(tables.layer_errors[i], i, errorName, metadata);
        metadata[errorName(i, "criterion")] = tables.layer_errors[i].criterion;
    }
}

void addTableSpecs(const MeasuredTables& tables, std::vector<TensorSpec>& specs) {
    for (std::size_t i = 0; i < tables.sensitivity.size(); ++i) {
        const SensitivityTable& table = tables.sensitivity[i];
        const auto count = static_cast<std::int64_t>(table.ranks.size());
        const auto layers = static_cast<std::int64_t>(table.kl.size()) / (2 * count);
        specs.push_back({sensitivityName(i, "ranks"), FileDType::I32, {count}});
        specs.push_back({sensitivityName(i, "kl"), FileDType::F64, {layers, 2, count}});
        if (!table.quantised)
            continue;
        const auto bits = std::ssize(table.quantised->grid.bits),
                   ranks = std::ssize(table.quantised->grid.ranks);
        specs.push_back({sensitivityName(i, "bits"), FileDType::I32, {bits}});
        specs.push_back({sensitivityName(i, "bit_ranks"), FileDType::I32, {ranks}});
        specs.push_back({sensitivityName(i, "bit_kl"), FileDType::F64, {layers, 2, bits, ranks}});
    }
    for (std::size_t i = 0; i < tables.layer_errors.size(); ++i) {
        const LayerErrorTable& table = tables.layer_errors[i];
        const auto layers = static_cast<std::int64_t>(table.layers.size());
        const auto points = static_cast<std::int64_t>(table.layers.front().size());
        specs.push_back({errorName(i, "ranks"), FileDType::I32, {layers, points, 2}});
        specs.push_back({errorName(i, "error"), FileDType::F64, {layers, points}});
    }
}

void writeTables(const MeasuredTables& tables, SafetensorsWriter& writer) {
    for (std::size_t i = 0; i < tables.sensitivity.size(); ++i) {
        const SensitivityTable& table = tables.sensitivity[i];
        writer.write(sensitivityName(i, "ranks"), std::as_bytes(std::span(table.ranks)));
        writer.write(sensitivityName(i, "kl"), std::as_bytes(std::span(table.kl)));
        if (!table.quantised)
            continue;
        writer.write(sensitivityName(i, "bits"), std::as_bytes(std::span(table.quantised->grid.bits)));
        writer.write(sensitivityName(i, "bit_ranks"), std::as_bytes(std::span(table.quantised->grid.ranks)));
        writer.write(sensitivityName(i, "bit_kl"), std::as_bytes(std::span(table.quantised->kl)));
    }
    for (std::size_t i = 0; i < tables.layer_errors.size(); ++i) {
        std::vector<std::int32_t> ranks;
        std::vector<double> errors;
        for (const auto& path : tables.layer_errors[i].layers) {
            for (const LayerErrorTable::Point& point : path) {
                ranks.push_back(point.key_rank);
                ranks.push_back(point.value_rank);
                errors.push_back(point.error);
            }
        }
        writer.write(errorName(i, "ranks"), std::as_bytes(std::span(ranks)));
        writer.write(errorName(i, "error"), std::as_bytes(std::span(errors)));
    }
}

MeasuredTables readTables(const SafetensorsFile& file, std::size_t layers, int head_dim, int head_group) {
    MeasuredTables tables;
    const std::size_t sensitivity = countOf(file, "sensitivity.count");
    for (std::size_t i = 0; i < sensitivity; ++i)
        tables.sensitivity.push_back(
            readSensitivity(file, i, static_cast<std::int64_t>(layers), head_dim, head_group));
    const std::size_t errors = countOf(file, "layer_errors.count");
    for (std::size_t i = 0; i < errors; ++i)
        tables.layer_errors.push_back(
            readErrors(file, i, static_cast<std::int64_t>(layers), head_dim, head_group));
    return tables;
}

}  // namespace eigenscope
