// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/basis_arguments.h"

#include <vector>

namespace eigenscope {

std::shared_ptr<const Spectrum> BasisArguments::compute(Run& run, const Statistics& statistics) const {
    return computeSpectrum(run.job(), *run.backend(), statistics, method,
                           {.share_key_basis = share_key_basis});
}

void addBasisOptions(CLI::App& app, BasisArguments& arguments) {
    std::vector<std::string> methods;
    for (const BasisMethod& method : basisMethods())
        methods.emplace_back(method.name);
    app.add_option("--method", arguments.method, "How bases are made from the statistics")
        ->check(CLI::IsMember(methods))
        ->capture_default_str();
    app.add_flag("--share-key-basis", arguments.share_key_basis,
                 "One key basis for all heads of a layer (the published code for Llama)");
}

}  // namespace eigenscope
