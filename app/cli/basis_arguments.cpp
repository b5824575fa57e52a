// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/basis_arguments.h"

#include <vector>

namespace eigenscope {

std::shared_ptr<const Spectrum> BasisArguments::compute(Run& run, const Statistics& statistics) const {
    return computeSpectrum(run.job(), *run.backend(), statistics, method, options);
}

std::string BasisArguments::text() const {
    return "--method " + method + (options.share_key_basis ? " --share-key-basis" : "") +
           (options.center ? " --center" : "") +
           (options.head_group > 1 ? " --head-group " + std::to_string(options.head_group) : "");
}

void addBasisOptions(CLI::App& app, BasisArguments& arguments) {
    std::vector<std::string> methods;
    for (const BasisMethod& method : basisMethods())
        methods.emplace_back(method.name);
    app.add_option("--method", arguments.method, "How bases are made from the statistics")
        ->check(CLI::IsMember(methods))
        ->capture_default_str();
    app.add_flag("--share-key-basis", arguments.options.share_key_basis,
                 "One key basis for all heads of a layer (the published code for Llama)");
    app.add_flag("--center", arguments.options.center,
                 "Method eigen: bases of keys and values without their means");
    app.add_option(
           "--head-group", arguments.options.head_group,
           "Consecutive key/value heads that share one latent: 1, or as many as `calibrate` took together")
        ->check(CLI::Range(1, 1 << 16))
        ->capture_default_str();
}

}  // namespace eigenscope
