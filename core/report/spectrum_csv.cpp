// SPDX-License-Identifier: Apache-2.0
#include "core/report/spectrum_csv.h"

#include <fmt/format.h>

#include <iterator>

namespace eigenscope {

std::string spectrumCsv(const Spectrum& spectrum, std::pair<int, int> layers, std::pair<int, int> heads) {
    std::string csv = "layer,side,head,rank,eigenvalue,energy_kept,singular_values_kept\n";
    for (int layer = layers.first; layer < layers.second; ++layer) {
        for (const Side side : {Side::Keys, Side::Values}) {
            for (int head = heads.first; head < heads.second; ++head) {
                const HeadBasis& basis = spectrum.basis(layer, side, head);
                for (int i = 0; i < basis.width; ++i) {
                    fmt::format_to(std::back_inserter(csv), "{},{},{},{},{:.9g},{:.9g},{:.9g}\n", layer,
                                   side == Side::Keys ? "keys" : "values", head, i + 1,
                                   basis.eigenvalues[static_cast<std::size_t>(i)],
                                   spectrum.kept(layer, side, head, i + 1, Criterion::Energy),
                                   spectrum.kept(layer, side, head, i + 1, Criterion::SingularValues));
                }
            }
        }
    }
    return csv;
}

std::string spectrumCsv(const Spectrum& spectrum) {
    return spectrumCsv(spectrum, {0, spectrum.layers()}, {0, spectrum.heads()});
}

std::string planCsv(const RankPlan& plan, const Spectrum& spectrum, const std::vector<double>& layer_errors) {
    std::string csv = "layer,key_rank,value_rank,key_expected_error,value_expected_error,measured_error\n";
    for (int layer = 0; layer < spectrum.layers(); ++layer) {
        const auto index = static_cast<std::size_t>(layer);
        const int key_rank = plan.key_ranks[index], value_rank = plan.value_ranks[index];
        const std::string measured =
            index < layer_errors.size() ? fmt::format("{:.9g}", layer_errors[index]) : std::string();
        fmt::format_to(std::back_inserter(csv), "{},{},{},{:.9g},{:.9g},{}\n", layer, key_rank, value_rank,
                       spectrum.expectedError(layer, Side::Keys, key_rank),
                       spectrum.expectedError(layer, Side::Values, value_rank), measured);
    }
    return csv;
}

}  // namespace eigenscope
