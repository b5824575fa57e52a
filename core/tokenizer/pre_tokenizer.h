// SPDX-License-Identifier: Apache-2.0
// Cutting text into the words that byte pair encoding works on: regular expressions in sequence, then bytes.
// Built once, then immutable; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace eigenscope {

// A regular expression with Unicode classes and the meaning of \s that the tokenizers library gives it (the
// property White_Space). Matches are non-overlapping, from the left.
class WordPattern {
public:
    explicit WordPattern(const std::string& expression);  // throws InvalidInput when it does not compile
    ~WordPattern();

    struct Match {
        std::size_t begin, end;
    };
    // Valid UTF-8; never empty matches. A stop makes it throw Cancelled.
    std::vector<Match> matches(std::string_view text, const std::stop_token& stop = {}) const;

private:
    struct Code;
    std::unique_ptr<Code> m_code;
};

// What becomes of the matches; names as in tokenizer.json.
enum class SplitBehavior : std::uint8_t { Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous };

enum class PrependScheme : std::uint8_t { Always, First, Never };

class PreTokenizer {
public:
    // With `invert`, what lies between the matches is treated as the matches.
    void addSplit(const std::string& expression, SplitBehavior behavior, bool invert);
    void setPrefixSpace() {
        m_prefix_space = true;
    }  // a text that does not begin with a space gets one in front

    // Spaces become `mark`, and a text that does not begin with it gets one in front: always, never, or
    // where it is the beginning of all of the text.
    void setMetaspace(const std::string& mark, PrependScheme scheme) {
        m_metaspace = mark;
        m_scheme = scheme;
    }

    // Words of a text in order; `at_start`: no other segment is before it. Views are into `text`, which is
    // changed as said above.
    std::vector<std::string_view> words(std::string& text, bool at_start,
                                        const std::stop_token& stop = {}) const;

private:
    struct Step {
        std::shared_ptr<const WordPattern> pattern;
        SplitBehavior behavior;
        bool invert;
    };
    std::vector<Step> m_steps;
    bool m_prefix_space = false;
    std::string m_metaspace;  // empty: none
    PrependScheme m_scheme = PrependScheme::Never;
};

// The expression of GPT-2's tokenizer.
extern const char* const kGpt2WordExpression;

}  // namespace eigenscope
