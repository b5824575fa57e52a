// SPDX-License-Identifier: Apache-2.0
// The Spectrum workspace in the window, on a demo model.
#include "tests/ui/mouse.h"
#include "tests/ui/synthetic.h"
#include "tests/ui/window_fixture.h"
#include "ui/widgets/job_progress.h"
#include "ui/widgets/segmented_control.h"
#include "ui/workspaces/spectrum/calibration_form.h"
#include "ui/workspaces/spectrum/corpus_editor.h"
#include "ui/workspaces/spectrum/overlap_plot.h"
#include "ui/workspaces/spectrum/plan_panel.h"
#include "ui/workspaces/spectrum/rank_bars.h"
#include "ui/workspaces/spectrum/rank_map.h"
#include "ui/workspaces/spectrum/slider_row.h"
#include "ui/workspaces/spectrum/spectrum_plot.h"
#include "ui/workspaces/spectrum/subspace_dialog.h"

#include <QCheckBox>
#include <QComboBox>
#include <QDoubleSpinBox>
#include <QDropEvent>
#include <QElapsedTimer>
#include <QLabel>
#include <QLineEdit>
#include <QMimeData>
#include <QPushButton>
#include <QSignalSpy>
#include <QSlider>
#include <QSpinBox>
#include <QToolButton>
#include <QUrl>

#include <cmath>
#include <ctime>
#include <functional>

using namespace eigenscope;
using namespace eigenscope::testing;

namespace {

class PaintCounter : public QObject {
public:
    int count = 0;
    bool eventFilter(QObject* watched, QEvent* event) override {
        count += event->type() == QEvent::Paint ? 1 : 0;
        return QObject::eventFilter(watched, event);
    }
};

}  // namespace

class TestSpectrumPage : public QObject {
    Q_OBJECT
private slots:
    void initTestCase() { m_ui = std::make_unique<WindowFixture>(); }
    void cleanupTestCase() { m_ui.reset(); }

    // Prints what an edit costs on the largest model; 16 ms is a frame. Nothing is asserted about time.
    void costOfAnEdit() {
        PlanDocument& document = m_ui->workspace->plan();
        document.setSpectrum(syntheticSpectrum(80, 64, 128));
        m_ui->window->showPage(PageId::Spectrum);
        QCoreApplication::processEvents();
        const auto cpu = [] {
            timespec now{};
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
            return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
        };
        // An edit that is not painted would be cheap: the heat map counts its paints.
        PaintCounter paints;
        m_ui->window->findChild<RankMap*>()->installEventFilter(&paints);
        const auto measure = [&](const char* what, const std::function<void(int)>& edit) {
            constexpr int kEdits = 40;
            double total = 0, worst = 0, wall = 0;
            for (int i = 0; i < kEdits; ++i) {
                QElapsedTimer clock;
                clock.start();
                const double start = cpu();
                edit(i);
                // Everything the edit invalidated is painted before the clock stops.
                QCoreApplication::processEvents();
                QCoreApplication::sendPostedEvents();
                const double spent = cpu() - start;
                total += spent;
                worst = std::max(worst, spent);
                wall += static_cast<double>(clock.nsecsElapsed()) / 1e6;
            }
            qInfo("80 layers x 64 heads x 128: %-22s %5.2f ms CPU mean, %5.2f ms worst, %5.2f ms wall mean",
                  what, total / kEdits, worst, wall / kEdits);
        };
        document.beginDrag();
        paints.count = 0;
        measure("key threshold", [&](int i) { document.setThresholds(0.80 + i * 0.004, 0.9); });
        QVERIFY(paints.count >= 40);
        measure("both thresholds",
                [&](int i) { document.setThresholds(0.80 + i * 0.004, 0.80 + i * 0.004); });
        measure("one rank", [&](int i) { document.setRank(Side::Keys, 7, 8 + 8 * (i % 15)); });
        measure("target KV ratio", [&](int i) { document.setKvRatio(0.3 + i * 0.01); });
        document.endDrag();
        auto* both = m_ui->window->page(PageId::Spectrum)->findChild<SegmentedControl*>();
        emit both->selected(2);
        QCoreApplication::processEvents();
        document.beginDrag();
        measure("both thresholds, Both",
                [&](int i) { document.setThresholds(0.80 + i * 0.004, 0.80 + i * 0.004); });
        document.endDrag();
        document.setSpectrum(nullptr);
        emit both->selected(0);
    }

