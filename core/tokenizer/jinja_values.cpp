// SPDX-License-Identifier: Apache-2.0
#include "core/tokenizer/jinja_values.h"

#include "core/base/fail.h"
#include "core/tokenizer/normalizer.h"

#include <algorithm>
#include <array>
#include <ctime>

namespace eigenscope::jinja {

namespace {

constexpr std::string_view kSpace = " \t\n\r\f\v";
// What a template may make; far above any chat.
constexpr std::int64_t kMostElements = 1 << 20;

constexpr std::size_t kMostText = std::size_t{4} << 20;
constexpr std::size_t kMostWeight = std::size_t{32} << 20, kMemberWeight = 32;
constexpr int kMostLevels = 64;  // of lists and objects in each other

std::string checked(std::string text) {
    if (text.size() > kMostText)
        fail("makes too much text");
    return text;
}

std::string stripped(const std::string& text, std::string_view characters, bool left, bool right) {
    const std::size_t begin = left ? text.find_first_not_of(characters) : 0;
    if (begin == std::string::npos)
        return "";
    const std::size_t end = right ? text.find_last_not_of(characters) : text.size() - 1;
    return end == std::string::npos || text.empty() ? "" : text.substr(begin, end - begin + 1);
}

// Of the letters of ASCII.
std::string withCase(std::string text, bool upper) {
    for (char& c : text) {
        if (upper ? c >= 'a' && c <= 'z' : c >= 'A' && c <= 'Z')
            c = static_cast<char>(c ^ 0x20);
    }
    return text;
}

std::string replaced(const std::string& text, const std::string& from, const std::string& to) {
    if (from.empty())
        fail("replacing nothing is not supported");
    std::size_t grown = text.size();
    for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += from.size()) {
        grown += to.size();
        if (grown > kMostText)
            fail("makes too much text");
    }
    return replaceAll(text, from, to);
}

bool beginsCharacter(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

// Characters, not bytes.
std::vector<Value> characters(const std::string& text) {
    if (std::ranges::count_if(text, beginsCharacter) > kMostElements)
        fail("makes too long a list");
    std::vector<Value> result;
    for (const char c : text) {
        if (!beginsCharacter(c) && !result.empty())
            result.back().get_ref<std::string&>() += c;
        else
            result.emplace_back(std::string(1, c));
    }
    return result;
}

std::int64_t lengthOf(const Value& value) {
    if (value.is_string())
        return static_cast<std::int64_t>(characters(value.get_ref<const std::string&>()).size());
    if (value.is_array() || value.is_object())
        return static_cast<std::int64_t>(value.size());
    fail("length of something that has none");
}

const std::string& stringOf(const Value& value, const char* what) {
    if (!value.is_string())
        fail(std::string(what) + " of something that is no text");
    return value.get_ref<const std::string&>();
}

// As Python's json.dumps writes it; indent < 0: on one line.
std::string jsonText(const Value& value, int indent, int depth = 0) {
    // Text need not be UTF-8: a template's bytes are whatever its file holds.
    const auto plain = [](const Value& leaf) {
        return leaf.dump(-1, ' ', false, Value::error_handler_t::replace);
    };
    if (!value.is_structured())
        return plain(value);
    if (value.empty())
        return value.is_object() ? "{}" : "[]";
    const auto line = [&](int levels) {
        return indent < 0 ? std::string()
                          : "\n" + std::string(static_cast<std::size_t>(indent * levels), ' ');
    };
    std::string text = value.is_object() ? "{" : "[";
    bool first = true;
    for (const auto& [key, member] : value.items()) {
        text += (first ? "" : indent < 0 ? ", " : ",") + line(depth + 1);
        first = false;
        if (value.is_object())
            text += plain(Value(key)) + ": ";
        text = checked(std::move(text) + jsonText(member, indent, depth + 1));
    }
    return text + line(depth) + (value.is_object() ? "}" : "]");
}

Value pairsOf(const Value& object) {
    Value pairs = Value::array();
    for (const auto& [key, member] : object.items())
        pairs.push_back(Value::array({key, member}));
    return pairs;
}

}  // namespace

void fail(const std::string& what) { failUnsupported("chat_template: " + what); }

Value Arguments::at(std::size_t index, const char* name) const {
    if (index < positional.size())
        return positional[index];
    for (const auto& [key, value] : named) {
        if (key == name)
            return value;
    }
    return undefined();
}

namespace {

// Ends early: what is beyond the bounds need not be walked to its end.
void addWeight(const Value& value, int levels, std::size_t& weight) {
    weight += kMemberWeight;
    if (value.is_string())
        weight += value.get_ref<const std::string&>().size();
    if (weight > kMostWeight)
        return;
    if (value.is_structured() && levels >= kMostLevels) {
        weight = kMostWeight + 1;
        return;
    }
    if (value.is_array()) {
        for (const Value& member : value)
            addWeight(member, levels + 1, weight);
    } else if (value.is_object()) {
        for (const auto& [key, member] : value.items()) {
            weight += key.size();
            addWeight(member, levels + 1, weight);
        }
    }
}

}  // namespace

std::size_t weightOf(const Value& value) {
    std::size_t weight = 0;
    addWeight(value, 0, weight);
    return weight;
}

Value bounded(Value value) {
    if (weightOf(value) > kMostWeight)
        fail("makes too large a list or object");
    return value;
}

bool isTrue(const Value& value) {
    if (isUndefined(value) || value.is_null())
        return false;
    if (value.is_boolean())
        return value.get<bool>();
    if (value.is_number())
        return value.get<double>() != 0.0;
    return value.is_string() ? !value.get_ref<const std::string&>().empty() : !value.empty();
}

std::string textOf(const Value& value) {
    if (isUndefined(value))
        return "";
    if (value.is_string())
        return value.get<std::string>();
    if (value.is_null())
        return "None";
    if (value.is_boolean())
        return value.get<bool>() ? "True" : "False";
    if (value.is_number())
        return value.dump();
    fail("a list or an object cannot be printed");
}

bool equal(const Value& a, const Value& b) {
    if (isUndefined(a) || isUndefined(b))
        return isUndefined(a) && isUndefined(b);
    return a == b;
}

bool contains(const Value& container, const Value& item) {
    if (container.is_string())
        return container.get_ref<const std::string&>().find(stringOf(item, "in")) != std::string::npos;
    if (container.is_object())
        return item.is_string() && container.contains(item.get<std::string>());
    if (!container.is_array())
        fail("'in' something that holds nothing");
    return std::ranges::any_of(container, [&](const Value& member) { return equal(member, item); });
}

bool less(const Value& a, const Value& b) {
    const bool comparable = (a.is_number() && b.is_number()) || (a.is_string() && b.is_string());
    if (!comparable)
        fail("comparing values of different kinds");
    return a < b;
}

Value arithmetic(const std::string& op, const Value& a, const Value& b) {
    if (op == "+" && a.is_string() && b.is_string())
        return checked(a.get<std::string>() + b.get<std::string>());
    if (op == "+" && a.is_array() && b.is_array()) {
        if (a.size() + b.size() > static_cast<std::size_t>(kMostElements))
            fail("makes too long a list");
        Value sum = a;
        for (const Value& member : b)
            sum.push_back(member);
        return bounded(std::move(sum));
    }
    if (!a.is_number_integer() || !b.is_number_integer())
        fail("'" + op + "' of values that it is not defined for");
    const auto x = a.get<std::int64_t>(), y = b.get<std::int64_t>();
    if (std::max(std::abs(x), std::abs(y)) > (std::int64_t{1} << 31))
        fail("a number is too large");
    if (op == "+")
        return x + y;
    if (op == "-")
        return x - y;
    if (op == "*")
        return x * y;
    if (y == 0)
        fail("division by zero");
    if (op == "/")
        return static_cast<double>(x) / static_cast<double>(y);
    const std::int64_t remainder = ((x % y) + y) % y;  // Python's: of the divisor's sign
    return op == "%" ? remainder : (x - remainder) / y;
}

Value element(const Value& container, const Value& key) {
    if (isUndefined(container))
        fail("a member of something that is undefined");
    if (container.is_object() && key.is_string()) {
        const auto found = container.find(key.get<std::string>());
        return found == container.end() ? undefined() : *found;
    }
    if ((container.is_array() || container.is_string()) && key.is_number_integer()) {
        const std::int64_t size = lengthOf(container);
        std::int64_t index = key.get<std::int64_t>();
        index += index < 0 ? size : 0;
        if (index < 0 || index >= size)
            return undefined();
        const auto at = static_cast<std::size_t>(index);
        return container.is_array() ? container[at] : characters(container.get<std::string>())[at];
    }
    return undefined();
}

Value slice(const Value& container, const Value& from, const Value& to) {
    const std::vector<Value> items = itemsOf(container);
    const auto size = static_cast<std::int64_t>(items.size());
    const auto bound = [&](const Value& value, std::int64_t fallback) {
        if (!value.is_number_integer())
            return fallback;
        const auto index = value.get<std::int64_t>();
        return std::clamp<std::int64_t>(index < 0 ? index + size : index, 0, size);
    };
    const std::int64_t begin = bound(from, 0), end = bound(to, size);
    Value result = container.is_string() ? Value("") : Value::array();
    for (std::int64_t i = begin; i < end; ++i) {
        const Value& item = items[static_cast<std::size_t>(i)];
        if (container.is_string())
            result.get_ref<std::string&>() += item.get<std::string>();
        else
            result.push_back(item);
    }
    return result;
}

std::vector<Value> itemsOf(const Value& iterable) {
    if (iterable.is_string())
        return characters(iterable.get<std::string>());
    if (iterable.is_array())
        return {iterable.begin(), iterable.end()};
    std::vector<Value> items;
    if (!iterable.is_object())
        fail("going through something that holds nothing");
    for (const auto& [key, member] : iterable.items())
        items.emplace_back(key);
    return items;
}

Value filter(const std::string& name, const Value& value, const Arguments& arguments) {
    if (name == "trim")
        return stripped(textOf(value), kSpace, true, true);
    if (name == "length" || name == "count")
        return lengthOf(value);
    if (name == "upper" || name == "lower")
        return withCase(textOf(value), name == "upper");
    if (name == "string")
        return textOf(value);
    if (name == "safe")
        return value;
    if (name == "default" || name == "d")
        return isUndefined(value) || (isTrue(arguments.at(1, "boolean")) && !isTrue(value))
                   ? arguments.at(0, "default_value")
                   : value;
    if (name == "first")
        return element(value, 0);
    if (name == "last")
        return element(value, -1);
    if (name == "list")
        return Value(itemsOf(value));
    if (name == "items")
        return pairsOf(value);
    if (name == "replace")
        return replaced(textOf(value), textOf(arguments.at(0)), textOf(arguments.at(1)));
    if (name == "tojson") {
        const Value indent = arguments.at(0, "indent");
        return jsonText(value, indent.is_number_integer() ? std::clamp(indent.get<int>(), 0, 16) : -1);
    }
    if (name == "join") {
        std::string text;
        const std::vector<Value> items = itemsOf(value);
        const std::string between = textOf(arguments.at(0, "d"));
        for (std::size_t i = 0; i < items.size(); ++i)
            text = checked(std::move(text) + (i == 0 ? "" : between) + textOf(items[i]));
        return text;
    }
    fail("the filter '" + name + "' is not understood");
}

bool test(const std::string& name, const Value& value, const Arguments& arguments) {
    if (name == "defined")
        return !isUndefined(value);
    if (name == "undefined")
        return isUndefined(value);
    if (name == "none")
        return value.is_null();
    if (name == "string")
        return value.is_string();
    if (name == "mapping")
        return value.is_object();
    if (name == "sequence" || name == "iterable")
        return value.is_array() || value.is_string() || value.is_object();
    if (name == "number")
        return value.is_number();
    if (name == "boolean")
        return value.is_boolean();
    if (name == "true" || name == "false")
        return value.is_boolean() && value.get<bool>() == (name == "true");
    if (name == "equalto" || name == "eq")
        return equal(value, arguments.at(0));
    if (name == "in")
        return contains(arguments.at(0), value);
    fail("the test 'is " + name + "' is not understood");
}

Value method(const std::string& name, const Value& object, const Arguments& arguments) {
    if (object.is_object()) {
        if (name == "items")
            return pairsOf(object);
        if (name == "keys")
            return Value(itemsOf(object));
        if (name == "get") {
            const Value found = element(object, arguments.at(0));
            const Value fallback = arguments.at(1);
            return !isUndefined(found) ? found : isUndefined(fallback) ? Value() : fallback;
        }
    }
    if (object.is_string()) {
        const std::string& text = object.get_ref<const std::string&>();
        const Value given = arguments.at(0);
        if (name == "strip" || name == "lstrip" || name == "rstrip") {
            const std::string set = given.is_string() ? given.get<std::string>() : std::string(kSpace);
            return stripped(text, set, name != "rstrip", name != "lstrip");
        }
        if (name == "startswith")
            return text.starts_with(stringOf(given, "startswith"));
        if (name == "endswith")
            return text.ends_with(stringOf(given, "endswith"));
        if (name == "upper" || name == "lower")
            return withCase(text, name == "upper");
        if (name == "replace")
            return replaced(text, stringOf(given, "replace"), stringOf(arguments.at(1), "replace"));
        if (name == "split") {
            const std::string& between = stringOf(given, "split");
            Value parts = Value::array();
            std::size_t at = 0;
            for (std::size_t next; !between.empty() && (next = text.find(between, at)) != std::string::npos;
                 at = next + between.size())
                if (parts.size() >= static_cast<std::size_t>(kMostElements))
                    fail("makes too long a list");
                else
                    parts.push_back(text.substr(at, next - at));
            parts.push_back(text.substr(at));
            return parts;
        }
    }
    fail("the method '" + name + "' is not understood");
}

bool isFunction(const std::string& name) {
    constexpr std::array<std::string_view, 4> kNames{"raise_exception", "namespace", "range", "strftime_now"};
    return std::ranges::find(kNames, name) != kNames.end();
}

Value function(const std::string& name, const Arguments& arguments) {
    if (name == "raise_exception")
        failUnsupported("the chat template refuses these messages: " + textOf(arguments.at(0)));
    if (name == "namespace") {
        Value result = Value::object();
        for (const auto& [key, value] : arguments.named)
            result[key] = value;
        return bounded(std::move(result));
    }
    if (name == "strftime_now") {
        const std::time_t now = std::time(nullptr);
        std::tm local{};
        ::localtime_r(&now, &local);
        char text[256];
        const std::size_t size =
            std::strftime(text, sizeof text, stringOf(arguments.at(0), "strftime_now").c_str(), &local);
        return std::string(text, size);
    }
    Value result = Value::array();
    const bool two = arguments.positional.size() > 1;
    const Value from = two ? arguments.at(0) : Value(0), to = arguments.at(two ? 1 : 0);
    if (!from.is_number_integer() || !to.is_number_integer())
        fail("a range needs whole numbers");
    const auto begin = from.get<std::int64_t>(), end = to.get<std::int64_t>();
    std::int64_t distance = 0;
    if (begin < end && (__builtin_sub_overflow(end, begin, &distance) || distance > kMostElements))
        fail("a range needs whole numbers, not too far apart");
    for (auto i = begin; i < end; ++i)
        result.push_back(i);
    return result;
}

}  // namespace eigenscope::jinja
