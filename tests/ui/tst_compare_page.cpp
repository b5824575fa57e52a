// SPDX-License-Identifier: Apache-2.0
#include "tests/ui/window_fixture.h"
#include "ui/model/comparison.h"
#include "ui/model/units.h"
#include "ui/widgets/kv_format_box.h"
#include "ui/widgets/kv_format_choice.h"
#include "ui/widgets/kv_groups_box.h"
#include "ui/widgets/segmented_control.h"
#include "ui/workspaces/compare/answer_panel.h"
#include "ui/workspaces/compare/compare_page.h"
#include "ui/workspaces/compare/fidelity_panel.h"
#include "ui/workspaces/compare/head_error_map.h"
#include "ui/workspaces/compare/layer_chart.h"
#include "ui/workspaces/compare/measurement_panel.h"
#include "ui/workspaces/compare/token_diff_view.h"

#include <QAbstractButton>
#include <QCheckBox>
#include <QDir>
#include <QFile>
#include <QFileInfo>
#include <QImage>
#include <QLabel>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QSignalSpy>
#include <QSpinBox>

#include <cmath>

using namespace eigenscope;

class TestComparePage : public QObject {
    Q_OBJECT

private slots:
    void initTestCase() {
        m_ui = std::make_unique<WindowFixture>();
        QVERIFY(m_ui->openDemo("llama-stories"));
        QVERIFY(m_ui->calibrateShortly());
        // Few enough ranks that the two answers are bound to differ.
        QVERIFY(m_ui->convertTo(0.3));
        m_ui->window->showPage(PageId::Compare);
        m_page = static_cast<ComparePage*>(m_ui->window->page(PageId::Compare));
    }

    void cleanupTestCase() { m_ui.reset(); }

    void aPromptIsSuggested() { QVERIFY(!m_ui->find<QPlainTextEdit>("prompt")->toPlainText().isEmpty()); }

    void bothModelsAnswerAndTheFirstDifferenceIsMarked() {
        m_ui->find<QSpinBox>("newTokens")->setValue(60);
        QTest::mouseClick(m_ui->find<QPushButton>("generate"), Qt::LeftButton);
        Comparison& comparison = m_page->comparison();
        QVERIFY(comparison.streaming());
        QTRY_VERIFY_WITH_TIMEOUT(!comparison.streaming(), 60000);
        QCOMPARE(comparison.leftRun().state(), GenerationRun::State::Done);
        QCOMPARE(comparison.rightRun().state(), GenerationRun::State::Done);
        // What is shown is what the engine generates for the same prompt.
        const std::string prompt = m_ui->find<QPlainTextEdit>("prompt")->toPlainText().toStdString();
        GenerationOptions options;
        options.max_tokens = 60;
        JobContext job;
        const GenerationResult direct = generate(job, *m_ui->workspace->model(), prompt, options);
        QCOMPARE(comparison.leftRun().text().toStdString(), direct.text);
        QVERIFY(m_ui->find<AnswerPanel>("leftAnswer")
                    ->plainText()
                    .simplified()
                    .startsWith(QString::fromStdString(direct.text).simplified().left(40)));
        // The converted cache is smaller by the KV ratio: bytes per token are what its ranks say.
        const auto& left = *comparison.leftRun().result();
        const auto& right = *comparison.rightRun().result();
        const double per_left = static_cast<double>(left.kv_cache_bytes) /
                                static_cast<double>(left.prompt_ids.size() + left.ids.size());
        const double per_right = static_cast<double>(right.kv_cache_bytes) /
                                 static_cast<double>(right.prompt_ids.size() + right.ids.size());
        QVERIFY(std::abs(per_right / per_left - m_ui->workspace->conversion()->kv_ratio) < 1e-9);
        std::ptrdiff_t expected = -1;
        for (std::size_t i = 0; i < std::min(left.ids.size(), right.ids.size()) && expected < 0; ++i) {
            if (left.ids[i] != right.ids[i]) {
                expected = static_cast<std::ptrdiff_t>(i);
            }
        }
        QVERIFY(expected >= 0);
        QCOMPARE(comparison.firstDifference(), expected);
    }

