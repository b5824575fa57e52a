// SPDX-License-Identifier: Apache-2.0
#include "core/spectrum/spectrum.h"

#include "kernels/api/error.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace eigenscope {

namespace {

std::vector<double> cumulativeShare(const std::vector<double>& eigenvalues, Criterion criterion) {
    std::vector<double> shares{0.0};
    shares.reserve(eigenvalues.size() + 1);
    double total = 0;
    for (double value : eigenvalues) {
        total += criterion == Criterion::Energy ? value : std::sqrt(value);
        shares.push_back(total);
    }
    // A dead head loses nothing at any rank.
    for (double& share : shares)
        share = total > 0 ? share / total : 1.0;
    return shares;
}

// At least 1; the full width for a threshold of 1.
int smallestRank(const std::vector<double>& share, double threshold) {
    const auto full = static_cast<std::ptrdiff_t>(share.size()) - 1;
    if (threshold >= 1.0)
        return static_cast<int>(full);
    const auto found = std::lower_bound(share.begin() + 1, share.end(), threshold);
    return static_cast<int>(std::min(full, found - share.begin()));
}

void checkBases(const std::vector<LayerBases>& layers, int width) {
    for (const LayerBases& layer : layers) {
        const auto heads = layers.front().keys.size();
        bool fits = heads > 0 && layer.keys.size() == heads && layer.values.size() == heads;
        for (const auto* side : {&layer.keys, &layer.values}) {
            for (const HeadBasis& basis : *side)
                fits = fits && basis.width == width && static_cast<int>(basis.eigenvalues.size()) == width;
        }
        if (!fits)
            throw Error(ErrorCode::InvalidInput,
                        "spectrum: every layer needs key and value bases of one width for every head");
    }
}

}  // namespace

std::string_view nameOf(Criterion criterion) {
    return criterion == Criterion::Energy ? "energy" : "singular-values";
}

Criterion criterionFromName(std::string_view name) {
    for (Criterion criterion : {Criterion::Energy, Criterion::SingularValues}) {
        if (nameOf(criterion) == name)
            return criterion;
    }
    throw Error(ErrorCode::InvalidInput,
                "unknown criterion '" + std::string(name) + "', expected energy or singular-values");
}

Spectrum::Spectrum(std::string method, BasisOptions options, int basis_width, std::vector<LayerBases> layers)
    : m_method(std::move(method)),
      m_options(options),
      m_basis_width(basis_width),
      m_layers(std::move(layers)) {
    checkBases(m_layers, m_basis_width);
    for (const LayerBases& layer : m_layers) {
        for (const auto* side : {&layer.keys, &layer.values}) {
            // Summed from the smallest up, so that small tails keep their digits.
            std::vector<double> tail(static_cast<std::size_t>(m_basis_width) + 1, 0.0);
            for (int rank = m_basis_width - 1; rank >= 0; --rank) {
                const auto r = static_cast<std::size_t>(rank);
                tail[r] = tail[r + 1];
                for (const HeadBasis& basis : *side)
                    tail[r] += basis.eigenvalues[r];
            }
            const double total = tail.front();
            for (double& dropped : tail)
                dropped = total > 0 ? std::sqrt(dropped / total) : 0.0;
            m_expected_error.push_back(std::move(tail));
            for (Criterion criterion : {Criterion::Energy, Criterion::SingularValues}) {
                std::vector<double> smallest(static_cast<std::size_t>(m_basis_width) + 1, 1.0);
                const auto c = static_cast<std::size_t>(criterion);
                for (const HeadBasis& basis : *side) {
                    m_cumulative[c].push_back(cumulativeShare(basis.eigenvalues, criterion));
                    for (std::size_t rank = 0; rank < smallest.size(); ++rank)
                        smallest[rank] = std::min(smallest[rank], m_cumulative[c].back()[rank]);
                }
                m_smallest_share[c].push_back(std::move(smallest));
            }
        }
    }
}

int Spectrum::heads() const { return m_layers.empty() ? 0 : static_cast<int>(m_layers.front().keys.size()); }

const HeadBasis& Spectrum::basis(int layer, Side side, int head) const {
    const LayerBases& bases = m_layers.at(static_cast<std::size_t>(layer));
    return (side == Side::Keys ? bases.keys : bases.values).at(static_cast<std::size_t>(head));
}

const std::vector<double>& Spectrum::shares(int layer, Side side, int head, Criterion criterion) const {
    const int index = (layer * 2 + static_cast<int>(side)) * heads() + head;
    return m_cumulative[static_cast<std::size_t>(criterion)].at(static_cast<std::size_t>(index));
}

double Spectrum::kept(int layer, Side side, int head, int rank, Criterion criterion) const {
    return shares(layer, side, head, criterion)[static_cast<std::size_t>(std::clamp(rank, 0, m_basis_width))];
}

int Spectrum::rankOf(int layer, Side side, int head, double threshold, Criterion criterion) const {
    return smallestRank(shares(layer, side, head, criterion), threshold);
}

int Spectrum::rankOf(int layer, Side side, double threshold, Criterion criterion, int multiple) const {
    // Shares grow with the rank, so the largest of the heads' ranks is where the smallest share reaches the
    // threshold.
    const auto index = static_cast<std::size_t>(layer * 2 + static_cast<int>(side));
    const int rank = smallestRank(m_smallest_share[static_cast<std::size_t>(criterion)].at(index), threshold);
    const int step = std::max(1, multiple);
    return std::min(m_basis_width, (rank + step - 1) / step * step);
}

double Spectrum::expectedError(int layer, Side side, int rank) const {
    return m_expected_error.at(static_cast<std::size_t>(
        layer * 2 + static_cast<int>(side)))[static_cast<std::size_t>(std::clamp(rank, 0, m_basis_width))];
}

int usualHeadGroup(std::string_view method, bool share_key_basis, const Statistics& statistics) {
    return basisMethod(method).shares_latents && !share_key_basis ? statistics.head_group : 1;
}

std::shared_ptr<const Spectrum> computeSpectrum(JobContext& job, Backend& backend,
                                                const Statistics& statistics, std::string_view method,
                                                const BasisOptions& options) {
    const BasisMethod& row = basisMethod(method);
    if (options.center && !row.can_center)
        throw Error(ErrorCode::InvalidInput, "method " + std::string(row.name) + " has no option to centre");
    if (options.head_group != 1 && options.head_group != statistics.head_group)
        throw Error(ErrorCode::InvalidInput,
                    "head group " + std::to_string(options.head_group) + ": the statistics hold moments of " +
                        (statistics.head_group > 1
                             ? "1 or " + std::to_string(statistics.head_group) + " heads together"
                             : std::string("single heads only")) +
                        "; calibrate with this head group");
    if (options.head_group > 1 && options.share_key_basis)
        throw Error(ErrorCode::InvalidInput,
                    "a key basis shared by a layer's heads leaves no head group above 1");
    const int count = static_cast<int>(statistics.layers.size());
    std::vector<LayerBases> layers;
    for (int layer = 0; layer < count; ++layer) {
        job.checkCancelled();
        job.progress("computing spectra", layer, count);
        layers.push_back(row.compute(job, backend, statistics, layer, options));
    }
    job.progress("computing spectra", count, count);
    return std::make_shared<const Spectrum>(std::string(row.name), options,
                                            statistics.head_dim * options.head_group, std::move(layers));
}

}  // namespace eigenscope
