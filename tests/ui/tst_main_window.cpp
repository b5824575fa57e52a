// SPDX-License-Identifier: Apache-2.0
#include "core/model/kv_cache.h"
#include "core/model/open_checkpoint.h"
#include "tests/ui/window_fixture.h"
#include "ui/model/model_tables.h"
#include "ui/model/units.h"
#include "ui/widgets/fact_list.h"
#include "ui/widgets/kv_format_box.h"
#include "ui/widgets/message_bar.h"
#include "ui/widgets/nav_rail.h"

#include <QAction>
#include <QDropEvent>
#include <QFile>
#include <QMimeData>
#include <QPlainTextEdit>
#include <QSpinBox>
#include <QTableView>
#include <QTextBrowser>
#include <QToolButton>

#include <algorithm>

using namespace eigenscope;

class TestMainWindow : public QObject {
    Q_OBJECT

private slots:
    void startsOnTheStartPageWithTheDemoModels() {
        WindowFixture ui;
        QCOMPARE(ui.find<NavRail>("navRail")->current(), static_cast<int>(PageId::Start));
        QVERIFY(ui.find<QToolButton>("open-llama-stories"));
    }

    void aClickOpensADemoModelAndShowsItsFacts() {
        WindowFixture ui;
        auto* open = ui.find<QToolButton>("open-llama-stories");
        QTest::mouseClick(open, Qt::LeftButton);
        QTRY_VERIFY_WITH_TIMEOUT(ui.workspace->model().has_value(), 30000);
        QCOMPARE(ui.find<NavRail>("navRail")->current(), static_cast<int>(PageId::Model));
        auto* facts = ui.find<FactList>("architecture");
        QCOMPARE(facts->fact("family"), QStringLiteral("LlamaForCausalLM"));
        QCOMPARE(facts->fact("layers"), QString::number(ui.workspace->model()->model->config.layers));
        QCOMPARE(ui.find<QTableView>("layerTable")->model()->rowCount(),
                 ui.workspace->model()->model->config.layers);
        QCOMPARE(ui.find<QTableView>("tensorTable")->model()->rowCount(),
                 static_cast<int>(ui.workspace->model()->checkpoint->tensors().size()));
        QVERIFY(ui.settings.recentModels().contains(WindowFixture::demoModel("llama-stories")));
    }

    // Memory and speed of a published size, before anything is downloaded.
    void aPresetOpensOnTheModelPage() {
        WindowFixture ui;
        auto* open = ui.find<QToolButton>("open-preset:llama-3-70b");
        QVERIFY(open);
        QTest::mouseClick(open, Qt::LeftButton);
        QTRY_VERIFY_WITH_TIMEOUT(ui.workspace->model().has_value(), 60000);
        QCOMPARE(ui.find<NavRail>("navRail")->current(), static_cast<int>(PageId::Model));
        auto* facts = ui.find<FactList>("architecture");
        QCOMPARE(facts->fact("layers"), QStringLiteral("80"));
        QVERIFY2(facts->fact("weights").endsWith("random"), qPrintable(facts->fact("weights")));
        // 2 (keys and values) x 80 layers x 8 heads x 128 x 2 bytes.
        QCOMPARE(ui.find<FactList>("memory")->fact("per_token"), bytesText(327680.0));
        QVERIFY(!ui.find<QPlainTextEdit>("tokenizerText")->isEnabled());
        QVERIFY(ui.settings.recentModels().isEmpty());
        ui.grab("preset-model");
        // A model with a tokenizer brings the try-out back.
        QVERIFY(ui.openDemo("llama-stories"));
        QTRY_VERIFY(ui.find<QPlainTextEdit>("tokenizerText")->isEnabled());
    }

    void theStartPageListsSizesToExplore_data() {
        QTest::addColumn<bool>("dark");
        QTest::newRow("light") << false;
        QTest::newRow("dark") << true;
    }
    void theStartPageListsSizesToExplore() {
        QFETCH(bool, dark);
        WindowFixture ui(dark ? ThemeChoice::Dark : ThemeChoice::Light);
        for (const Preset& preset : presets()) {
            const QString name = "open-preset:" + QString::fromStdString(std::string(preset.name));
            auto* open = ui.find<QToolButton>(name);
            QVERIFY2(open && open->isVisible() && open->isEnabled(), qPrintable(name));
            QVERIFY(open->toolTip().contains("layers"));
        }
        ui.grab(dark ? "start-dark" : "start-light");
    }

    void theTokenizerAnswersWhileTyping() {
        WindowFixture ui;
        QVERIFY(ui.openDemo("llama-stories"));
        auto* text = ui.find<QPlainTextEdit>("tokenizerText");
        text->clear();
        text->setFocus();
        QTest::keyClicks(text, "the mill");
        const auto ids = ui.workspace->model()->tokenizer->encode("the mill");
        const QString shown = ui.find<QTextBrowser>("tokenizerPieces")->toPlainText();
        for (const TokenId id : ids) {
            QVERIFY2(shown.contains(QString::number(id)), qPrintable(shown));
        }
    }

