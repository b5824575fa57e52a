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
    BasisOptions options;  // all but head_group
    int head_group = 1;    // 0: the usual one of the method and statistics
    BasisOptions resolved(const Statistics& statistics) const;
    std::string text(const Statistics& statistics) const;  // as arguments of a command
    std::shared_ptr<const Spectrum> compute(Run& run, const Statistics& statistics) const;
};
// For plans, heads share latents by default where the method's usually do.
void addBasisOptions(CLI::App& app, BasisArguments& arguments, bool plans);

}  // namespace eigenscope
