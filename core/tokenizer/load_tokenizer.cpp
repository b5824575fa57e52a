// SPDX-License-Identifier: Apache-2.0
#include "core/base/fail.h"
#include "core/base/regular_file.h"
#include "core/tokenizer/bpe_tokenizer.h"
#include "core/tokenizer/no_tokenizer.h"
#include "core/tokenizer/tokenizer_json.h"
#include "core/tokenizer/vocab_merges.h"
#ifdef EIGENSCOPE_HAS_SENTENCEPIECE
#include "core/tokenizer/sentencepiece_tokenizer.h"
#endif

namespace eigenscope {

namespace fs = std::filesystem;

namespace {

// Classes have special tokens of their own where no file says otherwise.
void addDefault(TokenizerSettings& settings, const BytePairEncoding::Model& model, const char* name,
                const char* content) {
    AddedToken token;
    token.content = content;
    token.special = true;
    if (model.vocabulary.contains(token.content))
        settings.named.emplace(name, token);
}
void addGpt2Defaults(TokenizerSettings& settings, const BytePairEncoding::Model& model) {
    for (const char* name : {"bos_token", "eos_token", "unk_token"})
        addDefault(settings, model, name, "<|endoftext|>");
}
void addLlamaDefaults(TokenizerSettings& settings, const BytePairEncoding::Model& model) {
    addDefault(settings, model, "bos_token", "<s>");
    addDefault(settings, model, "eos_token", "</s>");
    addDefault(settings, model, "unk_token", "<unk>");
}

// Without the library the model still runs on token ids.
std::shared_ptr<const Tokenizer> loadSentencePiece(const fs::path& model, const TokenizerSettings& settings) {
#ifdef EIGENSCOPE_HAS_SENTENCEPIECE
    return std::make_shared<SentencePieceTokenizer>(model, settings);
#else
    (void)settings;
    return std::make_shared<NoTokenizer>(
        model.string(), "this program was built without SentencePiece, so nothing can be done with text");
#endif
}

}  // namespace

bool hasTokenizer(const fs::path& directory) {
    return hasRegularFile(directory / "tokenizer.model") || hasRegularFile(directory / "tokenizer.json") ||
           (hasRegularFile(directory / "vocab.json") && hasRegularFile(directory / "merges.txt"));
}

std::shared_ptr<const Tokenizer> loadTokenizer(const fs::path& directory) {
    const fs::path model = directory / "tokenizer.model", json = directory / "tokenizer.json",
                   vocabulary = directory / "vocab.json", merges = directory / "merges.txt";
    const bool has_model = hasRegularFile(model);
    if (!hasTokenizer(directory))
        failInput(
            directory,
            "no tokenizer found, looked for tokenizer.model, tokenizer.json, and vocab.json with merges.txt");
    TokenizerSettings settings = readTokenizerSettings(directory);
    if (hasRegularFile(json)) {
        const Json document = readJsonFile(json);
        const JsonView view(document, json);
        // A SentencePiece model is often saved in both forms; its own library reads the original one.
        if (!has_model || isByteLevelTokenizerJson(view)) {
            // Transformers reads these models' file as it is, whatever class it names.
            if (settings.model_type == "mistral" || settings.model_type == "mixtral")
                settings.tokenizer_class.clear();
            BpeParts parts = readTokenizerJson(view, settings);
            if (settings.tokenizer_class == "GPT2Tokenizer" || settings.tokenizer_class == "GPTNeoXTokenizer")
                addGpt2Defaults(settings, parts.model);
            else if (settings.tokenizer_class == "LlamaTokenizer")
                addLlamaDefaults(settings, parts.model);
            return std::make_shared<BpeTokenizer>(std::move(parts), settings);
        }
    }
    if (has_model)
        return loadSentencePiece(model, settings);
    BpeParts parts = readVocabMerges(vocabulary, merges, settings);
    addGpt2Defaults(settings, parts.model);
    return std::make_shared<BpeTokenizer>(std::move(parts), settings);
}

}  // namespace eigenscope
