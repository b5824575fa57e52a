// SPDX-License-Identifier: GPL-3.0-or-later
// What the parts of the Spectrum workspace share: which sides are shown, the curves of one layer, and edits
// that several of them offer. Pure functions over the immutable Spectrum; GUI thread.
#pragma once

#include "core/spectrum/rank_plan.h"

#include <QCoreApplication>
#include <QString>
#include <QVector>

#include <optional>

namespace eigenscope {

class PlanDocument;
class Workspace;

enum class ShownSides { Keys, Values, Both };  // in the order of the segmented control

inline bool shows(ShownSides shown, Side side) {
    return shown == ShownSides::Both || (shown == ShownSides::Keys) == (side == Side::Keys);
}

// What is looked at; head -1: all heads of the layer.
struct Selection {
    int layer = 0;
    int head = -1;
    Side side = Side::Keys;
    bool operator==(const Selection&) const = default;
};

// One layer's eigenvalues, each head's divided by its largest, over the heads asked for. Dead heads (all
// zero) are left out.
struct SpectrumCurve {
    QVector<double> index;            // [d], 1..d
    QVector<double> mean, low, high;  // [d]
    QVector<double> rank;             // [d + 1], 0..d
    QVector<double> kept;  // [d + 1], share kept by that rank: the least over the heads, which decides
    double least = 1.0;    // smallest positive value of `low`
};
SpectrumCurve spectrumCurve(const Spectrum& spectrum, int layer, Side side, int head, Criterion criterion);
// Lower end of a logarithmic axis for these curves: a power of ten, at least 1e-8.
double logFloor(double least);

// "head 2", or "heads 4–7" where several share a latent; and how many there are: "8 heads", "2 latents of 4
// heads".
QString headName(const Spectrum& spectrum, int head);
QString headCountText(const Spectrum& spectrum);

// The layer's own, where it has one.
std::optional<double> ownThreshold(const RankPlan& plan, Side side, int layer);
double thresholdOf(const RankPlan& plan, Side side, int layer);  // its own, or the plan's
int rankOf(const RankPlan& plan, Side side, int layer);
bool isPinned(const RankPlan& plan, Side side, int layer);
// Sets one side's threshold, or both when they are linked.
void editThreshold(PlanDocument& document, Side side, double threshold, bool linked);
// As seen from a layer: where it has a threshold of its own, that one.
void editThreshold(PlanDocument& document, Side side, int layer, double threshold, bool linked);
// The nearest rank that the multiple allows; the full width is always allowed.
int snappedRank(double rank, int multiple, int head_dim);
// The next rank that the multiple allows, up or down.
int steppedRank(int rank, int steps, int multiple, int head_dim);

// "4.00 KiB → 2.38 KiB": cache of a token, before and after conversion with the open plan. A plan of the open
// model.
QString tokenBytesText(Workspace& workspace);

QString sideName(Side side);              // "keys"
QString thresholdText(double threshold);  // "0.947"
QString rankText(const Spectrum& spectrum, const RankPlan& plan, Side side,
                 int layer);  // "rank 40 (38, rounded to 8)"

}  // namespace eigenscope
