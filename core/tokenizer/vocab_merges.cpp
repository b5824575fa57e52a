// SPDX-License-Identifier: Apache-2.0
#include "core/tokenizer/vocab_merges.h"

#include "core/base/atomic_output.h"
#include "core/base/fail.h"

namespace eigenscope {

namespace fs = std::filesystem;

namespace {

std::unordered_map<std::string, TokenId> readVocabulary(const fs::path& file) {
    const Json document = readJsonFile(file);
    if (!document.is_object() || document.empty())
        failInput(file, "expected a JSON object of tokens and ids");
    std::unordered_map<std::string, TokenId> vocabulary;
    for (const auto& [text, value] : document.items())
        vocabulary.emplace(text, static_cast<TokenId>(JsonView(value, file, text).integer(0, kMaxTokenId)));
    return vocabulary;
}

std::vector<std::pair<std::string, std::string>> readMerges(const fs::path& file) {
    const std::string text = readTextFile(file);
    std::vector<std::pair<std::string, std::string>> merges;
    std::size_t number = 0;
    for (std::size_t begin = 0; begin < text.size();) {
        std::size_t end = text.find('\n', begin);
        if (end == std::string::npos)
            end = text.size();
        std::string_view line = std::string_view(text).substr(begin, end - begin);
        begin = end + 1;
        ++number;
        if (line.ends_with('\r'))
            line.remove_suffix(1);
        if (line.empty() || line.starts_with("#version"))
            continue;
        const std::size_t space = line.find(' ');
        if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos)
            failField(file, "line " + std::to_string(number), "expected two tokens separated by a space");
        merges.emplace_back(line.substr(0, space), line.substr(space + 1));
    }
    return merges;
}

}  // namespace

BpeParts readVocabMerges(const fs::path& vocabulary, const fs::path& merges,
                         const TokenizerSettings& settings) {
    BpeParts parts;
    parts.model.vocabulary = readVocabulary(vocabulary);
    parts.model.merges = readMerges(merges);
    if (const auto problem = BytePairEncoding::check(parts.model))
        failInput(merges, *problem);
    if (settings.add_prefix_space.value_or(false))
        parts.pre_tokenizer.setPrefixSpace();
    parts.pre_tokenizer.addSplit(kGpt2WordExpression, SplitBehavior::Isolated, false);
    return parts;
}

}  // namespace eigenscope
