// SPDX-License-Identifier: Apache-2.0
// Bases and spectra of a whole model, with prefix sums so that ranks and energies are looked up, not
// computed: dragging a threshold costs O(layers * log(width)). Immutable; any thread.
#pragma once

#include "core/base/job_context.h"
#include "core/spectrum/basis_method.h"

#include <memory>
#include <string>
#include <vector>

namespace eigenscope {

// What a threshold is compared with: the share of eigenvalues (squared singular values; the paper) or of
// plain singular values (the published code).
enum class Criterion : std::uint8_t { Energy, SingularValues };
std::string_view nameOf(Criterion criterion);  // "energy", "singular-values"
Criterion criterionFromName(std::string_view name);

class Spectrum : public std::enable_shared_from_this<Spectrum> {
public:
    Spectrum(std::string method, BasisOptions options, int basis_width, std::vector<LayerBases> layers);

    const std::string& method() const { return m_method; }
    const BasisOptions& options() const { return m_options; }
    int layers() const { return static_cast<int>(m_layers.size()); }
    int heads() const;  // bases of a layer and side: key/value heads, or groups of them
    // The full rank: the head dimension, times BasisOptions::head_group.
    int basisWidth() const { return m_basis_width; }
    const HeadBasis& basis(int layer, Side side, int head) const;

    // Share of the total kept by the first `rank` directions, in [0, 1]; a dead head (all zero) counts as 1
    // at rank 0.
    double kept(int layer, Side side, int head, int rank, Criterion criterion) const;
    // Smallest rank >= 1 whose share reaches the threshold; the full width for a threshold of 1.
    int rankOf(int layer, Side side, int head, double threshold, Criterion criterion) const;
    // The largest over the layer's heads, rounded up to a multiple, at most the head dimension.
    int rankOf(int layer, Side side, double threshold, Criterion criterion, int multiple) const;
    // sqrt of the dropped share of eigenvalues over all heads of the layer: expected relative error of keys
    // or values.
    double expectedError(int layer, Side side, int rank) const;

private:
    const std::vector<double>& shares(int layer, Side side, int head, Criterion criterion) const;  // [rank]

    std::string m_method;
    BasisOptions m_options;
    int m_basis_width;
    std::vector<LayerBases> m_layers;
    std::vector<std::vector<double>>
        m_cumulative[2];  // [criterion][(layer * 2 + side) * heads + head][rank], normalised
    // [criterion][layer * 2 + side][rank]: the smallest share of the layer's heads, which decides the layer's
    // rank.
    std::vector<std::vector<double>> m_smallest_share[2];
    std::vector<std::vector<double>> m_expected_error;  // [layer * 2 + side][rank]
};

// The head group that a plan takes when nobody says: as many heads as the statistics have joint moments of
// for a method whose latents heads share, else 1. What heads have in common is then kept once, which loses
// far less at the same size (tests/benchmarks/results/quality.md).
int usualHeadGroup(std::string_view method, bool share_key_basis, const Statistics& statistics);

std::shared_ptr<const Spectrum> computeSpectrum(JobContext& job, Backend& backend,
                                                const Statistics& statistics, std::string_view method,
                                                const BasisOptions& options = {});

}  // namespace eigenscope