    void theCacheFormatChangesTheCalculator() {
        WindowFixture ui;
        QVERIFY(ui.openDemo("mpt-stories"));
        const ModelConfig& config = ui.workspace->model()->model->config;
        auto* memory = ui.find<FactList>("memory");
        auto* format = ui.find<KvFormatBox>("kvFormat");
        auto* layers = ui.find<QTableView>("layerTable")->model();
        const QString dense = memory->fact("kv");
        const double row = layers->index(0, LayerTableModel::KvBytes).data(kSortRole).toDouble();
        format->setFocus();
        QTest::keyClick(format, Qt::Key_3);
        QCOMPARE(format->format()->bits, 3);
        QCOMPARE(memory->fact("per_token"),
                 bytesText(static_cast<double>(kvBytesPerToken(config, KvFormat::quantised(3)))));
        QVERIFY(memory->fact("kv") != dense);
        QVERIFY(layers->index(0, LayerTableModel::KvBytes).data(kSortRole).toDouble() < 0.3 * row);
    }

    void theMemoryCalculatorMultipliesOut() {
        WindowFixture ui;
        QVERIFY(ui.openDemo("llama-stories"));
        auto* memory = ui.find<FactList>("memory");
        const QString before = memory->fact("kv");
        QVERIFY(!before.isEmpty() && before != QStringLiteral("—"));
        auto boxes = ui.window->findChildren<QSpinBox*>();
        auto batch = std::find_if(boxes.begin(), boxes.end(),
                                  [](QSpinBox* box) { return box->accessibleName() == "Batch size"; });
        QVERIFY(batch != boxes.end());
        (*batch)->setFocus();
        QTest::keyClick(*batch, Qt::Key_Up);
        QCOMPARE((*batch)->value(), 2);
        QVERIFY(memory->fact("kv") != before);
    }

    void aBadModelLeavesAMessageThatStaysAndKeepsWhatWasOpen() {
        WindowFixture ui;
        QVERIFY(ui.openDemo("llama-stories"));
        QTemporaryDir empty;
        ui.window->openPaths({empty.path()});
        auto* messages = ui.window->findChild<MessageBar*>();
        QTRY_VERIFY_WITH_TIMEOUT(messages->isVisible(), 10000);
        QVERIFY2(messages->text().contains("config.json"), qPrintable(messages->text()));
        QVERIFY(messages->property("error").toBool());
        QVERIFY(ui.workspace->model().has_value());
        QTest::mouseClick(messages->findChild<QToolButton*>(), Qt::LeftButton);
        QVERIFY(!messages->isVisible());
    }

    void droppingAFolderOpensIt() {
        WindowFixture ui;
        QMimeData data;
        data.setUrls({QUrl::fromLocalFile(WindowFixture::demoModel("llama-stories"))});
        // Qt delivers a drop to the widget that accepted the drag.
        QDragEnterEvent enter(QPoint(300, 300), Qt::CopyAction, &data, Qt::LeftButton, Qt::NoModifier);
        QCoreApplication::sendEvent(ui.window.get(), &enter);
        QVERIFY(enter.isAccepted());
        QDropEvent drop(QPointF(300, 300), Qt::CopyAction, &data, Qt::LeftButton, Qt::NoModifier);
        QCoreApplication::sendEvent(ui.window.get(), &drop);
        QTRY_VERIFY_WITH_TIMEOUT(ui.workspace->model().has_value(), 30000);
    }

    void shortcutsSwitchPagesAndTheThemeIsRemembered() {
        WindowFixture ui;
        ui.window->activateWindow();
        QVERIFY(QTest::qWaitForWindowActive(ui.window.get()));
        QTest::keyClick(ui.window.get(), Qt::Key_2, Qt::ControlModifier);
        QCOMPARE(ui.find<NavRail>("navRail")->current(), static_cast<int>(PageId::Model));
        QTest::keyClick(ui.window.get(), Qt::Key_6, Qt::ControlModifier);
        QCOMPARE(ui.find<NavRail>("navRail")->current(), static_cast<int>(PageId::Benchmark));
        const QColor light = ui.theme->colours().panel;
        ui.settings.setTheme(ThemeChoice::Dark);
        QVERIFY(ui.theme->colours().dark);
        QVERIFY(ui.theme->colours().panel != light);
        Settings again(std::make_unique<QSettings>(ui.folder.filePath("settings.ini"), QSettings::IniFormat));
        QCOMPARE(again.theme(), ThemeChoice::Dark);
    }

    void statisticsWithoutAModelAreRefusedInWords() {
        WindowFixture ui;
        ui.window->openPaths({"/nowhere/x.stats.safetensors"});
        auto* messages = ui.window->findChild<MessageBar*>();
        QVERIFY(messages->isVisible());
    }
};

QTEST_MAIN(TestMainWindow)
#include "tst_main_window.moc"