    void withoutAModelThePageLeadsToStart() {
        m_ui->window->showPage(PageId::Spectrum);
        auto* page = m_ui->window->page(PageId::Spectrum);
        QSignalSpy requested(page, &Page::pageRequested);
        QPushButton* action = visibleButton(page, "Start");
        QVERIFY(action);
        QTest::mouseClick(action, Qt::LeftButton);
        QCOMPARE(requested.count(), 1);
        QVERIFY(requested[0][0].value<PageId>() == PageId::Start);
    }

    void calibrationRunsFromTheFormAndCanBeCancelled() {
        QVERIFY(m_ui->openDemo("llama-stories"));
        m_ui->window->showPage(PageId::Spectrum);
        auto* form = m_ui->window->findChild<CalibrationForm*>();
        QVERIFY(form->isVisible());
        auto* text = form->findChild<QLineEdit*>("calibrationText");
        QVERIFY(text->text().endsWith("text/calibration.txt"));
        auto boxes = form->findChildren<QSpinBox*>();
        QCOMPARE(boxes.size(), 3);
        QCOMPARE(boxes[0]->value(), 64);
        QCOMPARE(boxes[1]->value(), m_ui->workspace->model()->model->config.max_positions);
        auto* calibrate = form->findChild<QPushButton*>("calibrate");
        const QString good = text->text();
        text->setText("/no/such/file.txt");
        QVERIFY(!calibrate->isEnabled());
        text->setText(good);
        QVERIFY(calibrate->isEnabled());

        QTest::mouseClick(calibrate, Qt::LeftButton);
        QVERIFY(form->progress()->isVisible());
        QVERIFY(!calibrate->isEnabled());
        QTest::mouseClick(form->progress()->findChild<QPushButton*>("cancelJob"), Qt::LeftButton);
        QTRY_VERIFY_WITH_TIMEOUT(!m_ui->jobs.busy(), 20000);
        QVERIFY(!m_ui->workspace->statistics());
        QVERIFY(form->isVisible());

        boxes[0]->setValue(4);
        boxes[1]->setValue(128);
        QTest::keyClick(m_ui->window.get(), Qt::Key_Return, Qt::ControlModifier);
        QTRY_VERIFY_WITH_TIMEOUT(m_ui->workspace->statistics() != nullptr, 60000);
        QTRY_VERIFY(!form->isVisible());
        QCOMPARE(m_ui->workspace->statistics()->calibration.samples, 4);
        QVERIFY(m_ui->window->findChild<SpectrumPlot*>()->isVisible());
    }