    // Without a template the toggle is off and says why; with one, prompts are asked as a user's message.
    void chatFollowsTheTemplate() {
        auto* chat = m_ui->find<QCheckBox>("chat");
        QVERIFY(!chat->isEnabled());
        QVERIFY2(chat->toolTip().contains("chat_template"), qPrintable(chat->toolTip()));
        const QString folder = m_ui->folder.filePath("chat-model");
        const QString demo = WindowFixture::demoModel("llama-stories");
        QVERIFY(QDir().mkpath(folder));
        for (const QString& name : QDir(demo).entryList(QDir::Files)) {
            QVERIFY(QFile::copy(demo + "/" + name, folder + "/" + name));
        }
        QFile file(folder + "/chat_template.jinja");
        QVERIFY(file.open(QIODevice::WriteOnly));
        file.write("{{ bos_token }}Q: {{ messages[0].content | trim }} A:");
        file.close();
        WindowFixture ui;
        ui.workspace->openModel(folder);
        QTRY_VERIFY_WITH_TIMEOUT(ui.workspace->model().has_value() && !ui.jobs.busy(), 30000);
        ui.window->showPage(PageId::Compare);
        chat = ui.find<QCheckBox>("chat");
        QVERIFY(chat->isEnabled() && !chat->isChecked());
        QTest::mouseClick(chat, Qt::LeftButton, {}, QPoint(8, chat->height() / 2));
        QVERIFY(chat->isChecked());
        ui.find<QPlainTextEdit>("prompt")->setPlainText("  Who?  ");
        ui.find<QSpinBox>("newTokens")->setValue(5);
        QTest::mouseClick(ui.find<QPushButton>("generate"), Qt::LeftButton);
        Comparison& comparison = static_cast<ComparePage*>(ui.window->page(PageId::Compare))->comparison();
        QTRY_VERIFY_WITH_TIMEOUT(!comparison.streaming(), 60000);
        QCOMPARE(comparison.leftRun().state(), GenerationRun::State::Done);
        QCOMPARE(comparison.leftRun().result()->prompt_ids,
                 ui.workspace->model()->tokenizer->encode("<s>Q: Who? A:", false));
        ui.grab("compare-chat");
    }

    void stopEndsBothWithinASecond() {
        m_ui->find<QSpinBox>("newTokens")->setValue(400);
        QTest::mouseClick(m_ui->find<QPushButton>("generate"), Qt::LeftButton);
        QVERIFY(m_page->comparison().streaming());
        QTest::mouseClick(m_ui->find<QPushButton>("stop"), Qt::LeftButton);
        QTRY_VERIFY_WITH_TIMEOUT(!m_page->comparison().streaming(), 5000);
    }

    void measuringFillsTheTable() {
        auto* panel = m_ui->window->findChild<MeasurementPanel*>();
        QVERIFY(panel->textFile().endsWith("heldout.txt"));
        auto boxes = panel->findChildren<QSpinBox*>();
        boxes.front()->setValue(2);
        m_ui->find<QSpinBox>("newTokens")->setValue(8);
        QVERIFY(!m_page->comparison().measuring());
        QTest::mouseClick(m_ui->find<QPushButton>("measure"), Qt::LeftButton);
        QVERIFY(m_page->comparison().measuring());
        QVERIFY(!m_page->comparison().measuringFidelity());
        QVERIFY(!m_ui->find<QPushButton>("measure")->isEnabled());
        QTRY_VERIFY_WITH_TIMEOUT(m_page->comparison().measurement().has_value(), 120000);
        QTRY_VERIFY(m_ui->find<QPushButton>("measure")->isEnabled());
        const auto& quality = m_page->comparison().measurement()->quality;
        QVERIFY(quality.kl_divergence > 0.0);
        QVERIFY(quality.top1_agreement > 0.0 && quality.top1_agreement < 1.0);
        QCOMPARE(static_cast<std::int64_t>(quality.token_kl.size()), quality.first.tokens);
        for (int row = 0; row < 8; ++row) {
            QVERIFY2(panel->figure(row, 1) != QStringLiteral("—"), qPrintable(QString::number(row)));
        }
    }

