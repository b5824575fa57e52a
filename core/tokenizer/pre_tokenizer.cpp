// SPDX-License-Identifier: Apache-2.0
#include "core/tokenizer/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include "core/base/fail.h"
#include "core/tokenizer/normalizer.h"
#include "kernels/api/cancelled.h"

#include <pcre2.h>

namespace eigenscope {

namespace {

// The property White_Space. PCRE2's own \s also has U+180E, which lost the property in Unicode 6.3.
constexpr std::string_view kWhiteSpace =
    R"(\x{09}-\x{0d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

// Oniguruma's \w: letters, marks, decimal digits and connectors. PCRE2 10.42 has no marks in it.
constexpr std::string_view kWord = R"(\p{L}\p{M}\p{Nd}\p{Pc})";

[[noreturn]] void refuse(const std::string& what) {
    throw Error(ErrorCode::Unsupported, "regular expressions with " + what + " are not supported");
}

// What `\` and the character after it become; `i` is at that character and moves over what is taken.
std::string translateEscape(const std::string& expression, std::size_t& i, bool in_class) {
    const char escaped = expression[i];
    const auto set = [&](std::string_view members) {
        return in_class ? std::string(members) : "[" + std::string(members) + "]";
    };
    const auto complement = [&](std::string_view members) {
        if (in_class)
            refuse(std::string("\\") + escaped + " within a class");
        return "[^" + std::string(members) + "]";
    };
    switch (escaped) {
        case 's':
            return set(kWhiteSpace);
        case 'S':
            return complement(kWhiteSpace);
        case 'w':
            return set(kWord);
        case 'W':
            return complement(kWord);
        case 'h':  // a hexadecimal digit there, a blank here
        case 'H':
            refuse(std::string("\\") + escaped);
        case 'u':
            if (expression.size() - i <= 4)
                refuse("a cut-off \\u");
            i += 4;
            return "\\x{" + expression.substr(i - 3, 4) + "}";
        default:
            return std::string("\\") + escaped;
    }
}

// The library's expressions are written for Oniguruma; this gives PCRE2 what means the same.
std::string translate(const std::string& expression) {
    std::string result;
    bool in_class = false;
    for (std::size_t i = 0; i < expression.size(); ++i) {
        const char c = expression[i];
        if (c == '\\' && i + 1 < expression.size()) {
            result += translateEscape(expression, ++i, in_class);
            continue;
        }
        if (in_class && (c == '[' || expression.compare(i, 2, "&&") == 0))
            refuse("classes within classes");
        if (c == '[')
            in_class = true;
        else if (c == ']')
            in_class = false;
        result += c;
    }
    return result;
}

struct MatchDataDeleter {
    void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

std::string errorText(int code) {
    PCRE2_UCHAR buffer[256] = {};
    pcre2_get_error_message(code, buffer, sizeof buffer);
    return reinterpret_cast<const char*>(buffer);
}

// Also within loops that do little: a text of 60 MB has 15 million words.
void checkStop(const std::stop_token& stop) {
    if (stop.stop_requested())
        throw Cancelled();
}

// Consecutive pieces of a text: matches and what is between them.
struct Piece {
    std::size_t begin, end;
    bool match;
};

std::vector<Piece> piecesOf(std::string_view text, const WordPattern& pattern, bool invert,
                            const std::stop_token& stop) {
    std::vector<Piece> pieces;
    std::size_t rest = 0;
    for (const WordPattern::Match& match : pattern.matches(text, stop)) {
        checkStop(stop);
        if (match.begin > rest)
            pieces.push_back({rest, match.begin, invert});
        pieces.push_back({match.begin, match.end, !invert});
        rest = match.end;
    }
    if (rest < text.size())
        pieces.push_back({rest, text.size(), invert});
    return pieces;
}

std::vector<Piece> merged(const std::vector<Piece>& pieces, SplitBehavior behavior,
                          const std::stop_token& stop) {
    std::vector<Piece> result;
    for (const Piece& piece : pieces) {
        checkStop(stop);
        const bool join =
            !result.empty() &&
            ((behavior == SplitBehavior::MergedWithPrevious && piece.match && !result.back().match) ||
             (behavior == SplitBehavior::MergedWithNext && !piece.match && result.back().match) ||
             (behavior == SplitBehavior::Contiguous && piece.match == result.back().match));
        if (join) {
            result.back().end = piece.end;
            // A delimiter that was taken along may not take another one along.
            if (behavior != SplitBehavior::Contiguous)
                result.back().match = behavior == SplitBehavior::MergedWithPrevious;
        } else if (behavior != SplitBehavior::Removed || !piece.match) {
            result.push_back(piece);
        }
    }
    return result;
}

}  // namespace

const char* const kGpt2WordExpression =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

struct WordPattern::Code {
    pcre2_code* code = nullptr;
    ~Code() { pcre2_code_free(code); }
};

WordPattern::WordPattern(const std::string& expression) : m_code(std::make_unique<Code>()) {
    const std::string text = translate(expression);
    int error = 0;
    PCRE2_SIZE offset = 0;
    m_code->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                 PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &offset, nullptr);
    if (!m_code->code)
        throw Error(ErrorCode::InvalidInput, "regular expression '" + expression + "': " + errorText(error));
    pcre2_jit_compile(m_code->code, PCRE2_JIT_COMPLETE);  // without it, matching is only slower
}

WordPattern::~WordPattern() = default;

std::vector<WordPattern::Match> WordPattern::matches(std::string_view text,
                                                     const std::stop_token& stop) const {
    std::vector<Match> found;
    const std::unique_ptr<pcre2_match_data, MatchDataDeleter> data(
        pcre2_match_data_create_from_pattern(m_code->code, nullptr));
    std::size_t start = 0;
    std::uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY;  // checked once, before tokenization
    while (start < text.size()) {
        checkStop(stop);
        int status = pcre2_match(m_code->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), start,
                                 options, data.get(), nullptr);
        if (status == PCRE2_ERROR_JIT_STACKLIMIT) {  // the interpreter keeps its stack on the heap
            options |= PCRE2_NO_JIT;
            continue;
        }
        if (status == PCRE2_ERROR_NOMATCH)
            break;
        if (status < 0)
            failUnsupported("a regular expression of the tokenizer failed on this text: " +
                            errorText(status));
        const PCRE2_SIZE* span = pcre2_get_ovector_pointer(data.get());
        if (span[0] > span[1] || span[0] < start)  // \K in a lookaround
            failUnsupported("a regular expression of the tokenizer moves its match's start");
        found.push_back({span[0], span[1]});
        start = span[1];
    }
    return found;
}

