// SPDX-License-Identifier: Apache-2.0
#include "core/base/json.h"

#include "core/base/atomic_output.h"
#include "core/base/fail.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

namespace eigenscope {

namespace {

constexpr int kMaxDepth = 256;

std::string lineAndColumn(std::string_view text, std::size_t byte) {
    const std::string_view before = text.substr(0, std::min(byte, text.size()));
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const std::size_t newline = before.rfind('\n');
    const std::size_t column = before.size() - (newline == std::string_view::npos ? 0 : newline + 1);
    return "line " + std::to_string(line) + ", column " + std::to_string(std::max<std::size_t>(column, 1));
}

}  // namespace

Json parseJson(std::string_view text, const std::filesystem::path& file, DuplicateKeys duplicates) {
    std::vector<std::set<std::string>> open_objects;
    const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
        using Event = Json::parse_event_t;
        if ((event == Event::object_start || event == Event::array_start) && depth >= kMaxDepth)
            failInput(file, "JSON is nested more than " + std::to_string(kMaxDepth) + " levels deep");
        if (duplicates == DuplicateKeys::Reject) {
            if (event == Event::object_start) {
                open_objects.emplace_back();
            } else if (event == Event::object_end) {
                open_objects.pop_back();
            } else if (event == Event::key) {
                const std::string& key = parsed.get_ref<const std::string&>();
                if (!open_objects.back().insert(key).second)
                    failInput(file, "JSON has the key '" + key + "' twice in one object");
            }
        }
        return true;
    };
    if (text.empty())
        failInput(file, "is empty, expected JSON");
    try {
        return Json::parse(text.begin(), text.end(), check);
    } catch (const Json::parse_error& error) {
        failInput(file, "not valid JSON at byte " + std::to_string(error.byte) + " (" +
                            lineAndColumn(text, error.byte) + ")");
    } catch (const Json::exception&) {
        failInput(file, "not valid JSON: a number is out of range");
    }
}

Json readJsonFile(const std::filesystem::path& file) { return parseJson(readTextFile(file), file); }

JsonView::JsonView(const Json& value, std::filesystem::path file, std::string field)
    : m_value(&value), m_file(std::move(file)), m_field(std::move(field)) {}

void JsonView::fail(std::string_view message) const { failField(m_file, m_field, message); }

std::optional<JsonView> JsonView::find(std::string_view key) const {
    if (!m_value->is_object())
        fail("expected an object");
    const auto found = m_value->find(key);
    if (found == m_value->end() || found->is_null())
        return std::nullopt;
    const std::string name(key);
    return JsonView(*found, m_file, m_field.empty() ? name : m_field + "." + name);
}

bool JsonView::has(std::string_view key) const { return find(key).has_value(); }

JsonView JsonView::at(std::string_view key) const {
    if (auto found = find(key))
        return *std::move(found);
    const std::string name(key);
    failField(m_file, m_field.empty() ? name : m_field + "." + name, "is missing");
}

std::size_t JsonView::size() const {
    if (!m_value->is_array())
        fail("expected an array");
    return m_value->size();
}

JsonView JsonView::at(std::size_t index) const {
    const std::string field = m_field + "[" + std::to_string(index) + "]";
    if (index >= size())
        failField(m_file, field, "is missing");
    return JsonView((*m_value)[index], m_file, field);
}

std::int64_t JsonView::integer(std::int64_t min, std::int64_t max) const {
    const std::string bounds = std::to_string(min) + " to " + std::to_string(max);
    if (!m_value->is_number())
        fail("expected an integer from " + bounds);
    bool in_range = false;
    std::int64_t value = 0;
    if (m_value->is_number_unsigned()) {
        const auto number = m_value->get<std::uint64_t>();
        in_range = std::in_range<std::int64_t>(number);
        value = static_cast<std::int64_t>(number);
    } else if (m_value->is_number_integer()) {
        in_range = true;
        value = m_value->get<std::int64_t>();
    } else {
        // Some writers print integers as 4096.0; exact up to 2^53.
        const double number = m_value->get<double>();
        in_range = std::abs(number) <= 9007199254740992.0 && number == std::floor(number);
        value = in_range ? static_cast<std::int64_t>(number) : 0;
    }
    if (!in_range || value < min || value > max)
        fail("expected an integer from " + bounds + ", found " + m_value->dump());
    return value;
}

double JsonView::number() const {
    if (!m_value->is_number())
        fail("expected a number");
    return m_value->get<double>();
}

bool JsonView::boolean() const {
    if (!m_value->is_boolean())
        fail("expected true or false");
    return m_value->get<bool>();
}

std::string JsonView::string() const {
    if (!m_value->is_string())
        fail("expected a string");
    return m_value->get<std::string>();
}

std::int64_t JsonView::integerOr(std::string_view key, std::int64_t fallback, std::int64_t min,
                                 std::int64_t max) const {
    const auto found = find(key);
    return found ? found->integer(min, max) : fallback;
}

double JsonView::numberOr(std::string_view key, double fallback) const {
    const auto found = find(key);
    return found ? found->number() : fallback;
}

bool JsonView::booleanOr(std::string_view key, bool fallback) const {
    const auto found = find(key);
    return found ? found->boolean() : fallback;
}

std::string JsonView::stringOr(std::string_view key, std::string fallback) const {
    const auto found = find(key);
    return found ? found->string() : std::move(fallback);
}

}  // namespace eigenscope