    void aCancelledCalibrationGoesOn() {
        Workspace& workspace = *m_ui->workspace;
        auto* form = m_ui->window->findChild<CalibrationForm*>();
        auto* again = visibleButton(m_ui->window->findChild<PlanPanel*>(), "Recalibrate");
        QVERIFY(again);
        QTest::mouseClick(again, Qt::LeftButton);
        auto boxes = form->findChildren<QSpinBox*>();
        auto* more = form->findChild<QPushButton*>("continueCalibration");
        QVERIFY(!more->isVisible());
        boxes[0]->setValue(150);
        boxes[1]->setValue(64);
        QTest::mouseClick(form->findChild<QPushButton*>("calibrate"), Qt::LeftButton);
        Job* job = form->progress()->job();
        QTRY_VERIFY_WITH_TIMEOUT(job->progress().stage == "calibrating" && job->progress().done > 0, 60000);
        QTest::mouseClick(form->progress()->findChild<QPushButton*>("cancelJob"), Qt::LeftButton);
        QTRY_VERIFY_WITH_TIMEOUT(!m_ui->jobs.busy(), 20000);
        QVERIFY(workspace.pausedCalibration().has_value());
        const std::int64_t done = workspace.pausedCalibration()->partial.windows;
        QVERIFY(done > 0 && done < 150);
        QVERIFY(more->isVisible());
        QVERIFY2(more->text().contains(QString::number(done)), qPrintable(more->text()));
        picture("continue");
        QTest::mouseClick(more, Qt::LeftButton);
        QTRY_VERIFY_WITH_TIMEOUT(!m_ui->jobs.busy() && !form->isVisible(), 60000);
        QVERIFY(!workspace.pausedCalibration());
        const auto continued = workspace.statistics();
        QCOMPARE(continued->calibration.samples, 150);

        // As without the break; and asking for the same once more measures nothing.
        JobContext context;
        CalibrationOptions options;
        options.samples = 150;
        options.sequence_length = 64;
        options.run = workspace.runOptions();
        const CorpusSpec text(workspace.suggestedCalibrationText().toStdString());
        const Statistics whole = calibrate(context, *workspace.model(), text, options);
        QVERIFY(whole.layers[1].keys.gram == continued->layers[1].keys.gram);
        QVERIFY(whole.layers[0].logit_keys.gram == continued->layers[0].logit_keys.gram);
        QSignalSpy notices(&workspace, &Workspace::notice);
        workspace.calibrate(text, options);
        QTRY_VERIFY_WITH_TIMEOUT(!m_ui->jobs.busy(), 60000);
        QCOMPARE(workspace.statistics(), continued);
        QCOMPARE(notices.count(), 1);
        QVERIFY(notices[0][0].toString().startsWith("Nothing new"));
    }

    void severalTextsAreMixed() {
        auto* form = m_ui->window->findChild<CalibrationForm*>();
        QTest::mouseClick(visibleButton(m_ui->window->findChild<PlanPanel*>(), "Recalibrate"),
                          Qt::LeftButton);
        auto* editor = form->findChild<CorpusEditor*>();
        auto* calibrate = form->findChild<QPushButton*>("calibrate");
        const QString records = m_ui->folder.filePath("records.jsonl");
        QFile file(records);
        QVERIFY(file.open(QIODevice::WriteOnly));
        for (int i = 0; i < 20; ++i) {
            file.write(
                "{\"story\": \"Once upon a time there was a girl who found a key by the river. "
                "She took it home and showed it to her mother and they were happy.\"}\n");
        }
        file.close();
        drop(form, {records});
        QCOMPARE(editor->files().size(), 2);
        QVERIFY(editor->fact().contains("2 files"));
        auto weights = editor->findChildren<QDoubleSpinBox*>("textWeight");
        QCOMPARE(weights.size(), 2);
        QVERIFY(weights[1]->isVisible());
        weights[1]->setValue(3);
        editor->findChild<QLineEdit*>("textField")->setText("story");
        auto boxes = form->findChildren<QSpinBox*>();
        boxes[0]->setValue(8);
        boxes[1]->setValue(16);
        QVERIFY(calibrate->isEnabled());
        QCoreApplication::processEvents();
        picture("mixture");
        QTest::mouseClick(calibrate, Qt::LeftButton);
        QTRY_VERIFY_WITH_TIMEOUT(!m_ui->jobs.busy(), 60000);
        const CorpusSummary& corpus = m_ui->workspace->statistics()->corpus;
        QCOMPARE(corpus.files.size(), std::size_t{2});
        QCOMPARE(corpus.files[1].name, std::string("records.jsonl"));
        QCOMPARE(corpus.files[1].windows, std::int64_t{6});
        QCOMPARE(corpus.files[1].sampling, std::string("separate"));
        QCOMPARE(corpus.text_field, std::string("story"));

        // A folder is the window's to open; a row that is removed is gone.
        QTest::mouseClick(visibleButton(m_ui->window->findChild<PlanPanel*>(), "Recalibrate"),
                          Qt::LeftButton);
        drop(form, {m_ui->folder.path()});
        QCOMPARE(editor->files().size(), 2);
        for (QToolButton* button : editor->findChildren<QToolButton*>()) {
            if (button->accessibleName().startsWith("Remove") && editor->files().size() == 2) {
                QTest::mouseClick(button, Qt::LeftButton);
            }
        }
        QCOMPARE(editor->files(), QStringList{records});
        QTest::mouseClick(editor->findChild<QPushButton*>("addText"), Qt::LeftButton);
        QTest::keyClicks(m_ui->window->focusWidget(), "/no/such.txt");
        QVERIFY(!calibrate->isEnabled());
        QVERIFY(editor->problem().contains("such.txt"));
        editor->setFiles({m_ui->workspace->suggestedCalibrationText()});
        QTest::mouseClick(visibleButton(form, "Back"), Qt::LeftButton);
    }

