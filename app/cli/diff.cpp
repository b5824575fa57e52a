// SPDX-License-Identifier: GPL-3.0-or-later
// diff MODEL MODEL2 --text FILE|--prompt S: two models on one text, token by token.
#include "app/cli/commands.h"
#include "app/cli/results.h"
#include "core/base/atomic_output.h"
#include "core/evaluation/text_diff.h"
#include "core/report/fidelity_csv.h"
#include "core/report/number_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <numeric>

namespace eigenscope {

namespace {

struct Options {
    std::string first, second, text, prompt, csv;
    int sequence_length = 0;
    CLI::Option* prompt_option = nullptr;
};

ResultJson layerOrNull(int layer) { return layer < 0 ? ResultJson(nullptr) : ResultJson(layer); }

ResultJson tokenJson(const TextDiff& diff, std::size_t index, const Tokenizer& tokenizer) {
    const TokenDiff& token = diff.tokens[index];
    ResultJson json;
    json["id"] = token.id;
    json["piece"] = tokenizer.piece(token.id);
    json["kl"] = token.kl;
    json["top1_changed"] = token.top1Changed();
    json["nll_first"] = token.first_nll;
    json["nll_second"] = token.second_nll;
    json["top_first"] = {{"id", token.first_top},
                         {"piece", tokenizer.piece(token.first_top)},
                         {"probability", token.first_top_probability}};
    json["top_second"] = {{"id", token.second_top},
                          {"piece", tokenizer.piece(token.second_top)},
                          {"probability", token.second_top_probability}};
    json["explaining_layer"] = layerOrNull(diff.explainingLayer(index));
    return json;
}

// The tokens that lost most, most first.
std::string worstTokens(const TextDiff& diff, const Tokenizer& tokenizer) {
    constexpr std::size_t kShown = 12;
    std::vector<std::size_t> order(diff.tokens.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return diff.tokens[a].kl > diff.tokens[b].kl; });
    order.resize(std::min(order.size(), kShown));
    std::vector<std::vector<std::string>> rows = {
        {"token", "piece", "KL", "first expects", "second expects", "layer"}};
    for (std::size_t i : order) {
        const TokenDiff& token = diff.tokens[i];
        const int layer = diff.explainingLayer(i);
        rows.push_back({std::to_string(i + 1), tokenizer.piece(token.id), text::significant(token.kl, 3),
                        fmt::format("{} {}", tokenizer.piece(token.first_top),
                                    text::percent(token.first_top_probability)),
                        fmt::format("{} {}", tokenizer.piece(token.second_top),
                                    text::percent(token.second_top_probability)),
                        layer < 0 ? "-" : std::to_string(layer)});
    }
    return "Largest differences\n" + tableLines(rows);
}

void runDiff(Run& run, const Options& options) {
    const bool has_prompt = options.prompt_option->count() > 0;
    if (has_prompt == !options.text.empty())
        throw UsageError("give one of --text and --prompt");
    if (!options.csv.empty())
        checkWritableFile(options.csv);
    const OpenModel first = run.open(options.first);
    const OpenModel second = run.open(options.second);
    const RunOptions first_run = run.runOptions(first), second_run = run.secondRunOptions(second);
    const std::vector<TokenId> ids =
        has_prompt ? first.tokenizer->encode(options.prompt)
                   : diffIds(run.job(), first, second, options.text, options.sequence_length);
    const MemoryBound bound =
        diffBound(first, second, static_cast<std::int64_t>(ids.size()), first_run, second_run);
    run.stateMemory(bound);
    const TextDiff diff = diffText(run.job(), first, second, ids, first_run, second_run);

    const std::ptrdiff_t divergence = diff.firstDivergence();
    const int explaining = divergence < 0 ? -1 : diff.explainingLayer(static_cast<std::size_t>(divergence));
    double sum = 0;
    for (const TokenDiff& token : diff.tokens)
        sum += token.kl;
    const double mean = sum / static_cast<double>(diff.tokens.size());
    ResultJson json;
    json["ids"] = diff.ids;
    json["tokens"] = ResultJson::array();
    for (std::size_t i = 0; i < diff.tokens.size(); ++i)
        json["tokens"].push_back(tokenJson(diff, i, *first.tokenizer));
    json["kl_divergence"] = mean;
    // Counted in `tokens`, as the explanation is.
    json["first_divergence"] = divergence < 0 ? ResultJson(nullptr) : ResultJson(divergence);
    json["explaining_layer"] = layerOrNull(explaining);
    json["layers"] = ResultJson::array();
    for (int layer = 0; layer < diff.layers; ++layer)
        json["layers"].push_back({{"layer", layer}, {"mean_kl_removed", diff.meanRemoved(layer)}});
    if (!options.csv.empty()) {
        writeTextFile(options.csv, textDiffCsv(diff, *first.tokenizer));
        json["csv"] = options.csv;
        run.console().message("tokens written to " + options.csv);
    }
    addMemory(json, bound);
    json["device"] = run.deviceJson();
    run.console().printResult(json);
    run.console().print(
        worstTokens(diff, *first.tokenizer) + "\n" +
        factLines({{"KL divergence", fmt::format("{} nats a token, {} tokens", text::significant(mean, 4),
                                                 text::count(static_cast<std::int64_t>(diff.tokens.size())))},
                   {"First divergence", divergence < 0 ? "none: the same token is most likely everywhere"
                                                       : fmt::format("token {}", divergence + 1)},
                   {"Explained by", explaining < 0 ? "-" : fmt::format("layer {}", explaining)},
                   {"Device", run.deviceText()}}));
}

}  // namespace

Command addDiff(CLI::App& app, CommonOptions& common) {
    CLI::App* sub = app.add_subcommand("diff", "Two models on one text, token by token");
    auto options = std::make_shared<Options>();
    sub->add_option("MODEL", options->first, "Checkpoint directory")->required();
    sub->add_option("MODEL2", options->second, "Checkpoint directory with the same vocabulary")->required();
    auto* text = sub->add_option("--text", options->text, "Text file, read from its start");
    options->prompt_option =
        sub->add_option("--prompt,-p", options->prompt, "The text itself")->excludes(text);
    sub->add_option("--sequence-length", options->sequence_length,
                    "Tokens of the file (default: the models' positions, at most 2048)")
        ->check(CLI::Range(2, std::numeric_limits<int>::max()));
    sub->add_option("--csv", options->csv, "Write a line a token to a file");
    addModelOptions(*sub, common);
    addKvFormat2Option(*sub, common);
    addOutputOptions(*sub, common);
    return {sub, [options](Run& run) { runDiff(run, *options); }};
}

}  // namespace eigenscope
