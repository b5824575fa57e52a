// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/corpus_arguments.h"

#include "app/cli/command.h"

#include <charconv>
#include <filesystem>
#include <system_error>

namespace eigenscope {

CorpusFile parseCorpusFile(const std::string& text) {
    std::error_code error;
    const std::size_t at = text.rfind('=');
    if (at == std::string::npos || at == 0 || std::filesystem::exists(text, error))
        return {text, 1.0};
    double weight = 0;
    const char* end = text.data() + text.size();
    const auto [stop, problem] = std::from_chars(text.data() + at + 1, end, weight);
    // What is no number belongs to the name, and reading it says that there is no such file.
    if (problem != std::errc() || stop != end)
        return {text, 1.0};
    if (!(weight >= 1e-6 && weight <= 1e6))
        throw UsageError("--text " + text + ": the weight must be 0.000001 to 1000000");
    return {text.substr(0, at), weight};
}

CorpusSpec CorpusArguments::spec() const {
    CorpusSpec spec;
    for (const std::string& text : texts)
        spec.files.push_back(parseCorpusFile(text));
    spec.reader.text_field = text_field;
    spec.documents = documentRuleFromName(documents);
    return spec;
}

void addCorpusOptions(CLI::App& app, CorpusArguments& arguments) {
    app.add_option("--text", arguments.texts,
                   "Calibration text: plain text, or JSON records (.jsonl, .json), packed with gzip or not. "
                   "Several files: give it again, each with =WEIGHT behind the name for its share")
        ->required()
        ->expected(1)
        ->allow_extra_args(false)
        ->take_all();
    app.add_option("--text-field", arguments.text_field,
                   "Field of JSON records that holds the text (default: text; without it instruction, input "
                   "and output)");
    app.add_option("--documents", arguments.documents,
                   "Windows from records: separate (within one document), packed (documents one behind the "
                   "other), auto (separate when enough documents are long enough)")
        ->check(CLI::IsMember({"auto", "separate", "packed"}))
        ->capture_default_str();
}

}  // namespace eigenscope
