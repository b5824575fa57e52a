// SPDX-License-Identifier: Apache-2.0
// Every setting of a plan beside its thresholds, by mouse and keyboard, with undo: groups of the cache's
// codes, layers' own thresholds, centring, mixtures of ranks and bits.
#include "tests/ui/window_fixture.h"
#include "ui/workspaces/spectrum/plan_panel.h"
#include "ui/workspaces/spectrum/slider_row.h"

#include <QCheckBox>
#include <QComboBox>
#include <QLabel>
#include <QPushButton>
#include <QSpinBox>

#include <cmath>

using namespace eigenscope;

class TestPlanSettings : public QObject {
    Q_OBJECT
private slots:
    void initTestCase() {
        // Keys that choose from lists come faster than a user's, and are no words.
        QApplication::setKeyboardInputInterval(0);
        m_ui = std::make_unique<WindowFixture>();
        QVERIFY(m_ui->openDemo("llama-stories"));
        QVERIFY(m_ui->calibrateShortly());
        m_ui->window->showPage(PageId::Spectrum);
        document().setRankMultiple(1);
        document().setKvRatio(0.6);
    }
    void cleanupTestCase() { m_ui.reset(); }
    void init() { document().undoStack().clear(); }

    void groupsShowOnceThereAreCodes() {
        auto* group = part<QComboBox>("kvGroup");
        auto* keys = part<QComboBox>("kvKeys");
        auto* recent = part<QSpinBox>("kvRecent");
        const RankPlan before = document().plan();
        QVERIFY(!group->isVisible());
        key(m_ui->find<QComboBox>("keyBits"), Qt::Key_4);
        key(m_ui->find<QComboBox>("valueBits"), Qt::Key_4);
        QVERIFY(group->isVisible() && keys->isVisible() && recent->isVisible());
        QCOMPARE(group->currentText(), QString("32"));
        const RankPlan fours = document().plan();
        key(group, Qt::Key_6);  // 64
        QCOMPARE(document().plan().kv_bits.group, 64);
        QVERIFY(std::abs(document().kvRatio() - bytesOf(document().plan(), 64, false)) < 1e-12);
        key(keys, Qt::Key_Down);
        QVERIFY(document().plan().kv_bits.key_grouping == KvGrouping::Channel);
        QVERIFY(std::abs(document().kvRatio() - bytesOf(document().plan(), 64, true)) < 1e-12);
        recent->setFocus();
        QTest::keyClick(recent, Qt::Key_Up);
        QCOMPARE(document().plan().kv_bits.recent, 16);
        QCOMPARE(document().undoStack().count(), 5);
        m_ui->grab("plan-groups");
        for (int i = 0; i < 3; ++i)
            document().undoStack().undo();
        QVERIFY(document().plan() == fours);
        QCOMPARE(group->currentText(), QString("32"));
        QCOMPARE(keys->currentIndex(), 0);
        QCOMPARE(recent->value(), 0);
        document().undoStack().undo();
        document().undoStack().undo();
        QVERIFY(document().plan() == before);
        QVERIFY(!group->isVisible());
    }

    void aLayerHasItsOwnThreshold() {
        auto* own = m_ui->find<QCheckBox>("layerThreshold");
        auto* row = m_ui->find<SliderRow>("layerKeyThreshold");
        Workspace& workspace = *m_ui->workspace;
        workspace.select(2, -1, Side::Keys);
        QVERIFY(own->text().contains('2'));
        QVERIFY(!row->isVisible());
        const RankPlan before = document().plan();
        click(own);
        QVERIFY(row->isVisible());
        row->spinBox()->setFocus();
        row->spinBox()->selectAll();
        QTest::keyClicks(row->spinBox(), QLocale().toString(0.9, 'f', 3));
        QTest::keyClick(row->spinBox(), Qt::Key_Return);
        const int rank = workspace.spectrum()->rankOf(2, Side::Keys, 0.9, Criterion::Energy, 1);
        QCOMPARE(*document().plan().key_layer_thresholds[2], 0.9);
        QCOMPARE(document().plan().key_ranks[2], rank);
        document().setKvRatio(0.9);  // it stays while the others move
        QCOMPARE(document().plan().key_ranks[2], rank);
        QVERIFY(document().plan().key_ranks[1] > before.key_ranks[1]);
        m_ui->grab("plan-layer-threshold");
        workspace.select(1, -1, Side::Keys);
        QVERIFY(!own->isChecked() && !row->isVisible());
        workspace.select(2, -1, Side::Values);
        QVERIFY(!own->isChecked() && !row->isVisible());
        workspace.select(2, -1, Side::Keys);
        QVERIFY(own->isChecked() && row->isVisible());
        document().undoStack().undo();
        click(own);
        QVERIFY(!document().plan().key_layer_thresholds[2]);
        while (document().undoStack().canUndo())
            document().undoStack().undo();
        QVERIFY(document().plan() == before);
        QVERIFY(!own->isChecked());
    }

