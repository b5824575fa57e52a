// SPDX-License-Identifier: Apache-2.0
#include "core/tokenizer/jinja_lexer.h"

#include "core/tokenizer/jinja_values.h"
#include "core/tokenizer/utf8.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace eigenscope::jinja {

namespace {

constexpr std::string_view kSpace = " \t\n\r\f\v";
// Of one tag: evaluating it takes as much of the stack as it has operations.
constexpr std::size_t kMostTokens = 2000;

bool isNameCharacter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// Escapes of Python's texts, as far as templates use them.
std::string readEscape(std::string_view tag, std::size_t& at) {
    const char c = tag[at++];
    switch (c) {
        case 'n':
            return "\n";
        case 't':
            return "\t";
        case 'r':
            return "\r";
        case '\\':
        case '\'':
        case '"':
            return std::string(1, c);
        case 'u': {
            unsigned code = 0;
            const std::string_view digits = tag.substr(at, 4);
            const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
            const bool whole = error == std::errc() && digits.size() == 4 && end == digits.data() + 4;
            if (!whole || code == 0 || (code >= 0xd800 && code < 0xe000))
                fail("an escape in a text is not understood");
            at += 4;
            std::string text;
            appendUtf8(text, code);
            return text;
        }
        default:
            fail(std::string("the escape \\") + c + " in a text is not understood");
    }
}

// From the opening quote; moves `at` behind the closing one.
std::string readString(std::string_view tag, std::size_t& at) {
    const char quote = tag[at++];
    std::string text;
    while (at < tag.size() && tag[at] != quote) {
        const char c = tag[at++];
        if (c == '\\' && at < tag.size())
            text += readEscape(tag, at);
        else
            text += c;
    }
    if (at >= tag.size())
        fail("a text in a tag does not end");
    ++at;
    return text;
}

std::vector<Token> tokensOf(std::string_view tag) {
    constexpr std::array<std::string_view, 5> kPairs{"==", "!=", "<=", ">=", "//"};
    std::vector<Token> tokens;
    for (std::size_t at = 0; at < tag.size();) {
        if (tokens.size() > kMostTokens)
            fail("a tag is too long");
        const char c = tag[at];
        if (kSpace.find(c) != std::string_view::npos) {
            ++at;
        } else if (c == '\'' || c == '"') {
            tokens.push_back({Token::Kind::Text, readString(tag, at)});
        } else if (isNameCharacter(c)) {
            const std::size_t begin = at;
            while (at < tag.size() && isNameCharacter(tag[at]))
                ++at;
            const bool digit = c >= '0' && c <= '9';
            tokens.push_back({digit ? Token::Kind::Number : Token::Kind::Name,
                              std::string(tag.substr(begin, at - begin))});
        } else {
            const std::string_view pair = tag.substr(at, 2);
            const bool two = std::ranges::find(kPairs, pair) != kPairs.end();
            if (!two && std::string_view("+-*/%~|.,:()[]{}=<>").find(c) == std::string_view::npos)
                fail(std::string("a tag holds '") + c + "'");
            tokens.push_back({Token::Kind::Symbol, std::string(two ? pair : tag.substr(at, 1))});
            at += two ? 2 : 1;
        }
    }
    tokens.push_back({Token::Kind::End, ""});
    return tokens;
}

// Where the tag that begins before `at` ends; closing marks within texts and braces do not count.
std::size_t endOfTag(std::string_view source, std::size_t at, std::string_view close) {
    char quote = 0;
    int braces = 0;
    for (; at < source.size(); ++at) {
        const char c = source[at];
        if (quote != 0) {
            if (c == '\\')
                ++at;
            else if (c == quote)
                quote = 0;
        } else if (close != "#}" && (c == '\'' || c == '"')) {
            quote = c;
        } else if (close != "#}" && c == '{') {
            ++braces;
        } else if (braces > 0 && c == '}') {
            --braces;
        } else if (source.substr(at).starts_with(close)) {
            return at;
        }
    }
    fail("a tag does not end");
}

// Spaces between a line's beginning and a block tag are no text.
void stripLine(std::string& text, bool line_begins_text) {
    const std::size_t last = text.find_last_not_of(" \t");
    if (last == std::string::npos ? line_begins_text : text[last] == '\n')
        text.resize(last == std::string::npos ? 0 : last + 1);
}

}  // namespace

std::vector<Piece> piecesOf(std::string_view source) {
    if (source.ends_with('\n'))
        source.remove_suffix(1);
    std::vector<Piece> pieces;
    std::size_t at = 0, line = 1;
    bool trim_next = false, line_begins = true;
    const auto addPlain = [&](std::string text, bool strip_right, bool block) {
        if (trim_next)
            text.erase(0, std::min(text.find_first_not_of(kSpace), text.size()));
        if (strip_right)
            text.resize(text.find_last_not_of(kSpace) + 1);
        else if (block)
            stripLine(text, line_begins);
        if (!text.empty())
            pieces.push_back({Piece::Kind::Plain, std::move(text), {}, line});
    };
    while (at < source.size()) {
        std::size_t open = at;
        while ((open = source.find('{', open)) != std::string_view::npos &&
               (open + 1 >= source.size() ||
                std::string_view("{%#").find(source[open + 1]) == std::string_view::npos))
            ++open;
        if (open == std::string_view::npos) {
            addPlain(std::string(source.substr(at)), false, false);
            break;
        }
        const char kind = source[open + 1];
        const std::string close = kind == '{' ? "}}" : std::string(1, kind) + "}";
        std::size_t begin = open + 2;
        const bool strip_left = begin < source.size() && source[begin] == '-';
        const bool keep_left = begin < source.size() && source[begin] == '+';
        addPlain(std::string(source.substr(at, open - at)), strip_left, kind != '{' && !keep_left);
        begin += strip_left || keep_left ? 1 : 0;
        line += static_cast<std::size_t>(std::ranges::count(source.substr(at, begin - at), '\n'));
        std::size_t end = endOfTag(source, begin, close);
        const std::size_t after = end + close.size();
        trim_next = end > begin && source[end - 1] == '-';
        end -= trim_next ? 1 : 0;
        if (kind != '#')
            pieces.push_back({kind == '{' ? Piece::Kind::Output : Piece::Kind::Block, "",
                              tokensOf(source.substr(begin, end - begin)), line});
        line += static_cast<std::size_t>(std::ranges::count(source.substr(begin, after - begin), '\n'));
        at = after;
        line_begins = false;
        if (kind != '{' && at < source.size() && source[at] == '\n') {
            ++at, ++line;
            line_begins = true;
        }
    }
    return pieces;
}

}  // namespace eigenscope::jinja
