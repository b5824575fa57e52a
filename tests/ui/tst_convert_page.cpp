// SPDX-License-Identifier: Apache-2.0
#include "tests/ui/window_fixture.h"
#include "ui/model/units.h"
#include "ui/widgets/job_progress.h"
#include "ui/widgets/segmented_control.h"
#include "ui/workspaces/convert/convert_page.h"
#include "ui/workspaces/convert/convert_table.h"
#include "ui/workspaces/convert/tradeoff_panel.h"
#include "ui/workspaces/convert/tradeoff_plot.h"

#include <QCheckBox>
#include <QFileInfo>
#include <QLabel>
#include <QLineEdit>
#include <QPushButton>
#include <QSignalSpy>
#include <QSpinBox>
#include <QTableView>
#include <QToolButton>

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

    void refittingIsAnotherConversion() {
        auto* refit = m_page->findChild<QCheckBox*>("refit");
        auto* convert = m_page->findChild<QPushButton*>("convert");
        QVERIFY(!m_ui->workspace->conversion()->refitted);
        QTest::mouseClick(refit, Qt::LeftButton, {}, QPoint(8, refit->height() / 2));
        QVERIFY(refit->isChecked());
        QVERIFY(convert->isEnabled());  // the same ranks, but not the same model
        QTest::mouseClick(convert, Qt::LeftButton);
        QTRY_VERIFY_WITH_TIMEOUT(!m_ui->jobs.busy() && m_ui->workspace->conversion()->refitted, 240000);
        QVERIFY(!convert->isVisible());
    }

    void tradeOffCurvesAppearAsTheyAreMeasured() {
        auto* views = m_page->findChild<SegmentedControl*>("convertViews");
        auto* panel = m_page->findChild<TradeoffPanel*>();
        QVERIFY(!panel->isVisible());
        QTest::mouseClick(views->findChildren<QToolButton*>().constLast(), Qt::LeftButton);
        QVERIFY(panel->isVisible());
        auto* measure = panel->findChild<QPushButton*>("measureTradeoff");
        auto* text = panel->findChild<QLineEdit*>("tradeoffText");
        QVERIFY(text->text().endsWith("heldout.txt"));
        panel->findChild<QSpinBox*>()->setValue(1);
        QTest::mouseClick(measure, Qt::LeftButton);
        QVERIFY(!measure->isEnabled());
        // The published method, plain caches, threshold and error budget of both methods, their thresholds
        // for a latent of all heads, and the error budget of attention-aware there.
        QCOMPARE(panel->run().curves().size(), std::size_t{9});
        QTRY_VERIFY_WITH_TIMEOUT(panel->run().points().size() >= 2, 120000);
        QVERIFY(m_ui->jobs.busy());  // more to come
        QTest::mouseClick(panel->findChild<JobProgress*>()->findChild<QPushButton*>("cancelJob"),
                          Qt::LeftButton);
        QTRY_VERIFY_WITH_TIMEOUT(!m_ui->jobs.busy(), 20000);
        QTRY_VERIFY(measure->isEnabled());
        const std::size_t points = panel->run().points().size();
        QVERIFY(points >= 2);  // what was measured stays

        TradeoffPlot* plot = panel->plot();
        QSignalSpy readout(plot, &Plot::readout);
        // More may have been measured before the job ended, and points of two curves may lie on each other.
        const auto namesACurve = [&](const QList<QVariant>& said) {
            const auto& curves = panel->run().curves();
            return std::any_of(curves.begin(), curves.end(), [&](const TradeoffCurve& curve) {
                return said[0].toString().startsWith(QString::fromStdString(curve.name));
            });
        };
        // The axes may still be on their way to their last range: the mouse follows the point.
        int moves = 0;
        const auto readsOut = [&] {
            QTest::mouseMove(plot, plot->positionOf(1).toPoint() + QPoint(++moves % 2, 0));
            return std::any_of(readout.begin(), readout.end(), namesACurve);
        };
        QTRY_VERIFY(readsOut());
        const PlotTable table = plot->table();
        QCOMPARE(table.columns.size(), 1 + 4 * 9);
        QVERIFY(!table.rows.isEmpty());
        QCOMPARE(table.rows[0][0], panel->run().points()[0].target);
        for (const char* name : {"curves.png", "curves.pdf", "curves.csv"}) {
            QString error;
            QVERIFY2(plot->exportTo(m_ui->folder.filePath(name), &error), qPrintable(error));
            QVERIFY(QFileInfo(m_ui->folder.filePath(name)).size() > 100);
        }
        QTest::mouseClick(views->findChildren<QToolButton*>().constFirst(), Qt::LeftButton);
        QVERIFY(!panel->isVisible());
    }

    void whereItWasSavedIsShown() {
        const QString directory = m_ui->folder.filePath("converted");
        m_ui->workspace->saveConverted(directory);
        QTRY_VERIFY_WITH_TIMEOUT(!m_ui->jobs.busy(), 60000);
        auto* saved = m_page->findChild<QLabel*>("savedTo");
        QTRY_VERIFY(saved->isVisible());
        QVERIFY(saved->text().contains("converted"));
        QVERIFY(QFileInfo::exists(directory + "/config.json"));
        // Opened again, the checkpoint says itself how it was made.
        m_ui->workspace->openModel(directory);
        QTRY_VERIFY_WITH_TIMEOUT(!m_ui->jobs.busy() && m_ui->workspace->model()->model->config.low_rank,
                                 30000);
        m_ui->window->showPage(PageId::Model);
        auto* made = m_ui->find<QLabel>("conversion");
        QVERIFY(made->isVisible());
        QVERIFY2(made->text().contains("llama-stories: eigen") && made->text().endsWith("refitted"),
                 qPrintable(made->text()));
        m_ui->grab("model-converted");
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