    void basesCanBeUndone() {
        auto* center = m_ui->find<QCheckBox>("center");
        auto* method = m_ui->find<QComboBox>("method");
        auto* latents = m_ui->find<QComboBox>("headGroup");
        const RankPlan before = document().plan();
        const auto spectrum = document().spectrum();
        click(center);
        QTRY_VERIFY_WITH_TIMEOUT(document().plan().center && center->isEnabled(), 30000);
        QVERIFY(document().spectrum() != spectrum && document().spectrum()->options().center);
        QVERIFY(center->isChecked());
        const double ratio = document().kvRatio();
        // A method comes with the latents that it is best with.
        key(method, Qt::Key_A);
        QTRY_VERIFY_WITH_TIMEOUT(document().plan().method == "attention-aware" && method->isEnabled(), 30000);
        QCOMPARE(document().plan().head_group, 2);
        QCOMPARE(latents->currentIndex(), 1);
        QVERIFY(!center->isEnabled() && !center->isChecked());
        // Ranks of wider latents count in other units; what was asked for stays.
        QVERIFY(std::abs(document().kvRatio() - ratio) < 0.02);
        QCOMPARE(document().undoStack().count(), 2);
        document().undoStack().undo();
        QVERIFY(document().plan().center);
        QCOMPARE(latents->currentIndex(), 0);
        document().undoStack().undo();
        QVERIFY(document().plan() == before);
        QVERIFY(document().spectrum() == spectrum);
        QVERIFY(!center->isChecked());
        document().undoStack().redo();
        document().undoStack().redo();
        QCOMPARE(document().plan().head_group, 2);
        m_ui->grab("plan-attention-aware");
    }

