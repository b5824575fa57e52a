// SPDX-License-Identifier: Apache-2.0
// No text of any workspace is cut off, in a small window and in a large one, with names as long as people
// give them.
#include "tests/ui/layout_check.h"
#include "tests/ui/window_fixture.h"
#include "ui/model/comparison.h"
#include "ui/widgets/kv_format_box.h"
#include "ui/widgets/segmented_control.h"
#include "ui/workspaces/compare/answer_panel.h"
#include "ui/workspaces/compare/compare_page.h"

#include <QAbstractButton>
#include <QDir>
#include <QFile>
#include <QPushButton>
#include <QSpinBox>

using namespace eigenscope;

namespace {
const QString kLongName =
    QStringLiteral("llama-stories-fine-tuned-on-longer-stories-32k-instruct-v0.3-step-120000");
}

class TestLayout : public QObject {
    Q_OBJECT
private slots:
    void initTestCase() {
        QVERIFY(m_folder.isValid());
        const QString model = m_folder.filePath(kLongName), text = m_folder.filePath("text");
        QVERIFY(QDir().mkpath(model) && QDir().mkpath(text));
        for (const auto& [from, to] : {std::pair(WindowFixture::demoModel("llama-stories"), model),
                                       std::pair(WindowFixture::demoFolder() + "/text", text)}) {
            for (const QString& file : QDir(from).entryList(QDir::Files))
                QVERIFY(QFile::link(from + '/' + file, to + '/' + file));
        }
    }

    void init() { m_wrong.clear(); }

    void startAndEmptyPages() {
        WindowFixture ui;
        for (int i = 0; i < 12; ++i)
            ui.settings.addRecentModel(QStringLiteral("/models/number-%1/%2").arg(i).arg(kLongName));
        check(ui, PageId::Start, "start");
        for (const PageId page :
             {PageId::Model, PageId::Spectrum, PageId::Convert, PageId::Compare, PageId::Benchmark})
            check(ui, page, QStringLiteral("empty-%1").arg(static_cast<int>(page)));
        verifyAll();
    }

    void everyPage() {
        WindowFixture ui;
        ui.workspace->openModel(m_folder.filePath(kLongName));
        QTRY_VERIFY_WITH_TIMEOUT(ui.workspace->model().has_value() && !ui.jobs.busy(), 30000);
        check(ui, PageId::Start, "opened");
        check(ui, PageId::Model, "model");
        check(ui, PageId::Spectrum, "calibrate");
        QVERIFY(ui.calibrateShortly());
        check(ui, PageId::Spectrum, "spectrum");
        check(ui, PageId::Convert, "convert-before");
        check(ui, PageId::Compare, "compare-nothing");
        QVERIFY(ui.convertTo(0.4));
        check(ui, PageId::Convert, "convert");
        ui.window->showPage(PageId::Compare);
        compare(ui);
        check(ui, PageId::Benchmark, "benchmark");
        verifyAll();
    }

private:
    // Both answers, with a quantised cache at the right, and the figures.
    void compare(WindowFixture& ui) {
        auto& comparison = static_cast<ComparePage*>(ui.window->page(PageId::Compare))->comparison();
        auto* format = ui.find<KvFormatBox>("rightFormat");
        format->setFocus();
        QTest::keyClick(format, Qt::Key_4);
        ui.find<QSpinBox>("newTokens")->setValue(100);
        QTest::mouseClick(ui.find<QPushButton>("generate"), Qt::LeftButton);
        check(ui, PageId::Compare, "streaming");
        QTRY_VERIFY_WITH_TIMEOUT(!comparison.streaming(), 60000);
        QTest::mouseClick(ui.find<QPushButton>("measure"), Qt::LeftButton);
        QTRY_VERIFY_WITH_TIMEOUT(comparison.measurement().has_value() && !ui.jobs.busy(), 120000);
        check(ui, PageId::Compare, "compare");
        // In the small window too some lines of both answers are seen.
        ui.window->resize(1024, 720);
        QTest::qWait(60);
        for (const char* side : {"leftAnswer", "rightAnswer"}) {
            const auto* text = ui.find<AnswerPanel>(side)->findChild<QWidget*>("answer");
            QVERIFY(text->height() >= 3 * text->fontMetrics().lineSpacing());
        }
        for (auto* button : ui.find<SegmentedControl>("compareView")->findChildren<QAbstractButton*>()) {
            if (button->text() == "Fidelity")
                QTest::mouseClick(button, Qt::LeftButton);
        }
        check(ui, PageId::Compare, "fidelity");
    }

    void check(WindowFixture& ui, PageId page, const QString& name) {
        ui.window->showPage(page);
        for (const QSize size : {QSize(1440, 900), QSize(1024, 720)}) {
            ui.window->resize(size);
            QTest::qWait(60);
            ui.grab(QStringLiteral("layout-%1-%2").arg(name).arg(size.width()));
            QStringList wrong = testing::clippedTexts(ui.window.get());
            wrong << testing::tabsThatJump(ui.window->page(page));
            if (ui.window->size() != size)
                wrong << QStringLiteral("the window is %1 wide").arg(ui.window->width());
            for (const QString& text : wrong)
                m_wrong << QStringLiteral("%1 at %2: %3").arg(name).arg(size.width()).arg(text);
        }
    }
    // All of it at once, so that a page is not hidden by the one before.
    void verifyAll() { QVERIFY2(m_wrong.isEmpty(), qPrintable(m_wrong.join('\n'))); }

    QStringList m_wrong;
    QTemporaryDir m_folder;
};

QTEST_MAIN(TestLayout)
#include "tst_layout.moc"
