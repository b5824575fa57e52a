// SPDX-License-Identifier: Apache-2.0
#include "core/tokenizer/tokenizer_json.h"

#include "core/base/fail.h"
#include "core/tokenizer/utf8.h"

#include <algorithm>

namespace eigenscope {

namespace {

constexpr const char* kSpaceMark = "\xe2\x96\x81";  // U+2581

[[noreturn]] void refuse(const JsonView& component, const std::string& expected) {
    const std::string type =
        component.json().is_object() ? component.stringOr("type", "(no type)") : "(no type)";
    failUnsupported(component.file().string() + ": " + component.field() + ": '" + type +
                    "' is not supported, expected " + expected);
}

// A component that is a Sequence of others, flattened; `list` names its member.
std::vector<JsonView> flattened(const JsonView& component, const char* list) {
    if (component.at("type").string() != "Sequence")
        return {component};
    std::vector<JsonView> result;
    const JsonView members = component.at(list);
    for (std::size_t i = 0; i < members.size(); ++i) {
        for (const JsonView& member : flattened(members.at(i), list))
            result.push_back(member);
    }
    return result;
}

ReplaceText readReplace(const JsonView& member) {
    const JsonView pattern = member.at("pattern");
    if (pattern.find("Regex"))
        pattern.fail("a regular expression is not supported here, expected String");
    ReplaceText replace{pattern.at("String").string(), member.at("content").string()};
    if (replace.from.empty())
        pattern.fail("is empty");
    return replace;
}

Normalizer readNormalizer(const JsonView& document) {
    std::vector<NormalizerStep> steps;
    if (const auto normalizer = document.find("normalizer")) {
        for (const JsonView& member : flattened(*normalizer, "normalizers")) {
            const std::string type = member.at("type").string();
            if (type == "Prepend")
                steps.emplace_back(PrependText{member.at("prepend").string()});
            else if (type == "Replace")
                steps.emplace_back(readReplace(member));
            else if (const auto form = unicodeFormFromName(type))
                steps.emplace_back(*form);
            else
                refuse(member, "NFC, NFD, NFKC, NFKD, Prepend or Replace");
        }
    }
    return Normalizer(std::move(steps));
}

SplitBehavior readBehavior(const JsonView& value) {
    const std::string name = value.string();
    if (name == "Removed")
        return SplitBehavior::Removed;
    if (name == "Isolated")
        return SplitBehavior::Isolated;
    if (name == "MergedWithPrevious")
        return SplitBehavior::MergedWithPrevious;
    if (name == "MergedWithNext")
        return SplitBehavior::MergedWithNext;
    if (name == "Contiguous")
        return SplitBehavior::Contiguous;
    value.fail("'" + name + "' is not a split behaviour");
}

std::string literalExpression(const std::string& text) {
    std::string expression;
    for (const char c : text) {
        if (std::string_view("\\^$.[]|()?*+{}#-&").find(c) != std::string_view::npos)
            expression += '\\';
        expression += c;
    }
    return expression;
}

void addSplit(PreTokenizer& target, const JsonView& split) {
    const JsonView pattern = split.at("pattern");
    const auto regex = pattern.find("Regex");
    const std::string expression = regex ? regex->string() : literalExpression(pattern.at("String").string());
    try {
        target.addSplit(expression, readBehavior(split.at("behavior")), split.booleanOr("invert", false));
    } catch (const Error& error) {
        throw Error(error.code(), pattern.file().string() + ": " + pattern.field() + ": " + error.what());
    }
}

void addDigits(PreTokenizer& target, const JsonView& digits) {
    target.addSplit(digits.booleanOr("individual_digits", false) ? "\\p{N}" : "\\p{N}+",
                    SplitBehavior::Isolated, false);
}

// Transformers gives these classes' pre-tokenizer the value of tokenizer_config.json.
bool configDecidesPrefixSpace(const TokenizerSettings& settings) {
    return settings.add_prefix_space &&
           (settings.tokenizer_class == "GPT2Tokenizer" || settings.tokenizer_class == "GPTNeoXTokenizer");
}

std::string readMark(const JsonView& metaspace) {
    const std::string mark = metaspace.stringOr("replacement", kSpaceMark);
    if (const Utf8Character character = readUtf8(mark); !character.valid || character.bytes != mark.size())
        metaspace.at("replacement").fail("expected one character");
    return mark;
}

// Files from before the library's version 0.15 have add_prefix_space instead.
PrependScheme readScheme(const JsonView& metaspace) {
    const std::string name = metaspace.stringOr(
        "prepend_scheme", metaspace.booleanOr("add_prefix_space", true) ? "always" : "never");
    if (name == "always")
        return PrependScheme::Always;
    if (name == "first")
        return PrependScheme::First;
    if (name != "never")
        metaspace.at("prepend_scheme").fail("'" + name + "' is not known, expected always, first or never");
    return PrependScheme::Never;
}

// Of tokenizers whose tokens are made of characters.
PreTokenizer readCharacterPreTokenizer(const JsonView& document) {
    PreTokenizer result;
    const auto pre_tokenizer = document.find("pre_tokenizer");
    if (!pre_tokenizer)
        return result;
    const std::vector<JsonView> members = flattened(*pre_tokenizer, "pretokenizers");
    for (std::size_t i = 0; i < members.size(); ++i) {
        const JsonView& member = members[i];
        const std::string type = member.at("type").string();
        if (type == "Metaspace" && i == 0) {
            const std::string mark = readMark(member);
            result.setMetaspace(mark, readScheme(member));
            if (member.booleanOr("split", true))
                result.addSplit(literalExpression(mark), SplitBehavior::MergedWithNext, false);
        } else if (type == "Split") {
            addSplit(result, member);
        } else if (type == "Digits") {
            addDigits(result, member);
        } else {
            refuse(member, i == 0 ? "ByteLevel, Metaspace, Split or Digits" : "Split or Digits");
        }
    }
    return result;
}

PreTokenizer readPreTokenizer(const JsonView& document, const TokenizerSettings& settings) {
    PreTokenizer result;
    const std::vector<JsonView> members = flattened(document.at("pre_tokenizer"), "pretokenizers");
    for (std::size_t i = 0; i < members.size(); ++i) {
        const JsonView& member = members[i];
        const std::string type = member.at("type").string();
        if (type == "Split") {
            addSplit(result, member);
        } else if (type == "Digits") {
            addDigits(result, member);
        } else if (type == "ByteLevel") {
            bool prefix_space = member.booleanOr("add_prefix_space", true);
            if (members.size() == 1 && configDecidesPrefixSpace(settings))
                prefix_space = *settings.add_prefix_space;
            if (prefix_space && i > 0)
                member.fail("add_prefix_space after another pre-tokenizer is not supported");
            if (prefix_space)
                result.setPrefixSpace();
            if (member.booleanOr("use_regex", true))
                result.addSplit(kGpt2WordExpression, SplitBehavior::Isolated, false);
            if (i + 1 != members.size())
                refuse(members[i + 1], "nothing after ByteLevel");
        } else {
            refuse(member, "Split, Digits or ByteLevel");
        }
    }
    return result;
}

void readVocabulary(const JsonView& model, BytePairEncoding::Model& result) {
    const JsonView vocabulary = model.at("vocab");
    if (!vocabulary.json().is_object())
        vocabulary.fail("expected an object of tokens and ids");
    result.vocabulary.reserve(vocabulary.json().size());
    for (const auto& [text, value] : vocabulary.json().items()) {
        // The view, with its field name, is only made for what is wrong: vocabularies are large.
        const bool good = value.is_number_unsigned() && value.get<std::uint64_t>() <= kMaxTokenId;
        if (!good)
            JsonView(value, vocabulary.file(), vocabulary.field() + "." + text).integer(0, kMaxTokenId);
        result.vocabulary.emplace(text, value.get<TokenId>());
    }
    if (result.vocabulary.empty())
        vocabulary.fail("is empty");
}

void readMerges(const JsonView& model, BytePairEncoding::Model& result) {
    const JsonView merges = model.at("merges");
    const std::size_t count = merges.size();
    result.merges.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        const Json& value = merges.json()[i];
        if (value.is_array() && value.size() == 2 && value[0].is_string() && value[1].is_string()) {
            result.merges.emplace_back(value[0].get<std::string>(), value[1].get<std::string>());
            continue;
        }
        const std::string text = value.is_string() ? value.get<std::string>() : std::string();
        const std::size_t space = text.find(' ');
        if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
            merges.at(i).fail("expected two tokens, as \"a b\" or [\"a\", \"b\"]");
        result.merges.emplace_back(text.substr(0, space), text.substr(space + 1));
    }
}

void checkModelType(const JsonView& model) {
    const std::string type = model.stringOr("type", "BPE");  // files of the first versions do not name it
    if (type != "BPE")
        refuse(model, "BPE");
}

BytePairEncoding::Model readModel(const JsonView& document, bool characters) {
    const JsonView model = document.at("model");
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
        if (!model.stringOr(key, "").empty())
            model.at(key).fail("is not supported, expected none");
    }
    BytePairEncoding::Model result;
    result.characters = characters;
    result.byte_fallback = model.booleanOr("byte_fallback", false);
    if (result.byte_fallback && !characters)
        model.at("byte_fallback").fail("is not supported with byte-level BPE, expected false");
    if (model.numberOr("dropout", 0) != 0)
        model.at("dropout").fail("is not supported, expected none");
    readVocabulary(model, result);
    readMerges(model, result);
    result.fuse_unknown = model.booleanOr("fuse_unk", false);
    result.whole_words_first = model.booleanOr("ignore_merges", false);
    if (const auto unknown = model.find("unk_token")) {
        const auto id = result.vocabulary.find(unknown->string());
        if (id == result.vocabulary.end())
            unknown->fail("'" + unknown->string() + "' is not in the vocabulary");
        result.unknown = id->second;
    }
    if (const auto problem = BytePairEncoding::check(result))
        model.fail(*problem);
    return result;
}