    // Follows the test above: attention-aware, a latent for two heads.
    void ranksAndBitsAreMixed() {
        auto* allocation = m_ui->find<QComboBox>("allocation");
        auto* mixed = m_ui->find<QCheckBox>("mixedBits");
        auto* measure = m_ui->find<QPushButton>("measureTables");
        auto* keys = m_ui->find<QComboBox>("keyBits");
        QVERIFY(!mixed->isVisible());
        key(allocation, Qt::Key_S);
        QVERIFY(measure->isVisible() && mixed->isVisible());
        click(mixed);
        QVERIFY(mixed->isChecked());
        QVERIFY(measure->text().contains("bits"));
        QVERIFY(part<QComboBox>("kvGroup")->isVisible());  // how to measure
        const RankPlan before = document().plan();
        QTest::mouseClick(measure, Qt::LeftButton);
        QVERIFY(m_ui->workspace->tablesJob());
        m_ui->workspace->tablesJob()->cancel();
        QTRY_VERIFY_WITH_TIMEOUT(!m_ui->jobs.busy(), 20000);
        QVERIFY(document().plan() == before);

        // What measuring would leave: 4 bit costs next to nothing but for the keys of layer 0.
        document().setTables(tables());
        QVERIFY(document().plan().mixed_bits);
        QVERIFY(!measure->isVisible());
        QVERIFY(document().plan().allocation == Allocation::Sensitivity);
        document().setKvRatio(0.3);
        QVERIFY(document().kvRatio() <= 0.3);
        QCOMPARE(document().plan().kv_bits.values, std::vector<int>(4, 4));
        QVERIFY(document().plan().kv_bits.keys[0] > 4);
        QCOMPARE(keys->currentIndex(), -1);
        m_ui->grab("plan-mixed");
        m_ui->window->resize(1024, 720);
        m_ui->grab("plan-mixed-1024");
        m_ui->window->resize(1440, 900);
        m_ui->window->showPage(PageId::Convert);
        m_ui->grab("convert-mixed");
        QVERIFY(m_ui->find<QLabel>("cacheGroups")->text().contains("32"));
        m_ui->window->showPage(PageId::Spectrum);

        // Other groups than were measured: the mixture waits for them, and can be undone.
        const RankPlan mixture = document().plan();
        key(part<QComboBox>("kvGroup"), Qt::Key_6);
        QCOMPARE(document().plan().kv_bits.group, 64);
        QVERIFY(!document().plan().mixed_bits);
        QVERIFY(mixed->isChecked());
        QVERIFY(measure->isVisible());
        document().undoStack().undo();
        QVERIFY(document().plan() == mixture);
        // One number of bits for all layers ends it.
        key(m_ui->find<QComboBox>("valueBits"), Qt::Key_8);
        QVERIFY(!document().plan().mixed_bits);
        QCOMPARE(document().plan().kv_bits.values, std::vector<int>(4, 8));
        document().undoStack().undo();
        QVERIFY(document().plan() == mixture);
    }

private:
    PlanDocument& document() { return m_ui->workspace->plan(); }
    // Of the plan's panel; Compare has rows of the same names.
    template <typename Widget>
    Widget* part(const QString& name) {
        return m_ui->window->findChild<PlanPanel*>()->findChild<Widget*>(name);
    }
    static void key(QComboBox* combo, Qt::Key key) {
        combo->setFocus();
        QTest::keyClick(combo, key);
    }
    static void click(QCheckBox* box) {
        QTest::mouseClick(box, Qt::LeftButton, {}, QPoint(8, box->height() / 2));
    }

    // The cache's bytes at 4 bit over f16, counted anew.
    double bytesOf(const RankPlan& plan, int group, bool by_channel) {
        const int width = m_ui->workspace->spectrum()->basisWidth();
        double bytes = 0;
        for (std::size_t i = 0; i < plan.key_ranks.size(); ++i) {
            const auto codes = [](int rank) { return (rank * 4 + 7) / 8; };
            const auto scales = [&](int rank) { return 4.0 * ((rank + group - 1) / group); };
            bytes += codes(plan.key_ranks[i]) +
                     (by_channel ? 4.0 * plan.key_ranks[i] / group : scales(plan.key_ranks[i]));
            bytes += codes(plan.value_ranks[i]) + scales(plan.value_ranks[i]);
        }
        return bytes / (2.0 * 2 * width * static_cast<double>(plan.key_ranks.size()));
    }

    MeasuredTables tables() {
        const int width = m_ui->workspace->spectrum()->basisWidth();
        MeasuredTables all = m_ui->workspace->statistics()->tables;
        SensitivityTable table;
        table.method = "attention-aware";
        table.options = document().plan().basisOptions();
        table.ranks = {width / 4, width / 2, width};
        QuantisedSensitivity codes;
        codes.grid.bits = {8, 4};
        codes.grid.ranks = table.ranks;
        for (int layer = 0; layer < 4; ++layer) {
            for (const bool keys : {true, false}) {
                for (const double loss : {0.1, 0.01, 0.0})
                    table.kl.push_back(loss);
                for (const double more : {1e-5, keys && layer == 0 ? 1.0 : 1e-4}) {
                    for (const double loss : {0.1, 0.01, 0.0})
                        codes.kl.push_back(loss + more);
                }
            }
        }
        table.quantised = codes;
        all.set(table);
        return all;
    }

    std::unique_ptr<WindowFixture> m_ui;
};

QTEST_MAIN(TestPlanSettings)
#include "tst_plan_settings.moc"
