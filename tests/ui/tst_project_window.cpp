// SPDX-License-Identifier: Apache-2.0
// Projects in the window: saved, reopened in another window with the same ranks, statistics and selection;
// what is missing named and kept; the mark and the questions about changes; openings that overtake each
// other.
#include "core/base/atomic_output.h"
#include "core/base/json.h"
#include "tests/ui/window_fixture.h"
#include "ui/model/project_document.h"
#include "ui/model/units.h"
#include "ui/widgets/message_bar.h"
#include "ui/widgets/nav_rail.h"
#include "ui/workspaces/compare/compare_page.h"
#include "ui/workspaces/compare/measurement_panel.h"

#include <QAction>
#include <QApplication>
#include <QFile>
#include <QFileInfo>
#include <QMenu>
#include <QMenuBar>
#include <QMessageBox>
#include <QSignalSpy>
#include <QTimer>
#include <QToolButton>

using namespace eigenscope;

namespace {

constexpr int kLong = 60000;

bool waitFor(const std::function<bool()>& condition) { return QTest::qWaitFor(condition, kLong); }

Comparison& comparisonOf(WindowFixture& ui) {
    return static_cast<ComparePage*>(ui.window->page(PageId::Compare))->comparison();
}

QString messageOf(WindowFixture& ui) {
    auto* bar = ui.window->findChild<MessageBar*>();
    return bar->isVisible() ? bar->text() : QString();
}

bool saveTo(WindowFixture& ui, const QString& file) {
    QSignalSpy saved(&ui.window->project(), &ProjectDocument::saved);
    return ui.window->project().save(file) && waitFor([&] { return !saved.isEmpty(); }) &&
           saved.at(0).at(0).toBool();
}

bool openProject(WindowFixture& ui, const QString& file) {
    QSignalSpy opened(&ui.window->project(), &ProjectDocument::opened);
    ui.window->openPaths({file});
    return waitFor([&] { return !opened.isEmpty(); });
}

// Presses a button of the question that comes next; says whether one came.
class Answer {
public:
    explicit Answer(QMessageBox::StandardButton button) {
        QObject::connect(&m_timer, &QTimer::timeout, [this, button] {
            if (auto* box = qobject_cast<QMessageBox*>(QApplication::activeModalWidget())) {
                m_text = box->text();
                m_timer.stop();
                QTest::mouseClick(box->button(button), Qt::LeftButton);
            }
        });
        m_timer.start(10);
    }
    QString text() const { return m_text; }  // of the question; empty: none was asked

private:
    QTimer m_timer;
    QString m_text;
};

Json contentsOf(const QString& file) { return readJsonFile(file.toStdString()); }

void copy(const QString& from, const QString& to) {
    for (const char* suffix : {".eigenscope", ".stats.safetensors"}) {
        QVERIFY(QFile::copy(from + suffix, to + suffix));
    }
}

}  // namespace

class TestProjectWindow : public QObject {
    Q_OBJECT

private:
    QTemporaryDir m_made;  // tour: llama-stories with everything but another model; opt: opt-stories
    RankPlan m_plan;
    std::vector<double> m_gram;
    std::vector<KeptMeasurement> m_kept;

    QString tour() const { return m_made.filePath("tour.eigenscope"); }
    // A copy of its own, for tests that change it.
    static QString copyOf(const QString& project, const QTemporaryDir& folder, const QString& name) {
        copy(project.chopped(11), folder.filePath(name));
        return folder.filePath(name + ".eigenscope");
    }

private slots:
    void initTestCase() {
        QApplication::setQuitOnLastWindowClosed(false);  // later questions need their event loops
        WindowFixture ui;
        QVERIFY(ui.openDemo("llama-stories"));
        QVERIFY(ui.calibrateShortly());
        ui.workspace->setBasis("eigen", {.share_key_basis = true});
        QVERIFY(waitFor([&] { return !ui.jobs.busy(); }));
        QVERIFY(ui.convertTo(0.5));
        MeasureOptions options;
        options.text = ui.workspace->suggestedEvaluationText();
        options.windows = 2;
        options.sequence_length = 64;
        options.prompt = "Once";
        options.new_tokens = 2;
        comparisonOf(ui).measure(options);
        QVERIFY(waitFor([&] { return comparisonOf(ui).measurement().has_value(); }));
        ui.workspace->plan().setRank(Side::Values, 1, 16);
        ui.workspace->select(1, 0, Side::Values);
        QVERIFY(saveTo(ui, tour()));
        m_plan = ui.workspace->plan().plan();
        m_gram = ui.workspace->statistics()->layers.at(1).keys.gram;
        m_kept = comparisonOf(ui).kept();
        QCOMPARE(m_kept.size(), std::size_t{1});

        WindowFixture other;
        QVERIFY(other.openDemo("opt-stories"));
        QVERIFY(other.calibrateShortly());
        other.workspace->plan().setKvRatio(0.7);
        QVERIFY(saveTo(other, m_made.filePath("opt.eigenscope")));
    }

