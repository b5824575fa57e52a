// SPDX-License-Identifier: Apache-2.0
#include "core/tokenizer/jinja.h"

#include "core/tokenizer/jinja_expressions.h"
#include "kernels/api/error.h"

#include <optional>

namespace eigenscope::jinja {

namespace {

// Of one rendering: far above any chat, and soon enough for a loop in a loop in a loop.
constexpr std::size_t kMostOutput = std::size_t{16} << 20;
constexpr int kMostSteps = 1'000'000;
constexpr std::size_t kMostWork = std::size_t{1} << 28;

using Statements = std::vector<Statement>;

void runAll(const Statements& statements, Scopes& scopes, std::string& output) {
    for (const Statement& statement : statements)
        statement(scopes, output);
    if (output.size() > kMostOutput)
        fail("makes too much text");
}

// The pieces of a template, as statements.
class StatementParser {
public:
    explicit StatementParser(std::vector<Piece> pieces) : m_pieces(std::move(pieces)) {}

    // Up to a block whose first word is one of `ends` (which is left to the caller), or to the end of all.
    Statements body(std::initializer_list<std::string_view> ends);

private:
    bool atBlock(std::string_view word) const {
        return m_at < m_pieces.size() && m_pieces[m_at].kind == Piece::Kind::Block &&
               m_pieces[m_at].tokens.front().text == word;
    }
    void needBlock(std::string_view word) {
        if (!atBlock(word))
            fail("'" + std::string(word) + "' is missing");
        ++m_at;
    }
    Statement block(const Piece& piece);
    Statement branch(ExpressionParser& tag);
    Statement loop(ExpressionParser& tag);
    Statement assignment(ExpressionParser& tag);