    void fidelityIsMeasuredAndShown() {
        chooseView("Fidelity");
        auto* panel = m_ui->window->findChild<FidelityPanel*>();
        QVERIFY(panel->isVisible());
        QVERIFY(!m_ui->find<TokenDiffView>("tokenDiff")->isVisible());  // not measured yet
        panel->findChild<QSpinBox*>()->setValue(2);
        QTest::mouseClick(m_ui->find<QPushButton>("measureFidelity"), Qt::LeftButton);
        Comparison& comparison = m_page->comparison();
        QVERIFY(comparison.measuringFidelity());
        QVERIFY(!m_ui->find<QPushButton>("measureFidelity")->isEnabled());
        QTRY_VERIFY_WITH_TIMEOUT(comparison.fidelity().has_value(), 120000);
        QTRY_VERIFY(m_ui->find<QPushButton>("measureFidelity")->isEnabled());
        const Fidelity& fidelity = *comparison.fidelity();
        const ModelConfig& config = m_ui->workspace->model()->model->config;
        QCOMPARE(static_cast<int>(fidelity.measures.layers.size()), config.layers);
        QVERIFY(m_ui->find<TokenDiffView>("tokenDiff")->isVisible());

        // Chart and map show what was measured.
        const auto* layers = m_ui->find<LayerChart>("layerErrors");
        const PlotTable table = layers->table();
        QCOMPARE(table.rows.size(), qsizetype{config.layers});
        QCOMPARE(table.rows[1][1], fidelity.measures.layers[1].output_error.mean);
        QCOMPARE(table.rows[1][3], fidelity.measures.layers[1].propagated_error.mean);
        const auto* heads = m_ui->find<HeadErrorMap>("headErrors");
        QCOMPARE(heads->table().rows.size(), qsizetype{config.layers * config.query_heads});
        QCOMPARE(heads->valueAt(1, 0), fidelity.measures.layers[1].heads[0].score_error.mean);
        clickSegment(m_ui->find<SegmentedControl>("headMeasure"), "Weights");
        QCOMPARE(heads->valueAt(1, 0), fidelity.measures.layers[1].heads[0].weight_distance.mean);
    }

    void tokensAreReadOutAndExplained() {
        auto* view = m_ui->find<TokenDiffView>("tokenDiff");
        const Fidelity& fidelity = *m_page->comparison().fidelity();
        QVERIFY(fidelity.diff.firstDivergence() >= 0);
        QCOMPARE(view->selected(), static_cast<int>(fidelity.diff.firstDivergence()));
        const QSignalSpy readouts(m_page, &Page::readout);
        const auto readout = [&] {
            return readouts.isEmpty() ? QString() : readouts.last().at(0).toString();
        };
        const int token = 5;
        QTest::mouseMove(view->viewport(), view->tokenRect(token).center());
        QTRY_VERIFY2(readout().startsWith("Token 6 “"), qPrintable(readout()));
        QVERIFY(readout().contains(fidelity.tokenText(fidelity.diff.tokens[token].first_top)));
        QTest::mouseClick(view->viewport(), Qt::LeftButton, {}, view->tokenRect(token).center());
        QCOMPARE(view->selected(), token);
        const auto* explanation = m_ui->find<LayerChart>("explanation");
        for (int layer = 0; layer < fidelity.diff.layers; ++layer) {
            QCOMPARE(explanation->table().rows[layer][1], fidelity.diff.removed(layer, token));
        }
        QTest::keyClick(view, Qt::Key_Right);
        QCOMPARE(view->selected(), token + 1);
        QTest::keyClick(view, Qt::Key_Left);
        QCOMPARE(view->selected(), token);
        view->select(static_cast<int>(fidelity.diff.tokens.size()) - 1);  // scrolled into view
        QVERIFY(view->viewport()->rect().contains(
            view->tokenRect(static_cast<int>(fidelity.diff.tokens.size()) - 1)));
        auto* heads = m_ui->find<HeadErrorMap>("headErrors");
        QTest::mouseMove(heads, heads->cellCentre(1, 2).toPoint());
        QTRY_VERIFY2(readout().startsWith("Layer 1 · head 2 · scores "), qPrintable(readout()));
        auto* layers = m_ui->find<LayerChart>("layerErrors");
        QTest::mouseMove(layers, layers->barCentre(0, 1).toPoint());
        QTRY_VERIFY2(readout().startsWith("Layer 1 · "), qPrintable(readout()));
    }

