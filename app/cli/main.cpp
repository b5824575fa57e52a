// SPDX-License-Identifier: GPL-3.0-or-later
// eigenscope-cli: everything the window does, for terminals and scripts. Exit status: 0 done, 1 failed (one
// line on standard error says what and where), 2 wrong usage, 130 interrupted.
#include "app/cli/commands.h"
#include "app/cli/interrupt.h"
#include "kernels/api/error.h"

#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <new>
#include <sstream>
#include <string>

namespace eigenscope {

namespace {

enum ExitStatus { kDone = 0, kFailed = 1, kWrongUsage = 2, kInterrupted = 130 };

constexpr const char* kProgram = "eigenscope-cli";

// One line, whatever a library put into its message.
void printError(std::string message) {
    for (char& c : message) {
        if (c == '\n' || c == '\r')
            c = ' ';
    }
    fmt::print(stderr, "{}: {}\n", kProgram, message);
}

ExitStatus usageError(const CLI::App& app, std::string message) {
    message.erase(message.find_last_not_of("\n ") + 1);
    printError(message);
    std::string name = kProgram;
    for (const CLI::App* sub : app.get_subcommands())
        name += " " + sub->get_name();
    fmt::print(stderr, "Try: {} --help\n", name);
    return kWrongUsage;
}

ExitStatus execute(const Command& command, const CommonOptions& options, const CLI::App& app,
                   const Interrupt& interrupt) {
    Console console(options.json, options.quiet);
    std::string failure;
    try {
        Run run(options, console, interrupt.token());
        command.run(run);
        console.flush();
        return kDone;
    } catch (const Cancelled&) {
        console.message("interrupted");
        return kInterrupted;
    } catch (const UsageError& error) {
        console.clearProgress();
        return usageError(app, error.what());
    } catch (const std::bad_alloc&) {
        failure = "out of memory";
    } catch (const std::exception& error) {
        failure = error.what();
    }
    console.clearProgress();
    printError(failure);
    return kFailed;
}

ExitStatus runProgram(int argc, char** argv) {
    CLI::App app("Looks at, compresses and compares the KV caches of language models.", kProgram);
    app.set_version_flag("--version", std::string(kProgram) + " " + EIGENSCOPE_VERSION);
    app.require_subcommand(1);
    app.get_formatter()->column_width(34);
    CommonOptions options;
    std::vector<Command> commands;
    for (const auto add : {addInspect, addTokenize, addLogits, addGenerate, addPerplexity, addEstimate,
                           addCalibrate, addSensitivity, addSpectrum, addSubspaces, addPlan, addConvert,
                           addTradeoff, addCompare, addFidelity, addDiff, addBench, addReport, addPresets})
        commands.push_back(add(app, options));
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& help) {  // --help, --version
        app.exit(help);
        return kDone;
    } catch (const CLI::RequiredError& error) {
        if (app.get_subcommands().empty() && argc > 1)
            return usageError(app, fmt::format("'{}' is not a subcommand", argv[1]));
        return usageError(app, error.what());
    } catch (const CLI::ParseError& error) {
        return usageError(app, error.what());
    }
    const Interrupt interrupt;
    for (const Command& command : commands) {
        if (command.app->parsed())
            return execute(command, options, app, interrupt);
    }
    return usageError(app, "a subcommand is required");
}

}  // namespace

}  // namespace eigenscope

int main(int argc, char** argv) {
    try {
        return eigenscope::runProgram(argc, argv);
    } catch (const std::exception& error) {
        fmt::print(stderr, "eigenscope-cli: {}\n", error.what());
        return 1;
    }
}
