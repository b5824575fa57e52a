// SPDX-License-Identifier: Apache-2.0
// The whole tour with real widgets: open, calibrate, drag, convert, compare, measure, light and dark.
// Pictures of every workspace are left in EIGENSCOPE_SCREENSHOTS (or the build's screenshots folder) to be
// looked at.
#include "tests/ui/window_fixture.h"
#include "ui/model/benchmark_run.h"
#include "ui/model/comparison.h"
#include "ui/widgets/kv_format_box.h"
#include "ui/widgets/segmented_control.h"
#include "ui/workspaces/benchmark/benchmark_page.h"
#include "ui/workspaces/compare/compare_page.h"
#include "ui/workspaces/convert/tradeoff_panel.h"

#include <QAbstractButton>
#include <QComboBox>
#include <QDir>
#include <QFileInfo>
#include <QLineEdit>
#include <QPushButton>
#include <QSpinBox>
#include <QToolButton>

using namespace eigenscope;

class TestTour : public QObject {
    Q_OBJECT

private slots:
    void initTestCase() {
        const QString wanted = qEnvironmentVariable("EIGENSCOPE_SCREENSHOTS");
        m_pictures = wanted.isEmpty() ? QStringLiteral(EIGENSCOPE_BINARY_DIR "/screenshots") : wanted;
        QVERIFY(QDir().mkpath(m_pictures));
    }

    void everyFamily_data() {
        QTest::addColumn<QString>("model");
        for (const char* name : {"llama-stories", "opt-stories", "mpt-stories"}) {
            QTest::newRow(name) << QString::fromLatin1(name);
        }
    }

    void everyFamily() {
        QFETCH(QString, model);
        const QString config = WindowFixture::demoModel(model) + "/config.json";
        QVERIFY2(QFileInfo::exists(config), qPrintable(config));
        WindowFixture ui;
        if (model == "llama-stories") {
            picture(ui, "start-empty");
            ui.window->showPage(PageId::Spectrum);
            picture(ui, "spectrum-empty");
            ui.window->showPage(PageId::Compare);
            picture(ui, "compare-empty");
            ui.window->showPage(PageId::Benchmark);
            picture(ui, "benchmark-empty");
            ui.window->showPage(PageId::Start);
        }
        QTest::mouseClick(ui.find<QToolButton>("open-" + model), Qt::LeftButton);
        QTRY_VERIFY_WITH_TIMEOUT(ui.workspace->model().has_value() && !ui.jobs.busy(), 30000);
        pictures(ui, model, "model", PageId::Model);

        ui.window->showPage(PageId::Spectrum);
        pictures(ui, model, "calibrate", PageId::Spectrum);
        Page* spectrum = ui.window->page(PageId::Spectrum);
        const auto boxes = spectrum->findChildren<QSpinBox*>();
        for (QSpinBox* box : boxes) {  // short enough for a test
            if (box->accessibleName().contains("ample")) {
                box->setValue(8);
            }
        }
        QVERIFY(spectrum->findChild<QLineEdit*>("calibrationText")->text().endsWith("calibration.txt"));
        QTest::mouseClick(spectrum->findChild<QPushButton*>("calibrate"), Qt::LeftButton);
        QVERIFY(ui.jobs.busy());
        QTRY_VERIFY_WITH_TIMEOUT(ui.workspace->statistics() != nullptr && !ui.jobs.busy(), 120000);
        ui.workspace->plan().setKvRatio(0.6);
        ui.workspace->select(1, -1, Side::Keys);
        pictures(ui, model, "spectrum", PageId::Spectrum);

        if (model == "llama-stories") {
            ui.workspace->plan().setAllocation(Allocation::ErrorBudget);
            pictures(ui, model, "spectrum-budget", PageId::Spectrum);
            auto* allocation = spectrum->findChild<QComboBox*>("allocation");
            allocation->setFocus();
            QTest::keyClick(allocation, Qt::Key_Down);  // not measured yet
            pictures(ui, model, "spectrum-unmeasured", PageId::Spectrum);
            QTest::keyClick(allocation, Qt::Key_Up);
        }

        QTest::mouseClick(spectrum->findChild<QPushButton*>("convert"), Qt::LeftButton);
        QTRY_VERIFY_WITH_TIMEOUT(ui.workspace->conversion().has_value() && !ui.jobs.busy(), 120000);
        QVERIFY(ui.workspace->conversion()->kv_ratio <= 0.6);
        pictures(ui, model, "convert", PageId::Convert);
        if (model == "llama-stories") {
            showTradeOff(ui, model);
        }

        ui.window->showPage(PageId::Compare);
        auto* page = static_cast<ComparePage*>(ui.window->page(PageId::Compare));
        QTest::mouseClick(ui.find<QPushButton>("generate"), Qt::LeftButton);
        QTRY_VERIFY_WITH_TIMEOUT(!page->comparison().streaming(), 60000);
        QVERIFY(!page->comparison().leftRun().text().isEmpty());
        QVERIFY(!page->comparison().rightRun().text().isEmpty());
        QTest::mouseClick(ui.find<QPushButton>("measure"), Qt::LeftButton);
        QTRY_VERIFY_WITH_TIMEOUT(page->comparison().measurement().has_value() && !ui.jobs.busy(), 120000);
        pictures(ui, model, "compare", PageId::Compare);

        for (auto* button : ui.find<SegmentedControl>("compareView")->findChildren<QAbstractButton*>()) {
            if (button->text() == "Fidelity") {
                QTest::mouseClick(button, Qt::LeftButton);
            }
        }
        picture(ui, model + "-fidelity-empty");
        QTest::mouseClick(ui.find<QPushButton>("measureFidelity"), Qt::LeftButton);
        QTRY_VERIFY_WITH_TIMEOUT(page->comparison().fidelity().has_value() && !ui.jobs.busy(), 120000);
        pictures(ui, model, "fidelity", PageId::Compare);
        pictures(ui, model, "start", PageId::Start);
    }

