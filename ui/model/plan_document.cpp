// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/model/plan_document.h"

#include "core/spectrum/error_budget.h"

#include <QScopedValueRollback>
#include <QUndoCommand>

#include <algorithm>
#include <cmath>

namespace eigenscope {

namespace {

// Where a fresh plan starts: enough to see something compress, little enough to stay safe.
constexpr double kStartThreshold = 0.98;

std::size_t bytesOf(const Spectrum& spectrum) {
    std::size_t count = 0;
    for (int layer = 0; layer < spectrum.layers(); ++layer) {
        for (const Side side : {Side::Keys, Side::Values}) {
            for (int head = 0; head < spectrum.heads(); ++head) {
                const HeadBasis& basis = spectrum.basis(layer, side, head);
                count += basis.encode.size() + basis.decode.size();
            }
        }
    }
    return count * sizeof(double);
}

// An allocation whose tables are missing gives way to one threshold.
void useMeasured(RankPlan& plan, const MeasuredTables& tables) {
    if (!canAllocate(plan.allocation, plan, tables)) {
        plan.allocation = Allocation::Threshold;
        plan.mixed_bits = false;
    }
}

}  // namespace

// Plans and the bases they are of; bases that did not change cost nothing to keep.
class PlanCommand : public QUndoCommand {
public:
    struct State {
        RankPlan plan;
        std::shared_ptr<const Spectrum> spectrum;
    };
    PlanCommand(PlanDocument& document, State before, State after, const QString& text, int drag)
        : QUndoCommand(text),
          m_document(document),
          m_before(std::move(before)),
          m_after(std::move(after)),
          m_drag(drag) {}

