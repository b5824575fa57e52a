// SPDX-License-Identifier: GPL-3.0-or-later
// --method, --share-key-basis, --center and --head-group, for subcommands that compute bases from statistics.
#pragma once

#include "app/cli/command.h"
#include "core/spectrum/spectrum.h"

#include <memory>
#include <string>

namespace eigenscope {

struct BasisArguments {
    std::string method = "eigen";
    BasisOptions options;
    std::string text() const;  // as arguments of a command
    std::shared_ptr<const Spectrum> compute(Run& run, const Statistics& statistics) const;
};
void addBasisOptions(CLI::App& app, BasisArguments& arguments);

}  // namespace eigenscope
