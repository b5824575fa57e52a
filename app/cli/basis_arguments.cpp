// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/basis_arguments.h"

#include <vector>

namespace eigenscope {

BasisOptions BasisArguments::resolved(const Statistics& statistics) const {
    BasisOptions all = options;
    all.head_group =
        head_group > 0 ? head_group : usualHeadGroup(method, options.share_key_basis, statistics);
    return all;
}

std::shared_ptr<const Spectrum> BasisArguments::compute(Run& run, const Statistics& statistics) const {
    return computeSpectrum(run.job(), *run.backend(), statistics, method, resolved(statistics));
}

std::string BasisArguments::text(const Statistics& statistics) const {
    const int group = resolved(statistics).head_group;
    const bool usual = group == usualHeadGroup(method, options.share_key_basis, statistics);
    return "--method " + method + (options.share_key_basis ? " --share-key-basis" : "") +
           (options.center ? " --center" : "") + (usual ? "" : " --head-group " + std::to_string(group));
}

void addBasisOptions(CLI::App& app, BasisArguments& arguments, bool plans) {
    std::vector<std::string> methods;
    std::string teach = "How bases are made from the statistics.";
    for (const BasisMethod& method : basisMethods()) {
        methods.emplace_back(method.name);
        teach += "\n" + std::string(method.name) + ": " + std::string(method.objective) +
                 " Source: " + std::string(method.source) + ".";
    }
    app.add_option("--method", arguments.method, teach)->check(CLI::IsMember(methods))->capture_default_str();
    app.add_flag("--share-key-basis", arguments.options.share_key_basis,
                 "One key basis for all heads of a layer (the published code for Llama)");
    app.add_flag("--center", arguments.options.center,
                 "Method eigen: bases of keys and values without their means");
    arguments.head_group = plans ? 0 : 1;
    app.add_option("--head-group", arguments.head_group,
                   plans ? "Consecutive key/value heads that share one latent: 1, or as many as `calibrate` "
                           "took together (default: that for attention-aware, 1 for eigen)"
                         : "Consecutive key/value heads that share one latent: 1, or as many as `calibrate` "
                           "took together (default: 1)")
        ->check(CLI::Range(1, 1 << 16));
}

}  // namespace eigenscope
