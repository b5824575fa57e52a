// SPDX-License-Identifier: Apache-2.0
#include "tests/ui/window_fixture.h"
#include "ui/model/units.h"
#include "ui/workspaces/convert/convert_page.h"
#include "ui/workspaces/convert/convert_table.h"

#include <QLabel>
#include <QPushButton>
#include <QSignalSpy>
#include <QTableView>

using namespace eigenscope;

class TestConvertPage : public QObject {
    Q_OBJECT
private slots:
    void initTestCase() {
        m_ui = std::make_unique<WindowFixture>();
        m_ui->window->showPage(PageId::Convert);
        m_page = m_ui->window->page(PageId::Convert);
    }

    void cleanupTestCase() { m_ui.reset(); }

    void emptyStatesLeadToTheRightPage() {
        QSignalSpy requested(m_page, &Page::pageRequested);
        QTest::mouseClick(visibleButton("Start"), Qt::LeftButton);
        QVERIFY(requested.constLast()[0].value<PageId>() == PageId::Start);
        QVERIFY(m_ui->openDemo("llama-stories"));
        m_ui->window->showPage(PageId::Convert);
        QTest::mouseClick(visibleButton("Spectrum"), Qt::LeftButton);
        QVERIFY(requested.constLast()[0].value<PageId>() == PageId::Spectrum);
    }

    void theTableSaysWhatThePlanSays() {
        QVERIFY(m_ui->calibrateShortly());
        m_ui->window->showPage(PageId::Convert);
        PlanDocument& plan = m_ui->workspace->plan();
        plan.setThresholds(0.9, 0.9);
        plan.setRank(Side::Keys, 1, 40);
        auto* table = m_page->findChild<ConvertTable*>();
        const ModelConfig& config = m_ui->workspace->model()->model->config;
        QCOMPARE(table->rowCount(), config.layers);
        double bytes = 0;
        for (int layer = 0; layer < config.layers; ++layer) {
            const auto cell = [&](int column) { return table->index(layer, column).data().toString(); };
            const int keys = plan.plan().key_ranks[static_cast<std::size_t>(layer)];
            const int values = plan.plan().value_ranks[static_cast<std::size_t>(layer)];
            QVERIFY(cell(ConvertTable::KeyRank).startsWith(QString::number(keys)));
            QCOMPARE(cell(ConvertTable::ValueRank), QString::number(values));
            QCOMPARE(cell(ConvertTable::HeadDim), QString::number(config.head_dim));
            QCOMPARE(cell(ConvertTable::KvRatio), ratioText((keys + values) / (2.0 * config.head_dim)));
            QCOMPARE(cell(ConvertTable::MeasuredError), QStringLiteral("—"));
            bytes = config.kv_heads * (keys + values) * 4.0;  // the demo's weights and cache are f32
            QCOMPARE(cell(ConvertTable::BytesPerToken), bytesText(bytes));
        }
        QVERIFY(table->index(1, ConvertTable::KeyRank)
                    .data(Qt::AccessibleTextRole)
                    .toString()
                    .contains("pinned"));
        QVERIFY(!table->index(1, ConvertTable::ValueRank)
                     .data(Qt::AccessibleTextRole)
                     .toString()
                     .contains("pinned"));
        for (int column = 0; column < table->columnCount(); ++column) {
            QVERIFY(!table->headerData(column, Qt::Horizontal, Qt::ToolTipRole).toString().isEmpty());
        }
    }

    void convertingMeasuresErrorsAndOffersToCompare() {
        auto* convert = m_page->findChild<QPushButton*>("convert");
        QVERIFY(convert->isEnabled());
        QVERIFY(!visibleButton("Save")->isEnabled());
        QTest::mouseClick(convert, Qt::LeftButton);
        QVERIFY(!convert->isEnabled());
        QTRY_VERIFY_WITH_TIMEOUT(m_ui->workspace->conversion().has_value() && !m_ui->jobs.busy(), 60000);
        auto* table = m_page->findChild<ConvertTable*>();
        const auto& errors = m_ui->workspace->conversion()->layer_errors;
        for (int layer = 0; layer < table->rowCount(); ++layer) {
            QCOMPARE(table->index(layer, ConvertTable::MeasuredError).data().toString(),
                     percentText(errors[static_cast<std::size_t>(layer)]));
            QVERIFY(table->index(layer, ConvertTable::MeasuredError).data(ConvertTable::BarRole).isValid());
        }
        QVERIFY(!m_page->findChild<QLabel*>("planChanged")->isVisible());
        QVERIFY(visibleButton("Save")->isEnabled());
        QSignalSpy requested(m_page, &Page::pageRequested);
        QTest::mouseClick(visibleButton("Compare"), Qt::LeftButton);
        QVERIFY(requested.constLast()[0].value<PageId>() == PageId::Compare);
        m_ui->window->showPage(PageId::Convert);
    }

    void aChangedPlanIsMarkedUntilConvertedAgain() {
        auto* badge = m_page->findChild<QLabel*>("planChanged");
        auto* convert = m_page->findChild<QPushButton*>("convert");
        QVERIFY(!convert->isEnabled());
        m_ui->workspace->plan().setThresholds(0.6, 0.6);
        QVERIFY(badge->isVisible());
        QVERIFY(convert->isEnabled());
        m_ui->workspace->plan().undoStack().undo();
        QVERIFY(!badge->isVisible());
        QVERIFY(!convert->isEnabled());
        m_ui->workspace->plan().undoStack().redo();
        QTest::mouseClick(convert, Qt::LeftButton);
        QTRY_VERIFY_WITH_TIMEOUT(!badge->isVisible() && !m_ui->jobs.busy(), 60000);
    }

    void whereItWasSavedIsShown() {
        const QString directory = m_ui->folder.filePath("converted");
        m_ui->workspace->saveConverted(directory);
        QTRY_VERIFY_WITH_TIMEOUT(!m_ui->jobs.busy(), 60000);
        auto* saved = m_page->findChild<QLabel*>("savedTo");
        QTRY_VERIFY(saved->isVisible());
        QVERIFY(saved->text().contains("converted"));
        QVERIFY(QFileInfo::exists(directory + "/config.json"));
    }

private:
    QPushButton* visibleButton(const QString& text) const {
        for (QPushButton* button : m_page->findChildren<QPushButton*>()) {
            if (button->isVisible() && button->text().contains(text)) {
                return button;
            }
        }
        return nullptr;
    }

    std::unique_ptr<WindowFixture> m_ui;
    Page* m_page = nullptr;
};

QTEST_MAIN(TestConvertPage)
#include "tst_convert_page.moc"
