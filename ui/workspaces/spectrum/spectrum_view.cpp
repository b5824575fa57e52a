// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/spectrum/spectrum_view.h"

#include "core/compression/converted_config.h"
#include "core/model/kv_cache.h"
#include "ui/model/units.h"
#include "ui/model/workspace.h"

#include <QLocale>

#include <algorithm>
#include <cmath>

namespace eigenscope {

namespace {

constexpr double kSmallestShown = 1e-8;  // below it float32 calibration is noise
constexpr const char* kContext = "SpectrumView";

}  // namespace

SpectrumCurve spectrumCurve(const Spectrum& spectrum, int layer, Side side, int head, Criterion criterion) {
    const int width = spectrum.basisWidth();
    const int first = head < 0 ? 0 : head;
    const int last = head < 0 ? spectrum.heads() - 1 : head;
    SpectrumCurve curve;
    curve.index.resize(width);
    curve.mean.fill(0.0, width);
    curve.low.fill(0.0, width);
    curve.high.fill(0.0, width);
    curve.rank.resize(width + 1);
    curve.kept.fill(1.0, width + 1);
    int alive = 0;
    for (int h = first; h <= last; ++h) {
        const auto& eigenvalues = spectrum.basis(layer, side, h).eigenvalues;
        if (!eigenvalues.empty() && eigenvalues.front() > 0.0) {
            const double scale = 1.0 / eigenvalues.front();
            for (int i = 0; i < std::min(width, static_cast<int>(eigenvalues.size())); ++i) {
                const double value = eigenvalues[static_cast<std::size_t>(i)] * scale;
                curve.mean[i] += value;
                curve.low[i] = alive == 0 ? value : std::min(curve.low[i], value);
                curve.high[i] = std::max(curve.high[i], value);
            }
            ++alive;
        }
        for (int r = 0; r <= width; ++r) {
            curve.kept[r] = std::min(curve.kept[r], spectrum.kept(layer, side, h, r, criterion));
        }
    }
    for (int i = 0; i < width; ++i) {
        curve.index[i] = i + 1;
        curve.mean[i] /= std::max(alive, 1);
        if (curve.low[i] > 0.0) {
            curve.least = std::min(curve.least, curve.low[i]);
        }
    }
    for (int r = 0; r <= width; ++r) {
        curve.rank[r] = r;
    }
    return curve;
}

double logFloor(double least) {
    return std::pow(10.0, std::min(-1.0, std::floor(std::log10(std::max(least, kSmallestShown)))));
}

std::optional<double> ownThreshold(const RankPlan& plan, Side side, int layer) {
    const auto& own = side == Side::Keys ? plan.key_layer_thresholds : plan.value_layer_thresholds;
    return static_cast<std::size_t>(layer) < own.size() ? own[static_cast<std::size_t>(layer)] : std::nullopt;
}

double thresholdOf(const RankPlan& plan, Side side, int layer) {
    return ownThreshold(plan, side, layer)
        .value_or(side == Side::Keys ? plan.key_threshold : plan.value_threshold);
}

int rankOf(const RankPlan& plan, Side side, int layer) {
    return (side == Side::Keys ? plan.key_ranks : plan.value_ranks).at(static_cast<std::size_t>(layer));
}

bool isPinned(const RankPlan& plan, Side side, int layer) {
    const auto& pinned = side == Side::Keys ? plan.key_pinned : plan.value_pinned;
    return static_cast<std::size_t>(layer) < pinned.size() && pinned[static_cast<std::size_t>(layer)];
}

void editThreshold(PlanDocument& document, Side side, double threshold, bool linked) {
    const RankPlan& plan = document.plan();
    document.setThresholds(linked || side == Side::Keys ? threshold : plan.key_threshold,
                           linked || side == Side::Values ? threshold : plan.value_threshold);
}

void editThreshold(PlanDocument& document, Side side, int layer, double threshold, bool linked) {
    if (ownThreshold(document.plan(), side, layer)) {
        document.setLayerThreshold(side, layer, threshold);
    } else {
        editThreshold(document, side, threshold, linked);
    }
}

QString headName(const Spectrum& spectrum, int head) {
    const int group = spectrum.options().head_group;
    return group == 1 ? QObject::tr("head %1").arg(head)
                      : QObject::tr("heads %1–%2").arg(head * group).arg((head + 1) * group - 1);
}

QString headCountText(const Spectrum& spectrum) {
    const int group = spectrum.options().head_group, count = spectrum.heads();
    if (group == 1) {
        return count == 1 ? QObject::tr("1 head") : QObject::tr("%1 heads, mean and spread").arg(count);
    }
    return count == 1 ? QObject::tr("one latent of %1 heads").arg(group)
                      : QObject::tr("%1 latents of %2 heads, mean and spread").arg(count).arg(group);
}

int snappedRank(double rank, int multiple, int head_dim) {
    const int below = std::clamp(static_cast<int>(std::floor(rank / multiple)) * multiple, 0, head_dim);
    const int above = std::min(below + multiple, head_dim);
    const int nearest = rank - below < above - rank ? below : above;
    return std::clamp(nearest, std::min(multiple, head_dim), head_dim);
}

int steppedRank(int rank, int steps, int multiple, int head_dim) {
    // From a rank between two multiples (the full width, or one set with another multiple) to the next one.
    const int from = steps > 0 ? rank / multiple : (rank + multiple - 1) / multiple;
    return std::clamp((from + steps) * multiple, std::min(multiple, head_dim), head_dim);
}

QString tokenBytesText(Workspace& workspace) {
    const OpenModel& model = *workspace.model();
    const ModelConfig& config = model.model->config;
    const RankPlan& plan = workspace.plan().plan();
    const DType exact = resolveKvFormat(workspace.runOptions(), model).dtype;
    const std::size_t before = kvBytesPerToken(config, exact),
                      after = kvBytesPerToken(convertedConfig(config, plan), convertedFormat(plan, exact));
    return QObject::tr("%1 → %2").arg(bytesText(static_cast<double>(before)),
                                      bytesText(static_cast<double>(after)));
}

QString sideName(Side side) {
    return side == Side::Keys ? QCoreApplication::translate(kContext, "keys")
                              : QCoreApplication::translate(kContext, "values");
}

QString thresholdText(double threshold) {
    // Three decimals unless a fourth says something.
    const double thousandths = threshold * 1000.0;
    const bool coarse = std::abs(thousandths - std::round(thousandths)) < 1e-6;
    return QLocale().toString(threshold, 'f', coarse ? 3 : 4);
}

QString rankText(const Spectrum& spectrum, const RankPlan& plan, Side side, int layer) {
    const int rank = rankOf(plan, side, layer);
    if (isPinned(plan, side, layer)) {
        return QCoreApplication::translate(kContext, "rank %1, pinned").arg(rank);
    }
    const int needed = spectrum.rankOf(layer, side, thresholdOf(plan, side, layer), plan.criterion, 1);
    // Other allocations than a threshold give ranks that no rounding explains.
    const int rounded =
        spectrum.rankOf(layer, side, thresholdOf(plan, side, layer), plan.criterion, plan.rank_multiple);
    if (needed == rank || rounded != rank) {
        return QCoreApplication::translate(kContext, "rank %1").arg(rank);
    }
    return QCoreApplication::translate(kContext, "rank %1 (%2, rounded to %3)")
        .arg(rank)
        .arg(needed)
        .arg(plan.rank_multiple);
}

}  // namespace eigenscope