// {"id": "<s>", "ids": [1, ...]} by name.
std::vector<TokenId> templateIds(const JsonView& processor, const std::string& name) {
    const JsonView ids = processor.at("special_tokens").at(name).at("ids");
    std::vector<TokenId> result;
    for (std::size_t i = 0; i < ids.size(); ++i)
        result.push_back(static_cast<TokenId>(ids.at(i).integer(0, kMaxTokenId)));
    return result;
}

std::optional<BpeParts::Around> readPostProcessor(const JsonView& document) {
    const auto post_processor = document.find("post_processor");
    if (!post_processor)
        return std::nullopt;
    BpeParts::Around around;
    for (const JsonView& member : flattened(*post_processor, "processors")) {
        const std::string type = member.at("type").string();
        if (type == "ByteLevel")  // only moves offsets
            continue;
        if (type != "TemplateProcessing")
            refuse(member, "TemplateProcessing or ByteLevel");
        const JsonView single = member.at("single");
        bool after = false;
        BpeParts::Around found;
        for (std::size_t i = 0; i < single.size(); ++i) {
            const JsonView item = single.at(i);
            if (item.find("Sequence")) {
                after = true;
                continue;
            }
            const std::vector<TokenId> ids = templateIds(member, item.at("SpecialToken").at("id").string());
            std::vector<TokenId>& target = after ? found.after : found.before;
            target.insert(target.end(), ids.begin(), ids.end());
        }
        // Processors apply one after the other, each around what is there.
        around.before.insert(around.before.begin(), found.before.begin(), found.before.end());
        around.after.insert(around.after.end(), found.after.begin(), found.after.end());
    }
    return around;
}

