// SPDX-License-Identifier: Apache-2.0
// A context fitted into a memory in the window: the plan, undo, what is said where it cannot be, cancelling.
#include "tests/ui/window_fixture.h"
#include "ui/widgets/fact_list.h"
#include "ui/workspaces/spectrum/plan_panel.h"

#include <QApplication>
#include <QComboBox>
#include <QDoubleSpinBox>
#include <QLabel>
#include <QLineEdit>
#include <QPushButton>
#include <QScrollArea>
#include <QSpinBox>
#include <QWheelEvent>

#include <initializer_list>
#include <numeric>

using namespace eigenscope;

class TestContextBox : public QObject {
    Q_OBJECT
private slots:
    void initTestCase() {
        m_ui = std::make_unique<WindowFixture>();
        QVERIFY(m_ui->openDemo("llama-stories"));
        QVERIFY(m_ui->calibrateShortly());
        m_ui->window->showPage(PageId::Spectrum);
        document().setRankMultiple(1);
        QCOMPARE(part<QSpinBox>("contextTokens")->value(), 512);  // the model's positions
    }
    void cleanupTestCase() { m_ui.reset(); }
    void init() {
        document().setThresholds(0.99, 0.99);
        document().undoStack().clear();
        // 8 sequences of 512 tokens: 16 MiB of cache in f32 beside 4.5 MiB of weights and some scratch.
        part<QDoubleSpinBox>("contextMemory")->setValue(0.02);
        part<QSpinBox>("contextBatch")->setValue(8);
        part<QSpinBox>("contextTokens")->setValue(512);
    }

    void theRanksThatFit() {
        const RankPlan before = document().plan();
        QTest::mouseClick(part<QPushButton>("fitContext"), Qt::LeftButton);
        QTRY_COMPARE(document().undoStack().count(), 1);
        const RankPlan fitted = document().plan();
        const std::int64_t memory = static_cast<std::int64_t>(0.02 * 1024 * 1024 * 1024),
                           weights = m_ui->workspace->model()->model->weightBytes();
        QVERIFY(cacheBytes(fitted) + weights < memory);  // scratch is the rest
        QVERIFY(cacheBytes(fitted) + weights > memory * 9 / 10);
        QVERIFY(document().undoStack().undoText().contains("context"));
        QVERIFY(outcome()->isVisible() && outcome()->text().contains("8 × 512 tokens fit"));
        QVERIFY(outcome()->property("role") == "muted");
        QTRY_VERIFY(!outcome()->visibleRegion().isEmpty());    // scrolled to
        QVERIFY(part<QPushButton>("fitContext")->hasFocus());  // for another try
        m_ui->grab("context-fits");
        document().undoStack().undo();
        QVERIFY(document().plan() == before);
        QVERIFY(!outcome()->isVisible());  // it was of another plan
        document().undoStack().redo();
        QVERIFY(document().plan() == fitted);
    }

    void returnInTheFieldFits() {
        auto* tokens = part<QSpinBox>("contextTokens");
        tokens->setFocus();
        tokens->selectAll();
        QTest::keyClicks(tokens, "400");
        QCOMPARE(document().undoStack().count(), 0);
        QTest::keyClick(tokens, Qt::Key_Return);
        QTRY_COMPARE(document().undoStack().count(), 1);
        QVERIFY(outcome()->text().contains("400"));
    }

    void whatWouldFitIsSaid() {
        part<QSpinBox>("contextTokens")->setValue(100000);
        const RankPlan before = document().plan();
        QTest::mouseClick(part<QPushButton>("fitContext"), Qt::LeftButton);
        QTRY_VERIFY(outcome()->isVisible());
        QVERIFY(outcome()->property("role") == "warning");
        QVERIFY(outcome()->text().contains("100,000 tokens need"));
        QVERIFY(outcome()->text().contains("Would fit"));
        QVERIFY(document().plan() == before && document().undoStack().count() == 0);
        m_ui->grab("context-does-not-fit");
        part<QDoubleSpinBox>("contextMemory")->setValue(0.03);
        QVERIFY(!outcome()->isVisible());
    }

