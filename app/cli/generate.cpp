// SPDX-License-Identifier: GPL-3.0-or-later
// generate MODEL --prompt S: text, streamed as it is made, and its timing.
#include "app/cli/commands.h"
#include "app/cli/results.h"
#include "core/tokenizer/chat_template.h"

#include <memory>

namespace eigenscope {

namespace {

struct Options {
    std::string model, prompt, system;
    bool chat = false;
    GenerationArguments generation;
};

void generateText(Run& run, const Options& options) {
    checkSamplingOptions(options.generation.options.sampling);
    const OpenModel model = run.open(options.model);
    GenerationOptions generation = options.generation.options;
    generation.run = run.runOptions(model);
    std::string prompt = options.prompt;
    if (options.chat) {
        // The template writes the special tokens itself.
        prompt = applyChat(*ChatTemplate::load(model.checkpoint->directory()), prompt, options.system);
        generation.add_special_tokens = false;
    }

    // A model that takes no text says so before anything is printed.
    const MemoryBound bound = generationBound(
        model,
        static_cast<std::int64_t>(model.tokenizer->encode(prompt, generation.add_special_tokens).size()),
        generation);
    Console& console = run.console();
    if (bound.streamed)
        run.stateMemory(bound);
    console.print(options.chat ? "" : options.prompt);
    // Streamed text and a progress line would write over each other.
    JobContext silent(run.job().stopToken());
    const GenerationResult result = generate(console.json() ? run.job() : silent, model, prompt, generation,
                                             [&console](const TokenEvent& event) {
                                                 console.print(event.text);
                                                 if (!console.json())
                                                     console.flush();
                                             });
    ResultJson json = toJson(result);
    addMemory(json, bound);
    json["device"] = run.deviceJson();
    console.printResult(json);
    console.print("\n");
    console.flush();
    if (!console.json())
        console.message("\n" + timingText(result) + "\n" + run.deviceText());
}

}  // namespace

Command addGenerate(CLI::App& app, CommonOptions& common) {
    CLI::App* sub = app.add_subcommand(
        "generate",
        "Continue a prompt (greedy unless a temperature is given). A model that is streamed (--stream) is "
        "read anew for every token");
    auto options = std::make_shared<Options>();
    sub->add_option("MODEL", options->model, "Checkpoint directory, original or converted")->required();
    sub->add_option("--prompt,-p", options->prompt, "Text to continue")->required();
    const auto chat =
        sub->add_flag("--chat", options->chat, "Ask the prompt as a user, by the checkpoint's chat template");
    sub->add_option("--system", options->system, "System message before it")->needs(chat);
    addGenerationOptions(*sub, options->generation);
    addModelOptions(*sub, common);
    addOutputOptions(*sub, common);
    return {sub, [options](Run& run) { generateText(run, *options); }};
}

}  // namespace eigenscope
