// SPDX-License-Identifier: GPL-3.0-or-later
// The rank plan being edited: every change is undoable, a drag is one step. GUI thread. Edits cost O(layers *
// heads), so every view follows a drag within a frame; the engine is never called here.
#pragma once

#include "core/spectrum/allocation.h"

#include <QObject>
#include <QUndoStack>

#include <functional>
#include <memory>
#include <optional>

namespace eigenscope {

class PlanDocument : public QObject {
    Q_OBJECT
public:
    explicit PlanDocument(QObject* parent = nullptr);

    // The spectrum of other statistics replaces the old one. The plan is kept (its allocation re-applied,
    // pins kept; one threshold of the same KV ratio where tables are missing) when layers and the bases'
    // width agree, else it starts anew; the undo history starts anew in either case. Null clears.
    void setSpectrum(std::shared_ptr<const Spectrum> spectrum);
    // Other bases of the same statistics: as above (where the width differs the KV ratio, the allocation and
    // the bits stay, pins go), and it can be undone. The history keeps both spectra;
    // where they are larger than kSpectrumInHistory it starts anew instead.
    void changeBases(std::shared_ptr<const Spectrum> spectrum);
    static constexpr std::size_t kSpectrumInHistory = std::size_t{256} << 20;

    // What was measured for sharing out targets; follows the statistics. Changes no rank, no history.
    void setTables(const MeasuredTables& tables);
    const MeasuredTables& tables() const { return m_tables; }

    bool empty() const { return !m_spectrum; }
    const std::shared_ptr<const Spectrum>& spectrum() const { return m_spectrum; }
    const RankPlan& plan() const { return m_plan; }
    double kvRatio() const { return m_kv_ratio; }
    double sideRatio(Side side) const;  // the same of keys or values alone
    double expectedError() const { return m_expected_error; }
    // Whether the tables hold what this allocation needs for the plan's bases: with mixed bits, tables over
    // bits whose codes were grouped as the plan's.
    bool canAllocate(Allocation allocation, bool mixed_bits = false) const;
    // The plan, by one threshold where its own allocation's tables are missing.
    RankPlan allocatablePlan() const;
    // How the tables over bits were measured; empty: there are none for these bases.
    std::optional<QuantisedGrid> measuredBits() const;
    std::optional<double> largestLayerError() const;  // measured at the plan's ranks or fewer; empty: unknown
    std::optional<double> expectedDivergence() const;  // nats a token; empty: no tables
    // The least to expect over the KV ratio by allocation `sensitivity`, with mixed bits where they were
    // measured; empty without tables. Takes up to a few tenths of a second for very deep models.
    std::vector<FrontPoint> expectedFront() const;
    bool canMixBits() const { return eigenscope::canMixBits(m_plan, m_tables); }
    QUndoStack& undoStack() { return m_undo; }
    // While an edit is being made, undone or redone: who hears changed() then makes no other.
    bool applying() const { return m_applying; }

    // Edits. Between beginDrag() and endDrag() edits merge into one undo step.
    void beginDrag();
    void endDrag();
    void setThresholds(double key_threshold, double value_threshold);
    void setKvRatio(double target);  // by the plan's allocation; clamped to what can be had
    void setErrorBudget(double budget);
    // Shares the present KV ratio out anew, with mixed bits (of allocation `sensitivity`) bits too. Nothing
    // happens while its tables are missing.
    void setAllocation(Allocation allocation, bool mixed_bits = false);
    void setCriterion(Criterion criterion);
    void setRankMultiple(int multiple);
    // Of keys and values in every layer; ranks stay, and bits are no longer mixed. kUnquantised for both:
    // none.
    void setKvBits(int key_bits, int value_bits);
    // How codes are grouped, and how many recent positions stay exact; ranks and bits stay. Remembered where
    // there are no bits yet.
    void setKvGroups(int group, KvGrouping keys, int recent);
    // A layer's own threshold, whatever the allocation; empty: none of its own.
    void setLayerThreshold(Side side, int layer, std::optional<double> threshold);
    void setRank(Side side, int layer, int rank);  // pins it
    void unpin(Side side, int layer);
    void unpinAll();
    void setPlan(const RankPlan& plan, const QString& text);

signals:
    void changed();  // plan or spectrum
    void spectrumChanged();

private:
    friend class PlanCommand;
    void apply(const RankPlan& plan, const std::shared_ptr<const Spectrum>& spectrum);
    // The present plan, carried over to another spectrum.
    RankPlan planFor(const std::shared_ptr<const Spectrum>& spectrum, bool same_statistics) const;
    void push(const RankPlan& plan, const QString& text);
    // By its allocation, as nearly as can be.
    void meet(RankPlan& plan, const Spectrum& spectrum, double target) const;
    void refresh();

    std::shared_ptr<const Spectrum> m_spectrum;
    RankPlan m_plan;
    MeasuredTables m_tables;
    double m_kv_ratio = 1.0, m_expected_error = 0.0;
    QUndoStack m_undo;
    int m_drag = 0;  // identity of the running drag, 0 when none
    int m_last_drag = 0;
    bool m_applying = false;
};

}  // namespace eigenscope