    void aProjectReopensAsItWas() {
        WindowFixture ui;
        QVERIFY(openProject(ui, tour()));
        QCOMPARE(ui.workspace->modelPath(), WindowFixture::demoModel("llama-stories"));
        QVERIFY(ui.workspace->plan().plan() == m_plan);
        QCOMPARE(ui.workspace->spectrum()->options().share_key_basis, true);
        QVERIFY(ui.workspace->statistics()->layers.at(1).keys.gram == m_gram);
        QCOMPARE(ui.workspace->statisticsFile(), m_made.filePath("tour.stats.safetensors"));
        QCOMPARE(ui.workspace->selectedLayer(), 1);
        QCOMPARE(ui.workspace->selectedHead(), 0);
        QVERIFY(ui.workspace->selectedSide() == Side::Values);
        QVERIFY(!ui.workspace->plan().undoStack().canUndo());
        QVERIFY(!ui.window->project().modified());
        QVERIFY(!ui.window->isWindowModified());
        QVERIFY2(ui.window->windowTitle().startsWith("tour"), qPrintable(ui.window->windowTitle()));
        QCOMPARE(messageOf(ui), QString());
        QCOMPARE(ui.find<NavRail>("navRail")->current(), static_cast<int>(PageId::Spectrum));
        // The figures measured before, to be looked at again.
        QVERIFY(comparisonOf(ui).kept() == m_kept);
        QVERIFY(comparisonOf(ui).shownKept());
        ui.window->showPage(PageId::Compare);
        auto* kept = ui.find<QToolButton>("keptMeasurements");
        QVERIFY(kept->isVisible());
        QCOMPARE(kept->menu()->actions().size(), 1);
        auto* panel = ui.window->findChild<MeasurementPanel*>();
        comparisonOf(ui).showKept(std::nullopt);
        QCOMPARE(panel->figure(0, 1), QString("—"));
        kept->menu()->actions().at(0)->trigger();
        QVERIFY2(panel->figure(0, 1).startsWith(perplexityText(*m_kept[0].models[1].perplexity)),
                 qPrintable(panel->figure(0, 1)));
        ui.grab("project-compare");
        ui.settings.setTheme(ThemeChoice::Dark);
        ui.window->resize(1024, 720);
        ui.grab("project-compare-dark");
    }

    void theFileRefersToWhatLiesBesideIt() {
        const Json json = contentsOf(tour());
        QCOMPARE(json.at("statistics").get<std::string>(), std::string("tour.stats.safetensors"));
        QCOMPARE(json.at("model").get<std::string>(),
                 WindowFixture::demoModel("llama-stories").toStdString());
        QCOMPARE(json.at("plan").at("pinned").at("values").at(1).get<bool>(), true);
        QCOMPARE(json.at("measurements").at(0).at("models").at(1).at("kv_ratio").get<double>(),
                 m_kept[0].models[1].kv_ratio);
        QVERIFY(std::abs(m_kept[0].models[1].kv_ratio / m_kept[0].models[0].kv_ratio - 0.5) < 0.05);
        QVERIFY(!json.contains("converted") && !json.contains("comparison_model"));
    }

