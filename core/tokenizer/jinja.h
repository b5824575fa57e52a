// SPDX-License-Identifier: Apache-2.0
// Templates of chats: the part of Jinja (https://jinja.palletsprojects.com, version 3) that checkpoints'
// chat_template uses: output, if, for, set, expressions, filters, tests; blocks trimmed as transformers asks
// Jinja to. What is not understood throws Unsupported and says where. Immutable once built; any thread.
#pragma once

#include "core/tokenizer/jinja_values.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace eigenscope::jinja {

// Variables by scope, the innermost last.
class Scopes {
public:
    explicit Scopes(std::map<std::string, Value> globals) { m_scopes.push_back(std::move(globals)); }
    Value get(const std::string& name);
    Value* find(const std::string& name);
    void set(const std::string& name, Value value) { m_scopes.back()[name] = std::move(value); }
    void push();  // throws after a million: a template that does not end in any sensible time
    void pop() { m_scopes.pop_back(); }
    // Counts what evaluating costs, in bytes copied or so; throws when it is more than any chat takes.
    void work(std::size_t amount);

private:
    std::vector<std::map<std::string, Value>> m_scopes;
    int m_pushes = 0;
    std::size_t m_work = 0;
};

using Expression = std::function<Value(Scopes&)>;
using Statement = std::function<void(Scopes&, std::string& output)>;

class Template {
public:
    explicit Template(std::string_view source);
    std::string render(std::map<std::string, Value> variables) const;

private:
    std::vector<Statement> m_statements;
};

}  // namespace eigenscope::jinja
