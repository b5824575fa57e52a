// SPDX-License-Identifier: Apache-2.0
#include "tests/ui/window_fixture.h"
#include "ui/model/comparison.h"
#include "ui/model/units.h"
#include "ui/widgets/kv_format_box.h"
#include "ui/workspaces/compare/answer_panel.h"
#include "ui/workspaces/compare/compare_page.h"
#include "ui/workspaces/compare/measurement_panel.h"

#include <QLabel>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QSpinBox>

using namespace eigenscope;

class TestComparePage : public QObject {
    Q_OBJECT

private slots:
    void initTestCase() {
        m_ui = std::make_unique<WindowFixture>();
        QVERIFY(m_ui->openDemo("llama-stories"));
        QVERIFY(m_ui->calibrateShortly());
        QVERIFY(m_ui->convertTo(0.5));
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
        if (expected >= 0) {
            QCOMPARE(comparison.firstDifference(), expected);
        }
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
        QTest::mouseClick(m_ui->find<QPushButton>("measure"), Qt::LeftButton);
        QTRY_VERIFY_WITH_TIMEOUT(m_page->comparison().measurement().has_value(), 120000);
        const auto& quality = m_page->comparison().measurement()->quality;
        QVERIFY(quality.kl_divergence > 0.0);
        QVERIFY(quality.top1_agreement > 0.0 && quality.top1_agreement < 1.0);
        QCOMPARE(static_cast<std::int64_t>(quality.token_kl.size()), quality.first.tokens);
        for (int row = 0; row < 7; ++row) {
            QVERIFY2(panel->figure(row, 1) != QStringLiteral("—"), qPrintable(QString::number(row)));
        }
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
        const ModelConfig& config = comparison.right()->model->config;
        const QString expected =
            bytesText(static_cast<double>(kvBytesPerToken(config, KvFormat::quantised(4))));
        bool shown = false;
        for (const QLabel* label : m_ui->find<AnswerPanel>("rightAnswer")->findChildren<QLabel*>()) {
            shown = shown || label->text().contains(expected);
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

    void aMissingTextGivesAMessage() {
        auto* panel = m_ui->window->findChild<MeasurementPanel*>();
        panel->suggestText("/nowhere/text.txt");
        QString message;
        connect(m_ui->workspace.get(), &Workspace::notice, this,
                [&](const QString&, const QString& text, bool) { message = text; });
        QTest::mouseClick(m_ui->find<QPushButton>("measure"), Qt::LeftButton);
        QTRY_VERIFY_WITH_TIMEOUT(message.contains("/nowhere/text.txt"), 10000);
    }

private:
    std::unique_ptr<WindowFixture> m_ui;
    ComparePage* m_page = nullptr;
};

QTEST_MAIN(TestComparePage)
#include "tst_compare_page.moc"
