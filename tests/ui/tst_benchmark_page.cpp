// SPDX-License-Identifier: Apache-2.0
// The Benchmark workspace on a demo model: inputs and their checks, rows as the engine gives them, what is
// drawn and written of them. Times are only looked at for presence and order.
#include "core/benchmark/forwarding_backend.h"
#include "tests/ui/window_fixture.h"
#include "ui/model/benchmark_run.h"
#include "ui/model/model_tables.h"
#include "ui/model/units.h"
#include "ui/widgets/job_progress.h"
#include "ui/widgets/kv_format_box.h"
#include "ui/widgets/segmented_control.h"
#include "ui/workspaces/benchmark/benchmark_page.h"
#include "ui/workspaces/benchmark/benchmark_plot.h"
#include "ui/workspaces/benchmark/benchmark_results.h"
#include "ui/workspaces/benchmark/benchmark_table.h"

#include <QAbstractButton>
#include <QCheckBox>
#include <QClipboard>
#include <QDir>
#include <QFile>
#include <QLabel>
#include <QLineEdit>
#include <QPushButton>
#include <QSignalSpy>
#include <QSpinBox>
#include <QTableView>
#include <QToolButton>

#include <atomic>
#include <cmath>

using namespace eigenscope;

namespace {

// A device with as much free memory as a test wants; 0: what there is.
class SmallBackend final : public ForwardingBackend {
public:
    using ForwardingBackend::ForwardingBackend;
    MemoryStats memory() const override {
        const std::size_t bytes = free;
        return bytes > 0 ? MemoryStats{bytes, bytes} : ForwardingBackend::memory();
    }
    std::atomic<std::size_t> free{0};
};

// llama-stories: 4 layers of 2 key/value heads of 64; keys and values.
constexpr std::int64_t kCachedElements = std::int64_t{4} * 2 * 64 * 2;
constexpr std::int64_t kDenseBytes = kCachedElements * 4;  // in the checkpoint's f32
// Of 32 elements: codes of 4 bits, a scale and a minimum of 2 bytes each.
constexpr std::int64_t kFourBitBytes = kCachedElements / 32 * (16 + 2 + 2);

constexpr int kRunMs = 120000;

}  // namespace

class TestBenchmarkPage : public QObject {
    Q_OBJECT
private slots:
    void init() { m_ui = std::make_unique<WindowFixture>(ThemeChoice::Light, newBackend()); }
    void cleanup() {
        m_ui.reset();
        m_backend.reset();
    }

    void withoutAModelThePageLeadsToStart() {
        show();
        auto* open = visibleButton("Open a model");
        QVERIFY(open);
        grab("no-model");
        QVERIFY(!find<QPushButton>("runBenchmark")->isVisible());
        QTest::mouseClick(open, Qt::LeftButton);
        QVERIFY(!page()->isVisible());
    }

    void beforeARunItSaysWhatWillBeMeasured() {
        openDemo();
        QVERIFY(find<QWidget>("benchmarkNothing")->isVisible());
        QVERIFY(find<QPushButton>("runBenchmark")->isEnabled());
        QVERIFY(find<QLabel>("benchmarkCeilings")->text().contains(m_ui->workspace->deviceText()));
        // The contexts follow the model's 512 positions until the user types others.
        QCOMPARE(find<QLineEdit>("benchmarkContexts")->text(), QStringLiteral("64, 128, 256, 512"));
        QVERIFY(find<QCheckBox>("benchmarkOriginal")->isChecked());
        QVERIFY(!find<QCheckBox>("benchmarkConversion")->isEnabled());
        QVERIFY(!find<QCheckBox>("benchmarkCheckpoint")->isEnabled());
        for (const char* name : {"benchmarkExport", "benchmarkCopy", "benchmarkClear"}) {
            QVERIFY(!find<QToolButton>(name)->isEnabled());
        }
    }

