// SPDX-License-Identifier: Apache-2.0
#include "tests/ui/synthetic.h"
#include "ui/model/plan_document.h"

#include <QSignalSpy>
#include <QTest>

using namespace eigenscope;
using namespace eigenscope::testing;

namespace {
constexpr int kLayers = 6, kHeads = 4, kWidth = 64;
}

class TestPlanDocument : public QObject {
    Q_OBJECT
private slots:
    void init() {
        m_document = std::make_unique<PlanDocument>();
        m_document->setSpectrum(syntheticSpectrum(kLayers, kHeads, kWidth));
    }

    void thresholdsGiveTheRanksOfTheClosedForm() {
        m_document->setThresholds(0.9, 0.97);
        QCOMPARE(m_document->plan().rank_multiple, 8);
        double sum = 0;
        for (int layer = 0; layer < kLayers; ++layer) {
            const int keys = expectedLayerRank(layer, Side::Keys, 0.9, kHeads, kWidth, 8);
            const int values = expectedLayerRank(layer, Side::Values, 0.97, kHeads, kWidth, 8);
            QCOMPARE(m_document->plan().key_ranks[static_cast<std::size_t>(layer)], keys);
            QCOMPARE(m_document->plan().value_ranks[static_cast<std::size_t>(layer)], values);
            sum += keys + values;
        }
        QCOMPARE(m_document->kvRatio(), sum / (2.0 * kLayers * kWidth));
        QCOMPARE(m_document->kvRatio(),
                 (m_document->sideRatio(Side::Keys) + m_document->sideRatio(Side::Values)) / 2);
    }

    void everyEditIsOneUndoStep() {
        const RankPlan start = m_document->plan();
        m_document->setThresholds(0.8, 0.8);
        m_document->setRankMultiple(1);
        m_document->setCriterion(Criterion::SingularValues);
        m_document->setRank(Side::Keys, 2, 24);
        m_document->unpin(Side::Keys, 2);
        m_document->setKvRatio(0.3);
        QCOMPARE(m_document->undoStack().count(), 6);
        const RankPlan end = m_document->plan();
        const double ratio = m_document->kvRatio();
        while (m_document->undoStack().canUndo()) {
            m_document->undoStack().undo();
        }
        QVERIFY(m_document->plan() == start);
        while (m_document->undoStack().canRedo()) {
            m_document->undoStack().redo();
        }
        QVERIFY(m_document->plan() == end);
        QCOMPARE(m_document->kvRatio(), ratio);
    }

    void cacheGroupsAndLayerThresholdsAreSteps() {
        const RankPlan start = m_document->plan();
        m_document->setKvGroups(64, KvGrouping::Channel, 32);  // remembered though nothing is quantised yet
        m_document->setKvBits(4, kUnquantised);
        QCOMPARE(m_document->plan().kv_bits.group, 64);
        QCOMPARE(m_document->plan().kv_bits.recent, 32);
        m_document->setKvGroups(64, KvGrouping::Channel, 32);  // no change, no step
        m_document->setLayerThreshold(Side::Values, 3, 0.7);
        QCOMPARE(m_document->plan().value_ranks[3],
                 expectedLayerRank(3, Side::Values, 0.7, kHeads, kWidth, 8));
        m_document->setThresholds(0.99, 0.99);
        QCOMPARE(m_document->plan().value_ranks[3],
                 expectedLayerRank(3, Side::Values, 0.7, kHeads, kWidth, 8));
        QCOMPARE(m_document->plan().value_ranks[2],
                 expectedLayerRank(2, Side::Values, 0.99, kHeads, kWidth, 8));
        m_document->setLayerThreshold(Side::Values, 3, std::nullopt);
        QCOMPARE(m_document->plan().value_ranks[3],
                 expectedLayerRank(3, Side::Values, 0.99, kHeads, kWidth, 8));
        QCOMPARE(m_document->undoStack().count(), 5);
        while (m_document->undoStack().canUndo()) {
            m_document->undoStack().undo();
        }
        QVERIFY(m_document->plan() == start);
    }