    void positionsBoundTheContext() {
        part<QSpinBox>("contextBatch")->setValue(1);
        part<QDoubleSpinBox>("contextMemory")->setValue(24);
        auto* facts = part<FactList>("contextFacts");
        QCOMPARE(facts->fact("longest"), QString("512 → 512"));
        QVERIFY(facts->fact("memory").startsWith("6.29 M → "));
        part<QSpinBox>("contextTokens")->setValue(600);
        QTest::mouseClick(part<QPushButton>("fitContext"), Qt::LeftButton);
        QTRY_VERIFY(outcome()->isVisible());
        QVERIFY(outcome()->text().contains("512 positions"));
        QVERIFY(outcome()->property("role") == "warning");
    }

    void aChangeMeanwhileStays() {
        QTest::mouseClick(part<QPushButton>("fitContext"), Qt::LeftButton);
        document().setRank(Side::Keys, 0, 5);
        const RankPlan edited = document().plan();
        QTRY_VERIFY(!m_ui->jobs.busy());
        QVERIFY(document().plan() == edited);
        QCOMPARE(document().undoStack().count(), 1);
        document().unpinAll();
    }

    void cancelled() {
        const RankPlan before = document().plan();
        QTest::mouseClick(part<QPushButton>("fitContext"), Qt::LeftButton);
        m_ui->jobs.cancelAll();
        QTRY_VERIFY(!m_ui->jobs.busy());
        QVERIFY(m_ui->jobs.jobs().back()->state() == Job::State::Cancelled);
        QVERIFY(document().plan() == before && !outcome()->isVisible());
    }

    // The wheel scrolls the panel on, whatever field is under the pointer; only a field in use follows it.
    void theWheelChangesNothingInPassing() {
        auto* batch = part<QSpinBox>("contextBatch");
        auto* method = part<QComboBox>("method");
        const RankPlan before = document().plan();
        const auto wheel = [](QWidget* field) {
            QWheelEvent event(field->rect().center(), field->mapToGlobal(field->rect().center()), {},
                              {0, 120}, Qt::NoButton, {}, Qt::NoScrollPhase, false);
            QApplication::sendEvent(field, &event);
            return event.isAccepted();
        };
        part<QPushButton>("fitContext")->setFocus();
        for (QWidget* field : std::initializer_list<QWidget*>{batch, method}) {
            QVERIFY(!wheel(field));  // left to the panel
            QVERIFY((field->focusPolicy() & Qt::WheelFocus) == Qt::StrongFocus);
        }
        QCOMPARE(batch->value(), 8);
        QVERIFY(document().plan() == before && !m_ui->jobs.busy());
        batch->setFocus();
        QVERIFY(wheel(batch));
        QCOMPARE(batch->value(), 9);
    }

    // What is in the panel is no wider than the panel, so that nothing is cut off on its left.
    void nothingIsCutOff() {
        part<QSpinBox>("contextTokens")->setValue(99'999'999);
        for (const QSize size : {QSize(1440, 900), QSize(1024, 720)}) {
            m_ui->window->resize(size);
            QTest::qWait(50);
            const QScrollArea* area = m_ui->window->findChild<PlanPanel*>()->findChild<QScrollArea*>();
            QVERIFY(area->widget()->width() <= area->viewport()->width());
        }
        m_ui->grab("context-small");
        m_ui->window->resize(1440, 900);
    }

    // An allocation that was chosen but has no tables yet cannot share a memory out.
    void needsTheAllocationsTables() {
        auto* allocation = part<QComboBox>("allocation");
        allocation->setFocus();
        QTest::keyClick(allocation, Qt::Key_End);
        QVERIFY(part<QPushButton>("measureTables")->isVisible());
        QVERIFY(!part<QPushButton>("fitContext")->isEnabled());
        QTest::keyClick(allocation, Qt::Key_Home);
        QVERIFY(part<QPushButton>("fitContext")->isEnabled());
    }

private:
    PlanDocument& document() { return m_ui->workspace->plan(); }
    QLabel* outcome() { return part<QLabel>("contextOutcome"); }
    template <typename Widget>
    Widget* part(const QString& name) {
        return m_ui->find<Widget>(name);
    }
    // Of 8 sequences of 512 tokens in f32, for 2 heads.
    static std::int64_t cacheBytes(const RankPlan& plan) {
        const int ranks = std::accumulate(plan.key_ranks.begin(), plan.key_ranks.end(), 0) +
                          std::accumulate(plan.value_ranks.begin(), plan.value_ranks.end(), 0);
        return std::int64_t{4} * ranks * 2 * 512 * 8;
    }

    std::unique_ptr<WindowFixture> m_ui;
};

QTEST_MAIN(TestContextBox)
#include "tst_context_box.moc"
