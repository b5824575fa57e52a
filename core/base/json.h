// SPDX-License-Identifier: Apache-2.0
// Reading JSON with errors that say which file and which field: "config.json: rope_scaling.factor: expected a
// number". JsonView is a borrowed position in a document; the document must outlive it.
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace eigenscope {

using Json = nlohmann::json;

// Parses text with a bound on nesting depth (256); throws InvalidInput naming `file` and the byte position.
// A repeated key keeps its last value, as most readers do, unless duplicates are rejected.
enum class DuplicateKeys { KeepLast, Reject };
Json parseJson(std::string_view text, const std::filesystem::path& file,
               DuplicateKeys duplicates = DuplicateKeys::KeepLast);
Json readJsonFile(const std::filesystem::path& file);

class JsonView {
public:
    JsonView(const Json& value, std::filesystem::path file, std::string field = {});

    const Json& json() const { return *m_value; }
    const std::filesystem::path& file() const { return m_file; }
    const std::string& field() const { return m_field; }  // path from the document's root, "a.b[3]"

    bool has(std::string_view key) const;                      // present and not null
    JsonView at(std::string_view key) const;                   // throws when absent
    std::optional<JsonView> find(std::string_view key) const;  // empty when absent or null
    std::size_t size() const;                                  // of an array; throws when it is none
    JsonView at(std::size_t index) const;

    std::int64_t integer(std::int64_t min,
                         std::int64_t max) const;  // bounds are inclusive and named in the error
    double number() const;
    bool boolean() const;
    std::string string() const;

    std::int64_t integer(std::string_view key, std::int64_t min, std::int64_t max) const {
        return at(key).integer(min, max);
    }
    std::int64_t integerOr(std::string_view key, std::int64_t fallback, std::int64_t min,
                           std::int64_t max) const;
    double numberOr(std::string_view key, double fallback) const;
    bool booleanOr(std::string_view key, bool fallback) const;
    std::string stringOr(std::string_view key, std::string fallback) const;

    [[noreturn]] void fail(std::string_view message) const;

private:
    const Json* m_value;
    std::filesystem::path m_file;
    std::string m_field;
};

}  // namespace eigenscope
