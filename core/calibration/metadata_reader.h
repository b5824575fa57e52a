// SPDX-License-Identifier: Apache-2.0
// Checked access to the metadata and tensors of a statistics file; for the files that read one.
#pragma once

#include "core/base/fail.h"
#include "core/base/json.h"
#include "core/checkpoint/safetensors.h"

#include <charconv>
#include <string>
#include <vector>

namespace eigenscope {

class MetadataReader {
public:
    explicit MetadataReader(const SafetensorsFile& file) : m_file(file) {}

    bool has(const std::string& key) const { return m_file.metadata().contains(key); }
    const std::string& text(const std::string& key) const;
    template <typename T>
    T integer(const std::string& key, T min, T max) const {
        const std::string& value = text(key);
        T number{};
        const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
        if (error != std::errc() || end != value.data() + value.size() || number < min || number > max)
            failField(m_file.path(), "__metadata__." + key,
                      "expected an integer from " + std::to_string(min) + " to " + std::to_string(max) +
                          ", found '" + value.substr(0, 40) + "'");
        return number;
    }
    bool boolean(const std::string& key) const;
    bool booleanOr(const std::string& key, bool fallback) const { return has(key) ? boolean(key) : fallback; }
    // The JSON text of an entry, through its reader.
    template <typename T>
    T json(const std::string& key, T (*read)(const JsonView&)) const {
        const std::string field = "__metadata__." + key;
        const Json parsed = Json::parse(text(key), nullptr, false);
        if (parsed.is_discarded())
            failField(m_file.path(), field, "is not valid JSON");
        return read(JsonView(parsed, m_file.path(), field));
    }

private:
    const SafetensorsFile& m_file;
};

// Throws when the tensor is not there or has another dtype or shape.
const TensorRecord& checkedRecord(const SafetensorsFile& file, const std::string& name, FileDType dtype,
                                  const std::vector<std::int64_t>& shape);
// Throws also for numbers that are not finite.
std::vector<double> readDoubles(const SafetensorsFile& file, const std::string& name,
                                const std::vector<std::int64_t>& shape);

}  // namespace eigenscope
