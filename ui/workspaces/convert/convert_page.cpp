// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/convert/convert_page.h"

#include "core/evaluation/memory_bound.h"
#include "ui/model/units.h"
#include "ui/model/workspace.h"
#include "ui/widgets/fact_list.h"
#include "ui/widgets/filter_table.h"
#include "ui/widgets/job_progress.h"
#include "ui/widgets/kv_groups_box.h"
#include "ui/widgets/panel.h"
#include "ui/widgets/plot.h"
#include "ui/widgets/segmented_control.h"
#include "ui/widgets/theme.h"
#include "ui/workspaces/convert/convert_table.h"
#include "ui/workspaces/convert/tradeoff_panel.h"
#include "ui/workspaces/convert/tradeoff_plot.h"
#include "ui/workspaces/spectrum/ratio_bar.h"
#include "ui/workspaces/spectrum/spectrum_view.h"

#include <QCheckBox>
#include <QDir>
#include <QFileDialog>
#include <QFileInfo>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QPushButton>
#include <QStackedWidget>
#include <QTableView>

#include <algorithm>

namespace eigenscope {

namespace {

constexpr int kSummaryWidth = 300;
constexpr int kRowHeight = 30;
constexpr int kHeaderHeight = 42;  // two lines
const QString kSaveFolder = QStringLiteral("converted");
const QString kTextFolder = QStringLiteral("calibrationText");

QString beforeAfter(const QString& before, const QString& after) {
    return ConvertPage::tr("%1 → %2").arg(before, after);
}

// "4", "2 to 8", "16, not quantised".
QString bitsRange(const KvBits& bits) {
    if (!bits.quantises()) {
        return ConvertPage::tr("16, not quantised");
    }
    std::vector<int> all = bits.keys;
    all.insert(all.end(), bits.values.begin(), bits.values.end());
    const auto [least, most] = std::minmax_element(all.begin(), all.end());
    return *least == *most ? QString::number(*least) : ConvertPage::tr("%1 to %2").arg(*least).arg(*most);
}

}  // namespace

ConvertPage::ConvertPage(Workspace& workspace, const Theme& theme, QWidget* parent)
    : Page(parent), m_workspace(workspace), m_theme(theme) {
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    m_stack = new QStackedWidget(this);
    layout->addWidget(m_stack);
    m_no_model =
        new EmptyState(tr("No model is open"), tr("Open a model first; then calibrate it and choose ranks."),
                       tr("Go to Start"), this);
    m_no_plan =
        new EmptyState(tr("There is no plan yet"),
                       tr("Calibration shows which directions of keys and values carry the energy; a plan "
                          "says how many of them each layer keeps."),
                       tr("Go to Spectrum"), this);
    m_stack->addWidget(m_no_model);
    m_stack->addWidget(m_no_plan);
    m_main = buildMain();
    m_stack->addWidget(m_main);
    connect(m_no_model, &EmptyState::activated, this, [this] { emit pageRequested(PageId::Start); });
    connect(m_no_plan, &EmptyState::activated, this, [this] { emit pageRequested(PageId::Spectrum); });
    connect(&workspace, &Workspace::modelChanged, this, &ConvertPage::refresh);
    connect(&workspace, &Workspace::conversionChanged, this, &ConvertPage::refresh);
    connect(&workspace.plan(), &PlanDocument::changed, this, &ConvertPage::refresh);
    connect(&workspace.jobs(), &JobRunner::jobsChanged, this, &ConvertPage::refreshState);
    // Queued: the workspace knows its conversion job only once it has been added.
    connect(&workspace.jobs(), &JobRunner::jobAdded, this, &ConvertPage::refreshState, Qt::QueuedConnection);
    refresh();
}

QWidget* ConvertPage::buildMain() {
    auto* main = new QWidget(this);
    auto* row = new QHBoxLayout(main);
    row->setContentsMargins(0, 0, 0, 0);
    row->setSpacing(kGap);
    m_table_panel = new Panel(tr("What changes"), main);
    m_table = new ConvertTable(m_workspace, m_theme, this);
    auto* table = new FilterTable(m_table, -1, tr("layers"), m_table_panel);
    QTableView* view = table->view();
    view->setAccessibleName(tr("What changes, by layer"));
    view->setItemDelegate(new BarDelegate(view));
    view->verticalHeader()->setDefaultSectionSize(kRowHeight);
    view->horizontalHeader()->setSectionResizeMode(QHeaderView::Stretch);
    view->horizontalHeader()->setFixedHeight(kHeaderHeight);
    view->setAlternatingRowColors(false);
    m_tradeoff = new TradeoffPanel(m_workspace, m_theme, m_table_panel);
    m_view = new QStackedWidget(m_table_panel);
    m_view->addWidget(table);
    m_view->addWidget(m_tradeoff);
    m_table_panel->body()->addWidget(m_view, 1);
    m_views = new SegmentedControl({tr("Layers"), tr("Trade-off")}, m_table_panel);
    m_views->setObjectName(QStringLiteral("convertViews"));
    m_views->setToolTip(tr("What changes in every layer, or what each KV ratio costs"));
    m_table_panel->header()->addWidget(m_views);
    connect(m_views, &SegmentedControl::selected, m_view, &QStackedWidget::setCurrentIndex);
    connect(m_tradeoff->plot(), &Plot::readout, this, &Page::readout);
    row->addWidget(m_table_panel, 1);
    row->addWidget(buildSummary());
    return main;
}

Panel* ConvertPage::buildSummary() {
    auto* panel = new Panel(tr("Conversion"), this);
    panel->setFixedWidth(kSummaryWidth);
    auto* column = panel->body();
    m_badge = new QLabel(tr("plan changed since"), panel);
    m_badge->setProperty("role", "badge-value");
    m_badge->setObjectName(QStringLiteral("planChanged"));
    m_badge->setToolTip(tr("The converted model was made with another plan. Convert again to use this one."));
    panel->header()->addWidget(m_badge);

    auto* headline = new QHBoxLayout;
    headline->setSpacing(8);
    m_ratio = new QLabel(panel);
    m_ratio->setProperty("role", "hero");
    m_ratio->setAccessibleName(tr("KV ratio"));
    m_ratio->setToolTip(tr("KV ratio: converted KV-cache bytes / original KV-cache bytes."));
    headline->addWidget(m_ratio);
    auto* unit = mutedLabel(tr("KV cache"), panel);
    unit->setContentsMargins(0, 0, 0, 5);  // onto the figure's baseline
    headline->addWidget(unit, 0, Qt::AlignBottom);
    headline->addStretch(1);
    column->addLayout(headline);
    m_bar = new RatioBar(m_theme, panel);
    column->addWidget(m_bar);
    m_facts = new FactList(panel);
    m_facts->addFact(QStringLiteral("method"), tr("Method"), tr("How the bases were chosen."));
    m_facts->addFact(QStringLiteral("latents"), tr("Latents"),
                     tr("Whether each key/value head caches a latent of its own, or several share one."));
    m_facts->addFact(
        QStringLiteral("bits"), tr("Cache bits"),
        tr("Bits of an element in the converted model's cache; the plan says how codes are grouped."));
    m_facts->addFact(QStringLiteral("bytes"), tr("KV bytes per token"),
                     tr("KV cache that one more token of one sequence takes, over all layers."));
    m_facts->addFact(
        QStringLiteral("weights"), tr("Weights"),
        tr("Bytes of the model's weights. Known after conversion: low-rank projections replace the "
           "original ones."));
    m_facts->addFact(QStringLiteral("memory"), tr("Memory at most"),
                     tr("What the program takes at most while it converts and measures layer errors, weights "
                        "included. Models that do not fit are read layer by layer."));
    m_facts->addFact(QStringLiteral("expected"), tr("Expected error"),
                     tr("Root mean square over layers, keys and values, of the share of energy dropped."));
    m_facts->addFact(QStringLiteral("worst"), tr("Largest layer error"),
                     tr("Largest measured relative error of a layer's attention output."));
    column->addWidget(m_facts);
    m_groups = mutedLabel({}, panel);
    m_groups->setWordWrap(true);
    m_groups->setObjectName(QStringLiteral("cacheGroups"));
    column->addWidget(m_groups);
    m_plan = new QPushButton(tr("Change the plan…"), panel);
    m_plan->setToolTip(tr("Back to the spectrum and its thresholds"));
    column->addWidget(m_plan);
    column->addStretch(1);

    m_state = mutedLabel({}, panel);
    m_state->setWordWrap(true);
    m_state->setObjectName(QStringLiteral("conversionState"));
    column->addWidget(m_state);
    m_saved = mutedLabel({}, panel);
    m_saved->setWordWrap(true);
    m_saved->setTextInteractionFlags(Qt::TextSelectableByMouse | Qt::TextSelectableByKeyboard);
    m_saved->setObjectName(QStringLiteral("savedTo"));
    column->addWidget(m_saved);
    m_progress = new JobProgress(panel);
    m_save_progress = new JobProgress(panel);
    column->addWidget(m_progress);
    column->addWidget(m_save_progress);
    m_refit = new QCheckBox(tr("Refit output projections"), panel);
    m_refit->setObjectName(QStringLiteral("refit"));
    m_refit->setToolTip(
        tr("After folding, fit the attention's output projections anew, layer by layer, so that "
           "each layer comes nearest to the original's on the calibration text. Takes longer; "
           "loses less."));
    column->addWidget(m_refit);
    m_save = new QPushButton(tr("Save converted model…"), panel);
    m_save->setToolTip(tr("Write the converted model as a checkpoint directory (safetensors)"));
    m_compare = new QPushButton(tr("Compare with the original"), panel);
    m_compare->setToolTip(tr("Both models answer the same prompt side by side"));
    m_convert = new QPushButton(tr("Convert"), panel);
    m_convert->setObjectName(QStringLiteral("convert"));
    m_convert->setToolTip(tr("Fold the bases into the attention weights, in memory (Ctrl+Return)"));
    m_convert->setShortcut(QKeySequence(Qt::CTRL | Qt::Key_Return));
    column->addWidget(m_save);
    column->addWidget(m_compare);
    column->addWidget(m_convert);
    connect(m_plan, &QPushButton::clicked, this, [this] { emit pageRequested(PageId::Spectrum); });
    connect(m_save, &QPushButton::clicked, this, &ConvertPage::save);
    connect(m_compare, &QPushButton::clicked, this, [this] { emit pageRequested(PageId::Compare); });
    connect(m_convert, &QPushButton::clicked, this, &ConvertPage::convert);
    connect(m_refit, &QCheckBox::toggled, this, &ConvertPage::refreshState);
    return panel;
}

void ConvertPage::refresh() {
    const bool planned = m_workspace.model() && !m_workspace.plan().empty();
    m_stack->setCurrentWidget(!m_workspace.model() ? static_cast<QWidget*>(m_no_model)
                              : !planned           ? static_cast<QWidget*>(m_no_plan)
                                                   : m_main);
    if (planned) {
        refreshFacts();
        refreshState();
    }
}

void ConvertPage::refreshFacts() {
    const OpenModel& model = *m_workspace.model();
    const PlanDocument& document = m_workspace.plan();
    const auto& conversion = m_workspace.conversion();
    const ModelConfig& config = model.model->config;
    m_ratio->setText(ratioText(document.kvRatio()) + QStringLiteral("×"));
    m_bar->setRatios(document.sideRatio(Side::Keys), document.sideRatio(Side::Values));
    const QString name = QString::fromStdString(model.name);
    m_table_panel->setNote(
        tr("%1 · %2 layers of %3 key/value heads").arg(name).arg(config.layers).arg(config.kv_heads));
    const BasisMethod& method = basisMethod(document.plan().method);
    m_facts->setFact(QStringLiteral("method"),
                     QString::fromUtf8(method.title.data(), static_cast<int>(method.title.size())));
    const RankPlan& plan = document.plan();
    m_facts->setFact(QStringLiteral("latents"),
                     plan.head_group > 1 ? tr("one for %1 heads").arg(plan.head_group) : tr("one a head"));
    const KvBits& bits = plan.kv_bits;
    m_facts->setFact(QStringLiteral("bits"), bitsRange(bits));
    m_groups->setText(bits.quantises() ? tr("Cache: %1, %2")
                                             .arg(QString::fromStdString(bits.text()),
                                                  kvGroupsText({bits.group, bits.key_grouping, bits.recent}))
                                       : QString());
    m_groups->setVisible(bits.quantises());
    m_facts->setFact(QStringLiteral("bytes"), tokenBytesText(m_workspace));
    m_facts->setFact(QStringLiteral("expected"), percentText(document.expectedError()));
    if (const auto& statistics = m_workspace.statistics()) {
        const MemoryBound bound =
            conversionBound(model, *statistics, document.plan(), 0, 0, m_workspace.runOptions());
        m_facts->setFact(QStringLiteral("memory"), bytesText(static_cast<double>(bound.total())));
    }
    const QString weights = bytesText(static_cast<double>(model.model->weightBytes()));
    if (conversion) {
        m_facts->setFact(
            QStringLiteral("weights"),
            beforeAfter(weights, bytesText(static_cast<double>(conversion->model.model->weightBytes()))));
        const auto& errors = conversion->layer_errors;
        m_facts->setFact(
            QStringLiteral("worst"),
            errors.empty() ? QString() : percentText(*std::max_element(errors.begin(), errors.end())));
    } else {
        m_facts->setFact(QStringLiteral("weights"), weights);
        m_facts->setFact(QStringLiteral("worst"), {});
    }
}

void ConvertPage::refreshState() {
    const auto& conversion = m_workspace.conversion();
    m_progress->setJob(m_workspace.conversionJob());
    const bool running = m_progress->running();
    const bool saving = m_save_progress->running();
    const bool changed = m_workspace.planChangedSinceConversion() ||
                         (conversion && conversion->refitted != m_refit->isChecked());
    m_badge->setVisible(changed);
    m_state->setText(
        running       ? QString()
        : !conversion ? tr("Not converted yet. Converting keeps the original open: both can be compared.")
        : changed
            ? tr("Converted at %1×; this plan would give %2×.")
                  .arg(ratioText(conversion->kv_ratio), ratioText(m_workspace.plan().kvRatio()))
            : tr("Converted at %1×, in memory beside the original.").arg(ratioText(conversion->kv_ratio)));
    m_state->setVisible(!m_state->text().isEmpty());
    const bool saved = conversion && !conversion->saved_to.isEmpty();
    m_saved->setVisible(saved);
    m_saved->setText(saved ? tr("Saved to %1").arg(QDir::toNativeSeparators(conversion->saved_to))
                           : QString());
    m_convert->setEnabled(m_workspace.statistics() && !running && (!conversion || changed));
    m_save->setEnabled(conversion.has_value() && !running && !saving);
    m_compare->setEnabled(conversion.has_value() && !running);
    // The last button, with the accent, is what comes next.
    const bool done = conversion && !changed && !running;
    m_convert->setVisible(!done);
    for (QPushButton* button : {m_convert, m_compare}) {
        const bool primary = (button == m_compare) == done;
        if (button->property("primary").toBool() != primary) {
            button->setProperty("primary", primary);
            button->style()->unpolish(button);
            button->style()->polish(button);
        }
    }
}

void ConvertPage::convert() {
    QString text;
    if (m_refit->isChecked()) {
        text = m_workspace.suggestedCalibrationText();
        if (text.isEmpty()) {
            Settings& settings = m_workspace.settings();
            text = QFileDialog::getOpenFileName(this, tr("Text to refit on"), settings.folder(kTextFolder),
                                                tr("Text (*.txt *.md);;All files (*)"));
            if (text.isEmpty()) {
                return;
            }
            settings.setFolder(kTextFolder, QFileInfo(text).absolutePath());
        }
    }
    m_workspace.convert(text);
    refreshState();
}

void ConvertPage::save() {
    Settings& settings = m_workspace.settings();
    const QString name =
        QStringLiteral("%1-%2").arg(QString::fromStdString(m_workspace.model()->name),
                                    QString::number(m_workspace.conversion()->kv_ratio, 'f', 2));
    // A save dialog, because the directory must be new: the name typed becomes the folder.
    QFileDialog dialog(this, tr("Save converted model as a new folder"), settings.folder(kSaveFolder));
    dialog.setAcceptMode(QFileDialog::AcceptSave);
    dialog.setFileMode(QFileDialog::AnyFile);
    dialog.setOption(QFileDialog::DontConfirmOverwrite);
    dialog.setOption(QFileDialog::ShowDirsOnly);
    dialog.setLabelText(QFileDialog::FileName, tr("New folder:"));
    dialog.selectFile(name);
    if (dialog.exec() != QDialog::Accepted || dialog.selectedFiles().isEmpty()) {
        return;
    }
    const QString directory = dialog.selectedFiles().constFirst();
    settings.setFolder(kSaveFolder, QFileInfo(directory).absolutePath());
    m_save_progress->setJob(m_workspace.saveConverted(directory));
    refreshState();
}

}  // namespace eigenscope