void PreTokenizer::addSplit(const std::string& expression, SplitBehavior behavior, bool invert) {
    m_steps.push_back({std::make_shared<const WordPattern>(expression), behavior, invert});
}

std::vector<std::string_view> PreTokenizer::words(std::string& text, bool at_start,
                                                  const std::stop_token& stop) const {
    if (!m_metaspace.empty()) {
        text = replaceAll(text, " ", m_metaspace);
        const bool prepend =
            m_scheme == PrependScheme::Always || (m_scheme == PrependScheme::First && at_start);
        if (prepend && !text.starts_with(m_metaspace))
            text.insert(0, m_metaspace);
    }
    if (m_prefix_space && !text.starts_with(' '))
        text.insert(text.begin(), ' ');
    std::vector<std::string_view> words;
    if (!text.empty())
        words.push_back(text);
    for (const Step& step : m_steps) {
        std::vector<std::string_view> finer;
        for (const std::string_view word : words) {
            for (const Piece& piece :
                 merged(piecesOf(word, *step.pattern, step.invert, stop), step.behavior, stop)) {
                checkStop(stop);
                finer.push_back(word.substr(piece.begin, piece.end - piece.begin));
            }
        }
        words = std::move(finer);
    }
    return words;
}

}  // namespace eigenscope
