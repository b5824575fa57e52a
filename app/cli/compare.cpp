// SPDX-License-Identifier: GPL-3.0-or-later
// compare MODEL MODEL2 --text FILE [--prompt S]: two models on the same text and the same prompt.
#include "app/cli/commands.h"
#include "app/cli/results.h"

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
    run.runOptions(second);  // refuses what the second model cannot do before the first one has run
    const ComparisonResult result = compareModels(run.job(), first, second, options.text,
                                                  options.perplexity.options(run.runOptions(first)));

    ResultJson json = toJson(result);
    json["generations"] = ResultJson::array();
    std::string generations;
    std::vector<GenerationResult> generated;
    if (has_prompt) {
        for (const OpenModel* model : {&first, &second}) {
            GenerationOptions generation = options.generation.options;
            generation.run = run.runOptions(*model);
            generated.push_back(generate(run.job(), *model, options.prompt, generation));
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
    json["device"] = run.deviceJson();
    run.console().printResult(json);
    run.console().print(qualityLines(first.name, second.name, result, run.deviceText()) + generations);
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
    addOutputOptions(*sub, common);
    return {sub, [options](Run& run) { compare(run, *options); }};
}

}  // namespace eigenscope
