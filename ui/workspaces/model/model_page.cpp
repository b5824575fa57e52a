// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/model/model_page.h"

#include "core/benchmark/memory_estimate.h"
#include "core/model/family.h"
#include "ui/model/model_tables.h"
#include "ui/model/units.h"
#include "ui/model/workspace.h"
#include "ui/widgets/fact_list.h"
#include "ui/widgets/filter_table.h"
#include "ui/widgets/kv_format_box.h"
#include "ui/widgets/panel.h"
#include "ui/widgets/segmented_control.h"
#include "ui/widgets/theme.h"

#include <QGridLayout>
#include <QHeaderView>
#include <QPlainTextEdit>
#include <QScrollArea>
#include <QSpinBox>
#include <QSplitter>
#include <QStackedLayout>
#include <QStackedWidget>
#include <QTableView>
#include <QTextBrowser>

namespace eigenscope {

namespace {

constexpr qsizetype kTryOutCharacters = 8000;  // tokenised within a frame or two, on the GUI thread
constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

QString positionsText(const ModelConfig& config) {
    switch (config.position) {
        case PositionKind::Rotary: {
            QString text = ModelPage::tr("RoPE, θ %L1").arg(config.rope_theta, 0, 'f', 0);
            if (config.rope_scaling.kind != RopeScaling::Kind::None) {
                text += ModelPage::tr(", scaled by %L1").arg(config.rope_scaling.factor);
            }
            return text;
        }
        case PositionKind::Learned:
            return ModelPage::tr("learned");
        case PositionKind::Alibi:
            return ModelPage::tr("ALiBi");
    }
    return {};
}

QString normText(const ModelConfig& config) {
    return config.norm == NormParams::Kind::RmsNorm ? QStringLiteral("RMSNorm") : QStringLiteral("LayerNorm");
}

QString activationText(const ModelConfig& config) {
    switch (config.activation) {
        case ActivateParams::Kind::Relu:
            return QStringLiteral("ReLU");
        case ActivateParams::Kind::Gelu:
            return QStringLiteral("GELU");
        case ActivateParams::Kind::GeluTanh:
            return QStringLiteral("GELU (tanh)");
        case ActivateParams::Kind::Silu:
            return config.gated_mlp ? QStringLiteral("SwiGLU") : QStringLiteral("SiLU");
        case ActivateParams::Kind::Clamp:  // no model's MLP
            break;
    }
    return {};
}

QSpinBox* spinBox(int minimum, int maximum, int value, const QString& name) {
    auto* box = new QSpinBox;
    box->setRange(minimum, maximum);
    box->setValue(value);
    box->setGroupSeparatorShown(true);
    box->setAlignment(Qt::AlignRight);
    box->setAccessibleName(name);
    box->setFixedWidth(110);
    return box;
}

// "Converted from llama-stories: attention-aware, a latent for 2 heads, 4 bit, output projections refitted".
QString conversionText(const LowRankDescription& of) {
    QStringList parts{QString::fromStdString(of.method)};
    if (of.center) {
        parts << ModelPage::tr("centred");
    }
    if (of.head_group > 1) {
        parts << ModelPage::tr("a latent for %1 heads").arg(of.head_group);
    }
    if (of.share_key_basis) {
        parts << ModelPage::tr("shared key basis");
    }
    if (of.kv_bits.quantises()) {
        parts << QString::fromStdString(of.kv_bits.text());
    }
    if (of.refit) {
        parts << ModelPage::tr("output projections refitted");
    }
    return ModelPage::tr("Converted from %1: %2")
        .arg(QString::fromStdString(of.source), parts.join(QStringLiteral(", ")));
}

}  // namespace

ModelPage::ModelPage(Workspace& workspace, const Theme& theme, QWidget* parent)
    : Page(parent),
      m_workspace(workspace),
      m_theme(theme),
      m_stack(new QStackedLayout(this)),
      m_layers(new LayerTableModel(this)),
      m_tensors(new TensorTableModel(this)) {
    auto* empty = new EmptyState(
        tr("No model is open"),
        tr("Architecture, tensors, tokenizer and KV-cache size of the open model appear here."),
        tr("Open a model"), this);
    connect(empty, &EmptyState::activated, this, [this] { emit pageRequested(PageId::Start); });
    m_stack->addWidget(empty);

    auto* content = new QWidget(this);
    auto* columns = new QHBoxLayout(content);
    columns->setContentsMargins(0, 0, 0, 0);
    columns->setSpacing(kGap);
    auto* left = new QVBoxLayout;
    left->setSpacing(kGap);
    left->addWidget(makeArchitecture());
    left->addWidget(makeCalculator());
    left->addStretch(1);
    auto* left_side = new QWidget(content);
    left_side->setLayout(left);
    left->setContentsMargins(0, 0, 0, 0);
    QScrollArea* scroll = scrolledDown(left_side);
    scroll->setFixedWidth(320);
    columns->addWidget(scroll);
    auto* right = new QSplitter(Qt::Vertical, content);
    right->setHandleWidth(kGap);
    right->addWidget(makeTables());
    right->addWidget(makeTokenizer());
    right->setStretchFactor(0, 3);
    right->setStretchFactor(1, 2);
    right->setChildrenCollapsible(false);
    columns->addWidget(right, 1);
    m_stack->addWidget(content);

    connect(&workspace, &Workspace::modelChanged, this, &ModelPage::refresh);
    connect(&theme, &Theme::changed, this, &ModelPage::refreshTokens);
    refresh();
}

QWidget* ModelPage::makeArchitecture() {
    auto* panel = new Panel(tr("Architecture"), this);
    m_facts = new FactList(panel);
    m_facts->setObjectName(QStringLiteral("architecture"));
    m_facts->addFact(QStringLiteral("family"), tr("Family"), tr("Architecture named in config.json"));
    m_facts->addFact(QStringLiteral("parameters"), tr("Parameters"));
    m_facts->addFact(QStringLiteral("layers"), tr("Layers"));
    m_facts->addFact(QStringLiteral("hidden"), tr("Hidden size"), tr("Width of the residual stream"));
    m_facts->addFact(QStringLiteral("heads"), tr("Query heads"));
    m_facts->addFact(QStringLiteral("kv_heads"), tr("Key/value heads"),
                     tr("Fewer than query heads means grouped-query attention: several query heads share "
                        "keys and values"));
    m_facts->addFact(QStringLiteral("head_dim"), tr("Head dimension"),
                     tr("The rank that Eigen Attention starts from"));
    m_facts->addFact(QStringLiteral("mlp"), tr("MLP"));
    m_facts->addFact(QStringLiteral("norm"), tr("Normalisation"));
    m_facts->addFact(QStringLiteral("positions"), tr("Positions"),
                     tr("With RoPE, keys are cached before rotation and rebuilt inside attention"));
    m_facts->addFact(QStringLiteral("context"), tr("Max positions"));
    m_facts->addFact(QStringLiteral("vocabulary"), tr("Vocabulary"));
    m_facts->addFact(QStringLiteral("weights"), tr("Weights"),
                     tr("Size of all tensors, and the type they are stored in"));
    m_facts->addFact(QStringLiteral("low_rank"), tr("KV ratio"),
                     tr("KV-cache bytes of a converted model divided by the original's in f16"));
    panel->body()->addWidget(m_facts);
    m_conversion = mutedLabel({}, panel);
    m_conversion->setWordWrap(true);
    m_conversion->setObjectName(QStringLiteral("conversion"));
    m_conversion->setToolTip(
        tr("What a converted model was made with; config.json has all of it, under eigen_attention"));
    panel->body()->addWidget(m_conversion);
    return panel;
}

QWidget* ModelPage::makeTables() {
    auto* panel = new Panel(tr("Layers"), this);
    auto* choice = new SegmentedControl({tr("Layers"), tr("Tensors")}, panel);
    panel->header()->addWidget(choice);
    auto* tables = new QStackedWidget(panel);
    auto* layers = new FilterTable(m_layers, -1, tr("layers"), tables);
    auto* tensors = new FilterTable(m_tensors, TensorTableModel::Name, tr("tensors"), tables);
    layers->view()->horizontalHeader()->setSectionResizeMode(QHeaderView::Stretch);
    tensors->view()->horizontalHeader()->setSectionResizeMode(TensorTableModel::Name, QHeaderView::Stretch);
    layers->view()->setObjectName(QStringLiteral("layerTable"));
    tensors->view()->setObjectName(QStringLiteral("tensorTable"));
    tables->addWidget(layers);
    tables->addWidget(tensors);
    panel->body()->addWidget(tables, 1);
    connect(choice, &SegmentedControl::selected, this, [panel, tables](int index) {
        tables->setCurrentIndex(index);
        panel->setTitle(index == 0 ? tr("Layers") : tr("Tensors"));
    });
    connect(layers->view(), &QTableView::doubleClicked, this, [this, layers](const QModelIndex& index) {
        m_workspace.select(layers->sourceRow(index), -1, m_workspace.selectedSide());
        emit pageRequested(PageId::Spectrum);
    });
    layers->view()->setToolTip(tr("Double-click a layer to see its spectrum"));
    return panel;
}

QWidget* ModelPage::makeTokenizer() {
    m_tokenizer_panel = new Panel(tr("Tokenizer"), this);
    auto* row = new QHBoxLayout;
    row->setSpacing(kGap);
    m_text = new QPlainTextEdit(m_tokenizer_panel);
    m_text->setObjectName(QStringLiteral("tokenizerText"));
    m_text->setPlaceholderText(tr("Type or paste text to see its tokens"));
    m_text->setPlainText(tr("Once upon a time, Mira found a silver key under the old bridge."));
    m_text->setAccessibleName(tr("Text to tokenize"));
    m_text->setTabChangesFocus(true);
    m_pieces = new QTextBrowser(m_tokenizer_panel);
    m_pieces->setObjectName(QStringLiteral("tokenizerPieces"));
    m_pieces->setAccessibleName(tr("Tokens"));
    row->addWidget(m_text, 2);
    row->addWidget(m_pieces, 3);
    m_tokenizer_panel->body()->addLayout(row, 1);
    connect(m_text, &QPlainTextEdit::textChanged, this, &ModelPage::refreshTokens);
    return m_tokenizer_panel;
}

QWidget* ModelPage::makeCalculator() {
    auto* panel = m_memory_panel = new Panel(tr("Memory"), this);
    auto* inputs = new FactList(panel);
    auto* grid = static_cast<QGridLayout*>(inputs->layout());
    m_context = spinBox(1, 100'000'000, 2048, tr("Context length"));
    m_batch = spinBox(1, 65536, 1, tr("Batch size"));
    m_limit = spinBox(1, 100000, 24, tr("Memory limit"));
    m_limit->setSuffix(tr(" GiB"));
    m_format = new KvFormatBox(panel);
    m_format->setObjectName(QStringLiteral("kvFormat"));
    m_format->setFixedWidth(110);
    const std::pair<QString, QWidget*> rows[] = {{tr("Context (tokens)"), m_context},
                                                 {tr("Batch"), m_batch},
                                                 {tr("Cache format"), m_format},
                                                 {tr("In memory of"), m_limit}};
    int index = 0;
    for (const auto& [name, widget] : rows) {
        auto* label = mutedLabel(name, panel);
        label->setBuddy(widget);
        grid->addWidget(label, index, 0);
        grid->addWidget(widget, index, 1, Qt::AlignRight);
        ++index;
    }
    panel->body()->addWidget(inputs);
    m_memory = new FactList(panel);
    m_memory->setObjectName(QStringLiteral("memory"));
    m_memory->addFact(QStringLiteral("per_token"), tr("KV per token"),
                      tr("Bytes each token of one sequence adds to the cache"));
    m_memory->addFact(QStringLiteral("weights"), tr("Weights"));
    m_memory->addFact(
        QStringLiteral("kv"), tr("KV cache"),
        tr("context × batch × KV per token; of a quantised cache with exact rows, those as well"));
    m_memory->addFact(QStringLiteral("scratch"), tr("Activations"), tr("Working memory of one forward pass"));
    m_memory->addFact(QStringLiteral("total"), tr("Total"));
    m_memory->addFact(QStringLiteral("longest"), tr("Longest context"),
                      tr("What the memory holds, but no more than the model has positions"));
    m_memory->addFact(QStringLiteral("by_memory"), tr("Memory would hold"),
                      tr("The same by memory alone, whatever positions the model has"));
    panel->body()->addWidget(m_memory);
    for (QSpinBox* box : {m_context, m_batch, m_limit}) {
        connect(box, &QSpinBox::valueChanged, this, &ModelPage::refreshCalculator);
    }
    connect(m_format, &QComboBox::currentIndexChanged, this, [this] {
        refreshLayers();
        refreshCalculator();
    });
    return panel;
}

void ModelPage::refresh() {
    const auto& open = m_workspace.model();
    m_stack->setCurrentIndex(open ? 1 : 0);
    if (!open) {
        m_layers->setModel(nullptr, DType::F32);
        m_tensors->setCheckpoint(nullptr);
        return;
    }
    const Model& model = *open->model;
    const ModelConfig& config = model.config;
    const auto set = [this](const char* key, const QString& value) {
        m_facts->setFact(QLatin1String(key), value);
    };
    set("family", QString::fromStdString(config.architecture));
    set("parameters", shortCountText(static_cast<double>(open->checkpoint->parameterCount())));
    set("layers", countText(config.layers));
    set("hidden", countText(config.hidden_size));
    set("heads", countText(config.query_heads));
    set("kv_heads", countText(config.kv_heads));
    set("head_dim", countText(config.head_dim));
    set("mlp", QStringLiteral("%1, %2").arg(activationText(config), countText(config.intermediate_size)));
    set("norm", normText(config));
    set("positions", positionsText(config));
    set("context", countText(config.max_positions));
    set("vocabulary", countText(config.vocab_size));
    const QString weights =
        QStringLiteral("%1 %2").arg(bytesText(static_cast<double>(model.weightBytes())),
                                    QString::fromLatin1(nameOf(weightDType(model)).data()));
    set("weights", open->checkpoint->hasDummyWeights() ? tr("%1, random").arg(weights) : weights);
    set("low_rank", config.low_rank ? tr("%1×").arg(ratioText(kvRatio(config))) : tr("1, original"));
    m_conversion->setText(config.low_rank ? conversionText(*config.low_rank) : QString());
    m_conversion->setVisible(config.low_rank.has_value());
    m_context->setValue(std::max(1, config.max_positions));
    refreshLayers();
    m_tensors->setCheckpoint(open->checkpoint);
    refreshTokens();
    refreshCalculator();
}

void ModelPage::refreshTokens() {
    const auto& open = m_workspace.model();
    if (!open) {
        return;
    }
    const bool any = open->tokenizer->size() > 0;
    m_text->setEnabled(any);
    if (!any) {
        m_pieces->setHtml({});
        m_tokenizer_panel->setNote(tr("this model has no tokenizer; what needs text is not to be had"));
        return;
    }
    const QString text = m_text->toPlainText().left(kTryOutCharacters);
    const std::vector<TokenId> ids = open->tokenizer->encode(text.toStdString());
    const ThemeColours& c = m_theme.colours();
    QString html = QStringLiteral("<p style='line-height: 165%'>");
    int index = 0;
    for (const TokenId id : ids) {
        const QColor& wash = open->tokenizer->isSpecial(id) ? c.value_wash
                             : index++ % 2                  ? c.key_wash
                                                            : c.window;
        QString piece = QString::fromStdString(open->tokenizer->piece(id)).toHtmlEscaped();
        piece.replace(QLatin1Char(' '), QStringLiteral("&nbsp;"));
        html += QStringLiteral(
                    "<span style='background:%1'>&nbsp;%2 <span style='color:%3; "
                    "font-size:10px'>%4</span>&nbsp;</span> ")
                    .arg(wash.name(), piece, c.muted.name())
                    .arg(id);
    }
    m_pieces->setHtml(html + QStringLiteral("</p>"));
    const auto characters = text.toUcs4().size();
    m_tokenizer_panel->setNote(tr("%1 · %L2 tokens for %L3 characters")
                                   .arg(QString::fromStdString(open->tokenizer->description()))
                                   .arg(ids.size())
                                   .arg(characters));
}

void ModelPage::refreshLayers() {
    if (const auto& open = m_workspace.model()) {
        m_layers->setModel(
            open->model, resolveKvFormat(m_format->format(), open->model->config, weightDType(*open->model)));
    }
}

void ModelPage::refreshCalculator() {
    const auto& open = m_workspace.model();
    if (!open) {
        return;
    }
    const ModelConfig& config = open->model->config;
    const KvFormat format = resolveKvFormat(m_format->format(), config, weightDType(*open->model));
    const std::int64_t weights = open->model->weightBytes();
    const MemoryEstimate estimate =
        estimateMemory(config, weights, m_context->value(), m_batch->value(), format);
    const auto set = [this](const char* key, double bytes) {
        m_memory->setFact(QLatin1String(key), bytesText(bytes));
    };
    set("per_token", static_cast<double>(kvBytesPerToken(config, format)));
    set("weights", static_cast<double>(estimate.weight_bytes));
    set("kv", static_cast<double>(estimate.kv_bytes));
    set("scratch", static_cast<double>(estimate.scratch_bytes));
    set("total", static_cast<double>(estimate.total()));
    const auto limit = static_cast<std::int64_t>(m_limit->value() * kGiB);
    const auto tokens = [](std::int64_t count) {
        return tr("%1 tokens").arg(shortCountText(static_cast<double>(count)));
    };
    const std::int64_t by_memory = longestContext(config, weights, limit, m_batch->value(), format);
    const std::int64_t positions = config.max_positions;
    m_memory->setFact(QStringLiteral("longest"), tokens(std::min(by_memory, positions)));
    m_memory->setFact(QStringLiteral("by_memory"), tokens(by_memory));
    m_memory_panel->setNote(m_context->value() > positions
                                ? tr("the model has %1 positions").arg(countText(positions))
                                : QString());
}

}  // namespace eigenscope