    void theMarkFollowsWhatWouldBeSaved() {
        const QTemporaryDir folder;
        const QString file = copyOf(tour(), folder, "tour");
        WindowFixture ui;
        QVERIFY(openProject(ui, file));
        ProjectDocument& project = ui.window->project();
        ui.workspace->select(0, -1, Side::Keys);
        QVERIFY(!project.modified());
        ui.workspace->plan().setRank(Side::Keys, 0, 8);
        QVERIFY(project.modified() && ui.window->isWindowModified());
        ui.grab("project-modified");
        ui.workspace->plan().undoStack().undo();
        QVERIFY(!project.modified() && !ui.window->isWindowModified());
        ui.workspace->plan().undoStack().redo();
        QVERIFY(project.modified());
        ui.window->activateWindow();
        QVERIFY(QTest::qWaitForWindowActive(ui.window.get()));
        QTest::keyClick(ui.window.get(), Qt::Key_S, Qt::ControlModifier);
        QVERIFY(waitFor([&] { return !project.modified() && !ui.jobs.busy(); }));
        QVERIFY(!ui.window->isWindowModified());
        QCOMPARE(contentsOf(file).at("plan").at("key_ranks").at(0).get<int>(), 8);
        QCOMPARE(contentsOf(file).at("selection").at("layer").get<int>(), 0);
        // Tables that are measured are the project's too: in memory at first.
        const auto measured = [&] {
            return loadStatistics(folder.filePath("tour.stats.safetensors").toStdString())
                       .tables.findLayerErrors("eigen", {.share_key_basis = true}, "energy") != nullptr;
        };
        QVERIFY(!measured());
        ui.workspace->measureTables(Allocation::ErrorBudget, {});
        QVERIFY(waitFor([&] { return !ui.jobs.busy(); }));
        QVERIFY(project.modified());
        QVERIFY(saveTo(ui, file));
        QCOMPARE(ui.workspace->statisticsFile(), folder.filePath("tour.stats.safetensors"));
        QVERIFY(!project.modified());
        QVERIFY(measured());
    }

    void missingStatisticsAreNamedAndKept() {
        const QTemporaryDir folder;
        const QString file = copyOf(tour(), folder, "gap");
        const QString statistics =
            folder.filePath("tour.stats.safetensors");  // as the copied file calls them
        WindowFixture ui;
        QVERIFY(openProject(ui, file));
        QVERIFY2(messageOf(ui).contains(statistics), qPrintable(messageOf(ui)));
        ui.grab("project-incomplete");
        QVERIFY(ui.workspace->model().has_value());
        QVERIFY(!ui.workspace->statistics());
        QCOMPARE(ui.workspace->selectedLayer(), 1);
        QVERIFY(!ui.window->project().modified());
        const QString again = folder.filePath("again.eigenscope");
        QVERIFY(saveTo(ui, again));
        Json before = contentsOf(file), after = contentsOf(again);
        QVERIFY(after.at("statistics") == before.at("statistics"));
        QVERIFY(after.at("plan") == before.at("plan"));
        QVERIFY(after.at("measurements") == before.at("measurements"));
        // The plan waits for statistics, wherever they come from.
        QVERIFY(ui.calibrateShortly());
        QVERIFY(ui.workspace->plan().plan() == m_plan);
        QVERIFY(ui.window->project().modified());
    }

    void aMissingModelIsNamedAndTheRestFollowsItsSuccessor() {
        const QTemporaryDir folder;
        const QString file = copyOf(tour(), folder, "tour");
        Json json = contentsOf(file);
        json["model"] = "moved/llama-stories";
        writeTextFile(file.toStdString(), json.dump());
        WindowFixture ui;
        QVERIFY(ui.openDemo("opt-stories"));
        QVERIFY(openProject(ui, file));
        QVERIFY2(messageOf(ui).contains(folder.filePath("moved/llama-stories")), qPrintable(messageOf(ui)));
        QVERIFY(!ui.workspace->model().has_value());
        for (int page = 0; page < 5; ++page) {
            ui.window->showPage(static_cast<PageId>(page));
        }
        QVERIFY(ui.window->project().isOpen() && !ui.window->project().modified());
        const QString again = folder.filePath("again.eigenscope");
        QVERIFY(saveTo(ui, again));
        QCOMPARE(contentsOf(again).at("model").get<std::string>(), std::string("moved/llama-stories"));
        QVERIFY(contentsOf(again).at("plan") == json.at("plan"));
        ui.workspace->openModel(WindowFixture::demoModel("llama-stories"));
        QVERIFY(waitFor([&] { return !ui.workspace->plan().empty() && !ui.jobs.busy(); }));
        QVERIFY(waitFor([&] { return !ui.window->project().opening(); }));
        QVERIFY(ui.workspace->plan().plan() == m_plan);
        QVERIFY(comparisonOf(ui).kept() == m_kept);
        QVERIFY(ui.window->project().modified());  // the model is elsewhere now
    }