    void whatIsWrongIsSaidBeforeARun_data() {
        QTest::addColumn<QString>("contexts");
        QTest::addColumn<QString>("batches");
        QTest::addColumn<QStringList>("said");
        QTest::newRow("beyond the positions") << "64, 8k"
                                              << "1" << QStringList{"8192", "512 positions", "llama-stories"};
        QTest::newRow("no room for new tokens") << "32"
                                                << "1" << QStringList{"32", "new tokens"};
        QTest::newRow("a word") << "64, long"
                                << "1" << QStringList{"Contexts", "long"};
        QTest::newRow("zero") << "0"
                              << "1" << QStringList{"Contexts", "0"};
        QTest::newRow("negative batch") << "64"
                                        << "-2" << QStringList{"Batches", "-2"};
        QTest::newRow("no context") << ""
                                    << "1" << QStringList{"Contexts", "at least one"};
        QTest::newRow("no batch") << "64"
                                  << " , " << QStringList{"Batches", "at least one"};
        QTest::newRow("an enormous number") << "99999999999999999999"
                                            << "1" << QStringList{"Contexts", "99999999999999999999"};
    }
    void whatIsWrongIsSaidBeforeARun() {
        QFETCH(QString, contexts);
        QFETCH(QString, batches);
        QFETCH(QStringList, said);
        openDemo();
        type("benchmarkContexts", contexts);
        type("benchmarkBatches", batches);
        auto* problem = find<QLabel>("benchmarkProblem");
        QVERIFY(problem->isVisible());
        for (const QString& part : said) {
            QVERIFY2(problem->text().contains(part), qPrintable(problem->text()));
        }
        QVERIFY(!find<QPushButton>("runBenchmark")->isEnabled());
        if (QString(QTest::currentDataTag()) == "beyond the positions") {
            grab("problem");
        }
        auto* suggest = find<QToolButton>("benchmarkSuggest");
        if (batches == "1") {  // one click away from contexts that the model has
            QTest::mouseClick(suggest, Qt::LeftButton);
            QVERIFY(!problem->isVisible());
            QCOMPARE(find<QLineEdit>("benchmarkContexts")->text(), QStringLiteral("64, 128, 256, 512"));
            QVERIFY(find<QPushButton>("runBenchmark")->isEnabled());
        }
    }

    void noChosenModelIsAProblem() {
        openDemo();
        find<QCheckBox>("benchmarkOriginal")->click();
        QVERIFY(find<QLabel>("benchmarkProblem")->isVisible());
        QVERIFY(!find<QPushButton>("runBenchmark")->isEnabled());
    }

    void aRunMeasuresEveryCombination() {
        openDemo();
        prepare("48, 24", "1, 3");
        QTest::keyClick(m_ui->window.get(), Qt::Key_Return, Qt::ControlModifier);
        QTRY_VERIFY(run().running());  // the button is shown pressed first
        QVERIFY(!find<QPushButton>("runBenchmark")->isEnabled());
        QVERIFY(page()->findChild<JobProgress*>()->isVisible());
        QTRY_VERIFY_WITH_TIMEOUT(!run().running(), kRunMs);
        // By batch, then context, as asked.
        const std::vector<std::pair<std::int64_t, int>> asked = {{48, 1}, {24, 1}, {48, 3}, {24, 3}};
        QCOMPARE(run().records().size(), asked.size());
        BenchmarkTable* table = results()->table();
        QCOMPARE(table->rowCount(), static_cast<int>(asked.size()));
        for (std::size_t i = 0; i < asked.size(); ++i) {
            const BenchmarkRow& row = run().records()[i].row;
            QCOMPARE(row.model, std::string("llama-stories"));
            QCOMPARE(row.context, asked[i].first);
            QCOMPARE(row.batch, asked[i].second);
            QCOMPARE(row.new_tokens, 4);
            QCOMPARE(row.tpot.samples, 2);
            QCOMPARE(row.ttft.samples, 2);
            QCOMPARE(row.kv_cache_bytes, asked[i].first * asked[i].second * kDenseBytes);
            const auto cell = [&](int column) { return cellText(static_cast<int>(i), column); };
            QCOMPARE(cell(BenchmarkTable::ModelName), QStringLiteral("llama-stories"));
            QCOMPARE(cell(BenchmarkTable::Format), QStringLiteral("f32"));
            QCOMPARE(cell(BenchmarkTable::Context), QString::number(asked[i].first));
            QCOMPARE(cell(BenchmarkTable::Batch), QString::number(asked[i].second));
            QCOMPARE(cell(BenchmarkTable::Tpot), secondsText(row.tpot.median));
            QCOMPARE(cell(BenchmarkTable::KvCache),
                     bytesText(static_cast<double>(asked[i].first * asked[i].second * kDenseBytes)));
            QCOMPARE(cell(BenchmarkTable::DecodeOfBound),
                     percentText(static_cast<double>(row.weight_bytes_read + row.cache_bytes_read) /
                                 row.ceilings.copy.bytes_per_second / row.tpot.median));
        }
        for (int column = 0; column < table->columnCount(); ++column) {
            QVERIFY(!table->headerData(column, Qt::Horizontal, Qt::DisplayRole).toString().isEmpty());
            QVERIFY(!table->headerData(column, Qt::Horizontal, Qt::ToolTipRole).toString().isEmpty());
        }
        const QString ceilings = find<QLabel>("benchmarkCeilings")->text();
        QVERIFY2(ceilings.contains("GB/s") && ceilings.contains("GFLOP/s"), qPrintable(ceilings));
        checkPlot();
    }

