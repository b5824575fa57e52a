// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/start/start_page.h"

#include "core/checkpoint/hub_cache.h"
#include "core/model/kv_cache.h"
#include "core/model/open_checkpoint.h"
#include "ui/model/units.h"
#include "ui/model/workspace.h"
#include "ui/widgets/elided_label.h"
#include "ui/widgets/nav_rail.h"
#include "ui/widgets/panel.h"
#include "ui/widgets/theme.h"

#include <QDir>
#include <QFileInfo>
#include <QGridLayout>
#include <QHBoxLayout>
#include <QPushButton>
#include <QScrollArea>
#include <QToolButton>

namespace eigenscope {

namespace {

void clear(QLayout* layout) {
    while (QLayoutItem* item = layout->takeAt(0)) {
        if (item->widget()) {
            item->widget()->deleteLater();
        }
        delete item;
    }
}

// Pretty names for what the demo folder may hold; anything else shows its folder name.
QString demoNote(const QString& name) {
    if (name.startsWith(QLatin1String("llama"))) {
        return StartPage::tr("RoPE, grouped-query attention, SentencePiece");
    }
    if (name.startsWith(QLatin1String("opt"))) {
        return StartPage::tr("learned positions, biases, byte-level BPE");
    }
    if (name.startsWith(QLatin1String("mpt"))) {
        return StartPage::tr("ALiBi, no biases, byte-level BPE");
    }
    return {};
}

constexpr int kNameWidth = 260;  // of a model in a list; the tooltip has its path

bool isProject(const QString& path) { return path.endsWith(QLatin1String(".eigenscope")); }

bool isThere(const QString& path) {
    return QFileInfo::exists(isProject(path) ? path : path + QStringLiteral("/config.json"));
}

}  // namespace

StartPage::StartPage(Workspace& workspace, const Theme& theme, QWidget* parent)
    : Page(parent), m_workspace(workspace), m_theme(theme) {
    auto* columns = new QHBoxLayout(this);
    columns->setContentsMargins(0, 0, 0, 0);
    columns->setSpacing(kGap);

    auto* left_side = new QWidget(this);
    auto* left = new QVBoxLayout(left_side);
    left->setContentsMargins(0, 0, 0, 0);
    left->setSpacing(kGap);
    auto* open = new Panel({}, this);
    open->body()->setContentsMargins(12, 14, 12, 10);
    auto* headline = new QLabel(tr("See how much of a KV cache a model needs"), open);
    headline->setProperty("role", "headline");
    open->body()->addWidget(headline);
    auto* text = mutedLabel(
        tr("Open an OPT, MPT or Llama-family checkpoint: a Hugging Face directory with config.json and "
           "safetensors or PyTorch files. Drop one anywhere on this window, or choose its folder."),
        open);
    text->setWordWrap(true);
    open->body()->addWidget(text);
    auto* button = new QPushButton(tr("Open model…"), open);
    button->setObjectName(QStringLiteral("openModel"));
    setPrimary(button);
    connect(button, &QPushButton::clicked, this, &StartPage::openRequested);
    open->body()->addSpacing(6);
    open->body()->addWidget(button, 0, Qt::AlignLeft);
    left->addWidget(open);

    m_demo = new Panel(tr("Demo models"), this);
    m_demo->setNote(tr("trained on short stories; a few seconds from spectrum to comparison"));
    m_demo_rows = new QVBoxLayout;
    m_demo_rows->setSpacing(2);
    m_demo->body()->addLayout(m_demo_rows);
    m_demo->hide();
    left->addWidget(m_demo);

    m_recent = new Panel(tr("Recent models and projects"), this);
    m_recent_rows = new QVBoxLayout;
    m_recent_rows->setSpacing(2);
    m_recent->body()->addLayout(m_recent_rows);
    left->addWidget(m_recent);
    left->addWidget(makePresets());
    left->addStretch(1);
    columns->addWidget(scrolledDown(left_side), 3);  // recent models may be many

    auto* right = new QVBoxLayout;
    m_steps = new Panel(tr("What to do next"), this);
    m_steps->setMinimumWidth(260);
    m_step_rows = new QVBoxLayout;
    m_step_rows->setSpacing(12);
    m_steps->body()->addLayout(m_step_rows);
    right->addWidget(m_steps);
    right->addStretch(1);
    columns->addLayout(right, 2);

    connect(&workspace.settings(), &Settings::recentModelsChanged, this, &StartPage::rebuildRecent);
    for (const auto signal :
         {&Workspace::modelChanged, &Workspace::statisticsChanged, &Workspace::conversionChanged}) {
        connect(&workspace, signal, this, &StartPage::rebuildSteps);
    }
    connect(&theme, &Theme::changed, this, [this] {
        rebuildSteps();
        rebuildRecent();
        setDemoFolder(m_demo_folder);
    });
    rebuildRecent();
    rebuildSteps();
}

QWidget* StartPage::makePresets() {
    auto* panel = new Panel(tr("Sizes to explore"), this);
    panel->setNote(tr("random weights, nothing to download: memory and speed without the text"));
    auto* grid = new QGridLayout;
    grid->setHorizontalSpacing(kGap);
    grid->setVerticalSpacing(2);
    int index = 0;
    const int rows = static_cast<int>(presets().size() + 1) / 2;
    for (const Preset& preset : presets()) {
        const QString title = QString::fromUtf8(preset.title.data(), static_cast<int>(preset.title.size()));
        const std::string model = std::string(kPresetPrefix) + std::string(preset.name);
        auto* open = new QToolButton(panel);
        open->setText(title);
        open->setObjectName(QStringLiteral("open-") + QString::fromStdString(model));
        open->setAccessibleName(tr("Explore %1").arg(title));
        open->setProperty("link", true);
        open->setToolButtonStyle(Qt::ToolButtonTextBesideIcon);
        open->setIcon(themedIcon(QStringLiteral("model"), m_theme.colours().key, m_theme.colours().key, 16));
        open->setMinimumWidth(120);
        const auto checkpoint = openCheckpoint(model);
        const ModelConfig config = readModelConfig(checkpoint->config(), checkpoint->configFile());
        open->setToolTip(
            tr("%L1 layers of %L2, %L3 query and %L4 key/value heads of %L5; at most %L6 positions")
                .arg(config.layers)
                .arg(config.hidden_size)
                .arg(config.query_heads)
                .arg(config.kv_heads)
                .arg(config.head_dim)
                .arg(config.max_positions));
        connect(open, &QToolButton::clicked, this,
                [this, path = QString::fromStdString(model)] { m_workspace.openModel(path); });
        const int column = index / rows * 2;
        grid->addWidget(open, index % rows, column, Qt::AlignLeft);
        grid->addWidget(
            mutedLabel(tr("%1, %2 a token")
                           .arg(bytesText(static_cast<double>(checkpoint->weightBytes())),
                                bytesText(static_cast<double>(kvBytesPerToken(config, DType::F16)))),
                       panel),
            index % rows, column + 1);
        ++index;
    }
    grid->setColumnStretch(1, 1);
    grid->setColumnStretch(3, 1);
    panel->body()->addLayout(grid);
    return panel;
}

QWidget* StartPage::modelRow(const QString& path, const QString& note, bool removable) {
    auto* row = new QWidget(this);
    auto* layout = new QHBoxLayout(row);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->setSpacing(kGap);
    auto* open = new QToolButton(row);
    const std::string repository = hubName(path.toStdString());
    const QString name = repository.empty() ? QFileInfo(path).fileName() : QString::fromStdString(repository);
    open->setText(open->fontMetrics().elidedText(name, Qt::ElideMiddle, kNameWidth));
    open->setObjectName(QStringLiteral("open-") + name);
    open->setToolTip(path);
    open->setAccessibleName(tr("Open %1").arg(name));
    open->setEnabled(isThere(path));
    open->setProperty("link", true);
    open->setToolButtonStyle(Qt::ToolButtonTextBesideIcon);
    const QString icon = isProject(path) ? QStringLiteral("spectrum") : QStringLiteral("folder");
    open->setIcon(themedIcon(icon, m_theme.colours().key, m_theme.colours().key, 16));
    open->setMinimumWidth(150);
    connect(open, &QToolButton::clicked, this, [this, path] { emit pathRequested(path); });
    layout->addWidget(open);
    auto* label = new ElidedLabel(note, row, Qt::ElideMiddle);
    label->setProperty("role", "muted");
    layout->addWidget(label, 1);
    if (removable) {
        auto* remove = new QToolButton(row);
        remove->setText(QStringLiteral("✕"));
        remove->setToolTip(tr("Take it off this list"));
        remove->setAccessibleName(tr("Take %1 off the list").arg(name));
        connect(remove, &QToolButton::clicked, this,
                [this, path] { m_workspace.settings().removeRecentModel(path); });
        layout->addWidget(remove);
    }
    return row;
}

void StartPage::setDemoFolder(const QString& folder) {
    m_demo_folder = folder;
    clear(m_demo_rows);
    const QDir dir(folder);
    const QStringList names =
        folder.isEmpty() ? QStringList() : dir.entryList(QDir::Dirs | QDir::NoDotAndDotDot, QDir::Name);
    for (const QString& name : names) {
        if (QFileInfo::exists(dir.filePath(name + QStringLiteral("/config.json")))) {
            m_demo_rows->addWidget(modelRow(dir.absoluteFilePath(name), demoNote(name), false));
        }
    }
    m_demo->setVisible(m_demo_rows->count() > 0);
    tabInReadingOrder(this);
}

void StartPage::rebuildRecent() {
    clear(m_recent_rows);
    const QStringList recent = m_workspace.settings().recentModels();
    for (const QString& path : recent) {
        m_recent_rows->addWidget(
            modelRow(path, isThere(path) ? path : tr("%1 (no longer there)").arg(path), true));
    }
    if (recent.isEmpty()) {
        m_recent_rows->addWidget(mutedLabel(tr("Models and projects you open are listed here."), this));
    }
    tabInReadingOrder(this);
}

void StartPage::rebuildSteps() {
    clear(m_step_rows);
    struct Step {
        QString name, text;
        bool done;
        PageId page;
    };
    const bool model = m_workspace.model().has_value();
    const bool statistics = m_workspace.statistics() != nullptr;
    const bool conversion = m_workspace.conversion().has_value();
    const Step steps[] = {
        {tr("Open a model"), tr("Its architecture, tensors, tokenizer and cache size appear under Model."),
         model, PageId::Model},
        {tr("Calibrate"),
         tr("Run a text through it: keys, queries and values leave their Gram matrices, whose eigenvalues "
            "say how many dimensions each layer uses."),
         statistics, PageId::Spectrum},
        {tr("Choose ranks"),
         tr("Drag the threshold in the spectrum and watch ranks, KV ratio and expected error follow."),
         conversion, PageId::Spectrum},
        {tr("Convert"), tr("Fold the bases into the attention projections, in memory at first."), conversion,
         PageId::Convert},
        {tr("Compare"),
         tr("Let both models answer the same prompt, and measure perplexity, memory and time."), false,
         PageId::Compare},
    };
    const ThemeColours& c = m_theme.colours();
    int number = 1;
    bool reached = true;
    for (const Step& step : steps) {
        auto* row = new QWidget(this);
        auto* layout = new QHBoxLayout(row);
        layout->setContentsMargins(0, 0, 0, 0);
        layout->setSpacing(12);
        auto* mark = new QLabel(step.done ? QStringLiteral("✓") : QString::number(number), row);
        mark->setFixedSize(26, 26);
        mark->setAlignment(Qt::AlignCenter);
        const bool current = reached && !step.done;
        const QColor ring = step.done ? c.good : current ? c.key : c.line;
        mark->setStyleSheet(
            QStringLiteral("border: 1.5px solid %1; border-radius: 13px; color: %2; font-weight: 600;")
                .arg(ring.name(), (step.done ? c.good
                                   : current ? c.key
                                             : c.muted)
                                      .name()));
        layout->addWidget(mark, 0, Qt::AlignTop);
        auto* texts = new QGridLayout;  // the text goes on below the button
        texts->setVerticalSpacing(2);
        texts->setColumnStretch(0, 1);
        auto* title = new QLabel(step.name, row);
        title->setProperty("role", "title");
        texts->addWidget(title, 0, 0);
        auto* text = mutedLabel(step.text, row);
        text->setWordWrap(true);
        texts->addWidget(text, 1, 0, 1, 2);
        layout->addLayout(texts, 1);
        if (model && (current || step.done)) {
            auto* go = new QToolButton(row);
            go->setText(tr("Go"));
            go->setProperty("outlined", true);
            go->setAccessibleName(tr("Go to %1").arg(step.name));
            connect(go, &QToolButton::clicked, this, [this, page = step.page] { emit pageRequested(page); });
            texts->addWidget(go, 0, 1);
        }
        m_step_rows->addWidget(row);
        reached = step.done;
        ++number;
    }
    tabInReadingOrder(this);
}

}  // namespace eigenscope
