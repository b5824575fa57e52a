// SPDX-License-Identifier: Apache-2.0
// What chat templates do with values: Jinja's truth, text, filters, tests and methods, as far as templates of
// chats use them. Everything else throws Unsupported with its name. Pure functions.
#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace eigenscope::jinja {

// Keys stay in the order they were added, as Python's do. Undefined is the discarded value.
using Value = nlohmann::ordered_json;
inline Value undefined() { return Value(Value::value_t::discarded); }
inline bool isUndefined(const Value& value) { return value.is_discarded(); }

[[noreturn]] void fail(const std::string& what);

struct Arguments {
    std::vector<Value> positional;
    std::vector<std::pair<std::string, Value>> named;
    // Undefined when there is none.
    Value at(std::size_t index, const char* name = "") const;
};

// Bytes and members of a value: what copying it costs.
std::size_t weightOf(const Value& value);
// The value, unless it is too large or too deep for any chat: values are copied and compared by recursion.
Value bounded(Value value);

bool isTrue(const Value& value);
std::string textOf(const Value& value);  // as {{ }} prints it
bool equal(const Value& a, const Value& b);
bool contains(const Value& container, const Value& item);
bool less(const Value& a, const Value& b);
Value arithmetic(const std::string& op, const Value& a, const Value& b);  // + - * / // %
Value element(const Value& container, const Value& key);                  // undefined when there is none
Value slice(const Value& container, const Value& from, const Value& to);
std::vector<Value> itemsOf(const Value& iterable);

Value filter(const std::string& name, const Value& value, const Arguments& arguments);
bool test(const std::string& name, const Value& value, const Arguments& arguments);
Value method(const std::string& name, const Value& object, const Arguments& arguments);
Value function(const std::string& name, const Arguments& arguments);
bool isFunction(const std::string& name);

}  // namespace eigenscope::jinja