    std::vector<Piece> m_pieces;
    std::size_t m_at = 0;
    int m_depth = 0;
};

Statements StatementParser::body(std::initializer_list<std::string_view> ends) {
    if (++m_depth > kMostDepth)
        fail("is nested too deeply");
    Statements statements;
    while (m_at < m_pieces.size()) {
        bool end = false;
        for (const std::string_view word : ends)
            end = end || atBlock(word);
        if (end)
            break;
        const Piece& piece = m_pieces[m_at++];
        try {
            if (piece.kind == Piece::Kind::Plain) {
                statements.push_back([text = piece.text](Scopes&, std::string& output) { output += text; });
            } else if (piece.kind == Piece::Kind::Output) {
                ExpressionParser tag(piece.tokens);
                const Expression value = tag.expression();
                tag.needEnd();
                statements.push_back([value](Scopes& s, std::string& output) { output += textOf(value(s)); });
            } else {
                statements.push_back(block(piece));
            }
        } catch (const Error& error) {
            if (std::string_view(error.what()).find(" (line ") != std::string_view::npos)
                throw;
            throw Error(error.code(),
                        std::string(error.what()) + " (line " + std::to_string(piece.line) + " of it)");
        }
    }
    --m_depth;
    return statements;
}

Statement StatementParser::block(const Piece& piece) {
    ExpressionParser tag(piece.tokens);
    const std::string word = tag.name();
    if (word == "if")
        return branch(tag);
    if (word == "for")
        return loop(tag);
    if (word == "set")
        return assignment(tag);
    if (word == "generation" || word == "endgeneration")  // marks for training
        return [](Scopes&, std::string&) {};
    fail("'" + word + "' is not understood");
}

Statement StatementParser::branch(ExpressionParser& tag) {
    std::vector<std::pair<Expression, Statements>> branches;
    Expression condition = tag.expression();
    tag.needEnd();
    branches.emplace_back(condition, body({"elif", "else", "endif"}));
    Statements otherwise;
    while (atBlock("elif")) {
        ExpressionParser next(m_pieces[m_at++].tokens);
        next.name();
        condition = next.expression();
        next.needEnd();
        branches.emplace_back(condition, body({"elif", "else", "endif"}));
    }
    if (atBlock("else")) {
        ++m_at;
        otherwise = body({"endif"});
    }
    needBlock("endif");
    return [branches, otherwise](Scopes& s, std::string& output) {
        for (const auto& [when, statements] : branches) {
            if (isTrue(when(s)))
                return runAll(statements, s, output);
        }
        runAll(otherwise, s, output);
    };
}

Statement StatementParser::loop(ExpressionParser& tag) {
    std::vector<std::string> names{tag.name()};
    while (tag.takeSymbol(","))
        names.push_back(tag.name());
    if (!tag.takeName("in"))
        fail("a loop without 'in'");
    const Expression iterable = tag.disjunction();
    std::optional<Expression> condition;
    if (tag.takeName("if"))
        condition = tag.disjunction();
    tag.needEnd();
    const Statements each = body({"else", "endfor"});
    Statements otherwise;
    if (atBlock("else")) {
        ++m_at;
        otherwise = body({"endfor"});
    }
    needBlock("endfor");
    return [=](Scopes& s, std::string& output) {
        const auto assign = [&](const Value& item) {
            s.work(names.size() * weightOf(item));
            for (std::size_t i = 0; i < names.size(); ++i)
                s.set(names[i], names.size() == 1 ? item : element(item, i));
        };
        std::vector<Value> items;
        for (Value& item : itemsOf(iterable(s))) {
            s.push();
            assign(item);
            if (!condition || isTrue((*condition)(s)))
                items.push_back(std::move(item));
            s.pop();
        }
        for (std::size_t i = 0; i < items.size(); ++i) {
            s.push();
            assign(items[i]);
            Value state = {{"index", i + 1},
                           {"index0", i},
                           {"first", i == 0},
                           {"last", i + 1 == items.size()},
                           {"length", items.size()},
                           {"revindex", items.size() - i},
                           {"revindex0", items.size() - i - 1}};
            if (i > 0)
                state["previtem"] = items[i - 1];
            if (i + 1 < items.size())
                state["nextitem"] = items[i + 1];
            s.set("loop", std::move(state));
            runAll(each, s, output);
            s.pop();
        }
        if (items.empty())
            runAll(otherwise, s, output);
    };
}

Statement StatementParser::assignment(ExpressionParser& tag) {
    const std::string target = tag.name();
    const std::string key = tag.takeSymbol(".") ? tag.name() : std::string();
    Expression value;
    if (tag.takeSymbol("=")) {
        value = tag.expression();
        tag.needEnd();
    } else {
        tag.needEnd();
        const Statements inside = body({"endset"});
        needBlock("endset");
        value = [inside](Scopes& s) {
            std::string text;
            s.push();
            runAll(inside, s, text);
            s.pop();
            return Value(text);
        };
    }
    return [target, key, value](Scopes& s, std::string&) {
        if (key.empty()) {
            s.set(target, value(s));
            return;
        }
        Value assigned = value(s);
        Value* object = s.find(target);
        if (object == nullptr || !object->is_object())
            fail("'" + target + "." + key + "' is set, but '" + target + "' is no namespace");
        (*object)[key] = std::move(assigned);
        s.work(weightOf(*object));
        *object = bounded(std::move(*object));
    };
}

}  // namespace

Value* Scopes::find(const std::string& name) {
    for (auto scope = m_scopes.rbegin(); scope != m_scopes.rend(); ++scope) {
        if (const auto found = scope->find(name); found != scope->end())
            return &found->second;
    }
    return nullptr;
}

void Scopes::push() {
    if (++m_pushes > kMostSteps)
        fail("runs too long");
    m_scopes.emplace_back();
}

void Scopes::work(std::size_t amount) {
    if ((m_work += amount) > kMostWork)
        fail("runs too long");
}

Value Scopes::get(const std::string& name) {
    const Value* found = find(name);
    if (found == nullptr)
        return undefined();
    work(weightOf(*found));
    return *found;
}

Template::Template(std::string_view source) {
    StatementParser parser(piecesOf(source));
    m_statements = parser.body({});
}

std::string Template::render(std::map<std::string, Value> variables) const {
    Scopes scopes(std::move(variables));
    std::string output;
    runAll(m_statements, scopes, output);
    return output;
}

}  // namespace eigenscope::jinja
