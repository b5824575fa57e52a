// SPDX-License-Identifier: Apache-2.0
// How much the bases from two texts differ: principal angles between the subspaces that the leading
// directions of two spectra of one model span, head by head. Pure functions.
//
// The subspace of a basis at rank r is the span of the first r columns of its decoder: where rebuilt keys or
// values lie. Angles as in Bjorck and Golub, "Numerical methods for computing angles between linear
// subspaces" (1973): cosines are the singular values of Q_1^T Q_2; below 45 degrees the angle is taken from
// the sine, the singular values of Q_2 - Q_1 Q_1^T Q_2, which keeps small angles exact.
#pragma once

#include "core/base/job_context.h"
#include "core/spectrum/spectrum.h"

#include <string>
#include <vector>

namespace eigenscope {

struct SubspaceComparison {
    int first_rank = 0, second_rank = 0;
    std::vector<double> angles;  // [min of the ranks], radians, ascending
    double overlap = 0;          // mean of cos^2: 1 for the same subspace, 0 for orthogonal ones
    double largest = 0;          // the last of `angles`
    // The overlap that two random subspaces of these ranks have on average: the larger rank over the width.
    double by_chance = 0;
};

// [width, width] decoders, row-major, column i direction i.
SubspaceComparison compareSubspaces(const std::vector<double>& first, const std::vector<double>& second,
                                    int width, int first_rank, int second_rank);

// The ranks to compare at: the same for all, or where each reaches a share of the energy.
struct SubspaceRank {
    int rank = 0;            // 0: by threshold
    double threshold = 0.9;  // of the energy; each text's own rank, the largest over the layer's heads
};

struct LayerSubspaces {
    std::vector<SubspaceComparison> keys, values;  // [heads]
    const std::vector<SubspaceComparison>& of(Side side) const { return side == Side::Keys ? keys : values; }
};

// Throws InvalidInput when the spectra do not have the same layers, heads, width and method, or the rank is
// not 1 to the head dimension.
std::vector<LayerSubspaces> compareSubspaces(JobContext& job, const Spectrum& first, const Spectrum& second,
                                             const SubspaceRank& rank);

double meanOverlap(const std::vector<SubspaceComparison>& heads);
double meanByChance(const std::vector<SubspaceComparison>& heads);
double largestAngle(const std::vector<SubspaceComparison>& heads);  // radians

// layer,side,head,rank,rank2,overlap,by_chance,largest_angle_degrees
std::string subspacesCsv(const std::vector<LayerSubspaces>& layers);

}  // namespace eigenscope