// Tokens that the post-processor adds are written as numbers: they must exist.
void checkAround(const JsonView& document, const BpeParts& parts) {
    if (!parts.around)
        return;
    TokenId end = 0;
    for (const auto& [text, id] : parts.model.vocabulary)
        end = std::max(end, id + 1);
    for (const auto& [id, token] : parts.added)
        end = std::max(end, id + 1);
    for (const std::vector<TokenId>* ids : {&parts.around->before, &parts.around->after}) {
        for (const TokenId id : *ids) {
            if (id >= end)
                document.at("post_processor")
                    .fail("adds token " + std::to_string(id) + ", which does not exist");
        }
    }
}

void checkDecoder(const JsonView& document) {
    const auto decoder = document.find("decoder");
    if (!decoder)
        document.fail("decoder: is missing, expected ByteLevel");
    for (const JsonView& member : flattened(*decoder, "decoders")) {
        if (member.at("type").string() != "ByteLevel")
            refuse(member, "ByteLevel");
    }
}

// What text of the pieces is made of, in this order: Replace, Metaspace, ByteFallback, Fuse, Strip.
PieceDecoder readPieceDecoder(const JsonView& document) {
    const auto decoder = document.find("decoder");
    if (!decoder)
        document.fail("decoder: is missing, expected Replace, Metaspace, ByteFallback, Fuse or Strip");
    PieceDecoder result;
    bool fused = false;
    int last = 0;
    for (const JsonView& member : flattened(*decoder, "decoders")) {
        const std::string type = member.at("type").string();
        const std::vector<std::string> order{"Replace", "Metaspace", "ByteFallback", "Fuse", "Strip"};
        const int place = static_cast<int>(std::find(order.begin(), order.end(), type) - order.begin());
        if (place == static_cast<int>(order.size()) || place < last)
            refuse(member, "Replace, Metaspace, ByteFallback, Fuse and Strip in this order");
        last = place;
        if (type == "Replace") {
            result.replacements.push_back(readReplace(member));
        } else if (type == "Metaspace") {
            result.metaspace = readMark(member);
            result.metaspace_prepended = readScheme(member) != PrependScheme::Never;
        } else if (type == "ByteFallback") {
            result.byte_fallback = true;
        } else if (type == "Fuse") {
            fused = true;
        } else {
            result.strip = member.at("content").string();
            result.strip_count = static_cast<std::size_t>(member.integer("start", 0, 1 << 20));
            if (result.strip.empty() || !fused || member.integer("stop", 0, 1 << 20) != 0)
                member.fail("is supported after Fuse only, with content and a stop of 0");
        }
    }
    return result;
}

