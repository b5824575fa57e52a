// SPDX-License-Identifier: Apache-2.0
#include "core/tokenizer/jinja_expressions.h"

#include <charconv>
#include <cstdint>

namespace eigenscope::jinja {

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
        left = [left = std::move(left), right = conjunction()](Scopes& s) {
            Value value = left(s);
            return isTrue(value) ? value : right(s);
        };
    }
    return left;
}

Expression ExpressionParser::conjunction() {
    Expression left = negation();
    while (takeName("and")) {
        left = [left = std::move(left), right = negation()](Scopes& s) {
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
            left = [left = std::move(left), right = sum()](Scopes& s) {
                return Value(equal(left(s), right(s)));
            };
        } else if (takeSymbol("!=")) {
            left = [left = std::move(left), right = sum()](Scopes& s) {
                return Value(!equal(left(s), right(s)));
            };
        } else if (takeSymbol("<")) {
            left = [left = std::move(left), right = sum()](Scopes& s) {
                return Value(less(left(s), right(s)));
            };
        } else if (takeSymbol(">")) {
            left = [left = std::move(left), right = sum()](Scopes& s) {
                return Value(less(right(s), left(s)));
            };
        } else if (takeSymbol("<=")) {
            left = [left = std::move(left), right = sum()](Scopes& s) {
                return Value(!less(right(s), left(s)));
            };
        } else if (takeSymbol(">=")) {
            left = [left = std::move(left), right = sum()](Scopes& s) {
                return Value(!less(left(s), right(s)));
            };
        } else if (takeName("in")) {
            left = [left = std::move(left), right = sum()](Scopes& s) {
                return Value(contains(right(s), left(s)));
            };
        } else if (takeName("not") && takeName("in")) {
            left = [left = std::move(left), right = sum()](Scopes& s) {
                return Value(!contains(right(s), left(s)));
            };
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
        left = [left = std::move(left), op, right = joined()](Scopes& s) {
            return arithmetic(op, left(s), right(s));
        };
    }
}

Expression ExpressionParser::joined() {
    Expression left = product();
    while (takeSymbol("~"))
        left = [left = std::move(left), right = product()](Scopes& s) {
            return arithmetic("+", textOf(left(s)), textOf(right(s)));
        };
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
        left = [left = std::move(left), op, right = unary()](Scopes& s) {
            return arithmetic(op, left(s), right(s));
        };
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
            value = member(std::move(value));
        } else if (takeSymbol("[")) {
            value = subscript(std::move(value));
        } else if (takeSymbol("|")) {
            const std::string filter_name = name();
            const Call arguments = takeSymbol("(") ? call() : Call();
            value = [value = std::move(value), filter_name, arguments](Scopes& s) {
                return filter(filter_name, value(s), arguments.evaluate(s));
            };
        } else if (takeName("is")) {
            const bool negated = takeName("not");
            const std::string test_name = name();
            const Call arguments = takeSymbol("(") ? call() : Call();
            value = [value = std::move(value), negated, test_name, arguments](Scopes& s) {
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
        for (const Expression& part : members) {
            value.push_back(part(s));
            s.work(weightOf(value.back()));
        }
        return bounded(std::move(value));
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
        for (const auto& [key, part] : members) {
            Value member = part(s);
            s.work(weightOf(member));
            value[textOf(key(s))] = std::move(member);
        }
        return bounded(std::move(value));
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
        return [text = token.text](Scopes& s) {
            s.work(text.size());
            return Value(text);
        };
    }
    if (token.kind == Token::Kind::Number) {
        std::int64_t number = 0;
        const char* end = token.text.data() + token.text.size();
        const auto [last, error] = std::from_chars(token.text.data(), end, number);
        if (last != end || error != std::errc())
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

}  // namespace eigenscope::jinja