    void theLastOfTwoOpeningsWins() {
        WindowFixture ui;
        QVERIFY(ui.openDemo("mpt-stories"));
        CalibrationOptions options;
        options.samples = 64;
        options.sequence_length = 128;
        Job* running = ui.workspace->calibrate(ui.workspace->suggestedCalibrationText(), options);
        ui.window->openPaths({tour()});
        QVERIFY(openProject(ui, m_made.filePath("opt.eigenscope")));
        QVERIFY(waitFor([&] { return !ui.jobs.busy(); }));
        QVERIFY(!running->active());
        QCOMPARE(ui.workspace->modelPath(), WindowFixture::demoModel("opt-stories"));
        QCOMPARE(ui.window->project().name(), QString("opt"));
        QCOMPARE(ui.workspace->statisticsFile(), m_made.filePath("opt.stats.safetensors"));
        QVERIFY(!ui.window->project().modified());
        QVERIFY(comparisonOf(ui).kept().empty());
        // And while the first is half open.
        ui.window->openPaths({tour()});
        QVERIFY(waitFor([&] {
            return ui.workspace->modelPath() == WindowFixture::demoModel("llama-stories") ||
                   !ui.window->project().opening();
        }));
        QVERIFY(openProject(ui, m_made.filePath("opt.eigenscope")));
        QVERIFY(waitFor([&] { return !ui.jobs.busy(); }));
        QCOMPARE(ui.window->project().name(), QString("opt"));
        QCOMPARE(ui.workspace->modelPath(), WindowFixture::demoModel("opt-stories"));
        QCOMPARE(contentsOf(m_made.filePath("opt.eigenscope")).at("plan").at("key_ranks").at(0).get<int>(),
                 ui.workspace->plan().plan().key_ranks.at(0));
    }

    void whoHasNoProjectIsNotAsked() {
        WindowFixture ui;
        QVERIFY(ui.openDemo("llama-stories"));
        QVERIFY(ui.calibrateShortly());
        ui.workspace->plan().setKvRatio(0.5);
        QVERIFY(!ui.window->project().modified());
        Answer answer(QMessageBox::Cancel);
        QVERIFY(ui.window->close());
        QCOMPARE(answer.text(), QString());
    }

    void closingAsksAboutChanges() {
        const QTemporaryDir folder;
        const QString file = copyOf(tour(), folder, "tour");
        WindowFixture ui;
        QVERIFY(openProject(ui, file));
        ui.workspace->plan().setRank(Side::Keys, 0, 8);
        {
            Answer cancel(QMessageBox::Cancel);
            QVERIFY(!ui.window->close());
            QVERIFY2(cancel.text().contains("tour"), qPrintable(cancel.text()));
        }
        {
            Answer save(QMessageBox::Save);
            ui.window->close();
            QVERIFY(waitFor([&] { return !ui.window->isVisible(); }));
        }
        QCOMPARE(contentsOf(file).at("plan").at("key_ranks").at(0).get<int>(), 8);
        ui.window->show();
        ui.workspace->plan().setRank(Side::Keys, 0, 16);
        Answer discard(QMessageBox::Discard);
        QVERIFY(ui.window->close());
        QVERIFY(!discard.text().isEmpty());
        QCOMPARE(contentsOf(file).at("plan").at("key_ranks").at(0).get<int>(), 8);
    }