    // Original and converted, then both again with a quantised cache.
    void benchmark() {
        const QString model = QStringLiteral("opt-stories");
        WindowFixture ui;
        QVERIFY(ui.openDemo(model));
        QVERIFY(ui.calibrateShortly());
        QVERIFY(ui.convertTo(0.6));
        ui.window->showPage(PageId::Benchmark);
        auto* page = static_cast<BenchmarkPage*>(ui.window->page(PageId::Benchmark));
        auto* start = ui.find<QPushButton>("runBenchmark");
        const std::size_t rows = 8;  // four contexts that suit 512 positions, two models
        QTest::mouseClick(start, Qt::LeftButton);
        QTRY_VERIFY_WITH_TIMEOUT(page->run().records().size() == rows && !ui.jobs.busy(), 120000);
        auto* format = page->findChild<KvFormatBox*>("benchmarkFormat");
        format->setFocus();
        QTest::keyClick(format, Qt::Key_4);
        QTest::mouseClick(start, Qt::LeftButton);
        QTRY_VERIFY_WITH_TIMEOUT(page->run().records().size() == 2 * rows && !ui.jobs.busy(), 120000);
        pictures(ui, model, "benchmark", PageId::Benchmark);
    }

private:
    // Some points of the first curves, then enough.
    void showTradeOff(WindowFixture& ui, const QString& model) {
        Page* page = ui.window->page(PageId::Convert);
        auto* views = page->findChild<SegmentedControl*>("convertViews");
        QTest::mouseClick(views->findChildren<QToolButton*>().constLast(), Qt::LeftButton);
        auto* panel = page->findChild<TradeoffPanel*>();
        panel->findChild<QSpinBox*>()->setValue(2);
        QTest::mouseClick(panel->findChild<QPushButton*>("measureTradeoff"), Qt::LeftButton);
        QTRY_VERIFY_WITH_TIMEOUT(panel->run().points().size() >= 12, 240000);
        pictures(ui, model, "trade-off", PageId::Convert);
        ui.jobs.cancelAll();
        QTRY_VERIFY_WITH_TIMEOUT(!ui.jobs.busy(), 20000);
    }

    void picture(WindowFixture& ui, const QString& name) {
        QTest::qWait(60);  // layouts and queued replots
        const QPixmap pixmap = ui.window->grab();
        QVERIFY(pixmap.save(m_pictures + '/' + name + ".png"));
    }

    void pictures(WindowFixture& ui, const QString& model, const QString& name, PageId page) {
        ui.window->showPage(page);
        const QString stem = model + '-' + name;
        picture(ui, stem + "-light");
        ui.settings.setTheme(ThemeChoice::Dark);
        picture(ui, stem + "-dark");
        ui.settings.setTheme(ThemeChoice::Light);
        ui.window->resize(1024, 720);
        picture(ui, stem + "-small");
        ui.window->resize(1440, 900);
    }

    QString m_pictures;
};

QTEST_MAIN(TestTour)
#include "tst_tour.moc"
