// SPDX-License-Identifier: Apache-2.0
// The help window: every page of resources/help, search, and that it tells the truth about the keys.
#include "tests/ui/window_fixture.h"
#include "ui/window/help_window.h"

#include <QAction>
#include <QDir>
#include <QFile>
#include <QLineEdit>
#include <QListWidget>
#include <QMenu>
#include <QMenuBar>
#include <QTextBrowser>

#include <memory>

using namespace eigenscope;

namespace {

const QString kFolder = QStringLiteral(EIGENSCOPE_SOURCE_DIR "/resources/help");

QString contentsOf(const QString& file) {
    QFile page(kFolder + QLatin1Char('/') + file);
    page.open(QIODevice::ReadOnly);
    return QString::fromUtf8(page.readAll());
}

QStringList shownPages(const QListWidget& list) {
    QStringList shown;
    for (int row = 0; row < list.count(); ++row) {
        if (!list.item(row)->isHidden())
            shown.append(list.item(row)->text());
    }
    return shown;
}

}  // namespace

class TestHelp : public QObject {
    Q_OBJECT

private slots:
    void everyPageIsThere() {
        WindowFixture ui;
        HelpWindow help(*ui.theme, nullptr);
        auto* list = help.findChild<QListWidget*>("helpPages");
        auto* text = help.findChild<QTextBrowser*>("helpText");
        const QStringList files = QDir(kFolder).entryList({"*.md"}, QDir::Files);
        QCOMPARE(list->count(), files.size());
        for (const QString& file : files) {
            help.open(QFileInfo(file).completeBaseName());
            const QString title = contentsOf(file).section("\n# ", 1).section('\n', 0, 0);
            QVERIFY2(!title.isEmpty(), qPrintable(file));
            QCOMPARE(list->currentItem()->text(), title);
            const QString shown = text->toPlainText();
            QVERIFY2(shown.startsWith(title), qPrintable(file));
            QVERIFY2(!shown.contains("SPDX"), qPrintable(file));
        }
    }

    void theKeyOpensThePageOfTheWorkspace() {
        WindowFixture ui;
        const std::pair<PageId, const char*> pages[] = {{PageId::Start, "First steps"},
                                                        {PageId::Spectrum, "Ranks"},
                                                        {PageId::Convert, "Conversion"},
                                                        {PageId::Benchmark, "Benchmarks"}};
        for (const auto& [page, title] : pages) {
            ui.window->showPage(page);
            ui.window->activateWindow();
            QVERIFY(QTest::qWaitForWindowActive(ui.window.get()));
            QTest::keyClick(ui.window.get(), Qt::Key_F1);
            auto* help = ui.find<HelpWindow>("help");
            QVERIFY(help && help->isVisible());
            QVERIFY(help->findChild<QListWidget*>("helpPages")->currentItem()->text().startsWith(title));
            QVERIFY(QTest::qWaitForWindowActive(help));
            QTest::keyClick(help, Qt::Key_Escape);
            QVERIFY(!help->isVisible());
        }
    }

    void searchShowsThePagesThatHaveTheWords() {
        WindowFixture ui;
        HelpWindow help(*ui.theme, nullptr);
        help.open("start");
        auto* find = help.findChild<QLineEdit*>("helpFind");
        auto* list = help.findChild<QListWidget*>("helpPages");
        auto* text = help.findChild<QTextBrowser*>("helpText");
        QTest::keyClicks(find, "YaRN");
        QCOMPARE(shownPages(*list), QStringList{"Checkpoints"});
        QCOMPARE(list->currentItem()->text(), QStringLiteral("Checkpoints"));
        QVERIFY(!text->extraSelections().isEmpty());
        for (const QTextEdit::ExtraSelection& mark : text->extraSelections())
            QCOMPARE(mark.cursor.selectedText().toLower(), QStringLiteral("yarn"));
        find->setText("no page says this");
        QVERIFY(shownPages(*list).isEmpty());
        find->clear();
        QCOMPARE(shownPages(*list).size(), list->count());
        QVERIFY(text->extraSelections().isEmpty());
    }

    // Every shortcut of the menus stands in the table of keys.
    void keysAreTheMenus() {
        WindowFixture ui;
        const QString keys = contentsOf("keys.md");
        int checked = 0;
        for (const QMenu* menu : ui.window->menuBar()->findChildren<QMenu*>()) {
            for (const QAction* action : menu->actions()) {
                const QString key = action->shortcut().toString(QKeySequence::PortableText);
                if (key.isEmpty() || (key.startsWith("Ctrl+") && key.size() == 6 && key[5].isDigit()))
                    continue;  // Ctrl+1 ... are one row
                QVERIFY2(keys.contains(key), qPrintable(key + ": " + action->text()));
                ++checked;
            }
        }
        QVERIFY(checked >= 5);
        for (const QMenu* menu : ui.window->menuBar()->findChildren<QMenu*>()) {
            for (const QAction* action : menu->actions()) {
                if (action->shortcut() == QKeySequence(QStringLiteral("Ctrl+6")))
                    QVERIFY2(keys.contains(action->text()), qPrintable(action->text()));
            }
        }
    }

    void bothLooks() {
        for (const ThemeChoice look : {ThemeChoice::Light, ThemeChoice::Dark}) {
            WindowFixture ui(look);
            HelpWindow help(*ui.theme, nullptr);
            for (const char* page : {"start", "checkpoints", "files", "keys"}) {
                help.open(page);
                const QString pictures = qEnvironmentVariable("EIGENSCOPE_SCREENSHOTS");
                if (!pictures.isEmpty())
                    help.grab().save(pictures + "/help-" + QString(page) +
                                     (look == ThemeChoice::Dark ? "-dark.png" : "-light.png"));
            }
            const QColor text = help.findChild<QTextBrowser*>("helpText")->palette().color(QPalette::Text);
            QCOMPARE(text, ui.theme->colours().text);
        }
    }
};

QTEST_MAIN(TestHelp)
#include "tst_help.moc"
