// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/spectrum/calibration_form.h"

#include "core/evaluation/error_table.h"
#include "core/evaluation/memory_bound.h"
#include "ui/model/units.h"
#include "ui/model/workspace.h"
#include "ui/widgets/job_progress.h"
#include "ui/widgets/panel.h"
#include "ui/widgets/theme.h"
#include "ui/workspaces/spectrum/corpus_editor.h"

#include <QDragEnterEvent>
#include <QFileDialog>
#include <QFileInfo>
#include <QGridLayout>
#include <QMimeData>
#include <QPushButton>
#include <QSpinBox>
#include <QUrl>

#include <algorithm>

namespace eigenscope {

namespace {

constexpr int kCardWidth = 620;
constexpr int kDefaultSamples = 128, kDemoSamples = 64;
constexpr int kLongestDefault = 2048;  // as published
const QString kTextFolder = QStringLiteral("calibrationText");
const QString kStatisticsFolder = QStringLiteral("statistics");

// The files that are dragged; none when anything else is among them, as a folder.
QStringList filesOf(const QMimeData* data) {
    QStringList files;
    for (const QUrl& url : data->urls()) {
        if (!url.isLocalFile() || !QFileInfo(url.toLocalFile()).isFile()) {
            return {};
        }
        files += url.toLocalFile();
    }
    return files;
}

QSpinBox* numberField(QWidget* parent, int least, int most, const QString& name, const QString& tooltip) {
    auto* spin = new QSpinBox(parent);
    spin->setRange(least, most);
    spin->setGroupSeparatorShown(true);
    spin->setAccessibleName(name);
    spin->setToolTip(tooltip);
    spin->setFixedWidth(110);
    return spin;
}

}  // namespace

CalibrationForm::CalibrationForm(Workspace& workspace, QWidget* parent)
    : QWidget(parent), m_workspace(workspace) {
    setAcceptDrops(true);
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(0, 0, 0, 0);
    column->addStretch(2);
    auto* centred = new QHBoxLayout;  // an alignment would keep the card's first height when lines are added
    centred->addStretch(1);
    centred->addWidget(buildCard());
    centred->addStretch(1);
    column->addLayout(centred);
    column->addStretch(3);
    connect(&workspace, &Workspace::modelChanged, this, &CalibrationForm::modelChanged);
    connect(&workspace, &Workspace::pausedCalibrationChanged, this, &CalibrationForm::refresh);
    connect(m_progress, &JobProgress::runningChanged, this, &CalibrationForm::refresh);
    modelChanged();
}

QWidget* CalibrationForm::buildCard() {
    auto* card = new Panel({}, this);
    card->setFixedWidth(kCardWidth);
    auto* column = card->body();
    column->setContentsMargins(18, 8, 18, 12);
    column->setSpacing(12);
    m_title = new QLabel(card);
    m_title->setProperty("role", "headline");
    m_title->setWordWrap(true);
    column->addWidget(m_title);
    auto* why =
        mutedLabel(tr("A calibration text runs through the model while the second moments of every head's "
                      "keys, queries and values are added up. Their eigenvalues show how few directions "
                      "carry the energy. Memory stays constant however long the text is."),
                   card);
    why->setWordWrap(true);
    column->addWidget(why);
    column->addWidget(buildFields(card));

    m_progress = new JobProgress(card);
    column->addWidget(m_progress);
    auto* buttons = new QHBoxLayout;
    buttons->setSpacing(8);
    m_load = new QPushButton(tr("Load statistics…"), card);
    m_load->setToolTip(tr("Read what an earlier calibration of this model measured (*.stats.safetensors)"));
    m_back = new QPushButton(tr("Back to the spectrum"), card);
    m_calibrate = new QPushButton(tr("Calibrate"), card);
    m_calibrate->setObjectName(QStringLiteral("calibrate"));
    setPrimary(m_calibrate);
    m_calibrate->setShortcut(QKeySequence(Qt::CTRL | Qt::Key_Return));
    m_calibrate->setToolTip(tr("Run the texts through the model (Ctrl+Return)"));
    m_continue = new QPushButton(card);
    m_continue->setObjectName(QStringLiteral("continueCalibration"));
    m_continue->setToolTip(
        tr("Go on with the calibration that was cancelled, on its text and settings. The "
           "result is the same as without the break."));
    m_continue->hide();
    buttons->addWidget(m_load);
    buttons->addWidget(m_back);
    buttons->addStretch(1);
    buttons->addWidget(m_continue);
    buttons->addWidget(m_calibrate);
    column->addLayout(buttons);
    connect(m_load, &QPushButton::clicked, this, &CalibrationForm::loadStatistics);
    connect(m_back, &QPushButton::clicked, this, &CalibrationForm::backRequested);
    connect(m_calibrate, &QPushButton::clicked, this, &CalibrationForm::calibrate);
    connect(m_continue, &QPushButton::clicked, this, [this] { follow(m_workspace.continueCalibration()); });
    m_back->hide();
    return card;
}

QWidget* CalibrationForm::buildFields(QWidget* parent) {
    auto* box = new QWidget(parent);
    auto* grid = new QGridLayout(box);
    grid->setContentsMargins(0, 4, 0, 4);
    grid->setHorizontalSpacing(12);
    grid->setVerticalSpacing(8);
    grid->setColumnStretch(3, 1);
    const auto label = [box, grid](const QString& name, QWidget* buddy, int row) {
        auto* made = mutedLabel(name, box);
        made->setBuddy(buddy);
        made->setToolTip(buddy->toolTip());
        grid->addWidget(made, row, 0);
    };
    m_corpus = new CorpusEditor(box);
    auto* texts = mutedLabel(tr("Texts"), box);
    texts->setContentsMargins(0, 5, 0, 0);  // onto the first field's line
    grid->addWidget(texts, 0, 0, Qt::AlignTop);
    grid->addWidget(m_corpus, 0, 1, 1, 4);
    m_problem = mutedLabel({}, box);
    m_problem->setObjectName(QStringLiteral("calibrationProblem"));
    grid->addWidget(m_problem, 1, 1, 1, 4);
    m_samples = numberField(box, 1, 1000000, tr("Samples"), tr("Windows of text, drawn at random places."));
    m_length = numberField(box, 2, 1 << 24, tr("Sequence length"),
                           tr("Tokens in a window, at most the positions the model knows."));
    m_seed =
        numberField(box, 0, 2000000000, tr("Seed"), tr("The same seed draws the same windows everywhere."));
    m_seed->setGroupSeparatorShown(false);
    label(tr("Samples"), m_samples, 2);
    grid->addWidget(m_samples, 2, 1);
    label(tr("Sequence length"), m_length, 3);
    grid->addWidget(m_length, 3, 1);
    m_tokens = mutedLabel({}, box);
    grid->addWidget(m_tokens, 3, 2, 1, 3);
    label(tr("Seed"), m_seed, 4);
    grid->addWidget(m_seed, 4, 1);

    connect(m_corpus, &CorpusEditor::changed, this, &CalibrationForm::refresh);
    connect(m_corpus, &CorpusEditor::submitted, this, &CalibrationForm::calibrate);
    connect(m_corpus, &CorpusEditor::browseRequested, this, &CalibrationForm::browse);
    connect(m_samples, &QSpinBox::valueChanged, this, &CalibrationForm::refresh);
    connect(m_length, &QSpinBox::valueChanged, this, &CalibrationForm::refresh);
    return box;
}

void CalibrationForm::setBackVisible(bool visible) { m_back->setVisible(visible); }

void CalibrationForm::modelChanged() {
    const auto& model = m_workspace.model();
    m_progress->setJob(nullptr);
    if (!model) {
        return;
    }
    m_title->setText(tr("Calibrate %1").arg(QString::fromStdString(model->name)));
    const QString suggested = m_workspace.suggestedCalibrationText();
    m_corpus->setFiles(suggested.isEmpty() ? QStringList() : QStringList{suggested});
    const int positions = std::max(2, model->model->config.max_positions);
    m_length->setMaximum(positions);
    m_length->setValue(std::min(positions, kLongestDefault));
    // A text beside the model means a demo model: half the samples are plenty, and quick.
    m_samples->setValue(suggested.isEmpty() ? kDefaultSamples : kDemoSamples);
    m_seed->setValue(0);
    refresh();
}

void CalibrationForm::refresh() {
    const bool running = m_progress->running();
    const QString problem = m_corpus->problem();
    m_problem->setText(problem.isEmpty() ? m_corpus->fact() : problem);
    QString amount =
        tr("%1 tokens in all").arg(countText(std::int64_t{m_samples->value()} * m_length->value()));
    if (const auto& model = m_workspace.model()) {
        const MemoryBound bound = calibrationBound(*model, options(), kCalibrationErrorPoints, true);
        const QString memory = bytesText(static_cast<double>(bound.total()));
        amount += bound.streamed ? tr(" · at most %1 of memory, layer by layer").arg(memory)
                                 : tr(" · at most %1 of memory").arg(memory);
    }
    m_tokens->setText(amount);
    for (QWidget* field : std::initializer_list<QWidget*>{m_corpus, m_samples, m_length, m_seed, m_load}) {
        field->setEnabled(!running);
    }
    m_calibrate->setEnabled(!running && problem.isEmpty() && m_workspace.model());
    const auto& paused = m_workspace.pausedCalibration();
    m_continue->setVisible(!running && paused.has_value());
    if (paused) {
        m_continue->setText(
            tr("Continue (%L1 of %L2)").arg(paused->partial.windows).arg(paused->options.samples));
    }
}

void CalibrationForm::browse() {
    Settings& settings = m_workspace.settings();
    const QStringList files =
        QFileDialog::getOpenFileNames(this, tr("Calibration texts"), settings.folder(kTextFolder),
                                      tr("Texts (*.txt *.md *.jsonl *.json *.ndjson *.gz);;All files (*)"));
    if (!files.isEmpty()) {
        settings.setFolder(kTextFolder, QFileInfo(files.constFirst()).absolutePath());
        // One file replaces the one that is there; several texts are added to by choosing more.
        if (m_corpus->files().size() > 1) {
            m_corpus->addFiles(files);
        } else {
            m_corpus->setFiles(files);
        }
    }
}

void CalibrationForm::dragEnterEvent(QDragEnterEvent* event) {
    if (!m_progress->running() && !filesOf(event->mimeData()).isEmpty()) {
        event->acceptProposedAction();
    } else {
        event->ignore();  // a folder is a model: the window takes it
    }
}

void CalibrationForm::dropEvent(QDropEvent* event) {
    m_corpus->addFiles(filesOf(event->mimeData()));
    event->acceptProposedAction();
}

void CalibrationForm::calibrate() {
    if (!m_calibrate->isEnabled()) {
        return;
    }
    follow(m_workspace.calibrate(m_corpus->spec(), options()));
}

CalibrationOptions CalibrationForm::options() const {
    CalibrationOptions options;
    options.samples = m_samples->value();
    options.sequence_length = m_length->value();
    options.seed = static_cast<std::uint64_t>(m_seed->value());
    options.run = m_workspace.runOptions();
    return options;
}

void CalibrationForm::loadStatistics() {
    Settings& settings = m_workspace.settings();
    const QString file =
        QFileDialog::getOpenFileName(this, tr("Load statistics"), settings.folder(kStatisticsFolder),
                                     tr("Statistics (*.stats.safetensors);;All files (*)"));
    if (!file.isEmpty()) {
        settings.setFolder(kStatisticsFolder, QFileInfo(file).absolutePath());
        follow(m_workspace.loadStatistics(file));
    }
}

void CalibrationForm::follow(Job* job) { m_progress->setJob(job); }

}  // namespace eigenscope