    // Tints and the text on them, in both looks: contrast of at least 4.5 (WCAG 2.1).
    void tintedTextIsLegible() {
        auto* view = m_ui->find<TokenDiffView>("tokenDiff");
        const auto luminance = [](const QColor& c) {
            const auto linear = [](double x) {
                return x <= 0.04045 ? x / 12.92 : std::pow((x + 0.055) / 1.055, 2.4);
            };
            return 0.2126 * linear(c.redF()) + 0.7152 * linear(c.greenF()) + 0.0722 * linear(c.blueF());
        };
        for (const ThemeChoice look : {ThemeChoice::Dark, ThemeChoice::Light}) {
            m_ui->settings.setTheme(look);
            for (double fraction = 0; fraction <= 1.0; fraction += 0.05) {
                const QColor ground = view->tint(fraction), text = view->textOn(ground);
                const double a = luminance(ground) + 0.05, b = luminance(text) + 0.05;
                QVERIFY2(std::max(a, b) / std::min(a, b) >= 4.5,
                         qPrintable(QStringLiteral("%1 on %2").arg(text.name(), ground.name())));
            }
        }
    }

    void fidelityIsExported() {
        auto* view = m_ui->find<TokenDiffView>("tokenDiff");
        const auto tokens = static_cast<qsizetype>(m_page->comparison().fidelity()->diff.tokens.size());
        QString error;
        for (const QString suffix : {"png", "pdf", "csv"}) {
            QVERIFY2(exportFigure(view->figure(), m_ui->folder.filePath("d." + suffix), &error),
                     qPrintable(error));
            QVERIFY2(
                m_ui->find<LayerChart>("layerErrors")->exportTo(m_ui->folder.filePath("l." + suffix), &error),
                qPrintable(error));
            QVERIFY2(m_ui->find<HeadErrorMap>("headErrors")
                         ->exportTo(m_ui->folder.filePath("h." + suffix), &error),
                     qPrintable(error));
            QVERIFY(QFileInfo(m_ui->folder.filePath("d." + suffix)).size() > 0);
        }
        QFile csv(m_ui->folder.filePath("d.csv"));
        QVERIFY(csv.open(QIODevice::ReadOnly));
        QCOMPARE(csv.readAll().count('\n'), tokens + 1);
        QVERIFY(QImage(m_ui->folder.filePath("d.png")).width() >= view->viewport()->width());
    }

    void aPromptIsDiffedAndAJobIsCancelled() {
        Comparison& comparison = m_page->comparison();
        m_ui->find<QPlainTextEdit>("prompt")->setPlainText("One day a little dog went to the park.");
        auto* panel = m_ui->window->findChild<FidelityPanel*>();
        clickSegment(panel->findChild<SegmentedControl*>("diffSource"), "Diff the prompt");
        panel->findChild<QSpinBox*>()->setValue(1);
        const QSignalSpy arrived(&comparison, &Comparison::fidelityChanged);
        QTest::mouseClick(m_ui->find<QPushButton>("measureFidelity"), Qt::LeftButton);
        QTRY_COMPARE_WITH_TIMEOUT(arrived.count(), 1, 120000);
        std::string joined;
        for (const std::string& text : comparison.fidelity()->texts) {
            joined += text;
        }
        QCOMPARE(QString::fromStdString(joined).trimmed(), QString("One day a little dog went to the park."));
        panel->findChild<QSpinBox*>()->setValue(100);
        FidelityOptions options;
        options.text = panel->textFile();
        options.windows = 100;
        Job* job = comparison.measureFidelity(options);
        QVERIFY(comparison.measuringFidelity());
        job->cancel();
        QTRY_VERIFY_WITH_TIMEOUT(!comparison.measuringFidelity(), 10000);
        QCOMPARE(job->state(), Job::State::Cancelled);
        QCOMPARE(arrived.count(), 1);  // what was there stays
        chooseView("Answers");
    }