    void anotherModelLeavesTheProject() {
        const QTemporaryDir folder;
        const QString file = copyOf(tour(), folder, "tour");
        WindowFixture ui;
        QVERIFY(openProject(ui, file));
        ui.workspace->plan().setRank(Side::Keys, 0, 8);
        const QString other = WindowFixture::demoModel("opt-stories");
        {
            Answer cancel(QMessageBox::Cancel);
            QVERIFY(!ui.workspace->openModel(other));
            QVERIFY(!cancel.text().isEmpty());
        }
        Answer save(QMessageBox::Save);
        ui.window->openPaths({other});
        QVERIFY(waitFor([&] { return ui.workspace->modelPath() == other && !ui.jobs.busy(); }));
        QVERIFY(!ui.window->project().isOpen());
        QVERIFY2(!ui.window->windowTitle().contains("tour"), qPrintable(ui.window->windowTitle()));
        QCOMPARE(contentsOf(file).at("plan").at("key_ranks").at(0).get<int>(), 8);
    }

    void savingWhileSavingSavesTheLast() {
        const QTemporaryDir folder;
        const QString file = copyOf(tour(), folder, "tour");
        WindowFixture ui;
        QVERIFY(openProject(ui, file));
        ProjectDocument& project = ui.window->project();
        QSignalSpy saved(&project, &ProjectDocument::saved);
        ui.workspace->plan().setRank(Side::Keys, 0, 8);
        QVERIFY(project.save());
        ui.workspace->plan().setRank(Side::Keys, 0, 24);
        QVERIFY(project.save());
        QVERIFY(waitFor([&] { return !saved.isEmpty(); }));
        QCOMPARE(contentsOf(file).at("plan").at("key_ranks").at(0).get<int>(), 24);
        QVERIFY(!project.modified() && !project.saving());
        QCOMPARE(saved.size(), 1);
    }
    // What is being saved is worth a moment: the window closes, and another model opens, once it has been.
    void leavingWaitsForASaveThatIsUnderWay() {
        WindowFixture ui;
        QVERIFY(ui.openDemo("llama-stories"));
        QVERIFY(ui.calibrateShortly());
        const QString file = ui.folder.filePath("first.eigenscope"),
                      other = WindowFixture::demoModel("opt-stories");
        QVERIFY(ui.window->project().save(file));
        QVERIFY(!ui.workspace->openModel(other));
        QVERIFY(waitFor([&] { return ui.workspace->modelPath() == other && !ui.jobs.busy(); }));
        QVERIFY(!ui.window->project().isOpen());
        QCOMPARE(loadProject(file.toStdString()).model.string(),
                 WindowFixture::demoModel("llama-stories").toStdString());
        QVERIFY(QFile::exists(ui.folder.filePath("first.stats.safetensors")));
        QVERIFY(ui.window->project().save(ui.folder.filePath("second.eigenscope")));
        QVERIFY(!ui.window->close());
        QVERIFY(waitFor([&] { return !ui.window->isVisible(); }));
        QVERIFY(QFile::exists(ui.folder.filePath("second.eigenscope")));
    }

    // Statistics of another project, or made by hand, stay what they are.
    void otherStatisticsAreNotOverwritten() {
        const QTemporaryDir folder;
        const QString taken = folder.filePath("new.stats.safetensors");
        writeTextFile(taken.toStdString(), "mine");
        WindowFixture ui;
        QVERIFY(ui.openDemo("llama-stories"));
        QVERIFY(ui.calibrateShortly());
        QVERIFY(saveTo(ui, folder.filePath("new.eigenscope")));
        QCOMPARE(readTextFile(taken.toStdString()), std::string("mine"));
        QCOMPARE(ui.workspace->statisticsFile(), folder.filePath("new-2.stats.safetensors"));
        QCOMPARE(contentsOf(folder.filePath("new.eigenscope")).at("statistics").get<std::string>(),
                 std::string("new-2.stats.safetensors"));
        // Saved again under another name, statistics that are in a file are referred to, not copied.
        QVERIFY(saveTo(ui, folder.filePath("second.eigenscope")));
        QCOMPARE(QDir(folder.path()).entryList({"*.stats.safetensors"}).size(), 2);
        QCOMPARE(ui.window->project().name(), QString("second"));
    }