    void undo() override { m_document.apply(m_before.plan, m_before.spectrum); }
    void redo() override { m_document.apply(m_after.plan, m_after.spectrum); }
    // Commands of one drag share an id and merge; id -1 never merges.
    int id() const override { return m_drag > 0 ? m_drag : -1; }
    bool mergeWith(const QUndoCommand* other) override {
        m_after = static_cast<const PlanCommand*>(other)->m_after;
        return true;
    }

private:
    PlanDocument& m_document;
    State m_before, m_after;
    int m_drag;
};

PlanDocument::PlanDocument(QObject* parent) : QObject(parent) {}

RankPlan PlanDocument::planFor(const std::shared_ptr<const Spectrum>& spectrum, bool same_statistics) const {
    const bool layers = m_spectrum && m_spectrum->layers() == spectrum->layers();
    const bool fits = layers && m_spectrum->basisWidth() == spectrum->basisWidth();
    RankPlan plan = fits ? m_plan : fullPlan(*spectrum);
    double ratio = m_kv_ratio;
    if (fits) {
        plan.method = spectrum->method();
        plan.setBasisOptions(spectrum->options());
        if (eigenscope::canAllocate(plan.allocation, plan, m_tables)) {
            reallocate(plan, *spectrum, m_tables);
            return plan;
        }
        ratio = kvRatioOf(plan, spectrum->basisWidth());
    } else if (layers && same_statistics) {  // latents of more or fewer heads: ranks count in other units
        plan.criterion = m_plan.criterion;
        plan.rank_multiple = m_plan.rank_multiple;
        plan.allocation = m_plan.allocation;
        plan.kv_bits = m_plan.kv_bits;
        plan.mixed_bits = m_plan.mixed_bits;
    } else {
        plan.key_threshold = plan.value_threshold = kStartThreshold;
        reallocate(plan, *spectrum, m_tables);
        return plan;
    }
    meet(plan, *spectrum, ratio);
    return plan;
}

void PlanDocument::setSpectrum(std::shared_ptr<const Spectrum> spectrum) {
    RankPlan plan = spectrum ? planFor(spectrum, false) : RankPlan();
    m_undo.clear();
    m_spectrum = std::move(spectrum);
    m_plan = std::move(plan);
    refresh();
    emit spectrumChanged();
    emit changed();
}

void PlanDocument::changeBases(std::shared_ptr<const Spectrum> spectrum) {
    if (empty() || bytesOf(*spectrum) > kSpectrumInHistory) {
        setSpectrum(std::move(spectrum));
        return;
    }
    RankPlan plan = planFor(spectrum, true);
    m_undo.push(new PlanCommand(*this, {m_plan, m_spectrum}, {std::move(plan), std::move(spectrum)},
                                tr("Change bases"), 0));
}

double PlanDocument::sideRatio(Side side) const {
    if (!m_spectrum || m_plan.key_ranks.empty()) {
        return 1.0;
    }
    double bytes = 0.0;
    for (std::size_t layer = 0; layer < m_plan.key_ranks.size(); ++layer) {
        bytes += side == Side::Keys
                     ? m_plan.kv_bits.keysOf(layer, DType::F16).bytesPerRow(m_plan.key_ranks[layer])
                     : m_plan.kv_bits.valuesOf(layer, DType::F16).bytesPerRow(m_plan.value_ranks[layer]);
    }
    return bytes / (static_cast<double>(m_plan.key_ranks.size()) *
                    KvSideFormat{.dtype = DType::F16}.bytesPerRow(m_spectrum->basisWidth()));
}

void PlanDocument::beginDrag() { m_drag = ++m_last_drag; }
void PlanDocument::endDrag() { m_drag = 0; }

void PlanDocument::setThresholds(double key_threshold, double value_threshold) {
    if (empty()) {
        return;
    }
    RankPlan plan = m_plan;
    applyThresholds(plan, *m_spectrum, std::clamp(key_threshold, 0.0, 1.0),
                    std::clamp(value_threshold, 0.0, 1.0));
    push(plan, tr("Change thresholds"));
}

void PlanDocument::meet(RankPlan& plan, const Spectrum& spectrum, double target) const {
    useMeasured(plan, m_tables);
    applyTarget(plan, spectrum, m_tables, std::clamp(target, smallestRatio(plan, spectrum, m_tables), 1.0));
}

void PlanDocument::setKvRatio(double target) {
    if (empty()) {
        return;
    }
    RankPlan plan = m_plan;
    meet(plan, *m_spectrum, target);
    push(plan, tr("Change target KV ratio"));
}

void PlanDocument::setErrorBudget(double budget) {
    if (empty() || !canAllocate(Allocation::ErrorBudget)) {
        return;
    }
    RankPlan plan = m_plan;
    plan.allocation = Allocation::ErrorBudget;
    plan.error_budget = std::max(0.0, budget);
    plan.kv_target.reset();
    reallocate(plan, *m_spectrum, m_tables);
    push(plan, tr("Change error budget"));
}

void PlanDocument::setAllocation(Allocation allocation, bool mixed_bits) {
    mixed_bits = mixed_bits && allocation == Allocation::Sensitivity;
    if (empty() || (allocation == m_plan.allocation && mixed_bits == m_plan.mixed_bits) ||
        !canAllocate(allocation, mixed_bits)) {
        return;
    }
    RankPlan plan = m_plan;
    plan.allocation = allocation;
    plan.mixed_bits = mixed_bits;
    meet(plan, *m_spectrum, plan.kv_target.value_or(m_kv_ratio));
    push(plan, mixed_bits != m_plan.mixed_bits && allocation == m_plan.allocation
                   ? tr("Change mixture of bits")
                   : tr("Change allocation"));
}

void PlanDocument::setTables(const MeasuredTables& tables) {
    m_tables = tables;
    emit changed();
}

bool PlanDocument::canAllocate(Allocation allocation, bool mixed_bits) const {
    RankPlan plan = m_plan;
    plan.mixed_bits = mixed_bits;
    if (!eigenscope::canAllocate(allocation, plan, m_tables)) {
        return false;
    }
    if (!mixed_bits || allocation != Allocation::Sensitivity) {
        return true;
    }
    const std::optional<QuantisedGrid> grid = measuredBits();
    return grid && grid->group == m_plan.kv_bits.group && grid->keys == m_plan.kv_bits.key_grouping &&
           grid->recent == m_plan.kv_bits.recent;
}

RankPlan PlanDocument::allocatablePlan() const {
    RankPlan plan = m_plan;
    useMeasured(plan, m_tables);
    return plan;
}

std::optional<QuantisedGrid> PlanDocument::measuredBits() const {
    const SensitivityTable* table = m_tables.findSensitivity(m_plan.method, m_plan.basisOptions());
    return table && table->quantised ? std::optional(table->quantised->grid) : std::nullopt;
}

std::optional<double> PlanDocument::largestLayerError() const {
    const LayerErrorTable* table =
        m_tables.findLayerErrors(m_plan.method, m_plan.basisOptions(), nameOf(m_plan.criterion));
    if (empty() || !table || table->layers.size() != m_plan.key_ranks.size()) {
        return std::nullopt;
    }
    double largest = 0.0;
    for (const double error : measuredErrors(m_plan, *table)) {
        if (std::isnan(error)) {
            return std::nullopt;
        }
        largest = std::max(largest, error);
    }
    return largest;
}

std::vector<FrontPoint> PlanDocument::expectedFront() const {
    if (empty()) {
        return {};
    }
    const SensitivityTable* table = m_tables.findSensitivity(m_plan.method, m_plan.basisOptions());
    if (!table) {
        return {};
    }
    RankPlan plan = m_plan;
    plan.mixed_bits = canMixBits();
    if (!plan.mixed_bits) {
        plan.kv_bits = {};
    }
    return eigenscope::expectedFront(plan, *m_spectrum, *table);
}

std::optional<double> PlanDocument::expectedDivergence() const {
    const SensitivityTable* table = m_tables.findSensitivity(m_plan.method, m_plan.basisOptions());
    if (empty() || !table || table->kl.size() != m_plan.key_ranks.size() * 2 * table->ranks.size()) {
        return std::nullopt;
    }
    return eigenscope::expectedDivergence(m_plan, *table);
}

void PlanDocument::setCriterion(Criterion criterion) {
    if (empty()) {
        return;
    }
    RankPlan plan = m_plan;
    plan.criterion = criterion;
    reallocate(plan, *m_spectrum, m_tables);
    push(plan, tr("Change criterion"));
}

void PlanDocument::setRankMultiple(int multiple) {
    if (empty()) {
        return;
    }
    RankPlan plan = m_plan;
    plan.rank_multiple = multiple;
    reallocate(plan, *m_spectrum, m_tables);
    push(plan, tr("Change rank multiple"));
}

void PlanDocument::setKvBits(int key_bits, int value_bits) {
    if (empty()) {
        return;
    }
    RankPlan plan = m_plan;
    KvBits bits = key_bits == kUnquantised && value_bits == kUnquantised
                      ? KvBits()
                      : KvBits::uniform(plan.key_ranks.size(), key_bits, value_bits);
    bits.group = plan.kv_bits.group;
    bits.key_grouping = plan.kv_bits.key_grouping;
    bits.recent = plan.kv_bits.recent;
    plan.kv_bits = std::move(bits);
    plan.mixed_bits = false;
    if (plan == m_plan) {
        return;
    }
    if (plan.kv_target) {  // ranks stay, so what is asked for is now what they give
        plan.kv_target = kvRatioOf(plan, m_spectrum->basisWidth());
    }
    push(plan, tr("Change cache bits"));
}

void PlanDocument::setKvGroups(int group, KvGrouping keys, int recent) {
    if (empty()) {
        return;
    }
    RankPlan plan = m_plan;
    plan.kv_bits.group = group;
    plan.kv_bits.key_grouping = keys;
    plan.kv_bits.recent = recent;
    if (plan == m_plan) {
        return;
    }
    plan.mixed_bits = false;  // what was measured is of other groups
    if (plan.kv_target) {
        plan.kv_target = kvRatioOf(plan, m_spectrum->basisWidth());
    }
    push(plan, tr("Change cache groups"));
}

void PlanDocument::setLayerThreshold(Side side, int layer, std::optional<double> threshold) {
    if (empty()) {
        return;
    }
    RankPlan plan = m_plan;
    if (threshold) {
        threshold = std::clamp(*threshold, 0.0, 1.0);
    }
    eigenscope::setLayerThreshold(plan, *m_spectrum, side, layer, threshold);
    if (!threshold) {
        reallocate(plan, *m_spectrum, m_tables);
    }
    push(plan, tr("Change threshold of layer %1").arg(layer));
}

void PlanDocument::setRank(Side side, int layer, int rank) {
    if (empty()) {
        return;
    }
    RankPlan plan = m_plan;
    pinRank(plan, *m_spectrum, side, layer, std::clamp(rank, 1, m_spectrum->basisWidth()));
    push(plan, tr("Set rank of layer %1").arg(layer));
}

void PlanDocument::unpin(Side side, int layer) {
    if (empty()) {
        return;
    }
    RankPlan plan = m_plan;
    eigenscope::unpin(plan, *m_spectrum, m_tables, side, layer);
    push(plan, tr("Unpin layer %1").arg(layer));
}

void PlanDocument::unpinAll() {
    if (empty()) {
        return;
    }
    RankPlan plan = m_plan;
    plan.key_pinned.assign(plan.key_pinned.size(), false);
    plan.value_pinned.assign(plan.value_pinned.size(), false);
    reallocate(plan, *m_spectrum, m_tables);
    push(plan, tr("Unpin all"));
}

void PlanDocument::setPlan(const RankPlan& plan, const QString& text) {
    if (!empty()) {
        push(plan, text);
    }
}

void PlanDocument::push(const RankPlan& plan, const QString& text) {
    if (plan == m_plan) {
        return;
    }
    m_undo.push(new PlanCommand(*this, {m_plan, m_spectrum}, {plan, m_spectrum}, text, m_drag));
}

void PlanDocument::apply(const RankPlan& plan, const std::shared_ptr<const Spectrum>& spectrum) {
    const QScopedValueRollback applying(m_applying, true);
    const bool other_bases = m_spectrum != spectrum;
    m_spectrum = spectrum;
    m_plan = plan;
    refresh();
    if (other_bases) {
        emit spectrumChanged();
    }
    emit changed();
}

void PlanDocument::refresh() {
    m_kv_ratio = m_spectrum ? kvRatioOf(m_plan, m_spectrum->basisWidth()) : 1.0;
    m_expected_error = m_spectrum ? expectedErrorOf(m_plan, *m_spectrum) : 0.0;
}

}  // namespace eigenscope
