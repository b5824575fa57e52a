// SPDX-License-Identifier: GPL-3.0-or-later
// compare MODEL MODEL2 --text FILE [--prompt S]: two models on the same text and the same prompt.
#include "app/cli/commands.h"
#include "app/cli/results.h"
#include "core/report/number_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

namespace eigenscope {

namespace {

struct Options {
    std::string first, second, text, prompt;
    PerplexityArguments perplexity;
    GenerationArguments generation;
    CLI::Option* prompt_option = nullptr;
};

std::string generationText(const std::string& name, const GenerationResult& result) {
    return fmt::format("\n{}\n  {}\n  {}\n", name, result.text, timingText(result));
}

void compare(Run& run, const Options& options) {
    const bool has_prompt = options.prompt_option->count() > 0;
    checkSamplingOptions(options.generation.options.sampling);
    const OpenModel first = run.open(options.first);
    const OpenModel second = run.open(options.second);
    // Refuses what the second model cannot do before the first one has run.
    const RunOptions runs[] = {run.runOptions(first), run.secondRunOptions(second)};
    const PerplexityOptions perplexity = options.perplexity.options(runs[0]);
    const auto windows = commonWindows(run.job(), first, second, options.text, perplexity);
    MemoryBound bound =
        comparisonBound(first, second, static_cast<std::int64_t>(windows.size()),
                        static_cast<std::int64_t>(windows.front().size()) - 1, perplexity, runs[1]);
    std::vector<GenerationOptions> generations_of(has_prompt ? 2 : 0, options.generation.options);
    for (std::size_t i = 0; i < generations_of.size(); ++i) {
        const OpenModel& model = i == 0 ? first : second;
        generations_of[i].run = runs[i];
        const auto tokens = static_cast<std::int64_t>(model.tokenizer->encode(options.prompt).size());
        MemoryBound writing = generationBound(model, tokens, generations_of[i]);
        writing.weights = bound.weights;  // both stay open
        bound = largerOf(bound, writing);
    }
    run.stateMemory(bound);
    const ComparisonResult result = compareWindows(run.job(), first, second, windows, perplexity, runs[1]);
    const KvFormat formats[] = {resolveKvFormat(runs[0], first), resolveKvFormat(runs[1], second)};
    const std::string format_texts[] = {kvFormatText(formats[0], first.model->config),
                                        kvFormatText(formats[1], second.model->config)};
    const std::size_t per_token[] = {kvBytesPerToken(first.model->config, formats[0]),
                                     kvBytesPerToken(second.model->config, formats[1])};

    ResultJson json = toJson(result);
    json["kv_format"] = {nameOf(formats[0]), nameOf(formats[1])};
    json["kv_bytes_per_token"] = {per_token[0], per_token[1]};
    json["generations"] = ResultJson::array();
    std::string generations;
    std::vector<GenerationResult> generated;
    if (has_prompt) {
        for (const OpenModel* model : {&first, &second}) {
            generated.push_back(
                generate(run.job(), *model, options.prompt, generations_of[model == &second ? 1 : 0]));
            json["generations"].push_back(toJson(generated.back()));
            generations += generationText(model->name, generated.back());
        }
        const auto& [a, b] = std::pair(generated[0].ids, generated[1].ids);
        const auto differ = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
        const bool same = differ.first == a.end() && differ.second == b.end();
        json["first_difference"] = same ? ResultJson(nullptr) : ResultJson(differ.first - a.begin());
        generations +=
            same ? "\nBoth wrote the same.\n"
                 : fmt::format("\nThey differ from new token {} on.\n", differ.first - a.begin() + 1);
    }
    addMemory(json, bound);
    json["device"] = run.deviceJson();
    run.console().printResult(json);
    run.console().print(
        qualityLines(first.name, second.name, result, run.deviceText()) + "\n" +
        factLines({{"KV cache", fmt::format("{} ({} a token) and {} ({} a token)", format_texts[0],
                                            text::bytes(static_cast<double>(per_token[0])), format_texts[1],
                                            text::bytes(static_cast<double>(per_token[1])))}}) +
        generations);
}

}  // namespace

Command addCompare(CLI::App& app, CommonOptions& common) {
    CLI::App* sub = app.add_subcommand("compare", "Two models side by side: perplexity, divergence, text");
    auto options = std::make_shared<Options>();
    sub->add_option("MODEL", options->first, "Checkpoint directory")->required();
    sub->add_option("MODEL2", options->second, "Checkpoint directory with the same vocabulary")->required();
    sub->add_option("--text", options->text, "Text file")->required();
    options->prompt_option = sub->add_option("--prompt,-p", options->prompt, "Let both continue this text");
    addPerplexityOptions(*sub, options->perplexity);
    addGenerationOptions(*sub, options->generation);
    addModelOptions(*sub, common);
    addKvFormat2Option(*sub, common);
    addOutputOptions(*sub, common);
    return {sub, [options](Run& run) { compare(run, *options); }};
}

}  // namespace eigenscope
