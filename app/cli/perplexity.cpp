// SPDX-License-Identifier: GPL-3.0-or-later
// perplexity MODEL --text FILE.
#include "app/cli/commands.h"
#include "app/cli/results.h"
#include "core/report/number_text.h"

#include <fmt/format.h>

#include <memory>

namespace eigenscope {

namespace {

struct Options {
    std::string model, text;
    PerplexityArguments perplexity;
};

void measure(Run& run, const Options& options) {
    const OpenModel model = run.open(options.model);
    const PerplexityOptions perplexity = options.perplexity.options(run.runOptions(model));
    const auto windows = evaluationWindows(run.job(), *model.tokenizer, model.model->config.max_positions,
                                           options.text, perplexity);
    const MemoryBound bound =
        perplexityBound(model, static_cast<std::int64_t>(windows.size()),
                        static_cast<std::int64_t>(windows.front().size()) - 1, perplexity);
    run.stateMemory(bound);
    const PerplexityResult result = perplexityOf(run.job(), model, windows, perplexity);
    ResultJson json = toJson(result);
    addMemory(json, bound);
    json["device"] = run.deviceJson();
    run.console().printResult(json);
    std::string value = text::fixed(result.perplexity, 4);
    if (result.windows > 1)
        value += " ± " + text::significant(result.standard_error, 2);
    run.console().print(factLines(
        {{"Perplexity", value},
         {"Tokens",
          fmt::format("{} predicted in {} windows", text::count(result.tokens), text::count(result.windows))},
         {"Time", fmt::format("{}, {} tokens/s", text::seconds(result.seconds),
                              text::significant(static_cast<double>(result.tokens) / result.seconds, 3))},
         {"Device", run.deviceText()}}));
}

}  // namespace

Command addPerplexity(CLI::App& app, CommonOptions& common) {
    CLI::App* sub = app.add_subcommand("perplexity", "Perplexity on a text, in windows from its start");
    auto options = std::make_shared<Options>();
    sub->add_option("MODEL", options->model, "Checkpoint directory, original or converted")->required();
    sub->add_option("--text", options->text, "Text file")->required();
    addPerplexityOptions(*sub, options->perplexity);
    addModelOptions(*sub, common);
    addOutputOptions(*sub, common);
    return {sub, [options](Run& run) { measure(run, *options); }};
}

}  // namespace eigenscope