// Transformers' LlamaTokenizer takes tokens and merges from the file and has rules of its own for the rest.
void applyLlamaRules(const TokenizerSettings& settings, BpeParts& parts) {
    parts.model.byte_fallback = parts.model.fuse_unknown = true;
    parts.model.unknown.reset();
    parts.model.whole_words_first = false;
    const bool prefix = settings.add_prefix_space.value_or(true);
    parts.normalizer = {};
    parts.pre_tokenizer = {};
    parts.pre_tokenizer.setMetaspace(kSpaceMark, !prefix                           ? PrependScheme::Never
                                                 : settings.legacy.value_or(false) ? PrependScheme::Always
                                                                                   : PrependScheme::First);
    parts.decoder = {};
    parts.decoder.replacements = {{kSpaceMark, " "}};
    parts.decoder.byte_fallback = true;
    parts.decoder.strip = " ";
    parts.decoder.strip_count = prefix ? 1 : 0;
}

}  // namespace

bool isByteLevelTokenizerJson(const JsonView& document) {
    const auto pre_tokenizer = document.find("pre_tokenizer");
    if (!pre_tokenizer)
        return false;
    for (const JsonView& member : flattened(*pre_tokenizer, "pretokenizers")) {
        if (member.at("type").string() == "ByteLevel")
            return true;
    }
    return false;
}

BpeParts readTokenizerJson(const JsonView& document, const TokenizerSettings& settings) {
    checkModelType(document.at("model"));
    const bool byte_level = isByteLevelTokenizerJson(document);
    BpeParts parts;
    parts.normalizer = readNormalizer(document);
    parts.pre_tokenizer =
        byte_level ? readPreTokenizer(document, settings) : readCharacterPreTokenizer(document);
    parts.model = readModel(document, !byte_level);
    if (byte_level)
        checkDecoder(document);
    else
        parts.decoder = readPieceDecoder(document);
    if (!byte_level && settings.tokenizer_class == "LlamaTokenizer")
        applyLlamaRules(settings, parts);
    parts.around = readPostProcessor(document);
    if (const auto added = document.find("added_tokens")) {
        for (std::size_t i = 0; i < added->size(); ++i) {
            const JsonView token = added->at(i);
            parts.added.emplace_back(static_cast<TokenId>(token.integer("id", 0, kMaxTokenId)),
                                     readAddedToken(token));
        }
    }
    checkAround(document, parts);
    // The file decides about special tokens even where it adds none; the switches of tokenizer_config.json
    // are for files without a post-processor.
    return parts;
}

}  // namespace eigenscope
