// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/compare/compare_page.h"

#include "core/tokenizer/chat_template.h"
#include "ui/model/comparison.h"
#include "ui/model/units.h"
#include "ui/widgets/kv_format_box.h"
#include "ui/widgets/kv_format_choice.h"
#include "ui/widgets/panel.h"
#include "ui/widgets/segmented_control.h"
#include "ui/widgets/theme.h"
#include "ui/workspaces/compare/agreement_plot.h"
#include "ui/workspaces/compare/answer_panel.h"
#include "ui/workspaces/compare/fidelity_panel.h"
#include "ui/workspaces/compare/measurement_panel.h"
#include "ui/workspaces/compare/prompt_library.h"

#include <QCheckBox>
#include <QComboBox>
#include <QDoubleSpinBox>
#include <QFileDialog>
#include <QFileInfo>
#include <QGridLayout>
#include <QMenu>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QShortcut>
#include <QStackedLayout>
#include <QToolButton>

#include <algorithm>
#include <limits>

namespace eigenscope {

namespace {

template <typename Box, typename Value>
Box* numberBox(Value minimum, Value maximum, Value value, const QString& name, const QString& tip) {
    auto* box = new Box;
    box->setRange(minimum, maximum);
    box->setValue(value);
    box->setAlignment(Qt::AlignRight);
    box->setAccessibleName(name);
    box->setToolTip(tip);
    box->setFixedWidth(92);
    return box;
}

}  // namespace

ComparePage::ComparePage(Workspace& workspace, const Theme& theme, QWidget* parent)
    : Page(parent),
      m_workspace(workspace),
      m_theme(theme),
      m_comparison(new Comparison(workspace, this)),
      m_stack(new QStackedLayout(this)) {
    auto* empty =
        new EmptyState(tr("No model is open"),
                       tr("Here the original and the converted model answer the same prompt side by side."),
                       tr("Open a model"), this);
    connect(empty, &EmptyState::activated, this, [this] { emit pageRequested(PageId::Start); });
    m_stack->addWidget(empty);

    auto* content = new QWidget(this);
    auto* column = new QVBoxLayout(content);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(kGap);
    auto* top = new QHBoxLayout;
    top->setSpacing(kGap);
    top->addWidget(makePrompt(), 1);
    top->addWidget(makeSampling());
    column->addLayout(top);

    m_views = new QStackedLayout;
    m_views->addWidget(makeAnswers());
    m_views->addWidget(makeFidelity());
    column->addLayout(m_views, 1);
    connect(m_view, &SegmentedControl::selected, m_views, &QStackedLayout::setCurrentIndex);
    m_stack->addWidget(content);

    connect(m_comparison, &Comparison::modelsChanged, this, &ComparePage::refreshModels);
    connect(m_comparison, &Comparison::streamed, this, &ComparePage::refreshAnswers);
    connect(m_comparison, &Comparison::measurementChanged, this, &ComparePage::refreshMeasurement);
    connect(m_comparison, &Comparison::keptChanged, this,
            [this] { m_measurement->setKept(m_comparison->kept()); });
    connect(m_measurement, &MeasurementPanel::keptRequested, this,
            [this](std::size_t index) { m_comparison->showKept(index); });
    connect(m_comparison, &Comparison::measuringChanged, this,
            [this] { m_measurement->setReady(m_comparison->right() != nullptr, m_comparison->measuring()); });
    connect(&theme, &Theme::changed, this, &ComparePage::refreshAnswers);
    auto* shortcut = new QShortcut(QKeySequence(Qt::CTRL | Qt::Key_Return), this);
    connect(shortcut, &QShortcut::activated, this, &ComparePage::generate);
    refreshModels();
    refreshMeasurement();
}

QWidget* ComparePage::makeAnswers() {
    auto* content = new QWidget(this);
    auto* column = new QVBoxLayout(content);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(kGap);
    auto* answers = new QHBoxLayout;
    answers->setSpacing(kGap);
    m_left = new AnswerPanel(m_theme, content);
    m_left->setObjectName(QStringLiteral("leftAnswer"));
    m_left_format = addFormatChoice(m_left, QStringLiteral("leftFormat"));
    answers->addWidget(m_left, 1);
    auto* right = new QWidget(content);
    m_right_stack = new QStackedLayout(right);
    auto* nothing = new Panel({}, right);
    auto* convert =
        new EmptyState(tr("Nothing to compare with yet"),
                       tr("Convert the model, or open a second checkpoint with the same vocabulary."),
                       tr("Go to Spectrum"), nothing);
    connect(convert, &EmptyState::activated, this, [this] { emit pageRequested(PageId::Spectrum); });
    nothing->body()->addWidget(convert);
    m_right_stack->addWidget(nothing);
    m_right = new AnswerPanel(m_theme, right);
    m_right->setObjectName(QStringLiteral("rightAnswer"));
    m_right_format = addFormatChoice(m_right, QStringLiteral("rightFormat"));
    m_right_stack->addWidget(m_right);
    answers->addWidget(right, 1);
    column->addLayout(answers, 3);

    auto* bottom = new QHBoxLayout;
    bottom->setSpacing(kGap);
    m_agreement_panel = new Panel(tr("Agreement with the original, token by token"), content);
    m_agreement = new AgreementPlot(m_theme, m_agreement_panel);
    m_agreement->setMinimumHeight(150);
    connect(m_agreement, &Plot::readout, this, &Page::readout);
    m_agreement_panel->body()->addWidget(m_agreement, 1);
    bottom->addWidget(m_agreement_panel, 3);
    m_measurement = new MeasurementPanel(m_workspace.settings(), content);
    m_measurement->setMinimumWidth(430);
    bottom->addWidget(m_measurement, 2);
    column->addLayout(bottom, 2);
    connect(m_measurement, &MeasurementPanel::measureRequested, this, [this] {
        MeasureOptions options;
        options.text = m_measurement->textFile();
        options.windows = m_measurement->windows();
        options.prompt = m_prompt->toPlainText();
        options.new_tokens = m_tokens->value();
        m_comparison->measure(options);
    });
    return content;
}

QWidget* ComparePage::makeFidelity() {
    m_fidelity = new FidelityPanel(*m_comparison, m_theme, m_workspace.settings(), this);
    connect(m_fidelity, &FidelityPanel::readout, this, &Page::readout);
    connect(m_fidelity, &FidelityPanel::spectrumRequested, this,
            [this] { emit pageRequested(PageId::Spectrum); });
    connect(m_fidelity, &FidelityPanel::measureRequested, this, [this] {
        FidelityOptions options;
        options.text = m_fidelity->textFile();
        options.windows = m_fidelity->windows();
        if (m_fidelity->diffsPrompt()) {
            options.prompt = m_prompt->toPlainText();
        }
        m_comparison->measureFidelity(options);
    });
    return m_fidelity;
}

KvFormatChoice* ComparePage::addFormatChoice(AnswerPanel* panel, const QString& name) {
    auto* choice = new KvFormatChoice(panel);
    choice->setObjectName(name + QStringLiteral("Choice"));
    choice->box()->setObjectName(name);
    panel->header()->addWidget(choice);
    connect(choice, &KvFormatChoice::edited, this,
            [this] { m_comparison->setFormats(m_left_format->format(), m_right_format->format()); });
    return choice;
}

// Bytes of a token in the model's cache, in the chosen format.
std::size_t ComparePage::tokenBytes(const OpenModel& model, const KvFormatChoice& choice) const {
    const ModelConfig& config = model.model->config;
    return kvBytesPerToken(config, resolveKvFormat(choice.format(), config, weightDType(*model.model)));
}

QWidget* ComparePage::makePrompt() {
    auto* panel = new Panel(tr("Prompt"), this);
    auto* library = new QToolButton(panel);
    library->setText(tr("Library ▾"));
    library->setProperty("link", true);
    library->setToolTip(tr("Openings from the evaluation text, and prompts used before"));
    library->setPopupMode(QToolButton::InstantPopup);
    auto* menu = new QMenu(library);
    library->setMenu(menu);
    library->setStyleSheet(QStringLiteral("QToolButton::menu-indicator { image: none; }"));
    connect(menu, &QMenu::aboutToShow, this, [this, menu] { fillPromptMenu(menu); });
    m_view = new SegmentedControl({tr("Answers"), tr("Fidelity")}, panel);
    m_view->setObjectName(QStringLiteral("compareView"));
    m_view->setToolTip(tr("Below: what both write, or where the other departs from the original"));
    m_chat = new QCheckBox(tr("Chat"), panel);
    m_chat->setObjectName(QStringLiteral("chat"));
    panel->header()->addWidget(m_chat);
    panel->header()->addWidget(library);
    panel->header()->addWidget(m_view);
    m_prompt = new QPlainTextEdit(panel);
    m_prompt->setObjectName(QStringLiteral("prompt"));
    m_prompt->setAccessibleName(tr("Prompt"));
    m_prompt->setPlaceholderText(tr("What both models continue"));
    m_prompt->setTabChangesFocus(true);
    m_prompt->setFixedHeight(82);
    panel->body()->addWidget(m_prompt);
    return panel;
}

QWidget* ComparePage::makeSampling() {
    auto* panel = new Panel(tr("Sampling"), this);
    panel->setNote(tr("same seed for all"));
    m_temperature =
        numberBox<QDoubleSpinBox>(0.0, 5.0, 0.0, tr("Temperature"),
                                  tr("0: always the most likely token (greedy); higher is more varied"));
    m_temperature->setSingleStep(0.1);
    m_top_p = numberBox<QDoubleSpinBox>(
        0.01, 1.0, 1.0, tr("Top-p"),
        tr("Sample from the most likely tokens that together reach this probability"));
    m_top_p->setSingleStep(0.05);
    m_top_k =
        numberBox<QSpinBox>(0, 1'000'000, 0, tr("Top-k"), tr("Sample from the k most likely tokens; 0: all"));
    m_tokens = numberBox<QSpinBox>(1, 1'000'000, 128, tr("New tokens"), tr("Tokens to generate at most"));
    m_seed = numberBox<QSpinBox>(0, std::numeric_limits<int>::max(), 0, tr("Seed"),
                                 tr("The same seed gives the same answer"));
    m_tokens->setObjectName(QStringLiteral("newTokens"));
    auto* grid = new QGridLayout;
    grid->setHorizontalSpacing(10);
    grid->setVerticalSpacing(6);
    const std::pair<QString, QWidget*> boxes[] = {{tr("Temperature"), m_temperature},
                                                  {tr("New tokens"), m_tokens},
                                                  {tr("Top-k"), m_top_k},
                                                  {tr("Top-p"), m_top_p},
                                                  {tr("Seed"), m_seed}};
    int index = 0;
    for (const auto& [name, box] : boxes) {
        auto* label = mutedLabel(name, panel);
        label->setBuddy(box);
        grid->addWidget(label, index % 2, (index / 2) * 2);
        grid->addWidget(box, index % 2, (index / 2) * 2 + 1);
        ++index;
    }
    panel->body()->addLayout(grid);
    auto* buttons = new QHBoxLayout;
    m_generate = new QPushButton(tr("Generate"), panel);
    m_generate->setObjectName(QStringLiteral("generate"));
    m_generate->setToolTip(tr("Ctrl+Enter"));
    setPrimary(m_generate);
    m_stop = new QPushButton(tr("Stop"), panel);
    m_stop->setObjectName(QStringLiteral("stop"));
    m_other = new QComboBox(panel);
    m_other->setAccessibleName(tr("Compare with"));
    m_other->setToolTip(tr("What the original is compared with"));
    m_other->setSizeAdjustPolicy(QComboBox::AdjustToContents);
    m_other->setMaximumWidth(230);  // a long name ends with an ellipsis; the list has all of it
    buttons->addWidget(m_other);
    buttons->addStretch(1);
    buttons->addWidget(m_stop);
    buttons->addWidget(m_generate);
    panel->body()->addLayout(buttons);
    connect(m_generate, &QPushButton::clicked, this, &ComparePage::generate);
    connect(m_stop, &QPushButton::clicked, m_comparison, &Comparison::stop);
    connect(m_other, &QComboBox::activated, this, [this](int choice) {
        const int last = m_other->count() - 1;
        if (choice < last) {
            m_comparison->setOther(static_cast<Comparison::Other>(m_other->itemData(choice).toInt()));
            return;
        }
        const QString purpose = QStringLiteral("model");
        const QString folder = QFileDialog::getExistingDirectory(this, tr("Open a model to compare with"),
                                                                 m_workspace.settings().folder(purpose));
        if (!folder.isEmpty()) {
            m_workspace.settings().setFolder(purpose, QFileInfo(folder).absolutePath());
            m_workspace.openOtherModel(folder);
        }
        refreshModels();
    });
    return panel;
}

void ComparePage::fillPromptMenu(QMenu* menu) {
    menu->clear();
    const auto add = [this, menu](const QString& prompt) {
        menu->addAction(menu->fontMetrics().elidedText(prompt.simplified(), Qt::ElideRight, 520),
                        [this, prompt] { m_prompt->setPlainText(prompt); });
    };
    menu->addSection(tr("From the evaluation text"));
    for (const QString& prompt : textOpenings(m_workspace.suggestedEvaluationText())) {
        add(prompt);
    }
    const QStringList history = promptHistory(m_workspace.settings());
    if (!history.isEmpty()) {
        menu->addSection(tr("Used before"));
        for (const QString& prompt : history) {
            add(prompt);
        }
    }
}

void ComparePage::generate() {
    if (!m_comparison->left() || m_comparison->streaming()) {
        return;
    }
    GenerationOptions options;
    options.max_tokens = m_tokens->value();
    options.sampling.temperature = static_cast<float>(m_temperature->value());
    options.sampling.top_k = m_top_k->value();
    options.sampling.top_p = static_cast<float>(m_top_p->value());
    options.sampling.seed = static_cast<std::uint64_t>(m_seed->value());
    options.run = m_workspace.runOptions();
    if (m_comparison->right()) {
        // Both stream at once: each gets its share of the threads.
        const int threads =
            options.run.threads > 0 ? options.run.threads : m_workspace.backend()->info().threads;
        options.run.threads = std::max(1, threads / 2);
    }
    addToHistory(m_workspace.settings(), m_prompt->toPlainText());
    QString prompt = m_prompt->toPlainText();
    if (m_chat->isChecked() && m_chat_template) {
        try {
            prompt = QString::fromStdString(applyChat(*m_chat_template, prompt.toStdString(), {}));
        } catch (const Error& error) {
            emit m_workspace.notice(tr("The prompt is no chat"), QString::fromUtf8(error.what()), true);
            return;
        }
        options.add_special_tokens = false;  // the template writes them
    }
    m_comparison->generate(prompt, options);
}

// The toggle is for models that have a template; else it says why not.
void ComparePage::refreshChat() {
    const OpenModel* left = m_comparison->left();
    const std::filesystem::path directory = left ? left->checkpoint->directory() : std::filesystem::path();
    if (directory == m_chat_directory) {
        return;
    }
    m_chat_directory = directory;
    m_chat_template.reset();
    QString why = tr("Ask the prompt as a user's message, by the model's chat template");
    try {
        m_chat_template = ChatTemplate::load(directory);
    } catch (const Error& error) {
        why = QString::fromUtf8(error.what());
    }
    m_chat->setEnabled(m_chat_template != nullptr);
    m_chat->setChecked(m_chat->isChecked() && m_chat_template);
    m_chat->setToolTip(why);
}

void ComparePage::refreshModels() {
    const OpenModel* left = m_comparison->left();
    const OpenModel* right = m_comparison->right();
    m_stack->setCurrentIndex(left ? 1 : 0);
    m_right_stack->setCurrentIndex(right ? 1 : 0);
    refreshChat();
    if (left) {
        m_left->setModel(QString::fromStdString(left->name), tr("original"),
                         tokenBytes(*left, *m_left_format), true);
        m_measurement->suggestText(m_workspace.suggestedEvaluationText());
        m_fidelity->suggestText(m_workspace.suggestedEvaluationText());
        if (m_prompt->toPlainText().isEmpty()) {
            m_prompt->setPlainText(textOpenings(m_workspace.suggestedEvaluationText()).value(0));
        }
    }
    if (right) {
        const ModelConfig& config = right->model->config;
        const QString kind =
            config.low_rank ? QStringLiteral("%1× %2").arg(ratioText(kvRatio(config)),
                                                           QString::fromStdString(config.low_rank->method))
            : m_comparison->other() == Comparison::Other::Same ? tr("original")
                                                               : tr("checkpoint");
        m_right->setModel(QString::fromStdString(right->name), kind, tokenBytes(*right, *m_right_format),
                          false);
    }
    m_other->clear();
    m_other->addItem(tr("Converted model"), static_cast<int>(Comparison::Other::Conversion));
    if (const auto& other = m_workspace.otherModel()) {
        m_other->addItem(QString::fromStdString(other->name),
                         static_cast<int>(Comparison::Other::Checkpoint));
    }
    m_other->addItem(tr("The original, another format"), static_cast<int>(Comparison::Other::Same));
    m_other->addItem(tr("Open another…"));
    m_other->setCurrentIndex(std::max(0, m_other->findData(static_cast<int>(m_comparison->other()))));
    m_measurement->setReady(right != nullptr, m_comparison->measuring());
    refreshAnswers();
}

void ComparePage::refreshAnswers() {
    const bool streaming = m_comparison->streaming();
    const std::ptrdiff_t difference = m_comparison->right() ? m_comparison->firstDifference() : -1;
    m_left->show(m_comparison->leftRun(), nullptr, difference);
    m_right->show(m_comparison->rightRun(), &m_comparison->leftRun(), difference);
    m_generate->setEnabled(m_comparison->left() && !streaming);
    m_stop->setEnabled(streaming);
    if (difference >= 0 && isVisible()) {
        emit readout(tr("First difference at token %L1").arg(difference + 1));
    }
}

void ComparePage::refreshMeasurement() {
    const auto& measurement = m_comparison->measurement();
    const OpenModel* right = m_comparison->right();
    const QString name = !right ? tr("converted")
                         : right->model->config.low_rank
                             ? QStringLiteral("%1×").arg(ratioText(kvRatio(right->model->config)))
                         : m_comparison->other() == Comparison::Other::Same
                             ? kvFormatText(resolveKvFormat(m_right_format->format(), right->model->config,
                                                            weightDType(*right->model)))
                             : QString::fromStdString(right->name);
    if (const KeptMeasurement* kept = m_comparison->shownKept()) {
        m_measurement->showKept(*kept);
    } else {
        m_measurement->show(measurement, name);
    }
    m_agreement->setDivergence(measurement ? measurement->quality.token_kl : std::vector<double>());
    m_agreement_panel->setNote(measurement
                                   ? tr("KL divergence on %1").arg(QFileInfo(measurement->text).fileName())
                                   : tr("press Measure to see where the models part"));
}

}  // namespace eigenscope
