// SPDX-License-Identifier: GPL-3.0-or-later
// --text FILE[=WEIGHT] (again for more files), --text-field and --documents, for subcommands that calibrate.
#pragma once

#include "core/calibration/corpus_sample.h"

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace eigenscope {

struct CorpusArguments {
    std::vector<std::string> texts;
    std::string text_field, documents = "auto";
    CorpusSpec spec() const;
};
void addCorpusOptions(CLI::App& app, CorpusArguments& arguments);

// "FILE" or "FILE=WEIGHT". What exists as it is written is a file, so that names may hold '='.
CorpusFile parseCorpusFile(const std::string& text);

}  // namespace eigenscope
