// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/benchmark/benchmark_form.h"

#include "core/model/kv_cache.h"
#include "ui/model/units.h"
#include "ui/model/workspace.h"
#include "ui/widgets/form_row.h"
#include "ui/widgets/job_progress.h"
#include "ui/widgets/kv_format_box.h"
#include "ui/widgets/kv_format_choice.h"
#include "ui/widgets/kv_groups_box.h"
#include "ui/widgets/theme.h"

#include <QCheckBox>
#include <QFileDialog>
#include <QFileInfo>
#include <QGridLayout>
#include <QLineEdit>
#include <QPushButton>
#include <QScrollArea>
#include <QSignalBlocker>
#include <QSpinBox>
#include <QToolButton>

#include <algorithm>
#include <limits>

namespace eigenscope {

namespace {

constexpr int kWidth = 288;
constexpr std::int64_t kMostContext = std::int64_t{1} << 40;
constexpr std::int64_t kMostBatch = 1 << 20;
constexpr int kMostSteps = 1 << 20;

const QString kContextsKey = QStringLiteral("benchmark/contexts");
const QString kBatchesKey = QStringLiteral("benchmark/batches");
const QString kNewTokensKey = QStringLiteral("benchmark/newTokens");
const QString kRepetitionsKey = QStringLiteral("benchmark/repetitions");
const QString kPrefillKey = QStringLiteral("benchmark/prefill");
const QString kFormatKey = QStringLiteral("benchmark/kvFormat");
const QStringList kModelKeys = {QStringLiteral("benchmark/original"), QStringLiteral("benchmark/conversion"),
                                QStringLiteral("benchmark/checkpoint")};

QSpinBox* countBox(int value, const QString& name, QWidget* parent) {
    auto* box = new QSpinBox(parent);
    box->setRange(1, kMostSteps);
    box->setValue(value);
    box->setObjectName(name);
    return box;
}

QLabel* messageLabel(const QString& name, QWidget* parent) {
    auto* label = mutedLabel({}, parent);
    label->setObjectName(name);
    label->setWordWrap(true);
    label->hide();
    return label;
}

}  // namespace

BenchmarkForm::BenchmarkForm(BenchmarkRun& run, Workspace& workspace, QWidget* parent)
    : Panel(tr("What to measure"), parent), m_run(run), m_workspace(workspace) {
    setFixedWidth(kWidth);
    auto* inputs = new QWidget(this);
    auto* column = new QVBoxLayout(inputs);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(10);
    column->addWidget(buildModels());
    column->addWidget(buildNumbers());
    column->addStretch(1);
    auto* scroll = new QScrollArea(this);
    scroll->setWidget(inputs);
    scroll->setWidgetResizable(true);
    scroll->setFrameShape(QFrame::NoFrame);
    scroll->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    scroll->setFocusPolicy(Qt::NoFocus);
    body()->addWidget(scroll, 1);
    addFoot();
    restore();
    for (std::size_t i = 0; i < m_models.size(); ++i) {
        connect(m_models[i], &QCheckBox::clicked, this, [this, i](bool wanted) {
            m_wanted[i] = wanted;
            remember();
            refresh();
        });
    }
    connect(&m_run, &BenchmarkRun::modelsChanged, this, &BenchmarkForm::refreshModels);
    connect(&m_run, &BenchmarkRun::updated, this, &BenchmarkForm::refresh);
    refreshModels();
}

QWidget* BenchmarkForm::buildModels() {
    auto* box = new QWidget(this);
    auto* column = new QVBoxLayout(box);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(6);
    const QStringList names = {QStringLiteral("benchmarkOriginal"), QStringLiteral("benchmarkConversion"),
                               QStringLiteral("benchmarkCheckpoint")};
    for (std::size_t i = 0; i < m_models.size(); ++i) {
        m_models[i] = new QCheckBox(box);
        m_models[i]->setObjectName(names[static_cast<qsizetype>(i)]);
        column->addWidget(m_models[i]);
    }
    auto* open = new QToolButton(box);
    open->setText(tr("Open another checkpoint…"));
    open->setProperty("link", true);
    open->setToolTip(tr("A second model with the same vocabulary, e.g. one converted earlier"));
    column->addWidget(open);
    connect(open, &QToolButton::clicked, this, &BenchmarkForm::openOther);
    return box;
}

QWidget* BenchmarkForm::buildNumbers() {
    auto* box = new QWidget(this);
    QGridLayout* grid = formGrid(box);
    addNumberRows(grid);
    m_format = new KvFormatChoice(box);
    m_format->box()->setObjectName(QStringLiteral("benchmarkFormat"));
    const QString teaches = m_format->box()->toolTip();
    addRow(grid, tr("KV format"), m_format, teaches);
    m_prefill = new QCheckBox(tr("Prefill"), box);
    m_prefill->setObjectName(QStringLiteral("benchmarkPrefill"));
    m_prefill->setChecked(true);
    m_prefill->setToolTip(
        tr("Measure the time to first token too; without it long contexts take much less time, "
           "as decode starts from a cache filled with random rows"));
    grid->addWidget(m_prefill, grid->rowCount(), 1);
    const auto changed = [this] {
        remember();
        refresh();
    };
    connect(m_contexts, &QLineEdit::textEdited, this, [this, changed] {
        m_own_contexts = true;
        changed();
    });
    connect(m_batches, &QLineEdit::textEdited, this, changed);
    connect(m_new_tokens, &QSpinBox::valueChanged, this, changed);
    connect(m_repetitions, &QSpinBox::valueChanged, this, changed);
    connect(m_prefill, &QCheckBox::toggled, this, changed);
    connect(m_format, &KvFormatChoice::edited, this, changed);
    return box;
}

void BenchmarkForm::addNumberRows(QGridLayout* grid) {
    QWidget* box = grid->parentWidget();
    m_contexts = new QLineEdit(box);
    m_contexts->setObjectName(QStringLiteral("benchmarkContexts"));
    m_contexts->setPlaceholderText(QStringLiteral("512, 2048, 8k"));
    addRow(grid, tr("Contexts"), m_contexts,
           tr("Positions in the cache at the end, separated by commas, k for 1,024: what prefill goes "
              "through, and "
              "where decode ends"));
    m_batches = new QLineEdit(QStringLiteral("1"), box);
    m_batches->setObjectName(QStringLiteral("benchmarkBatches"));
    m_batches->setPlaceholderText(QStringLiteral("1, 8"));
    addRow(grid, tr("Batches"), m_batches, tr("Sequences at a time, separated by commas"));
    m_new_tokens = countBox(BenchmarkRequest().new_tokens, QStringLiteral("benchmarkNewTokens"), box);
    addRow(grid, tr("New tokens"), m_new_tokens, tr("Decode steps of a repetition, the last of the context"));
    m_repetitions = countBox(BenchmarkRequest().repetitions, QStringLiteral("benchmarkRepetitions"), box);
    addRow(grid, tr("Repetitions"), m_repetitions,
           tr("Of which the median is taken; the plot's bars go from the least to the most"));
}

void BenchmarkForm::addFoot() {
    m_problem = messageLabel(QStringLiteral("benchmarkProblem"), this);
    m_problem->setProperty("role", "warning");
    m_suggest = new QToolButton(this);
    m_suggest->setObjectName(QStringLiteral("benchmarkSuggest"));
    m_suggest->setProperty("link", true);
    m_suggest->hide();
    m_unfit = messageLabel(QStringLiteral("benchmarkUnfit"), this);
    m_progress = new JobProgress(this);
    m_start = new QPushButton(tr("Run benchmark"), this);
    m_start->setObjectName(QStringLiteral("runBenchmark"));
    m_start->setToolTip(tr("Measure every context and batch of every chosen model (Ctrl+Return)"));
    setPrimary(m_start);
    body()->addWidget(m_problem);
    body()->addWidget(m_suggest);
    body()->addWidget(m_unfit);
    body()->addWidget(m_progress);
    body()->addWidget(m_start);
    connect(m_suggest, &QToolButton::clicked, this, [this] {
        m_own_contexts = false;
        suggestContexts();
        m_workspace.settings().setValue(kContextsKey, QString());
        refresh();
    });
    connect(m_progress, &JobProgress::runningChanged, this, &BenchmarkForm::refresh);
    connect(m_start, &QPushButton::clicked, this, &BenchmarkForm::start);
}

void BenchmarkForm::restore() {
    const Settings& settings = m_workspace.settings();
    const QSignalBlocker tokens(m_new_tokens), repetitions(m_repetitions), prefill(m_prefill);
    m_contexts->setText(settings.value(kContextsKey).toString());
    m_own_contexts = !m_contexts->text().isEmpty();
    m_batches->setText(settings.value(kBatchesKey, m_batches->text()).toString());
    m_new_tokens->setValue(settings.value(kNewTokensKey, m_new_tokens->value()).toInt());
    m_repetitions->setValue(settings.value(kRepetitionsKey, m_repetitions->value()).toInt());
    m_prefill->setChecked(settings.value(kPrefillKey, true).toBool());
    m_format->setFormat(formatFromSetting(settings.value(kFormatKey).toString()));
    for (std::size_t i = 0; i < m_models.size(); ++i) {
        m_wanted[i] = settings.value(kModelKeys[static_cast<qsizetype>(i)], true).toBool();
    }
}

void BenchmarkForm::remember() const {
    Settings& settings = m_workspace.settings();
    if (m_own_contexts) {
        settings.setValue(kContextsKey, m_contexts->text());
    }
    settings.setValue(kBatchesKey, m_batches->text());
    settings.setValue(kNewTokensKey, m_new_tokens->value());
    settings.setValue(kRepetitionsKey, m_repetitions->value());
    settings.setValue(kPrefillKey, m_prefill->isChecked());
    settings.setValue(kFormatKey, formatSetting(m_format->format()));
    for (std::size_t i = 0; i < m_models.size(); ++i) {
        settings.setValue(kModelKeys[static_cast<qsizetype>(i)], m_wanted[i]);
    }
}

BenchmarkRequest BenchmarkForm::request(QString* problem) const {
    BenchmarkRequest request;
    for (std::size_t i = 0; i < m_models.size(); ++i) {
        if (m_models[i]->isChecked()) {
            request.models.push_back(kBenchmarkModels[i]);
        }
    }
    QString contexts, batches;
    request.contexts = numberList(m_contexts->text(), kMostContext, &contexts);
    for (const std::int64_t batch : numberList(m_batches->text(), kMostBatch, &batches)) {
        request.batches.push_back(static_cast<int>(batch));
    }
    request.new_tokens = m_new_tokens->value();
    request.repetitions = m_repetitions->value();
    request.prefill = m_prefill->isChecked();
    request.kv_format = m_format->format();
    *problem = !contexts.isEmpty()  ? tr("Contexts: %1").arg(contexts)
               : !batches.isEmpty() ? tr("Batches: %1").arg(batches)
                                    : m_run.problem(request);
    return request;
}

std::int64_t BenchmarkForm::positions() const {
    std::int64_t fewest = std::numeric_limits<std::int64_t>::max();
    for (std::size_t i = 0; i < m_models.size(); ++i) {
        if (const OpenModel* model = m_models[i]->isChecked() ? m_run.model(kBenchmarkModels[i]) : nullptr) {
            fewest = std::min<std::int64_t>(fewest, model->model->config.max_positions);
        }
    }
    return fewest == std::numeric_limits<std::int64_t>::max() ? 0 : fewest;
}

void BenchmarkForm::refreshModels() {
    const QStringList kinds = {tr("original"), tr("converted"), tr("checkpoint")};
    const QStringList absent = {tr("No model is open"), tr("Converted model: none in memory"),
                                tr("Other checkpoint: none open")};
    for (std::size_t i = 0; i < m_models.size(); ++i) {
        const auto at = static_cast<qsizetype>(i);
        const OpenModel* model = m_run.model(kBenchmarkModels[i]);
        m_models[i]->setEnabled(model != nullptr);
        m_models[i]->setChecked(model && m_wanted[i]);
        const QString name = m_run.name(kBenchmarkModels[i]);
        const QString text = model ? tr("%1 · %2").arg(name, kinds[at]) : absent[at];
        m_models[i]->setText(m_models[i]->fontMetrics().elidedText(text, Qt::ElideMiddle, kWidth - 60));
        m_models[i]->setAccessibleName(text);
        m_models[i]->setToolTip(
            model ? tr("%1: %L2 positions, %3 of KV cache a token in its own type")
                        .arg(name)
                        .arg(model->model->config.max_positions)
                        .arg(bytesText(static_cast<double>(kvBytesPerToken(
                            model->model->config,
                            resolveKvFormat({}, model->model->config, weightDType(*model->model))))))
                  : absent[at]);
    }
    if (!m_own_contexts) {
        suggestContexts();
    }
    refresh();
}

void BenchmarkForm::suggestContexts() {
    if (const std::int64_t most = positions()) {
        m_contexts->setText(listText(suggestedContexts(most)));
    }
}

void BenchmarkForm::refresh() {
    if (!m_own_contexts && !m_run.running()) {
        suggestContexts();  // of the models that are chosen now
    }
    const bool running = m_run.running();
    QString problem;
    const BenchmarkRequest asked = request(&problem);
    const bool open = positions() > 0 || m_run.model(BenchmarkModel::Original);
    m_start->setEnabled(!running && problem.isEmpty());
    m_start->setText(running ? tr("Measuring…") : tr("Run benchmark"));
    m_start->setShortcut(QKeySequence(Qt::CTRL | Qt::Key_Return));  // a new text takes it away
    m_problem->setText(problem.left(1).toUpper() + problem.mid(1));
    m_problem->setVisible(open && !running && !problem.isEmpty());
    const std::int64_t most = positions();
    const QString suggestion = most ? listText(suggestedContexts(most)) : QString();
    m_suggest->setText(tr("Use %1").arg(suggestion));
    m_suggest->setVisible(m_problem->isVisibleTo(this) && most && suggestion != m_contexts->text());
    showUnfit(asked, open && !running && problem.isEmpty());
}

void BenchmarkForm::showUnfit(const BenchmarkRequest& request, bool valid) {
    const std::vector<BenchmarkSkip> unfit = valid ? m_run.unfit(request) : std::vector<BenchmarkSkip>();
    m_unfit->setVisible(!unfit.empty());
    if (unfit.empty()) {
        return;
    }
    const std::size_t all = request.models.size() * request.contexts.size() * request.batches.size();
    m_unfit->setText(tr("%L1 of %L2 do not fit in memory and will be skipped: %3")
                         .arg(unfit.size())
                         .arg(all)
                         .arg(QString::fromStdString(unfit.front().reason)));
    QStringList reasons;
    for (const BenchmarkSkip& skip : unfit) {
        reasons << QString::fromStdString(skip.reason);
    }
    m_unfit->setToolTip(reasons.join(QLatin1Char('\n')));
}

void BenchmarkForm::openOther() {
    const QString purpose = QStringLiteral("model");
    Settings& settings = m_workspace.settings();
    const QString folder = QFileDialog::getExistingDirectory(this, tr("Open a model to measure beside"),
                                                             settings.folder(purpose));
    if (!folder.isEmpty()) {
        settings.setFolder(purpose, QFileInfo(folder).absolutePath());
        m_workspace.openOtherModel(folder);
    }
}

void BenchmarkForm::start() {
    QString problem;
    const BenchmarkRequest asked = request(&problem);
    if (problem.isEmpty()) {
        remember();
        m_progress->setJob(m_run.start(asked));
    }
}

}  // namespace eigenscope