    void otherBasesAreAStep() {
        const auto first = m_document->spectrum(), second = syntheticSpectrum(kLayers, kHeads, kWidth),
                   wide = syntheticSpectrum(kLayers, 1, 4 * kWidth);
        m_document->setRank(Side::Keys, 1, 40);
        m_document->setKvBits(4, 4);
        const RankPlan plan = m_document->plan();
        const double ratio = m_document->kvRatio();
        m_document->changeBases(second);
        QVERIFY(m_document->spectrum() == second);
        QVERIFY(m_document->plan() == plan);  // the same eigenvalues, the same plan
        m_document->changeBases(wide);
        QVERIFY(!m_document->plan().key_pinned[1]);
        QCOMPARE(m_document->plan().kv_bits.keys.front(), 4);
        QVERIFY(m_document->kvRatio() <= ratio && m_document->kvRatio() > 0.8 * ratio);
        QSignalSpy bases(m_document.get(), &PlanDocument::spectrumChanged);
        m_document->undoStack().undo();
        QVERIFY(m_document->spectrum() == second);
        QVERIFY(m_document->plan() == plan);
        m_document->undoStack().undo();
        QVERIFY(m_document->spectrum() == first);
        QCOMPARE(bases.count(), 2);
        m_document->undoStack().undo();  // an edit of the plan alone
        QCOMPARE(bases.count(), 2);
        m_document->undoStack().redo();
        m_document->undoStack().redo();
        m_document->undoStack().redo();
        QVERIFY(m_document->spectrum() == wide);
    }

    void mixturesOfBitsAreSteps() {
        m_document->setRankMultiple(1);
        MeasuredTables measured = tables();
        SensitivityTable table = measured.sensitivity.front();
        QuantisedSensitivity codes;
        codes.grid.bits = {4};
        codes.grid.ranks = table.ranks;
        codes.kl = table.kl;  // 4 bit cost nothing
        table.quantised = codes;
        measured.set(table);
        m_document->setTables(measured);
        m_document->setKvRatio(0.5);
        const RankPlan start = m_document->plan();
        QVERIFY(m_document->canAllocate(Allocation::Sensitivity, true));
        m_document->setAllocation(Allocation::Sensitivity, true);
        QVERIFY(m_document->plan().mixed_bits);
        QCOMPARE(m_document->plan().key_ranks, std::vector<int>(kLayers, kWidth));  // as 4 bit, all fit
        QCOMPARE(m_document->plan().kv_bits.keys, std::vector<int>(kLayers, 4));
        m_document->setKvGroups(16, KvGrouping::Token, 0);  // not as was measured
        QVERIFY(!m_document->plan().mixed_bits);
        QVERIFY(!m_document->canAllocate(Allocation::Sensitivity, true));
        m_document->undoStack().undo();
        QVERIFY(m_document->plan().mixed_bits);
        m_document->setThresholds(0.9, 0.9);
        QVERIFY(!m_document->plan().mixed_bits);
        m_document->undoStack().undo();
        m_document->undoStack().undo();
        QVERIFY(m_document->plan() == start);
    }

    void anEditThatChangesNothingIsNoStep() {
        const RankPlan plan = m_document->plan();
        m_document->setThresholds(plan.key_threshold, plan.value_threshold);
        m_document->setCriterion(plan.criterion);
        QCOMPARE(m_document->undoStack().count(), 0);
    }

    void aDragIsOneStepAndTheNextDragAnother() {
        const RankPlan start = m_document->plan();
        m_document->beginDrag();
        for (const double threshold : {0.95, 0.93, 0.9, 0.88}) {
            m_document->setThresholds(threshold, 0.98);
        }
        m_document->endDrag();
        const RankPlan middle = m_document->plan();
        QCOMPARE(m_document->undoStack().count(), 1);
        m_document->beginDrag();
        m_document->setThresholds(0.7, 0.98);
        m_document->setThresholds(0.6, 0.98);
        m_document->endDrag();
        QCOMPARE(m_document->undoStack().count(), 2);
        m_document->undoStack().undo();
        QVERIFY(m_document->plan() == middle);
        m_document->undoStack().undo();
        QVERIFY(m_document->plan() == start);
    }

