// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/benchmark/benchmark_results.h"

#include "ui/model/units.h"
#include "ui/model/workspace.h"
#include "ui/widgets/filter_table.h"
#include "ui/widgets/panel.h"
#include "ui/widgets/segmented_control.h"
#include "ui/widgets/theme.h"
#include "ui/workspaces/benchmark/benchmark_plot.h"
#include "ui/workspaces/benchmark/benchmark_table.h"

#include <QAbstractButton>
#include <QFileDialog>
#include <QFileInfo>
#include <QHeaderView>
#include <QStackedWidget>
#include <QTableView>
#include <QToolButton>

namespace eigenscope {

namespace {

const QString kMeasureKey = QStringLiteral("benchmark/measure");
const QString kFolder = QStringLiteral("benchmark");

QToolButton* linkButton(const QString& text, const QString& name, const QString& tip, QWidget* parent) {
    auto* button = new QToolButton(parent);
    button->setText(text);
    button->setObjectName(name);
    button->setToolTip(tip);
    button->setAccessibleName(tip);
    button->setProperty("link", true);
    return button;
}

}  // namespace

BenchmarkResults::BenchmarkResults(BenchmarkRun& run, Workspace& workspace, const Theme& theme,
                                   QWidget* parent)
    : QWidget(parent), m_run(run), m_workspace(workspace) {
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(kGap);
    column->addWidget(buildPlot(theme), 3);
    column->addWidget(buildTable(), 2);
    connect(&m_run, &BenchmarkRun::updated, this, &BenchmarkResults::refresh);
    const int measure = workspace.settings().value(kMeasureKey, 0).toInt();
    m_measure->setIndex(measure);
    chooseMeasure(m_measure->index());
    refresh();
}

QWidget* BenchmarkResults::buildPlot(const Theme& theme) {
    m_plot_panel = new Panel({}, this);
    QStringList names;
    for (const BenchmarkMeasure measure : kBenchmarkMeasures) {
        names << wordsOf(measure).segment;
    }
    m_measure = new SegmentedControl(names, m_plot_panel);
    m_measure->setObjectName(QStringLiteral("benchmarkMeasure"));
    const auto buttons = m_measure->findChildren<QAbstractButton*>();
    for (qsizetype i = 0; i < buttons.size(); ++i) {
        const MeasureWords words = wordsOf(kBenchmarkMeasures[i]);
        buttons[i]->setToolTip(QStringLiteral("%1. %2").arg(words.title, words.tip));
        buttons[i]->setAccessibleName(words.title);
    }
    m_plot_panel->header()->addWidget(m_measure);
    m_ceilings = mutedLabel({}, m_plot_panel);
    m_ceilings->setObjectName(QStringLiteral("benchmarkCeilings"));
    m_ceilings->setWordWrap(true);
    m_ceilings->setTextInteractionFlags(Qt::TextSelectableByMouse);
    m_plot_panel->body()->addWidget(m_ceilings);
    m_stack = new QStackedWidget(m_plot_panel);
    auto* nothing = new EmptyState(
        tr("Nothing measured yet"),
        tr("How long the first token and every further one take as the context grows, how much of that is "
           "attention, and the memory it needs. What the device reaches at most, a large copy and a large "
           "matrix product, is measured in the same run and drawn in."),
        {}, m_stack);
    nothing->setObjectName(QStringLiteral("benchmarkNothing"));
    m_stack->addWidget(nothing);
    m_plot = new BenchmarkPlot(theme, m_stack);
    m_stack->addWidget(m_plot);
    m_plot_panel->body()->addWidget(m_stack, 1);
    connect(m_measure, &SegmentedControl::selected, this, [this](int index) {
        m_workspace.settings().setValue(kMeasureKey, index);
        chooseMeasure(index);
    });
    return m_plot_panel;
}

QWidget* BenchmarkResults::buildTable() {
    m_table_panel = new Panel(tr("Results"), this);
    m_table = new BenchmarkTable(this);
    m_view = new FilterTable(m_table, -1, tr("rows"), m_table_panel);
    QTableView* view = m_view->view();
    view->setObjectName(QStringLiteral("benchmarkTable"));
    view->setAccessibleName(tr("Benchmark results"));
    view->setMinimumHeight(110);
    view->setHorizontalScrollMode(QAbstractItemView::ScrollPerPixel);
    m_table_panel->body()->addWidget(m_view, 1);
    m_copy = linkButton(tr("Copy"), QStringLiteral("benchmarkCopy"), tr("Copy the table"), m_table_panel);
    m_export = linkButton(tr("Export CSV…"), QStringLiteral("benchmarkExport"),
                          tr("Write the table as the terminal program does, with the spread of all times"),
                          m_table_panel);
    m_clear =
        linkButton(tr("Clear"), QStringLiteral("benchmarkClear"), tr("Forget all results"), m_table_panel);
    for (QToolButton* button : {m_copy, m_export, m_clear}) {
        m_table_panel->header()->addWidget(button);
    }
    connect(m_copy, &QToolButton::clicked, m_view, &FilterTable::copyAll);
    connect(m_export, &QToolButton::clicked, this, &BenchmarkResults::exportCsv);
    connect(m_clear, &QToolButton::clicked, &m_run, &BenchmarkRun::clear);
    connect(view->model(), &QAbstractItemModel::layoutChanged, this, &BenchmarkResults::spanReasons);
    return m_table_panel;
}

void BenchmarkResults::chooseMeasure(int index) {
    const BenchmarkMeasure measure = kBenchmarkMeasures[index];
    m_plot->setMeasure(measure);
    m_plot_panel->setTitle(wordsOf(measure).title);
}

void BenchmarkResults::refresh() {
    m_plot->setRecords(m_run.records());
    m_table->setResults(m_run.records(), m_run.skipped());
    spanReasons();
    m_stack->setCurrentIndex(m_run.records().empty() ? 0 : 1);
    m_ceilings->setText(ceilingsText());
    bool alone = true;
    for (const BenchmarkRecord& record : m_run.records()) {
        alone = alone && record.alone;
    }
    m_table_panel->setNote(m_run.empty() ? tr("rows appear as they are measured")
                           : alone       ? tr("medians; tooltips say the spread")
                                         : tr("* another job ran at the same time"));
    m_copy->setEnabled(!m_run.empty());
    m_export->setEnabled(!m_run.records().empty());
    m_clear->setEnabled(!m_run.empty());
}

void BenchmarkResults::spanReasons() {
    QTableView* view = m_view->view();
    view->clearSpans();
    const QAbstractItemModel* shown = view->model();
    constexpr int kColumns = BenchmarkTable::Run - BenchmarkTable::Ttft;
    for (int row = 0; row < shown->rowCount(); ++row) {
        if (shown->index(row, 0).data(BenchmarkTable::kSkippedRole).toBool()) {
            view->setSpan(row, BenchmarkTable::Ttft, 1, kColumns);
        }
    }
}

QString BenchmarkResults::ceilingsText() const {
    QStringList parts = {m_workspace.deviceText()};
    if (m_run.records().empty()) {
        parts << tr("the ceilings are measured when a run begins");
        return parts.join(QStringLiteral(" · "));
    }
    const BenchmarkRow& latest = m_run.records().back().row;
    const auto giga = [](double rate) { return figureText(rate * 1e-9); };
    parts << tr("compute %1").arg(computeText(latest.compute))
          << tr("copy %1 GB/s (read and written)").arg(giga(latest.ceilings.copy.bytes_per_second))
          << tr("matrix product %1 GFLOP/s").arg(giga(latest.ceilings.product.flops_per_second));
    if (m_run.records().front().run != m_run.records().back().run) {
        parts << tr("in run %1").arg(m_run.records().back().run);
    }
    return parts.join(QStringLiteral(" · "));
}

void BenchmarkResults::exportCsv() {
    Settings& settings = m_workspace.settings();
    const QString file = QFileDialog::getSaveFileName(
        this, tr("Export benchmark results"), settings.folder(kFolder) + QStringLiteral("/benchmark.csv"),
        tr("CSV (*.csv)"));
    if (file.isEmpty()) {
        return;
    }
    settings.setFolder(kFolder, QFileInfo(file).absolutePath());
    QString error;
    const bool written = m_run.exportCsv(file, &error);
    emit m_workspace.notice(
        written ? tr("Benchmark results exported") : tr("The benchmark results could not be exported"),
        written ? file : error, !written);
}

}  // namespace eigenscope
