// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/compare/fidelity_panel.h"

#include "ui/model/comparison.h"
#include "ui/model/units.h"
#include "ui/widgets/panel.h"
#include "ui/widgets/segmented_control.h"
#include "ui/widgets/theme.h"
#include "ui/workspaces/compare/head_error_map.h"
#include "ui/workspaces/compare/layer_chart.h"
#include "ui/workspaces/compare/text_choice.h"
#include "ui/workspaces/compare/token_diff_view.h"

#include <QFileInfo>
#include <QHBoxLayout>
#include <QPushButton>
#include <QSpinBox>
#include <QStackedLayout>

#include <cmath>

namespace eigenscope {

namespace {

QString errorText(double value, double error) {
    const QString text = QString::number(value, 'g', 3);
    return std::isfinite(error) ? QStringLiteral("%1 ± %2").arg(text, QString::number(error, 'g', 2)) : text;
}

}  // namespace

FidelityPanel::FidelityPanel(Comparison& comparison, const Theme& theme, Settings& settings, QWidget* parent)
    : QWidget(parent), m_comparison(comparison) {
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(kGap);
    column->addWidget(makeForm(settings));
    auto* views = new QWidget(this);
    m_stack = new QStackedLayout(views);
    auto* none = new Panel({}, views);
    auto* nothing =
        new EmptyState(tr("Nothing to compare with yet"),
                       tr("Convert the model, or open a second checkpoint with the same vocabulary."),
                       tr("Go to Spectrum"), none);
    connect(nothing, &EmptyState::activated, this, &FidelityPanel::spectrumRequested);
    none->body()->addWidget(nothing);
    m_stack->addWidget(none);
    auto* unmeasured = new Panel({}, views);
    unmeasured->body()->addWidget(new EmptyState(
        tr("Not measured yet"),
        tr("Measure fidelity to see which layers and heads err, and where in a text the predictions part."),
        {}, unmeasured));
    m_stack->addWidget(unmeasured);
    m_stack->addWidget(makeContent(theme));
    column->addWidget(views, 1);
    connect(&comparison, &Comparison::fidelityChanged, this, &FidelityPanel::refresh);
    connect(&comparison, &Comparison::modelsChanged, this, &FidelityPanel::refresh);
    connect(&comparison, &Comparison::measuringChanged, this, &FidelityPanel::refreshReady);
    refresh();
}

QWidget* FidelityPanel::makeForm(Settings& settings) {
    auto* form = new Panel({}, this);
    auto* row = new QHBoxLayout;
    m_text = new TextChoice(settings, form);
    m_windows = new QSpinBox(form);
    m_windows->setRange(1, 100'000);
    m_windows->setValue(4);
    m_windows->setSuffix(tr(" windows"));
    m_windows->setAccessibleName(tr("Windows"));
    m_windows->setToolTip(
        tr("Windows of the model's positions (at most 2,048 tokens); standard errors need two or more"));
    m_source = new SegmentedControl({tr("Diff the text"), tr("Diff the prompt")}, form);
    m_source->setObjectName(QStringLiteral("diffSource"));
    m_source->setToolTip(tr("What is shown token by token: the start of the text, or the prompt above"));
    m_measure = new QPushButton(form);
    m_measure->setObjectName(QStringLiteral("measureFidelity"));
    setPrimary(m_measure);
    row->addWidget(m_text, 1);
    row->addWidget(m_windows);
    row->addWidget(m_source);
    row->addWidget(m_measure);
    form->body()->addLayout(row);
    connect(m_measure, &QPushButton::clicked, this, &FidelityPanel::measureRequested);
    return form;
}

QWidget* FidelityPanel::makeContent(const Theme& theme) {
    auto* content = new QWidget(this);
    auto* column = new QVBoxLayout(content);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(kGap);
    auto* top = new QHBoxLayout;
    auto* bottom = new QHBoxLayout;
    top->setSpacing(kGap);
    bottom->setSpacing(kGap);

    m_tokens_panel = new Panel(tr("Token by token"), content);
    m_tokens = new TokenDiffView(theme, m_tokens_panel);
    m_tokens->setObjectName(QStringLiteral("tokenDiff"));
    m_tokens_panel->body()->addWidget(m_tokens, 1);
    top->addWidget(m_tokens_panel, 3);
    m_explanation_panel = new Panel(tr("Explained by"), content);
    m_explanation_panel->setToolTip(
        tr("The nats that vanish at this token when one layer alone is the original's again"));
    m_explanation = new LayerChart(theme, QStringLiteral("token-explanation"), tr("KL removed, nats"),
                                   tr(" nats"), content);
    m_explanation->setObjectName(QStringLiteral("explanation"));
    m_explanation->setMinimumHeight(90);
    m_explanation_panel->body()->addWidget(m_explanation, 1);
    top->addWidget(m_explanation_panel, 2);

    m_layers_panel = new Panel(tr("Error by layer"), content);
    m_layers = new LayerChart(theme, QStringLiteral("layer-errors"), tr("relative error"), {}, content);
    m_layers->setObjectName(QStringLiteral("layerErrors"));
    m_layers->setMinimumHeight(90);
    auto* layers = new QWidget(m_layers_panel);
    m_layers_stack = new QStackedLayout(layers);
    m_layers_stack->addWidget(m_layers);
    m_layers_stack->addWidget(new EmptyState(tr("These models' layers cannot be compared"),
                                             tr("They have other numbers of layers, heads or dimensions."),
                                             {}, layers));
    m_layers_panel->body()->addWidget(layers, 1);
    bottom->addWidget(m_layers_panel, 3);
    auto* heads = new Panel(tr("By head"), content);
    auto* measure = new SegmentedControl({tr("Scores"), tr("Weights"), tr("Output")}, heads);
    measure->setObjectName(QStringLiteral("headMeasure"));
    measure->setToolTip(
        tr("Relative error of attention scores; total variation of attention weights; "
           "relative error of the head's part of the output"));
    heads->header()->addWidget(measure);
    m_heads = new HeadErrorMap(theme, heads);
    m_heads->setObjectName(QStringLiteral("headErrors"));
    m_heads->setMinimumHeight(90);
    heads->body()->addWidget(m_heads, 1);
    bottom->addWidget(heads, 2);
    column->addLayout(top, 1);
    column->addLayout(bottom, 1);

    connect(measure, &SegmentedControl::selected, this,
            [this](int index) { m_heads->setMeasure(static_cast<HeadErrorMap::Measure>(index)); });
    connect(m_tokens, &TokenDiffView::tokenSelected, this, &FidelityPanel::explain);
    connect(m_tokens, &TokenDiffView::readout, this, &FidelityPanel::readout);
    for (const Plot* plot :
         {static_cast<Plot*>(m_explanation), static_cast<Plot*>(m_layers), static_cast<Plot*>(m_heads)}) {
        connect(plot, &Plot::readout, this, &FidelityPanel::readout);
    }
    return content;
}

void FidelityPanel::suggestText(const QString& file) { m_text->suggest(file); }
QString FidelityPanel::textFile() const { return m_text->file(); }
int FidelityPanel::windows() const { return m_windows->value(); }
bool FidelityPanel::diffsPrompt() const { return m_source->index() == 1; }

void FidelityPanel::refreshReady() {
    const bool running = m_comparison.measuringFidelity();
    m_measure->setEnabled(m_comparison.right() != nullptr && !running);
    m_measure->setText(running ? tr("Measuring…") : tr("Measure fidelity"));
}

void FidelityPanel::refresh() {
    refreshReady();
    const auto& fidelity = m_comparison.fidelity();
    m_stack->setCurrentIndex(!m_comparison.right() ? 0 : !fidelity ? 1 : 2);
    m_tokens->show(fidelity ? &*fidelity : nullptr);
    m_explanation->setSeries({});
    if (!fidelity) {
        return;
    }
    const ComparisonResult& quality = fidelity->measures.quality;
    m_tokens_panel->setNote(tr("click a token · hover for both predictions"));
    m_layers_panel->setNote(tr("lost %1 nats · KL %2 · top-1 %3")
                                .arg(errorText(quality.nll_difference, quality.nll_difference_standard_error),
                                     errorText(quality.kl_divergence, quality.kl_standard_error),
                                     percentText(quality.top1_agreement)));
    m_layers_panel->setToolTip(tr("On %1; ± is the standard error over windows that both models have seen")
                                   .arg(QFileInfo(fidelity->text).fileName()));
    LayerChart::Series alone{tr("layer alone"), QStringLiteral("output_error")};
    LayerChart::Series propagated{tr("with the layers before it"), QStringLiteral("propagated_error")};
    for (const LayerFidelity& layer : fidelity->measures.layers) {
        alone.values.push_back(layer.output_error.mean);
        alone.errors.push_back(layer.output_error.error);
        propagated.values.push_back(layer.propagated_error.mean);
        propagated.errors.push_back(layer.propagated_error.error);
    }
    m_layers_stack->setCurrentIndex(fidelity->measures.layers.empty() ? 1 : 0);
    m_layers->setSeries({alone, propagated});
    m_heads->setLayers(fidelity->measures.layers);
    const std::ptrdiff_t first = fidelity->diff.firstDivergence();
    m_explanation_panel->setNote(tr("no token changed its most likely prediction"));
    if (first >= 0) {
        m_tokens->select(static_cast<int>(first));
    }
}

void FidelityPanel::explain(int token) {
    const auto& fidelity = m_comparison.fidelity();
    const TextDiff& diff = fidelity->diff;
    const auto i = static_cast<std::size_t>(token);
    const int layer = diff.explainingLayer(i);
    LayerChart::Series removed{tr("removes"), QStringLiteral("kl_removed")};
    for (int l = 0; l < diff.layers; ++l) {
        removed.values.push_back(diff.removed(l, i));
    }
    m_explanation->setSeries({removed});
    m_explanation->setHighlight(layer);
    const QString name = QString::fromStdString(fidelity->texts[i + 1]).simplified();
    m_explanation_panel->setNote(diff.layers == 0 ? tr("the models' layers cannot be exchanged")
                                 : layer < 0      ? tr("“%1”: no layer alone").arg(name)
                                                  : tr("“%1”: layer %2, %3 of %4 nats")
                                                   .arg(name)
                                                   .arg(layer)
                                                   .arg(diff.removed(layer, i), 0, 'g', 2)
                                                   .arg(diff.tokens[i].kl, 0, 'g', 2));
}

}  // namespace eigenscope
