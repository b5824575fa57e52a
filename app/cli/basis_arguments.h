// SPDX-License-Identifier: GPL-3.0-or-later
// --method and --share-key-basis, for subcommands that compute bases from statistics.
#pragma once

#include "app/cli/command.h"
#include "core/spectrum/spectrum.h"

#include <memory>
#include <string>

namespace eigenscope {

struct BasisArguments {
    std::string method = "eigen";
    bool share_key_basis = false;
    std::shared_ptr<const Spectrum> compute(Run& run, const Statistics& statistics) const;
};
void addBasisOptions(CLI::App& app, BasisArguments& arguments);

}  // namespace eigenscope
