// SPDX-License-Identifier: GPL-3.0-or-later
// tokenize MODEL --text S | --decode ID,...: text to token ids and back.
#include "app/cli/commands.h"
#include "core/base/fail.h"
#include "core/model/open_checkpoint.h"
#include "core/tokenizer/chat_template.h"
#include "core/tokenizer/tokenizer.h"

#include <fmt/format.h>

#include <memory>
#include <system_error>

namespace eigenscope {

namespace {

struct Options {
    std::string model, text, system;
    bool chat = false;
    std::vector<std::int64_t> decode;
    bool no_special_tokens = false;
    CLI::Option *text_option = nullptr, *decode_option = nullptr;
};

void decode(Run& run, const Tokenizer& tokenizer, const Options& options) {
    std::vector<TokenId> ids;
    for (const std::int64_t id : options.decode) {
        if (id < 0 || id >= tokenizer.size()) {
            throw Error(
                ErrorCode::InvalidInput,
                fmt::format("--decode: {} is not a token id, expected 0 to {}", id, tokenizer.size() - 1));
        }
        ids.push_back(static_cast<TokenId>(id));
    }
    const std::string text = tokenizer.decode(ids, options.no_special_tokens);
    run.console().printResult({{"text", text}});
    run.console().print(text + "\n");
}

void tokenize(Run& run, const Options& options) {
    if (presetName(options.model))
        failUnsupported(options.model + ": a preset has no tokenizer");
    const std::filesystem::path model = options.model;
    std::error_code error;
    const std::filesystem::path directory =
        std::filesystem::is_regular_file(model, error) ? model.parent_path() : model;
    const auto tokenizer = loadTokenizer(directory);
    if (options.decode_option->count() > 0)
        return decode(run, *tokenizer, options);
    const std::string text =
        options.chat ? applyChat(*ChatTemplate::load(directory), options.text, options.system) : options.text;
    // A chat template writes the special tokens itself.
    const std::vector<TokenId> ids = tokenizer->encode(text, !options.no_special_tokens && !options.chat);
    ResultJson json = {{"ids", ids}, {"pieces", ResultJson::array()}};
    if (options.chat)
        json["text"] = text;
    std::vector<std::vector<std::string>> rows = {{"piece", "id"}};
    for (const TokenId id : ids) {
        const std::string piece = tokenizer->piece(id);
        json["pieces"].push_back(piece);
        rows.push_back({piece, std::to_string(id)});
    }
    run.console().printResult(json);
    run.console().print(tableLines(rows) + fmt::format("{} tokens\n", ids.size()));
}

}  // namespace

Command addTokenize(CLI::App& app, CommonOptions& common) {
    CLI::App* sub = app.add_subcommand("tokenize", "Text to token ids, and back");
    auto options = std::make_shared<Options>();
    sub->add_option("MODEL", options->model, "Checkpoint directory")->required();
    options->text_option = sub->add_option("--text", options->text, "Text to encode");
    options->decode_option =
        sub->add_option("--decode", options->decode, "Token ids to decode, separated by commas")
            ->delimiter(',');
    options->text_option->excludes(options->decode_option);
    sub->add_flag("--no-special-tokens", options->no_special_tokens,
                  "Add none (bos) when encoding, leave them out when decoding");
    const auto chat = sub->add_flag("--chat", options->chat,
                                    "Encode the text as a user's message, by the checkpoint's chat template")
                          ->excludes(options->decode_option);
    sub->add_option("--system", options->system, "System message before it")->needs(chat);
    addOutputOptions(*sub, common);
    return {sub, [options](Run& run) {
                if (options->text_option->count() + options->decode_option->count() == 0)
                    throw UsageError("tokenize: give --text or --decode");
                tokenize(run, *options);
            }};
}

}  // namespace eigenscope
