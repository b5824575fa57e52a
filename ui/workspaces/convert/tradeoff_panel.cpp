// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/convert/tradeoff_panel.h"

#include "ui/model/workspace.h"
#include "ui/widgets/job_progress.h"
#include "ui/widgets/panel.h"
#include "ui/widgets/theme.h"
#include "ui/workspaces/convert/tradeoff_plot.h"

#include <QFileDialog>
#include <QFileInfo>
#include <QHBoxLayout>
#include <QLineEdit>
#include <QPushButton>
#include <QSpinBox>
#include <QToolButton>

namespace eigenscope {

namespace {
constexpr int kDefaultWindows = 8, kExpectMs = 200;
const QString kTextFolder = QStringLiteral("text");
}  // namespace

TradeoffPanel::TradeoffPanel(Workspace& workspace, const Theme& theme, QWidget* parent)
    : QWidget(parent),
      m_workspace(workspace),
      m_run(workspace),
      m_plot(new TradeoffPlot(theme, this)),
      m_note(mutedLabel({}, this)),
      m_progress(new JobProgress(this)) {
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(6);
    m_note->setWordWrap(true);
    column->addWidget(m_note);
    column->addWidget(m_plot, 1);
    column->addWidget(m_progress);
    column->addWidget(buildForm());
    connect(&m_run, &TradeoffRun::updated, this, &TradeoffPanel::refresh);
    connect(m_progress, &JobProgress::runningChanged, this, &TradeoffPanel::refresh);
    connect(&workspace.plan(), &PlanDocument::changed, this, [this] {
        m_plot->setPlanRatio(m_workspace.plan().kvRatio());
        m_expect.start();
    });
    m_expect.setSingleShot(true);
    m_expect.setInterval(kExpectMs);
    connect(&m_expect, &QTimer::timeout, this, &TradeoffPanel::drawExpected);
    connect(&workspace, &Workspace::statisticsChanged, this, &TradeoffPanel::refresh);
    connect(&workspace, &Workspace::modelChanged, this,
            [this] { m_text->setText(m_workspace.suggestedEvaluationText()); });
    m_text->setText(workspace.suggestedEvaluationText());
    refresh();
}

QWidget* TradeoffPanel::buildForm() {
    auto* box = new QWidget(this);
    auto* row = new QHBoxLayout(box);
    row->setContentsMargins(0, 0, 0, 0);
    m_text = new QLineEdit(box);
    m_text->setPlaceholderText(tr("Held-out text to measure on"));
    m_text->setAccessibleName(tr("Held-out text to measure on"));
    m_text->setObjectName(QStringLiteral("tradeoffText"));
    auto* browse = new QToolButton(box);
    browse->setText(QStringLiteral("…"));
    browse->setProperty("outlined", true);
    browse->setAccessibleName(tr("Choose a text file"));
    browse->setToolTip(tr("Choose a text file"));
    m_windows = new QSpinBox(box);
    m_windows->setRange(1, 100000);
    m_windows->setValue(kDefaultWindows);
    m_windows->setSuffix(tr(" windows"));
    m_windows->setAccessibleName(tr("Windows"));
    m_windows->setToolTip(tr(
        "Non-overlapping windows of the model's max positions (at most 2,048 tokens) from the text's start"));
    m_measure = new QPushButton(tr("Measure"), box);
    m_measure->setObjectName(QStringLiteral("measureTradeoff"));
    m_measure->setToolTip(
        tr("Convert the model at several KV ratios in every way that is ready, and measure each; also plain "
           "quantised caches, which take as few bytes"));
    row->addWidget(m_text, 1);
    row->addWidget(browse);
    row->addWidget(m_windows);
    row->addWidget(m_measure);
    connect(browse, &QToolButton::clicked, this, &TradeoffPanel::browse);
    connect(m_measure, &QPushButton::clicked, this, &TradeoffPanel::measure);
    connect(m_text, &QLineEdit::textChanged, this, &TradeoffPanel::refresh);
    return box;
}

void TradeoffPanel::showEvent(QShowEvent* event) {
    QWidget::showEvent(event);
    drawExpected();
}

void TradeoffPanel::drawExpected() {
    if (!isVisible()) {
        return;  // drawn when shown
    }
    const PlanDocument& plan = m_workspace.plan();
    m_plot->setExpected(plan.canMixBits() ? tr("expected: best ranks and bits") : tr("expected: best ranks"),
                        plan.expectedFront());
}

void TradeoffPanel::browse() {
    Settings& settings = m_workspace.settings();
    const QString file = QFileDialog::getOpenFileName(
        this, tr("Text to measure on"), settings.folder(kTextFolder), tr("Text (*.txt *.md);;All files (*)"));
    if (!file.isEmpty()) {
        settings.setFolder(kTextFolder, QFileInfo(file).absolutePath());
        m_text->setText(file);
    }
}

void TradeoffPanel::measure() {
    m_progress->setJob(m_run.start(m_text->text().trimmed(), m_windows->value()));
    refresh();
}

void TradeoffPanel::refresh() {
    m_expect.start();
    const bool running = m_run.running();
    m_plot->setPoints(m_run.curves(), m_run.points());
    m_plot->setPlanRatio(m_workspace.plan().kvRatio());
    m_measure->setEnabled(!running && m_workspace.statistics() &&
                          QFileInfo(m_text->text().trimmed()).isFile());
    m_note->setText(!m_run.error().isEmpty() ? m_run.error()
                    : m_run.points().empty()
                        ? tr("What held-out text loses as the cache shrinks: the published method, and every "
                             "method and allocation that has been measured for this calibration.")
                        : tr("Lower is better. Whiskers: one standard error over windows, paired with the "
                             "original's."));
}

}  // namespace eigenscope