    // Formats side by side: earlier results stay until they are cleared.
    void runsStandBesideEachOther() {
        openDemo();
        prepare("24", "2");
        measure();
        auto* format = find<KvFormatBox>("benchmarkFormat");
        format->setFocus();
        QTest::keyClick(format, Qt::Key_4);
        QCOMPARE(format->format()->bits, 4);
        measure();
        QCOMPARE(run().records().size(), std::size_t(2));
        QCOMPARE(run().records()[0].row.kv_cache_bytes, 24 * 2 * kDenseBytes);
        QCOMPARE(run().records()[1].row.kv_cache_bytes, 24 * 2 * kFourBitBytes);
        QCOMPARE(cellText(1, BenchmarkTable::Format), QStringLiteral("4 bit"));
        QCOMPARE(cellText(1, BenchmarkTable::Run), QStringLiteral("2"));
        QCOMPARE(results()->plot()->curves(), 2);
        QVERIFY(results()->plot()->curve(0)->name().contains("f32"));
        QVERIFY(results()->plot()->curve(1)->name().contains("4 bit"));
        QTest::mouseClick(find<QToolButton>("benchmarkClear"), Qt::LeftButton);
        QVERIFY(run().empty());
        QCOMPARE(results()->table()->rowCount(), 0);
        QCOMPARE(results()->plot()->curves(), 0);
        QVERIFY(find<QWidget>("benchmarkNothing")->isVisible());
    }

    void prefillCanBeLeftOut() {
        openDemo();
        prepare("24", "1");
        find<QCheckBox>("benchmarkPrefill")->click();
        measure();
        QVERIFY(!run().records()[0].row.hasPrefill());
        for (const int column :
             {BenchmarkTable::Ttft, BenchmarkTable::PrefillTokens, BenchmarkTable::PrefillOfProduct}) {
            QCOMPARE(cellText(0, column), QStringLiteral("—"));
        }
        chooseMeasure(BenchmarkMeasure::Ttft);
        QCOMPARE(results()->plot()->curve(0)->dataCount(), 0);
    }

    void originalAndConversionShareTheCeilings() {
        openDemo();
        QVERIFY(m_ui->calibrateShortly());
        QVERIFY(m_ui->convertTo(0.5));
        show();
        QVERIFY(find<QCheckBox>("benchmarkConversion")->isEnabled());
        QVERIFY(find<QCheckBox>("benchmarkConversion")->isChecked());
        prepare("24", "1");
        measure();
        QCOMPARE(run().records().size(), std::size_t(2));
        const BenchmarkRow &original = run().records()[0].row, &converted = run().records()[1].row;
        const Conversion& conversion = *m_ui->workspace->conversion();
        QCOMPARE(QString::fromStdString(converted.model),
                 QStringLiteral("llama-stories %1×").arg(ratioText(conversion.kv_ratio)));
        std::int64_t ranks = 0;
        for (std::size_t layer = 0; layer < 4; ++layer) {
            ranks += conversion.plan.key_ranks[layer] + conversion.plan.value_ranks[layer];
        }
        QCOMPARE(converted.kv_cache_bytes, 24 * ranks * 2 * 4);  // of 2 heads, in f32
        QVERIFY(original.ceilings.copy.bytes_per_second > 0.0);
        QCOMPARE(converted.ceilings.copy.bytes_per_second, original.ceilings.copy.bytes_per_second);
        QCOMPARE(converted.ceilings.product.flops_per_second, original.ceilings.product.flops_per_second);
    }

