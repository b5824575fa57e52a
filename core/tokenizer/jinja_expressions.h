// SPDX-License-Identifier: Apache-2.0
// Expressions of templates, from a tag's tokens to something that can be evaluated. One thread.
#pragma once

#include "core/tokenizer/jinja.h"
#include "core/tokenizer/jinja_lexer.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace eigenscope::jinja {

// Deep enough for any template, shallow enough for any stack.
inline constexpr int kMostDepth = 200;

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

}  // namespace eigenscope::jinja