    void basesOfTwoTextsAreCompared() {
        Workspace& workspace = *m_ui->workspace;
        const QString file = m_ui->folder.filePath("other.stats.safetensors");
        workspace.saveStatistics(file);
        QTRY_VERIFY_WITH_TIMEOUT(!m_ui->jobs.busy(), 60000);
        QVERIFY(m_ui->calibrateShortly());
        QVERIFY(m_ui->find<QPushButton>("compareStatistics")->isVisible());
        SubspaceDialog dialog(workspace, *m_ui->theme, m_ui->window.get());
        dialog.show();
        QSignalSpy compared(&workspace, &Workspace::basesCompared);
        dialog.compareWith(file);
        QTRY_VERIFY_WITH_TIMEOUT(!m_ui->jobs.busy() && compared.count() == 1, 60000);
        auto* plot = dialog.findChild<OverlapPlot*>();
        const PlotTable table = plot->table();
        QCOMPARE(table.rows.size(), workspace.spectrum()->layers());
        QVERIFY(table.rows[0][1] > 0.3 && table.rows[0][1] < 1);
        QVERIFY(dialog.findChild<QLabel*>("overlapSummary")->text().contains("Mean overlap"));
        QCoreApplication::processEvents();
        save(dialog, "subspaces");
        // By rank: at the full width everything overlaps.
        auto* by = dialog.findChild<SegmentedControl*>();
        QTest::mouseClick(by->findChildren<QToolButton*>()[1], Qt::LeftButton);
        auto* rank = dialog.findChild<QSpinBox*>();
        QVERIFY(rank->isVisible());
        rank->setValue(rank->maximum());
        QTRY_VERIFY_WITH_TIMEOUT(!m_ui->jobs.busy() && compared.count() == 3, 60000);
        QVERIFY(std::abs(plot->table().rows[1][4] - 1) < 1e-9);
        // A file that is no statistics is named, and what is shown stays.
        QSignalSpy notices(&workspace, &Workspace::notice);
        dialog.compareWith(workspace.suggestedCalibrationText());
        QTRY_VERIFY_WITH_TIMEOUT(!m_ui->jobs.busy(), 60000);
        QCOMPARE(notices.count(), 1);
        QVERIFY(notices[0][1].toString().contains("calibration.txt"));
        QCOMPARE(compared.count(), 3);
        dialog.close();
        m_ui->window->activateWindow();  // nobody does that on the offscreen platform
        QVERIFY(QTest::qWaitForWindowActive(m_ui->window.get()));
    }