    void eachSideHasACacheFormat() {
        Comparison& comparison = m_page->comparison();
        auto* left = m_ui->find<KvFormatBox>("leftFormat");
        auto* right = m_ui->find<KvFormatBox>("rightFormat");
        right->setFocus();
        QTest::keyClick(right, Qt::Key_4);
        left->setFocus();
        QTest::keyClick(left, Qt::Key_8);
        QCOMPARE(comparison.rightFormat()->bits, 4);
        QCOMPARE(comparison.leftFormat()->bits, 8);
        // How its codes are grouped, beside it.
        auto* groups = m_ui->find<KvFormatChoice>("rightFormatChoice")->groups();
        groups->findChild<QComboBox*>("kvKeys")->setCurrentIndex(1);
        groups->findChild<QSpinBox*>("kvRecent")->setValue(8);
        QCOMPARE(comparison.rightFormat()->recent, 8);
        QVERIFY(comparison.rightFormat()->keys == KvGrouping::Channel);
        QCOMPARE(comparison.leftFormat()->recent, 0);
        groups->findChild<QComboBox*>("kvKeys")->setCurrentIndex(0);
        groups->findChild<QSpinBox*>("kvRecent")->setValue(0);
        QVERIFY(*comparison.rightFormat() == KvFormat::quantised(4));
        const ModelConfig& config = comparison.right()->model->config;
        const QString expected =
            bytesText(static_cast<double>(kvBytesPerToken(config, KvFormat::quantised(4))));
        bool shown = false;
        for (const QLabel* label : m_ui->find<AnswerPanel>("rightAnswer")->findChildren<QLabel*>()) {
            shown = shown || label->text().replace("&nbsp;", " ").contains(expected);
        }
        QVERIFY2(shown, qPrintable(expected));
        m_ui->find<QSpinBox>("newTokens")->setValue(5);
        QTest::mouseClick(m_ui->find<QPushButton>("generate"), Qt::LeftButton);
        QTRY_VERIFY_WITH_TIMEOUT(!comparison.streaming() && comparison.rightRun().result(), 60000);
        const auto bytes = [&](const GenerationRun& run, const ModelConfig& of, int bits) {
            const GenerationResult& result = *run.result();
            const std::size_t tokens = result.prompt_ids.size() + result.ids.size();
            return result.kv_cache_bytes == tokens * kvBytesPerToken(of, KvFormat::quantised(bits));
        };
        QVERIFY(bytes(comparison.leftRun(), comparison.left()->model->config, 8));
        QVERIFY(bytes(comparison.rightRun(), config, 4));
        // The original against itself at fewer bits: what a user would do without converting.
        comparison.setOther(Comparison::Other::Same);
        QCOMPARE(comparison.right(), comparison.left());
        comparison.setOther(Comparison::Other::Conversion);
        for (KvFormatBox* box : {left, right}) {
            box->setFocus();
            QTest::keyClick(box, Qt::Key_Home);
        }
        QVERIFY(!comparison.leftFormat() && !comparison.rightFormat());
    }

    // The smallest window has room for every row of figures.
    void figuresKeepTheirHeight() {
        m_ui->window->resize(m_ui->window->minimumSize());
        QCOMPARE(m_ui->window->size(), QSize(1024, 720));
        QCoreApplication::processEvents();
        auto* panel = m_ui->window->findChild<MeasurementPanel*>();
        m_ui->grab("compare-small");
        int rows = 0;
        for (auto* label : panel->findChildren<QLabel*>()) {
            if (label->isVisible()) {
                QVERIFY2(label->height() >= label->fontMetrics().height(),
                         qPrintable(QStringLiteral("%1: %2 pixels").arg(label->text()).arg(label->height())));
                ++rows;
            }
        }
        QVERIFY(rows > 3 * 8);
        m_ui->window->resize(1440, 900);
    }

    void aMissingTextGivesAMessage() {
        auto* panel = m_ui->window->findChild<MeasurementPanel*>();
        panel->suggestText("/nowhere/text.txt");
        const QSignalSpy notices(m_ui->workspace.get(), &Workspace::notice);
        QTest::mouseClick(m_ui->find<QPushButton>("measure"), Qt::LeftButton);
        QTRY_VERIFY_WITH_TIMEOUT(!notices.isEmpty(), 10000);
        QVERIFY(notices.last().at(1).toString().contains("/nowhere/text.txt"));
    }

private:
    void clickSegment(SegmentedControl* control, const QString& name) {
        for (auto* button : control->findChildren<QAbstractButton*>()) {
            if (button->text() == name) {
                QTest::mouseClick(button, Qt::LeftButton);
                return;
            }
        }
        QFAIL(qPrintable("no segment " + name));
    }
    void chooseView(const QString& name) { clickSegment(m_ui->find<SegmentedControl>("compareView"), name); }

    std::unique_ptr<WindowFixture> m_ui;
    ComparePage* m_page = nullptr;
};

QTEST_MAIN(TestComparePage)
#include "tst_compare_page.moc"
