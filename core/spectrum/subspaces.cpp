// SPDX-License-Identifier: Apache-2.0
#include "core/spectrum/subspaces.h"

#include "kernels/api/error.h"

#include <Eigen/Dense>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numbers>

namespace eigenscope {

namespace {

using RowMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// An orthonormal basis of the span of the first columns.
Eigen::MatrixXd spanOf(const std::vector<double>& decoder, int width, int rank) {
    const Eigen::Map<const RowMatrix> columns(decoder.data(), width, width);
    Eigen::MatrixXd leading = columns.leftCols(rank);
    // Directions count the same however long they are.
    for (int i = 0; i < rank; ++i) {
        const double norm = leading.col(i).norm();
        if (norm > 0)
            leading.col(i) /= norm;
    }
    const Eigen::HouseholderQR<Eigen::MatrixXd> qr(leading);
    return qr.householderQ() * Eigen::MatrixXd::Identity(width, rank);
}

Eigen::VectorXd singularValues(const Eigen::MatrixXd& matrix) {
    return Eigen::JacobiSVD<Eigen::MatrixXd>(matrix).singularValues();
}

// Mean over heads of a field.
template <typename Of>
double meanOf(const std::vector<SubspaceComparison>& heads, Of of) {
    double sum = 0;
    for (const SubspaceComparison& head : heads)
        sum += of(head);
    return heads.empty() ? 0.0 : sum / static_cast<double>(heads.size());
}

std::string numberText(double number) {
    std::array<char, 40> text{};
    const auto end =
        std::to_chars(text.data(), text.data() + text.size(), number, std::chars_format::general, 9).ptr;
    return std::string(text.data(), end);
}

void checkComparable(const Spectrum& first, const Spectrum& second, const SubspaceRank& rank) {
    const auto shape = [](const Spectrum& s) {
        return std::to_string(s.layers()) + " layers of " + std::to_string(s.heads()) + " heads of " +
               std::to_string(s.basisWidth());
    };
    if (shape(first) != shape(second))
        throw Error(ErrorCode::InvalidInput,
                    "the bases are of different models: " + shape(first) + " and " + shape(second));
    if (first.method() != second.method())
        throw Error(ErrorCode::InvalidInput,
                    "the bases are of different methods: " + first.method() + " and " + second.method());
    if (rank.rank < 0 || rank.rank > first.basisWidth())
        throw Error(ErrorCode::InvalidInput, "rank " + std::to_string(rank.rank) +
                                                 ": expected 1 to the full rank, " +
                                                 std::to_string(first.basisWidth()));
    if (rank.rank == 0 && !(rank.threshold > 0 && rank.threshold <= 1))
        throw Error(ErrorCode::InvalidInput, "threshold: expected a share above 0, at most 1");
}

}  // namespace

SubspaceComparison compareSubspaces(const std::vector<double>& first, const std::vector<double>& second,
                                    int width, int first_rank, int second_rank) {
    SubspaceComparison result;
    result.first_rank = first_rank;
    result.second_rank = second_rank;
    result.by_chance = static_cast<double>(std::max(first_rank, second_rank)) / width;
    Eigen::MatrixXd large = spanOf(first, width, first_rank), small = spanOf(second, width, second_rank);
    if (large.cols() < small.cols())
        std::swap(large, small);
    const Eigen::MatrixXd product = large.transpose() * small;
    const Eigen::VectorXd cosines = singularValues(product);                // descending
    const Eigen::VectorXd sines = singularValues(small - large * product);  // descending
    const Eigen::Index count = cosines.size();
    for (Eigen::Index i = 0; i < count; ++i) {
        const double cosine = std::min(cosines[i], 1.0), sine = std::min(sines[count - 1 - i], 1.0);
        result.angles.push_back(cosine * cosine >= 0.5 ? std::asin(sine) : std::acos(cosine));
        result.overlap += cosine * cosine / static_cast<double>(count);
    }
    std::sort(result.angles.begin(), result.angles.end());
    result.largest = result.angles.back();
    return result;
}

std::vector<LayerSubspaces> compareSubspaces(JobContext& job, const Spectrum& first, const Spectrum& second,
                                             const SubspaceRank& rank) {
    checkComparable(first, second, rank);
    std::vector<LayerSubspaces> result;
    for (int layer = 0; layer < first.layers(); ++layer) {
        job.progress("comparing bases", layer, first.layers());
        LayerSubspaces compared;
        for (const Side side : {Side::Keys, Side::Values}) {
            const auto rankIn = [&](const Spectrum& spectrum) {
                return rank.rank > 0 ? rank.rank
                                     : spectrum.rankOf(layer, side, rank.threshold, Criterion::Energy, 1);
            };
            auto& heads = side == Side::Keys ? compared.keys : compared.values;
            for (int head = 0; head < first.heads(); ++head) {
                job.checkCancelled();
                heads.push_back(compareSubspaces(first.basis(layer, side, head).decode,
                                                 second.basis(layer, side, head).decode, first.basisWidth(),
                                                 rankIn(first), rankIn(second)));
            }
        }
        result.push_back(std::move(compared));
    }
    job.progress("comparing bases", first.layers(), first.layers());
    return result;
}

double meanOverlap(const std::vector<SubspaceComparison>& heads) {
    return meanOf(heads, [](const SubspaceComparison& head) { return head.overlap; });
}

double meanByChance(const std::vector<SubspaceComparison>& heads) {
    return meanOf(heads, [](const SubspaceComparison& head) { return head.by_chance; });
}

double largestAngle(const std::vector<SubspaceComparison>& heads) {
    double largest = 0;
    for (const SubspaceComparison& head : heads)
        largest = std::max(largest, head.largest);
    return largest;
}

std::string subspacesCsv(const std::vector<LayerSubspaces>& layers) {
    std::string csv = "layer,side,head,rank,rank2,overlap,by_chance,largest_angle_degrees\n";
    for (std::size_t layer = 0; layer < layers.size(); ++layer) {
        for (const Side side : {Side::Keys, Side::Values}) {
            const auto& heads = layers[layer].of(side);
            for (std::size_t head = 0; head < heads.size(); ++head) {
                const SubspaceComparison& h = heads[head];
                csv += std::to_string(layer) + (side == Side::Keys ? ",keys," : ",values,") +
                       std::to_string(head) + "," + std::to_string(h.first_rank) + "," +
                       std::to_string(h.second_rank) + "," + numberText(h.overlap) + "," +
                       numberText(h.by_chance) + "," + numberText(h.largest * 180 / std::numbers::pi) + "\n";
            }
        }
    }
    return csv;
}

}  // namespace eigenscope