    void thePageFollowsADragOnTheRealModel() {
        auto* plot = m_ui->window->findChild<SpectrumPlot*>();
        auto* ratio = m_ui->find<QLabel>("kvRatio");
        PlanDocument& document = m_ui->workspace->plan();
        document.undoStack().clear();
        QCoreApplication::processEvents();
        const QString shown = ratio->text();
        const double before = document.kvRatio();
        const QPoint handle = plot->handleCentre(Side::Keys);
        dragMouse(plot, handle, handle + QPoint(0, 80));
        QVERIFY(document.kvRatio() < before);
        QVERIFY(ratio->text() != shown);
        QVERIFY(ratio->text().startsWith(QLocale().toString(document.kvRatio(), 'f', 3)));
        QCOMPARE(document.undoStack().count(), 1);
        QTest::keyClick(m_ui->window.get(), Qt::Key_Z, Qt::ControlModifier);
        QCOMPARE(document.kvRatio(), before);
        QCOMPARE(ratio->text(), shown);
    }

    void slidersAndSpinBoxesEditThePlan() {
        auto rows = m_ui->window->findChildren<SliderRow*>();
        QCOMPARE(rows.size(), 6);  // keys, values, error budget, target, the selected layer's own two
        PlanDocument& document = m_ui->workspace->plan();
        document.undoStack().clear();
        QSlider* keys = rows[0]->slider();
        const double before = document.plan().key_threshold;
        const double share = static_cast<double>(keys->value()) / keys->maximum();
        const QPoint knob(static_cast<int>(7 + share * (keys->width() - 14)), keys->height() / 2);
        dragMouse(keys, knob, knob - QPoint(60, 0));
        QVERIFY(document.plan().key_threshold < before);
        QCOMPARE(document.undoStack().count(), 1);
        QVERIFY(std::abs(rows[0]->spinBox()->value() - document.plan().key_threshold) < 1e-4);

        rows[1]->spinBox()->setFocus();
        rows[1]->spinBox()->selectAll();
        QTest::keyClicks(rows[1]->spinBox(), QLocale().toString(0.875, 'f', 3));
        QTest::keyClick(rows[1]->spinBox(), Qt::Key_Return);
        QCOMPARE(document.plan().value_threshold, 0.875);
        QCheckBox* link = m_ui->find<QCheckBox>("linkThresholds");
        QTest::mouseClick(link, Qt::LeftButton, {}, QPoint(8, link->height() / 2));
        QVERIFY(link->isChecked());
        rows[1]->spinBox()->setFocus();
        QTest::keyClick(rows[1]->spinBox(), Qt::Key_Up);
        QVERIFY(std::abs(document.plan().value_threshold - 0.876) < 1e-9);
        QCOMPARE(document.plan().key_threshold, document.plan().value_threshold);
        link->setChecked(false);

        rows[3]->spinBox()->setFocus();
        rows[3]->spinBox()->selectAll();
        QTest::keyClicks(rows[3]->spinBox(), QLocale().toString(0.5, 'f', 1));
        QTest::keyClick(rows[3]->spinBox(), Qt::Key_Return);
        QVERIFY(document.kvRatio() <= 0.5 && document.kvRatio() > 0.35);
        QCOMPARE(rows[3]->spinBox()->value(), 0.5);  // what was asked for, not what came of it
    }

