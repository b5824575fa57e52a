// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/safetensors.h"

#include "core/base/fail.h"
#include "core/base/json.h"
#include "core/checkpoint/mapped_file.h"
#include "core/checkpoint/safetensors_header.h"

#include <algorithm>
#include <limits>

namespace eigenscope {

namespace {

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::int64_t kMaxInt64 = std::numeric_limits<std::int64_t>::max();

// Length of the JSON header, checked against the file.
std::uint64_t headerLength(const std::filesystem::path& file, std::span<const std::byte> bytes) {
    if (bytes.size() < kLengthBytes)
        failInput(file, "is too short for safetensors: " + std::to_string(bytes.size()) +
                            " bytes, the header's length alone takes 8");
    std::uint64_t length = 0;
    for (std::size_t i = 0; i < kLengthBytes; ++i)
        length |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
    if (length > kMaxSafetensorsHeader)
        failInput(file, "is not safetensors: a header length of " + std::to_string(length) +
                            " bytes exceeds the format's limit of 100000000");
    if (length > bytes.size() - kLengthBytes)
        failInput(file, "header length of " + std::to_string(length) +
                            " bytes reaches beyond the end of the file (" + std::to_string(bytes.size()) +
                            " bytes): truncated?");
    return length;
}

TensorRecord readRecord(const std::string& name, const JsonView& entry, std::span<const std::byte> data) {
    TensorRecord record;
    record.name = name;
    const JsonView dtype = entry.at("dtype");
    const auto parsed = fileDTypeFromName(dtype.string());
    if (!parsed)
        dtype.fail("'" + dtype.string() + "' is not a dtype that can be read, expected one of " +
                   fileDTypeNames());
    record.dtype = *parsed;

    const JsonView shape = entry.at("shape");
    for (std::size_t i = 0; i < shape.size(); ++i)
        record.shape.push_back(shape.at(i).integer(0, kMaxInt64));
    const auto expected = checkedTensorBytes(record.dtype, record.shape);
    if (!expected)
        shape.fail("is larger than any file: " + shape.json().dump());

    const JsonView offsets = entry.at("data_offsets");
    if (offsets.size() != 2)
        offsets.fail("expected [begin, end]");
    const auto begin = static_cast<std::uint64_t>(offsets.at(std::size_t{0}).integer(0, kMaxInt64));
    const auto end = static_cast<std::uint64_t>(offsets.at(std::size_t{1}).integer(0, kMaxInt64));
    if (begin > end)
        offsets.fail("begin " + std::to_string(begin) + " is greater than end " + std::to_string(end));
    if (end > data.size())
        offsets.fail("end " + std::to_string(end) + " is beyond the file's " + std::to_string(data.size()) +
                     " bytes of data: truncated?");
    if (end - begin != *expected)
        offsets.fail("span " + std::to_string(end - begin) + " bytes, but dtype and shape need " +
                     std::to_string(*expected));
    record.bytes = data.subspan(begin, end - begin);
    return record;
}

// Tensors sorted by position must tile the data: the format allows neither gaps nor overlaps.
void checkTiling(const std::filesystem::path& file, const std::vector<TensorRecord>& tensors,
                 std::span<const std::byte> data) {
    const std::byte* next = data.data();
    const TensorRecord* previous = nullptr;
    for (const TensorRecord& tensor : tensors) {
        const std::ptrdiff_t gap = tensor.bytes.data() - next;
        if (gap < 0)
            failField(file, tensor.name, "data overlaps tensor '" + previous->name + "'");
        if (gap > 0)
            failField(file, tensor.name,
                      "a gap of " + std::to_string(gap) + " bytes that belong to no tensor is before it");
        next = tensor.bytes.data() + tensor.bytes.size();
        previous = &tensor;
    }
    const std::ptrdiff_t rest = data.data() + data.size() - next;
    if (rest > 0)
        failInput(file, std::to_string(rest) + " bytes that belong to no tensor are at the end");
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::filesystem::path& file) : m_path(file) {
    const auto mapped = MappedFile::open(file);
    const std::span<const std::byte> bytes = mapped->bytes();
    const std::uint64_t length = headerLength(file, bytes);
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, length);
    const std::span<const std::byte> data = bytes.subspan(kLengthBytes + length);

    const std::filesystem::path label = file.string() + ": header";
    const Json header = parseJson(text, label, DuplicateKeys::Reject);
    if (!header.is_object())
        failInput(label, "expected a JSON object");
    for (const auto& [name, value] : header.items()) {
        const JsonView entry(value, file, name);
        if (name == kSafetensorsMetadata) {
            if (!value.is_object())
                entry.fail("expected an object");
            for (const auto& [key, text_value] : value.items())
                m_metadata[key] = entry.at(key).string();
            continue;
        }
        m_tensors.push_back(readRecord(name, entry, data));
        m_tensors.back().owner = mapped;
        m_tensors.back().file = file;
        m_tensors.back().offset = static_cast<std::uint64_t>(m_tensors.back().bytes.data() - bytes.data());
    }
    std::stable_sort(m_tensors.begin(), m_tensors.end(), [](const TensorRecord& a, const TensorRecord& b) {
        if (a.bytes.data() != b.bytes.data())
            return a.bytes.data() < b.bytes.data();
        return a.bytes.size() <
               b.bytes.size();  // empty tensors come before the one that starts where they do
    });
    checkTiling(file, m_tensors, data);
    for (std::size_t i = 0; i < m_tensors.size(); ++i)
        m_index.emplace(m_tensors[i].name, i);
}

const TensorRecord* SafetensorsFile::find(std::string_view name) const {
    const auto found = m_index.find(name);
    return found == m_index.end() ? nullptr : &m_tensors[found->second];
}

const TensorRecord& SafetensorsFile::at(std::string_view name) const {
    if (const TensorRecord* found = find(name))
        return *found;
    failInput(m_path, "there is no tensor '" + std::string(name) + "'");
}

}  // namespace eigenscope