    void aCancelledRunLeavesWholeRows() {
        openDemo();
        prepare("24, 512, 500, 480, 460, 440", "1, 16");
        find<QSpinBox>("benchmarkNewTokens")->setValue(16);
        find<QSpinBox>("benchmarkRepetitions")->setValue(20);
        QTest::mouseClick(find<QPushButton>("runBenchmark"), Qt::LeftButton);
        QTRY_VERIFY_WITH_TIMEOUT(!run().records().empty(), kRunMs);
        QVERIFY(run().running());  // rows are there before the end
        m_ui->grab("benchmark-running");
        QCOMPARE(results()->table()->rowCount(), static_cast<int>(run().records().size()));
        QTest::mouseClick(find<QPushButton>("cancelJob"), Qt::LeftButton);
        QTRY_VERIFY_WITH_TIMEOUT(!run().running(), 20000);
        QCOMPARE(run().job()->state(), Job::State::Cancelled);
        QVERIFY(run().records().size() < 12);
        for (const BenchmarkRecord& record : run().records()) {
            QCOMPARE(record.row.ttft.samples, 20);
            QCOMPARE(record.row.tpot.samples, 20);
            QCOMPARE(record.row.attention.samples, 20);
            QCOMPARE(record.row.kv_cache_bytes, record.row.context * record.row.batch * kDenseBytes);
        }
        QCOMPARE(results()->table()->rowCount(), static_cast<int>(run().records().size()));
        QVERIFY(find<QPushButton>("runBenchmark")->isEnabled());
    }

    void whatDoesNotFitIsSaidAndSkipped() {
        openDemo();
        // 512 positions of 64 sequences take 128 MiB of cache.
        m_backend->free = std::size_t{32} << 20;
        prepare("24, 512", "1, 64");
        auto* unfit = find<QLabel>("benchmarkUnfit");
        QVERIFY(unfit->isVisible());
        QVERIFY2(unfit->text().startsWith("1 of 4") && unfit->text().contains("KV cache 0.12 GiB"),
                 qPrintable(unfit->text()));
        QVERIFY(find<QPushButton>("runBenchmark")->isEnabled());
        grab("unfit");
        measure();
        grab("skipped");
        QCOMPARE(run().records().size(), std::size_t(3));
        QCOMPARE(run().skipped().size(), std::size_t(1));
        QCOMPARE(run().skipped()[0].skip.context, std::int64_t(512));
        QCOMPARE(run().skipped()[0].skip.batch, 64);
        BenchmarkTable* table = results()->table();
        QCOMPARE(table->rowCount(), 4);
        QCOMPARE(cellText(3, BenchmarkTable::Context), QStringLiteral("512"));
        QCOMPARE(cellText(3, BenchmarkTable::Batch), QStringLiteral("64"));
        const QString reason = cellText(3, BenchmarkTable::Ttft);
        QVERIFY2(reason.startsWith("skipped: ") && reason.contains("are free"), qPrintable(reason));
        // The reason runs across the figures, wherever sorting puts the row.
        auto* view = find<QTableView>("benchmarkTable");
        QVERIFY(view->columnSpan(3, BenchmarkTable::Ttft) > 5);
        view->sortByColumn(BenchmarkTable::Context, Qt::DescendingOrder);
        int spans = 0;
        for (int row = 0; row < 4; ++row) {
            const QAbstractItemModel* shown = view->model();
            const bool skipped = shown->index(row, 0).data(BenchmarkTable::kSkippedRole).toBool();
            QCOMPARE(view->columnSpan(row, BenchmarkTable::Ttft) > 5, skipped);
            spans += skipped;
        }
        QCOMPARE(spans, 1);
        QVERIFY(!QString::fromStdString(run().csv()).contains("skipped"));
    }