    void theConvertedFolderIsOpenedForComparison() {
        const QTemporaryDir folder;
        const QString file = copyOf(tour(), folder, "tour"), converted = folder.filePath("stories-0.5");
        {
            WindowFixture ui;
            QVERIFY(openProject(ui, file));
            ui.workspace->convert();
            QVERIFY(waitFor([&] { return ui.workspace->conversion() && !ui.jobs.busy(); }));
            ui.workspace->saveConverted(converted);
            QVERIFY(waitFor([&] { return !ui.jobs.busy(); }));
            QVERIFY(ui.window->project().modified());
            QVERIFY(saveTo(ui, file));
            QCOMPARE(contentsOf(file).at("converted").get<std::string>(), std::string("stories-0.5"));
        }
        {
            WindowFixture ui;
            QVERIFY(openProject(ui, file));
            QVERIFY(ui.workspace->otherModel().has_value());
            QVERIFY(ui.workspace->otherModel()->model->config.low_rank.has_value());
            QVERIFY(!ui.window->project().modified());
        }
        QVERIFY(QDir(converted).removeRecursively());
        WindowFixture ui;
        QVERIFY(openProject(ui, file));
        QVERIFY2(messageOf(ui).contains(converted), qPrintable(messageOf(ui)));
        QVERIFY(ui.workspace->plan().plan() == m_plan);
        QVERIFY(!ui.window->project().modified());
        QVERIFY(saveTo(ui, file));
        QCOMPARE(contentsOf(file).at("converted").get<std::string>(), std::string("stories-0.5"));
    }

    void aFileThatIsNoProjectLeavesWhatIsOpen() {
        const QTemporaryDir folder;
        const QString file = folder.filePath("bad.eigenscope");
        writeTextFile(file.toStdString(), R"({"format": "eigenscope.project", "version": 7})");
        WindowFixture ui;
        QVERIFY(openProject(ui, tour()));
        ui.window->openPaths({file});
        QVERIFY(waitFor([&] { return !ui.window->project().opening(); }));
        QVERIFY2(messageOf(ui).contains("version: the project is of version 7"), qPrintable(messageOf(ui)));
        QCOMPARE(ui.window->project().file(), tour());
        QVERIFY(ui.workspace->plan().plan() == m_plan);
        QVERIFY(!ui.window->project().modified());
    }

    void aFailedSaveIsSaidAndLosesNothing() {
        WindowFixture ui;
        QVERIFY(ui.openDemo("llama-stories"));
        QVERIFY(!saveTo(ui, ui.folder.filePath("nowhere/x.eigenscope")));
        QVERIFY2(messageOf(ui).contains("nowhere/x.eigenscope"), qPrintable(messageOf(ui)));
        QVERIFY(!ui.window->project().isOpen());
    }

    void recentProjectsAreListed() {
        WindowFixture ui;
        QVERIFY(openProject(ui, tour()));
        QCOMPARE(ui.settings.recentModels().value(0), tour());
        QVERIFY(ui.openDemo("opt-stories"));
        ui.window->showPage(PageId::Start);
        auto* open = ui.find<QToolButton>("open-tour.eigenscope");
        QVERIFY(open && open->isEnabled());
        ui.grab("project-start");
        QTest::mouseClick(open, Qt::LeftButton);
        QVERIFY(waitFor([&] { return ui.window->project().isOpen() && !ui.window->project().opening(); }));
        QVERIFY(ui.workspace->plan().plan() == m_plan);
    }

    void theMenuOffersWhatCanBeDone() {
        WindowFixture ui;
        QVERIFY(!ui.find<QAction>("saveProject")->isEnabled());
        QVERIFY(ui.find<QAction>("openProject")->isEnabled());
        QVERIFY(ui.openDemo("llama-stories"));
        QVERIFY(ui.find<QAction>("saveProject")->isEnabled());
        QVERIFY(ui.find<QAction>("saveProjectAs")->isEnabled());
        QCOMPARE(ui.find<QAction>("saveProject")->shortcut(), QKeySequence(Qt::CTRL | Qt::Key_S));
        QMenu* file = ui.window->menuBar()->actions().at(0)->menu();
        QVERIFY(file->actions().contains(ui.find<QAction>("openProject")));
        const QString pictures = qEnvironmentVariable("EIGENSCOPE_SCREENSHOTS");
        if (!pictures.isEmpty()) {
            file->popup(QPoint(20, 30));
            file->grab().save(pictures + "/project-menu.png");
            file->hide();
        }
    }
};

QTEST_MAIN(TestProjectWindow)
#include "tst_project_window.moc"