    void pinnedRanksStay() {
        m_document->setRank(Side::Values, 3, 48);
        QVERIFY(m_document->plan().value_pinned[3]);
        QVERIFY(!m_document->plan().key_pinned[3]);
        m_document->setThresholds(0.5, 0.5);
        QCOMPARE(m_document->plan().value_ranks[3], 48);
        QCOMPARE(m_document->plan().key_ranks[3], expectedLayerRank(3, Side::Keys, 0.5, kHeads, kWidth, 8));
        m_document->setKvRatio(0.4);
        QCOMPARE(m_document->plan().value_ranks[3], 48);
        QVERIFY(m_document->kvRatio() <= 0.4);
        m_document->unpinAll();
        QVERIFY(!m_document->plan().value_pinned[3]);
        QCOMPARE(m_document->plan().value_ranks[3],
                 expectedLayerRank(3, Side::Values, m_document->plan().value_threshold, kHeads, kWidth, 8));
    }

    void targetsOutsideWhatCanBeHadAreClamped() {
        m_document->setKvRatio(0.0);  // every rank at its least: one multiple
        QCOMPARE(m_document->kvRatio(), 8.0 / kWidth);
        m_document->setKvRatio(1.0);
        QVERIFY(m_document->kvRatio() <= 1.0);
        QVERIFY(m_document->kvRatio() > 0.9);
    }

    void bitsCountInTheRatioAndLeaveRanksAlone() {
        m_document->setKvRatio(0.6);
        const RankPlan before = m_document->plan();
        m_document->setKvBits(4, 8);
        QCOMPARE(m_document->plan().key_ranks, before.key_ranks);
        double keys = 0.0, values = 0.0;  // bytes, with 4 for each group of 32
        for (const int rank : before.key_ranks) {
            keys += (rank + 1) / 2 + (rank + 31) / 32 * 4;
        }
        for (const int rank : before.value_ranks) {
            values += rank + (rank + 31) / 32 * 4;
        }
        const double side = 2.0 * kLayers * kWidth;  // in f16
        QCOMPARE(m_document->kvRatio(), (keys + values) / (2 * side));
        QCOMPARE(m_document->sideRatio(Side::Keys), keys / side);
        QCOMPARE(m_document->sideRatio(Side::Values), values / side);
        m_document->setKvRatio(0.2);
        QVERIFY(m_document->kvRatio() <= 0.2);
        QCOMPARE(m_document->plan().kv_bits.keys.front(), 4);
        m_document->undoStack().undo();
        m_document->undoStack().undo();
        QVERIFY(m_document->plan() == before);
        m_document->setKvBits(kUnquantised, kUnquantised);
        QVERIFY(m_document->plan() == before);  // nothing to do
    }

    void ranksNeverFallWhenTheThresholdRises() {
        m_document->setRankMultiple(1);
        std::vector<int> before(kLayers, 0);
        for (int step = 0; step <= 50; ++step) {
            m_document->setThresholds(step / 50.0, 1.0);
            for (std::size_t layer = 0; layer < before.size(); ++layer) {
                QVERIFY(m_document->plan().key_ranks[layer] >= before[layer]);
            }
            before = m_document->plan().key_ranks;
        }
        QCOMPARE(before, std::vector<int>(kLayers, kWidth));
    }