    void theFileIsTheTerminalsAndTheClipboardTheTable() {
        openDemo();
        prepare("24, 48", "1");
        measure();
        const QString file = m_ui->folder.filePath("rows.csv");
        QString error;
        QVERIFY2(run().exportCsv(file, &error), qPrintable(error));
        QFile written(file);
        QVERIFY(written.open(QIODevice::ReadOnly));
        const QStringList lines = QString::fromUtf8(written.readAll()).trimmed().split('\n');
        QCOMPARE(lines.size(), 3);
        const QStringList header = lines[0].split(',');
        QCOMPARE(header.mid(0, 6),
                 (QStringList{"model", "context", "batch", "new_tokens", "kv_format", "compute"}));
        const auto value = [&](int line, const char* column) {
            return lines[line].split(',').value(header.indexOf(QLatin1String(column)));
        };
        for (int i = 0; i < 2; ++i) {
            const std::int64_t context = i == 0 ? 24 : 48;
            QCOMPARE(value(i + 1, "model"), QStringLiteral("\"llama-stories\""));
            QCOMPARE(value(i + 1, "context").toLongLong(), context);
            QCOMPARE(value(i + 1, "kv_format"), QStringLiteral("f32"));
            QCOMPARE(value(i + 1, "kv_cache_bytes").toLongLong(), context * kDenseBytes);
            QVERIFY(value(i + 1, "tpot_ms_min").toDouble() <= value(i + 1, "tpot_ms").toDouble());
            QVERIFY(value(i + 1, "tpot_ms").toDouble() <= value(i + 1, "tpot_ms_max").toDouble());
            QVERIFY(value(i + 1, "tpot_ms_min").toDouble() > 0.0);
            QVERIFY(value(i + 1, "copy_bytes_per_second").toDouble() > 0.0);
        }
        QVERIFY(!run().exportCsv("/nowhere/rows.csv", &error));
        QVERIFY2(error.contains("/nowhere"), qPrintable(error));

        QTest::mouseClick(find<QToolButton>("benchmarkCopy"), Qt::LeftButton);
        const QStringList copied = QApplication::clipboard()->text().split('\n');
        QCOMPARE(copied.size(), 3);
        QCOMPARE(copied[0].split('\t').size(), static_cast<qsizetype>(BenchmarkTable::ColumnCount));
        QCOMPARE(copied[2].split('\t')[BenchmarkTable::Context], QStringLiteral("48"));
        QCOMPARE(copied[2].split('\t')[BenchmarkTable::KvCache], bytesText(48.0 * kDenseBytes));

        auto* view = find<QTableView>("benchmarkTable");
        view->sortByColumn(BenchmarkTable::KvCache, Qt::DescendingOrder);
        QCOMPARE(view->model()->index(0, BenchmarkTable::Context).data().toString(), QStringLiteral("48"));
    }

    void inputsAreRemembered() {
        openDemo();
        prepare("24, 40", "2, 5");
        auto* format = find<KvFormatBox>("benchmarkFormat");
        format->setFocus();
        QTest::keyClick(format, Qt::Key_8);
        find<QCheckBox>("benchmarkPrefill")->click();
        chooseMeasure(BenchmarkMeasure::KvCache);
        MainWindow again(*m_ui->workspace, *m_ui->theme);
        Page* page = again.page(PageId::Benchmark);
        QCOMPARE(page->findChild<QLineEdit*>("benchmarkContexts")->text(), QStringLiteral("24, 40"));
        QCOMPARE(page->findChild<QLineEdit*>("benchmarkBatches")->text(), QStringLiteral("2, 5"));
        QCOMPARE(page->findChild<QSpinBox*>("benchmarkNewTokens")->value(), 4);
        QCOMPARE(page->findChild<QSpinBox*>("benchmarkRepetitions")->value(), 2);
        QVERIFY(!page->findChild<QCheckBox*>("benchmarkPrefill")->isChecked());
        QCOMPARE(page->findChild<KvFormatBox*>("benchmarkFormat")->format()->bits, 8);
        QCOMPARE(page->findChild<BenchmarkPlot*>()->measure(), BenchmarkMeasure::KvCache);
    }

