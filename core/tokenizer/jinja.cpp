// SPDX-License-Identifier: Apache-2.0
#include "core/tokenizer/jinja.h"

#include "core/tokenizer/jinja_lexer.h"
#include "kernels/api/error.h"

#include <array>
#include <charconv>
#include <optional>

namespace eigenscope::jinja {

namespace {

// Deep enough for any template, shallow enough for any stack.
constexpr int kMostDepth = 200;
// Of one rendering: far above any chat, and soon enough for a loop in a loop in a loop.
constexpr std::size_t kMostOutput = std::size_t{64} << 20;

using Statements = std::vector<Statement>;

void runAll(const Statements& statements, Scopes& scopes, std::string& output) {
    for (const Statement& statement : statements)
        statement(scopes, output);
    if (output.size() > kMostOutput)
        fail("makes too much text");
}

// The tokens of one tag, as expressions.
class ExpressionParser {
public:
    explicit ExpressionParser(const std::vector<Token>& tokens) : m_tokens(tokens) {}

    bool done() const { return m_tokens[m_at].kind == Token::Kind::End; }
    bool takeName(std::string_view name) { return take(Token::Kind::Name, name); }
    bool takeSymbol(std::string_view symbol) { return take(Token::Kind::Symbol, symbol); }
    void needSymbol(std::string_view symbol) {
        if (!takeSymbol(symbol))
            failHere("expected '" + std::string(symbol) + "'");
    }
    std::string name() {
        if (m_tokens[m_at].kind != Token::Kind::Name)
            failHere("expected a name");
        return m_tokens[m_at++].text;
    }
    void needEnd() const {
        if (!done())
            failHere("expected the end of the tag");
    }
    Expression expression();
    Expression disjunction();

private:
    struct Call {
        std::vector<Expression> positional;
        std::vector<std::pair<std::string, Expression>> named;
        Arguments evaluate(Scopes& scopes) const {
            Arguments arguments;
            for (const Expression& value : positional)
                arguments.positional.push_back(value(scopes));
            for (const auto& [name, value] : named)
                arguments.named.emplace_back(name, value(scopes));
            return arguments;
        }
    };

    [[noreturn]] void failHere(const std::string& what) const {
        fail(what + (done() ? " before the end of the tag" : " before '" + m_tokens[m_at].text + "'"));
    }
    bool take(Token::Kind kind, std::string_view text) {
        const bool found = m_tokens[m_at].kind == kind && m_tokens[m_at].text == text;
        m_at += found ? 1 : 0;
        return found;
    }
    Expression conjunction();
    Expression negation();
    Expression comparison();
    Expression sum();
    Expression joined();
    Expression product();
    Expression unary();
    Expression primary();
    Expression list();
    Expression object();
    Expression member(Expression value);
    Expression subscript(Expression value);
    Call call();

