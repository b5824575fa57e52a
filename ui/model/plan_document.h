// SPDX-License-Identifier: GPL-3.0-or-later
// The rank plan being edited: every change is undoable, a drag is one step. GUI thread. Edits cost O(layers *
// heads), so every view follows a drag within a frame; the engine is never called here.
#pragma once

#include "core/spectrum/rank_plan.h"

#include <QObject>
#include <QUndoStack>

#include <functional>
#include <memory>

namespace eigenscope {

class PlanDocument : public QObject {
    Q_OBJECT
public:
    explicit PlanDocument(QObject* parent = nullptr);

    // A new spectrum replaces the old one. The plan is kept (thresholds re-applied, pins kept) when layers
    // and head dimension agree, else it starts anew; the undo history starts anew in either case. Null
    // clears.
    void setSpectrum(std::shared_ptr<const Spectrum> spectrum);

    bool empty() const { return !m_spectrum; }
    const std::shared_ptr<const Spectrum>& spectrum() const { return m_spectrum; }
    const RankPlan& plan() const { return m_plan; }
    double kvRatio() const { return m_kv_ratio; }
    double sideRatio(Side side) const;  // the same of keys or values alone
    double expectedError() const { return m_expected_error; }
    QUndoStack& undoStack() { return m_undo; }

    // Edits. Between beginDrag() and endDrag() edits merge into one undo step.
    void beginDrag();
    void endDrag();
    void setThresholds(double key_threshold, double value_threshold);
    void setKvRatio(double target);  // clamped to what can be had
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
    void refresh();

    std::shared_ptr<const Spectrum> m_spectrum;
    RankPlan m_plan;
    double m_kv_ratio = 1.0, m_expected_error = 0.0;
    QUndoStack m_undo;
    int m_drag = 0;  // identity of the running drag, 0 when none
    int m_last_drag = 0;
};

}  // namespace eigenscope