    void allocationsHaveControlsOfTheirOwn() {
        auto* panel = m_ui->window->findChild<PlanPanel*>();
        auto* allocation = panel->findChild<QComboBox*>("allocation");
        auto* budget = panel->findChild<SliderRow*>("errorBudget");
        auto* measure = panel->findChild<QPushButton*>("measureTables");
        auto rows = panel->findChildren<SliderRow*>();
        PlanDocument& document = m_ui->workspace->plan();
        document.setKvRatio(0.5);
        QVERIFY(rows[0]->isVisible() && !budget->isVisible() && !measure->isVisible());

        // Calibration has measured layer errors: choosing the budget shares the ratio out at once.
        choose(allocation, 1);
        QVERIFY(document.plan().allocation == Allocation::ErrorBudget);
        QVERIFY(document.kvRatio() <= 0.5);
        QVERIFY(document.largestLayerError().has_value());
        QVERIFY(!rows[0]->isVisible() && budget->isVisible() && !measure->isVisible());
        const double before = document.kvRatio();
        document.undoStack().clear();
        QSlider* slider = budget->slider();
        const double share = static_cast<double>(slider->value()) / slider->maximum();
        const QPoint knob(static_cast<int>(7 + share * (slider->width() - 14)), slider->height() / 2);
        dragMouse(slider, knob, knob - QPoint(slider->width() / 4, 0));
        QVERIFY(document.kvRatio() > before);  // a smaller budget needs more
        QCOMPARE(document.undoStack().count(), 1);
        QVERIFY(*document.largestLayerError() <= document.plan().error_budget);

        // Another criterion takes another path, which is not measured: the button measures it.
        document.setCriterion(Criterion::SingularValues);
        QVERIFY(measure->isVisible() && !budget->isEnabled());
        QTest::mouseClick(measure, Qt::LeftButton);
        QVERIFY(m_ui->workspace->tablesJob()->active());
        QVERIFY(!measure->isVisible());
        QTRY_VERIFY_WITH_TIMEOUT(!m_ui->jobs.busy(), 120000);
        QTRY_VERIFY(budget->isEnabled() && !measure->isVisible());
        document.setErrorBudget(0.05);
        QVERIFY(*document.largestLayerError() <= 0.05);
        document.setCriterion(Criterion::Energy);
    }

    void sensitivityIsMeasuredAsAJobThatCanBeCancelled() {
        auto* panel = m_ui->window->findChild<PlanPanel*>();
        auto* allocation = panel->findChild<QComboBox*>("allocation");
        auto* measure = panel->findChild<QPushButton*>("measureTables");
        PlanDocument& document = m_ui->workspace->plan();
        const RankPlan before = document.plan();
        choose(allocation, 2);
        QVERIFY(document.plan() == before);  // nothing to share out by
        QCOMPARE(allocation->currentIndex(), 2);
        QVERIFY(measure->isVisible());
        QTest::mouseClick(measure, Qt::LeftButton);
        auto* progress = panel->findChild<JobProgress*>();
        QVERIFY(progress->isVisible());
        QTest::mouseClick(progress->findChild<QPushButton*>("cancelJob"), Qt::LeftButton);
        QTRY_VERIFY_WITH_TIMEOUT(!m_ui->jobs.busy(), 20000);
        QVERIFY(!m_ui->workspace->statistics()->tables.findSensitivity("eigen", {}));
        QTRY_VERIFY(measure->isVisible());

        // With a table at hand the wish is granted.
        SensitivityTable table;
        table.method = "eigen";
        table.ranks = {m_ui->workspace->spectrum()->basisWidth()};
        table.kl.assign(before.key_ranks.size() * 2, 0.0);
        MeasuredTables tables = m_ui->workspace->statistics()->tables;
        tables.set(table);
        document.setTables(tables);
        QVERIFY(document.plan().allocation == Allocation::Sensitivity);
        QVERIFY(!measure->isVisible());
        choose(allocation, 0);
        QVERIFY(document.plan().allocation == Allocation::Threshold);
        document.setTables(m_ui->workspace->statistics()->tables);
    }

