// SPDX-License-Identifier: Apache-2.0
#include "core/calibration/metadata_reader.h"

#include <cmath>
#include <cstring>

namespace eigenscope {

namespace {

std::string shapeText(const std::vector<std::int64_t>& shape) {
    std::string text = "[";
    for (std::size_t i = 0; i < shape.size(); ++i)
        text += (i ? ", " : "") + std::to_string(shape[i]);
    return text + "]";
}

}  // namespace

const std::string& MetadataReader::text(const std::string& key) const {
    const auto found = m_file.metadata().find(key);
    if (found == m_file.metadata().end())
        failField(m_file.path(), "__metadata__." + key, "is missing");
    return found->second;
}

bool MetadataReader::boolean(const std::string& key) const {
    const std::string& value = text(key);
    if (value != "true" && value != "false")
        failField(m_file.path(), "__metadata__." + key, "expected true or false");
    return value == "true";
}

const TensorRecord& checkedRecord(const SafetensorsFile& file, const std::string& name, FileDType dtype,
                                  const std::vector<std::int64_t>& shape) {
    const TensorRecord& record = file.at(name);
    if (record.dtype != dtype || record.shape != shape)
        failField(file.path(), name,
                  "expected " + std::string(nameOf(dtype)) + " " + shapeText(shape) + ", found " +
                      std::string(nameOf(record.dtype)) + " " + shapeText(record.shape));
    return record;
}

std::vector<double> readDoubles(const SafetensorsFile& file, const std::string& name,
                                const std::vector<std::int64_t>& shape) {
    const TensorRecord& record = checkedRecord(file, name, FileDType::F64, shape);
    std::vector<double> values(record.bytes.size() / sizeof(double));
    // The bytes in the file need not be aligned, so they are copied.
    std::memcpy(values.data(), record.bytes.data(), record.bytes.size());
    for (double value : values) {
        if (!std::isfinite(value))
            failField(file.path(), name, "holds a number that is not finite");
    }
    return values;
}

}  // namespace eigenscope
