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

    // A new spectrum replaces the old one. The plan is kept (its allocation re-applied, pins kept; one
    // threshold of the same KV ratio where tables are missing) when layers and head dimension agree, else it
    // starts anew; the undo history starts anew in either case. Null clears.
    void setSpectrum(std::shared_ptr<const Spectrum> spectrum);

    // What was measured for sharing out targets; follows the statistics. Changes no rank, no history.
    void setTables(const MeasuredTables& tables);

    bool empty() const { return !m_spectrum; }
    const std::shared_ptr<const Spectrum>& spectrum() const { return m_spectrum; }
    const RankPlan& plan() const { return m_plan; }
    double kvRatio() const { return m_kv_ratio; }
    double sideRatio(Side side) const;  // the same of keys or values alone
    double expectedError() const { return m_expected_error; }
    // Whether the tables hold what this allocation needs for the plan's bases.
    bool canAllocate(Allocation allocation) const;
    std::optional<double> largestLayerError() const;  // measured at the plan's ranks or fewer; empty: unknown
    std::optional<double> expectedDivergence() const;  // nats a token; empty: no tables
    // The least to expect over the KV ratio by allocation `sensitivity`, with mixed bits where they were
    // measured; empty without tables. Takes up to a few tenths of a second for very deep models.
    std::vector<FrontPoint> expectedFront() const;
    bool canMixBits() const { return eigenscope::canMixBits(m_plan, m_tables); }
    QUndoStack& undoStack() { return m_undo; }

    // Edits. Between beginDrag() and endDrag() edits merge into one undo step.
    void beginDrag();
    void endDrag();
    void setThresholds(double key_threshold, double value_threshold);
    void setKvRatio(double target);  // by the plan's allocation; clamped to what can be had
    void setErrorBudget(double budget);
    // Shares the present KV ratio out anew. Nothing happens while its tables are missing.
    void setAllocation(Allocation allocation);
    void setCriterion(Criterion criterion);
    void setRankMultiple(int multiple);
    // Of keys and values in every layer; ranks stay. kUnquantised for both: none.
    void setKvBits(int key_bits, int value_bits);
    void setRank(Side side, int layer, int rank);  // pins it
    void unpin(Side side, int layer);
    void unpinAll();
    void setPlan(const RankPlan& plan, const QString& text);

signals:
    void changed();  // plan or spectrum
    void spectrumChanged();

private:
    friend class PlanCommand;
    void apply(const RankPlan& plan);
    void push(const RankPlan& plan, const QString& text);
    void meet(RankPlan& plan, double target) const;  // by its allocation, as nearly as can be
    void refresh();

    std::shared_ptr<const Spectrum> m_spectrum;
    RankPlan m_plan;
    MeasuredTables m_tables;
    double m_kv_ratio = 1.0, m_expected_error = 0.0;
    QUndoStack m_undo;
    int m_drag = 0;  // identity of the running drag, 0 when none
    int m_last_drag = 0;
};

}  // namespace eigenscope