    void bitsAreChosenBesideTheRanks() {
        auto* keys = m_ui->find<QComboBox>("keyBits");
        auto* values = m_ui->find<QComboBox>("valueBits");
        auto* ratio = m_ui->find<QLabel>("kvRatio");
        PlanDocument& document = m_ui->workspace->plan();
        document.undoStack().clear();
        const RankPlan before = document.plan();
        const double unquantised = document.kvRatio();
        QCOMPARE(keys->currentData().toInt(), kUnquantised);
        for (QComboBox* combo : {keys, values}) {
            combo->setFocus();
            QTest::keyClick(combo, Qt::Key_4);  // types the item's first character
        }
        QCOMPARE(document.plan().kv_bits.keys.front(), 4);
        QCOMPARE(document.plan().kv_bits.values.back(), 4);
        QCOMPARE(document.plan().key_ranks, before.key_ranks);
        QVERIFY(document.kvRatio() < 0.45 * unquantised);
        QVERIFY(ratio->text().startsWith(QLocale().toString(document.kvRatio(), 'f', 3)));
        document.undoStack().undo();
        document.undoStack().undo();
        QVERIFY(document.plan() == before);
        QCOMPARE(keys->currentData().toInt(), kUnquantised);
        // Layers that differ, as a loaded plan may have them.
        RankPlan mixed = before;
        mixed.kv_bits = KvBits::uniform(before.key_ranks.size(), 8, 4);
        mixed.kv_bits.keys[1] = 2;
        document.setPlan(mixed, "mixed");
        QCOMPARE(keys->currentIndex(), -1);
        QCOMPARE(values->currentData().toInt(), 4);
        document.setPlan(before, "back");
    }

    void selectionIsSharedByAllViews() {
        auto* page = m_ui->window->page(PageId::Spectrum);
        auto* map = page->findChild<RankMap*>();
        auto* sides = page->findChildren<SegmentedControl*>().constFirst();
        QTest::mouseClick(map, Qt::LeftButton, {}, map->cellRect(2, 1, Side::Keys).center());
        QCOMPARE(m_ui->workspace->selectedLayer(), 2);
        QCOMPARE(m_ui->workspace->selectedHead(), 1);
        m_ui->workspace->select(3, -1, Side::Values);  // from elsewhere: the shown side goes along
        QCOMPARE(sides->index(), 1);
        QTest::mouseClick(sides->findChildren<QToolButton*>().constFirst(), Qt::LeftButton);
        QVERIFY(m_ui->workspace->selectedSide() == Side::Keys);
        QCOMPARE(m_ui->workspace->selectedLayer(), 3);
    }

    // The choice of latents changes what a basis is, and everything follows.
    void headsMayShareALatent() {
        auto* latents = m_ui->find<QComboBox>("headGroup");
        Workspace& workspace = *m_ui->workspace;
        QVERIFY(latents->isEnabled());
        const int width = workspace.spectrum()->basisWidth(), heads = workspace.spectrum()->heads();
        const double ratio = workspace.plan().kvRatio();
        workspace.select(1, heads - 1, Side::Values);
        choose(latents, 1);
        QTRY_VERIFY_WITH_TIMEOUT(workspace.spectrum()->basisWidth() == width * heads, 30000);
        QCOMPARE(workspace.spectrum()->heads(), 1);
        QVERIFY(workspace.selectedHead() < 1);
        workspace.plan().setKvRatio(ratio);
        const RankPlan joint = workspace.plan().plan();
        QCOMPARE(joint.head_group, heads);
        const QString file = m_ui->folder.filePath("joint.json");
        savePlan(joint, file.toStdString());
        QTRY_VERIFY(latents->isEnabled());
        choose(latents, 0);
        QTRY_VERIFY_WITH_TIMEOUT(workspace.spectrum()->basisWidth() == width, 30000);
        QVERIFY(workspace.loadPlan(file));
        QTRY_VERIFY_WITH_TIMEOUT(workspace.plan().plan() == joint, 30000);
        QTRY_COMPARE(latents->currentIndex(), 1);
        picture("latents");
        QTRY_VERIFY(latents->isEnabled());
        choose(latents, 0);
        QTRY_VERIFY_WITH_TIMEOUT(workspace.spectrum()->basisWidth() == width, 30000);
        workspace.select(0, -1, Side::Keys);
    }