    // The run goes on with the model it began with; the other one opens behind it.
    void anotherModelOpensDuringARun() {
        openDemo();
        prepare("24, 48", "1");
        QTest::mouseClick(find<QPushButton>("runBenchmark"), Qt::LeftButton);
        QVERIFY(run().running());
        m_ui->workspace->openModel(WindowFixture::demoModel("mpt-stories"));
        QTRY_VERIFY_WITH_TIMEOUT(!m_ui->jobs.busy(), kRunMs);
        QCOMPARE(m_ui->workspace->model()->name, std::string("mpt-stories"));
        QCOMPARE(run().records().size(), std::size_t(2));
        for (const BenchmarkRecord& record : run().records()) {
            QCOMPARE(record.row.model, std::string("llama-stories"));
        }
        show();
        QVERIFY(find<QCheckBox>("benchmarkOriginal")->text().contains("mpt-stories"));
        measure();  // beside what is there
        QCOMPARE(run().records().size(), std::size_t(4));
        QCOMPARE(run().records()[3].row.model, std::string("mpt-stories"));
    }

    void clearingDuringARunEndsIt() {
        openDemo();
        prepare("512, 500, 480", "1, 16");
        find<QSpinBox>("benchmarkRepetitions")->setValue(20);
        QTest::mouseClick(find<QPushButton>("runBenchmark"), Qt::LeftButton);
        run().clear();
        QTRY_VERIFY_WITH_TIMEOUT(!m_ui->jobs.busy(), 20000);
        QVERIFY(run().empty());
        QVERIFY(!run().running());
    }

    void timesBesideAnotherJobAreMarked() {
        openDemo();
        prepare("24", "1");
        std::atomic<bool> stop{false};
        m_ui->jobs.submit(
            Lane::Parallel, "other work", m_ui.get()->window.get(),
            [&stop](JobContext& job) {
                while (!stop && !job.cancelled()) {
                    QTest::qSleep(5);
                }
                return true;
            },
            [](bool) {});
        measureWhileBusy();
        stop = true;
        QTRY_VERIFY_WITH_TIMEOUT(!m_ui->jobs.busy(), 10000);
        QVERIFY(!run().records()[0].alone);
        QVERIFY(cellText(0, BenchmarkTable::ModelName).endsWith("*"));
        measure();
        QVERIFY(run().records()[1].alone);
        QVERIFY(!cellText(1, BenchmarkTable::ModelName).endsWith("*"));
    }

private:
    std::shared_ptr<Backend> newBackend() {
        return m_backend = std::make_shared<SmallBackend>(createCpuBackend());
    }
    BenchmarkPage* page() { return static_cast<BenchmarkPage*>(m_ui->window->page(PageId::Benchmark)); }
    BenchmarkRun& run() { return page()->run(); }
    BenchmarkResults* results() { return page()->results(); }
    template <typename Widget>
    Widget* find(const char* name) {
        return page()->findChild<Widget*>(QLatin1String(name));
    }
    void show() { m_ui->window->showPage(PageId::Benchmark); }

    void openDemo() {
        QVERIFY(m_ui->openDemo("llama-stories"));
        show();
        m_ui->window->activateWindow();
        QVERIFY(QTest::qWaitForWindowActive(m_ui->window.get()));
    }

    QAbstractButton* visibleButton(const QString& text) {
        for (auto* button : page()->findChildren<QAbstractButton*>()) {
            if (button->isVisible() && button->text() == text) {
                return button;
            }
        }
        return nullptr;
    }

    void type(const char* field, const QString& text) {
        auto* line = find<QLineEdit>(field);
        line->setFocus();
        line->selectAll();
        QTest::keyClick(line, Qt::Key_Delete);
        QTest::keyClicks(line, text);
        QCOMPARE(line->text(), text);
    }

    void prepare(const QString& contexts, const QString& batches) {
        type("benchmarkContexts", contexts);
        type("benchmarkBatches", batches);
        find<QSpinBox>("benchmarkNewTokens")->setValue(4);
        find<QSpinBox>("benchmarkRepetitions")->setValue(2);
        QVERIFY2(find<QPushButton>("runBenchmark")->isEnabled(),
                 qPrintable(find<QLabel>("benchmarkProblem")->text()));
    }

    void measureWhileBusy() {
        QTest::mouseClick(find<QPushButton>("runBenchmark"), Qt::LeftButton);
        QVERIFY(run().running());
        QTRY_VERIFY_WITH_TIMEOUT(!run().running(), kRunMs);
        QCOMPARE(run().job()->state(), Job::State::Finished);
    }
    void measure() {
        measureWhileBusy();
        QVERIFY(!m_ui->jobs.busy());
    }

    QString cellText(int row, int column) {
        BenchmarkTable* table = results()->table();
        return table->index(row, column).data().toString();
    }