    void targetsFollowTheAllocation() {
        QVERIFY(!m_document->canAllocate(Allocation::Sensitivity));
        const RankPlan start = m_document->plan();
        m_document->setAllocation(Allocation::Sensitivity);  // not measured: nothing happens
        m_document->setErrorBudget(0.1);
        QVERIFY(m_document->plan() == start);
        QVERIFY(!m_document->largestLayerError() && !m_document->expectedDivergence());

        m_document->setTables(tables());
        QCOMPARE(m_document->undoStack().count(), 0);
        const double ratio = m_document->kvRatio();
        m_document->setAllocation(Allocation::Sensitivity);
        QVERIFY(m_document->plan().allocation == Allocation::Sensitivity);
        QVERIFY(m_document->kvRatio() <= ratio && m_document->kvRatio() > ratio - 0.03);
        m_document->setKvRatio(0.4);
        QVERIFY(m_document->kvRatio() <= 0.4 && m_document->kvRatio() > 0.37);
        // Keys of the last layer cost the most, values of the first the least.
        QVERIFY(m_document->plan().key_ranks[5] > m_document->plan().value_ranks[0]);
        QVERIFY(*m_document->expectedDivergence() > 0.0);
        const RankPlan allocated = m_document->plan();
        m_document->setRank(Side::Keys, 5, 8);
        m_document->unpin(Side::Keys, 5);
        QVERIFY(m_document->plan() == allocated);  // not the threshold's rank

        m_document->setErrorBudget(0.25);
        QVERIFY(m_document->plan().allocation == Allocation::ErrorBudget);
        // Errors are layer + 1 times 0.4, 0.2, 0.1, 0 at ranks 8, 16, 32, 64.
        QCOMPARE(m_document->plan().key_ranks, (std::vector<int>{16, 32, 64, 64, 64, 64}));
        QCOMPARE(*m_document->largestLayerError(), 0.2);
        m_document->setKvRatio(0.2);
        QVERIFY(m_document->kvRatio() <= 0.2);
        m_document->setThresholds(0.9, 0.9);
        QVERIFY(m_document->plan().allocation == Allocation::Threshold);
        while (m_document->undoStack().canUndo()) {
            m_document->undoStack().undo();
        }
        QVERIFY(m_document->plan() == start);
    }

    void aBasisWithoutTablesFallsBackToOneThreshold() {
        m_document->setTables(tables());
        m_document->setAllocation(Allocation::Sensitivity);
        m_document->setKvRatio(0.5);
        m_document->setSpectrum(syntheticSpectrum(kLayers, kHeads, kWidth));  // the same bases: kept
        QVERIFY(m_document->plan().allocation == Allocation::Sensitivity);
        QVERIFY(m_document->kvRatio() <= 0.5 && m_document->kvRatio() > 0.47);
        m_document->setTables({});
        m_document->setSpectrum(syntheticSpectrum(kLayers, kHeads, kWidth));
        QVERIFY(m_document->plan().allocation == Allocation::Threshold);
        QVERIFY(m_document->kvRatio() <= 0.5 && m_document->kvRatio() > 0.4);
    }

    void aNewSpectrumOfTheSameShapeKeepsThresholdsAndPins() {
        m_document->setThresholds(0.8, 0.85);
        m_document->setRank(Side::Keys, 1, 40);
        QSignalSpy changed(m_document.get(), &PlanDocument::changed);
        m_document->setSpectrum(syntheticSpectrum(kLayers, kHeads, kWidth));
        QCOMPARE(changed.count(), 1);
        QCOMPARE(m_document->plan().key_threshold, 0.8);
        QCOMPARE(m_document->plan().key_ranks[1], 40);
        QCOMPARE(m_document->undoStack().count(), 0);  // old steps are of the old spectrum
        m_document->setSpectrum(syntheticSpectrum(kLayers + 1, kHeads, kWidth));
        QCOMPARE(m_document->plan().key_ranks.size(), std::size_t(kLayers + 1));
        QVERIFY(!m_document->plan().key_pinned[1]);
        m_document->setSpectrum(nullptr);
        QVERIFY(m_document->empty());
        m_document->setThresholds(0.5, 0.5);  // nothing to edit: nothing happens
        QCOMPARE(m_document->undoStack().count(), 0);
    }

private:
    static MeasuredTables tables() {
        SensitivityTable divergence;
        divergence.method = "eigen";
        divergence.ranks = {8, 16, 32, 48, 64};
        LayerErrorTable errors;
        errors.method = "eigen";
        errors.criterion = "energy";
        for (int layer = 0; layer < kLayers; ++layer) {
            for (const double side : {1.0, 0.25}) {
                for (const int rank : divergence.ranks) {
                    divergence.kl.push_back(side * (layer + 1) * (1.0 - rank / 64.0));
                }
            }
            const double size = layer + 1;
            errors.layers.push_back(
                {{8, 8, 0.4 * size}, {16, 16, 0.2 * size}, {32, 32, 0.1 * size}, {64, 64, 0.0}});
        }
        MeasuredTables tables;
        tables.set(divergence);
        tables.set(errors);
        return tables;
    }

    std::unique_ptr<PlanDocument> m_document;
};

QTEST_GUILESS_MAIN(TestPlanDocument)
#include "tst_plan_document.moc"