    // A plan made for other bases brings them along, and its ranks are not overwritten by thresholds.
    void aPlanOfAnotherMethodKeepsItsRanks() {
        Workspace& workspace = *m_ui->workspace;
        RankPlan plan = workspace.plan().plan();
        plan.method = "attention-aware";
        plan.allocation = Allocation::Sensitivity;
        plan.key_ranks = {24, 40, 16, 32};
        plan.value_ranks = {48, 8, 56, 64};
        const QString file = m_ui->folder.filePath("other.json");
        savePlan(plan, file.toStdString());
        QVERIFY(workspace.loadPlan(file));
        QTRY_VERIFY_WITH_TIMEOUT(workspace.plan().plan().key_ranks == plan.key_ranks, 30000);
        QVERIFY(workspace.plan().plan() == plan);
        QCOMPARE(workspace.plan().spectrum()->method(), plan.method);

        const QString saved = m_ui->folder.filePath("saved.json");
        QVERIFY(workspace.savePlan(saved));
        QTRY_VERIFY_WITH_TIMEOUT(QFile::exists(saved), 10000);
        QVERIFY(loadPlan(saved.toStdString()) == plan);

        // Calibrating again is no reason to forget the method.
        QVERIFY(m_ui->calibrateShortly());
        QTRY_VERIFY_WITH_TIMEOUT(!m_ui->jobs.busy(), 60000);
        QCOMPARE(workspace.plan().spectrum()->method(), plan.method);
    }

    void recalibrateOffersTheFormAndAWayBack() {
        auto* panel = m_ui->window->findChild<PlanPanel*>();
        auto* form = m_ui->window->findChild<CalibrationForm*>();
        QPushButton* again = visibleButton(panel, "Recalibrate");
        QVERIFY(again);
        QTest::mouseClick(again, Qt::LeftButton);
        QVERIFY(form->isVisible());
        QPushButton* back = visibleButton(form, "Back");
        QVERIFY(back);
        QTest::mouseClick(back, Qt::LeftButton);
        QVERIFY(!form->isVisible());
    }

private:
    // As a user does: the list opened by keyboard.
    static void choose(QComboBox* combo, int index) {
        combo->setFocus();
        for (int keys = 0; combo->currentIndex() != index; ++keys) {
            QVERIFY(keys < combo->count());
            QTest::keyClick(combo, combo->currentIndex() < index ? Qt::Key_Down : Qt::Key_Up);
        }
    }

    // Files dragged onto a widget and let go.
    static void drop(QWidget* target, const QStringList& files) {
        QMimeData data;
        QList<QUrl> urls;
        for (const QString& file : files) {
            urls += QUrl::fromLocalFile(file);
        }
        data.setUrls(urls);
        QDragEnterEvent enter(QPoint(50, 50), Qt::CopyAction, &data, Qt::LeftButton, Qt::NoModifier);
        QCoreApplication::sendEvent(target, &enter);
        if (enter.isAccepted()) {
            QDropEvent event(QPointF(50, 50), Qt::CopyAction, &data, Qt::LeftButton, Qt::NoModifier);
            QCoreApplication::sendEvent(target, &event);
        }
    }

    // Pictures to look at, where EIGENSCOPE_SCREENSHOTS names a folder.
    static void save(QWidget& widget, const QString& name) {
        const QString folder = qEnvironmentVariable("EIGENSCOPE_SCREENSHOTS");
        if (!folder.isEmpty()) {
            QVERIFY(widget.grab().save(folder + QLatin1Char('/') + name + QStringLiteral(".png")));
        }
    }
    void picture(const QString& name) {
        QCoreApplication::processEvents();  // what has just been shown or hidden is laid out
        save(*m_ui->window, name);
    }

    static QPushButton* visibleButton(QWidget* parent, const QString& text) {
        for (QPushButton* button : parent->findChildren<QPushButton*>()) {
            if (button->isVisible() && button->text().contains(text)) {
                return button;
            }
        }
        return nullptr;
    }

    std::unique_ptr<WindowFixture> m_ui;
};

QTEST_MAIN(TestSpectrumPage)
#include "tst_spectrum_page.moc"