    void chooseMeasure(BenchmarkMeasure measure) {
        const auto buttons = find<SegmentedControl>("benchmarkMeasure")->findChildren<QAbstractButton*>();
        QTest::mouseClick(buttons.at(static_cast<int>(measure)), Qt::LeftButton);
        QCOMPARE(results()->plot()->measure(), measure);
    }

    // Of contexts 48 and 24 at batches 1 and 3.
    void checkPlot() {
        BenchmarkPlot* plot = results()->plot();
        QCOMPARE(plot->curves(), 2);
        for (const BenchmarkMeasure measure : kBenchmarkMeasures) {
            chooseMeasure(measure);
            grab(wordsOf(measure).segment.section('/', 0, 0));
            const bool bytes =
                measure == BenchmarkMeasure::KvCache || measure == BenchmarkMeasure::PeakMemory;
            for (int series = 0; series < 2; ++series) {
                QCOMPARE(plot->curve(series)->dataCount(), 2);
                QCOMPARE(plot->spread(series) == nullptr, bytes);
                QCOMPARE(plot->ceiling(series) == nullptr, bytes);
                QCOMPARE(plot->curve(series)->dataMainKey(0), 24.0);
                QCOMPARE(plot->curve(series)->dataMainKey(1), 48.0);
                if (!bytes) {
                    QCOMPARE(plot->ceiling(series)->pen().style(), Qt::DashLine);
                    // No time is shorter, no rate higher than the ceiling is drawn at: other axes.
                    QVERIFY(plot->ceiling(series)->dataMainValue(0) > 0.0);
                }
            }
            if (measure == BenchmarkMeasure::KvCache) {
                QCOMPARE(plot->curve(1)->dataMainValue(1) * plot->unit(), 48.0 * 3 * kDenseBytes);
            }
        }
        chooseMeasure(BenchmarkMeasure::Throughput);
        const BenchmarkRow& row = run().records()[3].row;  // 24 at batch 3
        QCOMPARE(plot->curve(1)->dataMainValue(0), 3.0 / row.tpot.median);
        QCOMPARE(plot->ceiling(1)->dataMainValue(0),
                 3.0 * row.ceilings.copy.bytes_per_second /
                     static_cast<double>(row.weight_bytes_read + row.cache_bytes_read));
        chooseMeasure(BenchmarkMeasure::Ttft);
        QCOMPARE(plot->ceiling(1)->dataMainValue(0) * plot->unit(),
                 row.prefill_flops / row.ceilings.product.flops_per_second);
        chooseMeasure(BenchmarkMeasure::Tpot);
        QSignalSpy read(page(), &Page::readout);
        QTest::mouseMove(plot, plot->positionOf(3).toPoint());
        QTRY_VERIFY(!read.isEmpty());
        const QString text = read.last()[0].toString();
        QVERIFY2(text.contains("context 24") && text.contains("batch 3") && text.contains("ceiling"),
                 qPrintable(text));
        for (const char* suffix : {"png", "pdf", "csv"}) {
            const QString file = m_ui->folder.filePath(QStringLiteral("plot.") + suffix);
            QString error;
            QVERIFY2(plot->exportTo(file, &error), qPrintable(error));
            QVERIFY(QFileInfo(file).size() > 100);
        }
        QCOMPARE(plot->table().rows.size(), 2);
        QCOMPARE(plot->table().columns.size(), 1 + 2 * 4);
    }

    // Pictures to look at, where they are asked for: light and dark, large and small.
    void grab(const QString& name) {
        for (const bool dark : {false, true}) {
            m_ui->settings.setTheme(dark ? ThemeChoice::Dark : ThemeChoice::Light);
            const QString look = dark ? "-dark" : "-light";
            m_ui->grab("benchmark-" + name + look);
            m_ui->window->resize(1024, 720);
            m_ui->grab("benchmark-" + name + look + "-small");
            m_ui->window->resize(1440, 900);
        }
        m_ui->settings.setTheme(ThemeChoice::Light);
    }

    std::shared_ptr<SmallBackend> m_backend;
    std::unique_ptr<WindowFixture> m_ui;
};

QTEST_MAIN(TestBenchmarkPage)
#include "tst_benchmark_page.moc"