    const std::vector<Token>& m_tokens;
    std::size_t m_at = 0;
    int m_depth = 0;
};

Expression ExpressionParser::expression() {
    if (++m_depth > kMostDepth)
        fail("is nested too deeply");
    Expression value = disjunction();
    if (takeName("if")) {
        Expression condition = disjunction();
        Expression other = takeName("else") ? expression() : [](Scopes&) { return undefined(); };
        value = [value, condition, other](Scopes& s) { return isTrue(condition(s)) ? value(s) : other(s); };
    }
    --m_depth;
    return value;
}

Expression ExpressionParser::disjunction() {
    Expression left = conjunction();
    while (takeName("or")) {
        left = [left, right = conjunction()](Scopes& s) {
            Value value = left(s);
            return isTrue(value) ? value : right(s);
        };
    }
    return left;
}

Expression ExpressionParser::conjunction() {
    Expression left = negation();
    while (takeName("and")) {
        left = [left, right = negation()](Scopes& s) {
            Value value = left(s);
            return isTrue(value) ? right(s) : value;
        };
    }
    return left;
}

Expression ExpressionParser::negation() {
    bool negated = false;
    while (takeName("not"))
        negated = !negated;
    Expression value = comparison();
    return negated ? [value](Scopes& s) { return Value(!isTrue(value(s))); } : value;
}

Expression ExpressionParser::comparison() {
    Expression left = sum();
    for (;;) {
        const std::size_t before = m_at;
        if (takeSymbol("==")) {
            left = [left, right = sum()](Scopes& s) { return Value(equal(left(s), right(s))); };
        } else if (takeSymbol("!=")) {
            left = [left, right = sum()](Scopes& s) { return Value(!equal(left(s), right(s))); };
        } else if (takeSymbol("<")) {
            left = [left, right = sum()](Scopes& s) { return Value(less(left(s), right(s))); };
        } else if (takeSymbol(">")) {
            left = [left, right = sum()](Scopes& s) { return Value(less(right(s), left(s))); };
        } else if (takeSymbol("<=")) {
            left = [left, right = sum()](Scopes& s) { return Value(!less(right(s), left(s))); };
        } else if (takeSymbol(">=")) {
            left = [left, right = sum()](Scopes& s) { return Value(!less(left(s), right(s))); };
        } else if (takeName("in")) {
            left = [left, right = sum()](Scopes& s) { return Value(contains(right(s), left(s))); };
        } else if (takeName("not") && takeName("in")) {
            left = [left, right = sum()](Scopes& s) { return Value(!contains(right(s), left(s))); };
        } else {
            m_at = before;
            return left;
        }
    }
}

Expression ExpressionParser::sum() {
    Expression left = joined();
    for (;;) {
        const char* op = takeSymbol("+") ? "+" : takeSymbol("-") ? "-" : nullptr;
        if (op == nullptr)
            return left;
        left = [left, op, right = joined()](Scopes& s) { return arithmetic(op, left(s), right(s)); };
    }
}

Expression ExpressionParser::joined() {
    Expression left = product();
    while (takeSymbol("~"))
        left = [left, right = product()](Scopes& s) { return Value(textOf(left(s)) + textOf(right(s))); };
    return left;
}

Expression ExpressionParser::product() {
    Expression left = unary();
    for (;;) {
        const char* op = takeSymbol("*")    ? "*"
                         : takeSymbol("//") ? "//"
                         : takeSymbol("/")  ? "/"
                         : takeSymbol("%")  ? "%"
                                            : nullptr;
        if (op == nullptr)
            return left;
        left = [left, op, right = unary()](Scopes& s) { return arithmetic(op, left(s), right(s)); };
    }
}

Expression ExpressionParser::unary() {
    if (takeSymbol("-")) {
        if (++m_depth > kMostDepth)
            fail("is nested too deeply");
        Expression value = unary();
        --m_depth;
        return [value](Scopes& s) { return arithmetic("-", 0, value(s)); };
    }
    Expression value = primary();
    for (;;) {
        if (takeSymbol(".")) {
            value = member(value);
        } else if (takeSymbol("[")) {
            value = subscript(value);
        } else if (takeSymbol("|")) {
            const std::string filter_name = name();
            const Call arguments = takeSymbol("(") ? call() : Call();
            value = [value, filter_name, arguments](Scopes& s) {
                return filter(filter_name, value(s), arguments.evaluate(s));
            };
        } else if (takeName("is")) {
            const bool negated = takeName("not");
            const std::string test_name = name();
            const Call arguments = takeSymbol("(") ? call() : Call();
            value = [value, negated, test_name, arguments](Scopes& s) {
                return Value(test(test_name, value(s), arguments.evaluate(s)) != negated);
            };
        } else {
            return value;
        }
    }
}

// After a dot: a method where arguments follow, else an element.
Expression ExpressionParser::member(Expression value) {
    const std::string key = name();
    if (!takeSymbol("("))
        return [value, key](Scopes& s) { return element(value(s), key); };
    return
        [value, key, arguments = call()](Scopes& s) { return method(key, value(s), arguments.evaluate(s)); };
}

// After an opening bracket.
Expression ExpressionParser::subscript(Expression value) {
    const Expression none = [](Scopes&) { return undefined(); };
    const auto optional = [&] {
        const Token& next = m_tokens[m_at];
        return next.text == ":" || next.text == "]" ? none : expression();
    };
    const Expression from = optional();
    if (!takeSymbol(":")) {
        needSymbol("]");
        return [value, from](Scopes& s) { return element(value(s), from(s)); };
    }
    const Expression to = optional();
    needSymbol("]");
    return [value, from, to](Scopes& s) { return slice(value(s), from(s), to(s)); };
}

// After an opening parenthesis.
ExpressionParser::Call ExpressionParser::call() {
    Call result;
    while (!takeSymbol(")")) {
        const std::size_t before = m_at;
        const bool is_name = m_tokens[m_at].kind == Token::Kind::Name;
        const std::string key = is_name ? name() : std::string();
        if (is_name && takeSymbol("=")) {
            result.named.emplace_back(key, expression());
        } else {
            m_at = before;
            result.positional.push_back(expression());
        }
        if (!takeSymbol(",")) {
            needSymbol(")");
            break;
        }
    }
    return result;
}

Expression ExpressionParser::list() {
    std::vector<Expression> members;
    while (!takeSymbol("]")) {
        members.push_back(expression());
        if (!takeSymbol(",")) {
            needSymbol("]");
            break;
        }
    }
    return [members](Scopes& s) {
        Value value = Value::array();
        for (const Expression& part : members)
            value.push_back(part(s));
        return value;
    };
}

Expression ExpressionParser::object() {
    std::vector<std::pair<Expression, Expression>> members;
    while (!takeSymbol("}")) {
        Expression key = expression();
        needSymbol(":");
        members.emplace_back(key, expression());
        if (!takeSymbol(",")) {
            needSymbol("}");
            break;
        }
    }
    return [members](Scopes& s) {
        Value value = Value::object();
        for (const auto& [key, part] : members)
            value[textOf(key(s))] = part(s);
        return value;
    };
}

Expression ExpressionParser::primary() {
    if (takeSymbol("(")) {
        Expression value = expression();
        needSymbol(")");
        return value;
    }
    if (takeSymbol("["))
        return list();
    if (takeSymbol("{"))
        return object();
    const Token& token = m_tokens[m_at];
    if (token.kind == Token::Kind::Text) {
        ++m_at;
        return [text = token.text](Scopes&) { return Value(text); };
    }
    if (token.kind == Token::Kind::Number) {
        std::int64_t number = 0;
        const char* end = token.text.data() + token.text.size();
        if (std::from_chars(token.text.data(), end, number).ptr != end)
            failHere("expected a whole number");
        ++m_at;
        return [number](Scopes&) { return Value(number); };
    }
    if (token.kind != Token::Kind::Name)
        failHere("expected a value");
    const std::string word = name();
    if (word == "true" || word == "True" || word == "false" || word == "False")
        return [truth = word == "true" || word == "True"](Scopes&) { return Value(truth); };
    if (word == "none" || word == "None")
        return [](Scopes&) { return Value(); };
    if (!takeSymbol("(")) {
        // `strftime_now is defined` asks for a function.
        return [word, known = isFunction(word)](Scopes& s) {
            Value value = s.get(word);
            return isUndefined(value) && known ? Value(true) : value;
        };
    }
    if (!isFunction(word))
        fail("the function '" + word + "' is not understood");
    return [word, arguments = call()](Scopes& s) { return function(word, arguments.evaluate(s)); };
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

Value Scopes::get(const std::string& name) const {
    const Value* found = const_cast<Scopes*>(this)->find(name);
    return found == nullptr ? undefined() : *found;
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
