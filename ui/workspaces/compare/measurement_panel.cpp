// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/compare/measurement_panel.h"

#include "ui/model/comparison.h"
#include "ui/model/units.h"
#include "ui/widgets/elided_label.h"
#include "ui/widgets/theme.h"
#include "ui/workspaces/compare/text_choice.h"

#include <QDateTime>
#include <QFileInfo>
#include <QGridLayout>
#include <QHBoxLayout>
#include <QLocale>
#include <QMenu>
#include <QPushButton>
#include <QSpinBox>
#include <QToolButton>

#include <cmath>

namespace eigenscope {

namespace {

struct Row {
    const char* name;
    const char* tip;
};

const Row kRows[] = {
    {QT_TRANSLATE_NOOP("MeasurementPanel", "Perplexity"),
     QT_TRANSLATE_NOOP("MeasurementPanel",
                       "exp of the mean negative log-likelihood per token; lower is better")},
    {QT_TRANSLATE_NOOP("MeasurementPanel", "Nats lost"),
     QT_TRANSLATE_NOOP("MeasurementPanel",
                       "Negative log-likelihood a token, other minus original; its error is that of the "
                       "differences in the same windows")},
    {QT_TRANSLATE_NOOP("MeasurementPanel", "KL divergence"),
     QT_TRANSLATE_NOOP("MeasurementPanel",
                       "Mean over tokens of KL(original ‖ other), in nats; 0 means the same distribution")},
    {QT_TRANSLATE_NOOP("MeasurementPanel", "Top-1 agreement"),
     QT_TRANSLATE_NOOP("MeasurementPanel",
                       "Share of tokens where both models find the same next token most likely")},
    {QT_TRANSLATE_NOOP("MeasurementPanel", "Time to first token"),
     QT_TRANSLATE_NOOP("MeasurementPanel", "Prefill of the prompt and one token; median, each model alone")},
    {QT_TRANSLATE_NOOP("MeasurementPanel", "Time per token"),
     QT_TRANSLATE_NOOP("MeasurementPanel",
                       "Mean time of the tokens after the first; median, each model alone")},
    {QT_TRANSLATE_NOOP("MeasurementPanel", "KV cache"),
     QT_TRANSLATE_NOOP("MeasurementPanel", "Bytes of the positions used by prompt and answer")},
    {QT_TRANSLATE_NOOP("MeasurementPanel", "Peak memory"),
     QT_TRANSLATE_NOOP("MeasurementPanel", "Weights, allocated cache and working memory")},
};

QString whenText(const KeptMeasurement& kept) {
    const QDateTime when = QDateTime::fromSecsSinceEpoch(kept.measured.time_since_epoch().count());
    return QLocale().toString(when, QStringLiteral("d MMM yyyy, HH:mm"));
}

}  // namespace

MeasurementPanel::MeasurementPanel(Settings& settings, QWidget* parent) : Panel(tr("Side by side"), parent) {
    setNote(tr("each model alone"));
    m_kept = new QToolButton(this);
    m_kept->setObjectName(QStringLiteral("keptMeasurements"));
    m_kept->setText(tr("Earlier ▾"));
    m_kept->setProperty("link", true);
    m_kept->setToolTip(tr("What was measured before, in this session and as the project keeps it"));
    m_kept->setPopupMode(QToolButton::InstantPopup);
    m_kept->setMenu(new QMenu(m_kept));
    m_kept->setStyleSheet(
        QStringLiteral("QToolButton { padding: 0 4px; } QToolButton::menu-indicator { image: none; }"));
    m_kept->setFixedHeight(fontMetrics().height() + 2);  // the title's line is as high without it
    m_kept->hide();
    header()->addWidget(m_kept);
    m_grid = new QGridLayout;
    m_grid->setHorizontalSpacing(16);
    m_grid->setVerticalSpacing(3);
    m_grid->setColumnStretch(0, 1);
    auto* original = mutedLabel(tr("original"), this);
    original->setAlignment(Qt::AlignRight);
    m_other_name = new ElidedLabel(tr("converted"), this, Qt::ElideMiddle);
    m_other_name->setProperty("role", "muted");
    m_other_name->setAlignment(Qt::AlignRight);
    m_grid->addWidget(original, 0, 1);
    m_grid->addWidget(m_other_name, 0, 2);
    int index = 1;
    for (const Row& row : kRows) {
        auto* name = mutedLabel(tr(row.name), this);
        name->setToolTip(tr(row.tip));
        m_grid->addWidget(name, index, 0);
        for (int model = 1; model <= 2; ++model) {
            m_grid->addWidget(figureLabel(QStringLiteral("—"), this), index, model);
        }
        ++index;
    }
    body()->addLayout(m_grid);
    body()->addStretch(1);
    auto* form = new QHBoxLayout;
    m_text = new TextChoice(settings, this);
    m_windows = new QSpinBox(this);
    m_windows->setRange(1, 100000);
    m_windows->setValue(8);
    m_windows->setSuffix(tr(" windows"));
    m_windows->setAccessibleName(tr("Windows"));
    m_windows->setToolTip(tr(
        "Non-overlapping windows of the model's max positions (at most 2,048 tokens) from the text's start"));
    m_measure = new QPushButton(tr("Measure"), this);
    m_measure->setObjectName(QStringLiteral("measure"));
    setPrimary(m_measure);
    form->addWidget(m_text, 1);
    form->addWidget(m_windows);
    form->addWidget(m_measure);
    body()->addLayout(form);
    connect(m_measure, &QPushButton::clicked, this, &MeasurementPanel::measureRequested);
}

void MeasurementPanel::setKept(const std::vector<KeptMeasurement>& kept) {
    QMenu* menu = m_kept->menu();
    menu->clear();
    for (std::size_t i = kept.size(); i-- > 0;) {  // newest first
        const MeasuredModel& other = kept[i].models[1];
        QString text = tr("%1 · %2 · %3 · %4×")
                           .arg(whenText(kept[i]), QString::fromStdString(other.name),
                                QString::fromStdString(other.kv_format), ratioText(other.kv_ratio));
        if (other.perplexity) {
            text += tr(" · perplexity %1").arg(perplexityText(*other.perplexity));
        }
        menu->addAction(text.replace(QLatin1Char('&'), QLatin1String("&&")), this,
                        [this, i] { emit keptRequested(i); });
    }
    m_kept->setVisible(!kept.empty());
}

void MeasurementPanel::showKept(const KeptMeasurement& kept) {
    show(measurementOf(kept), QString::fromStdString(kept.models[1].name));
    setNote(
        tr("%1 · %2").arg(whenText(kept), QFileInfo(QString::fromStdString(kept.text.string())).fileName()));
}

void MeasurementPanel::suggestText(const QString& file) { m_text->suggest(file); }

void MeasurementPanel::setReady(bool ready, bool running) {
    m_measure->setEnabled(ready && !running);
    m_measure->setText(running ? tr("Measuring…") : tr("Measure"));
}

QString MeasurementPanel::textFile() const { return m_text->file(); }
int MeasurementPanel::windows() const { return m_windows->value(); }

QString MeasurementPanel::figure(int row, int model) const {
    const auto* item = m_grid->itemAtPosition(row + 1, model + 1);
    return item ? static_cast<QLabel*>(item->widget())->text() : QString();
}

void MeasurementPanel::show(const std::optional<Measurement>& measurement, const QString& other_name) {
    m_other_name->setText(other_name);
    const auto set = [this](int row, int model, const QString& text) {
        static_cast<QLabel*>(m_grid->itemAtPosition(row + 1, model + 1)->widget())->setText(text);
    };
    const QString dash = QStringLiteral("—");
    for (int row = 0; row < static_cast<int>(std::size(kRows)); ++row) {
        set(row, 0, dash);
        set(row, 1, dash);
    }
    if (!measurement) {
        setNote(tr("each model alone"));
        return;
    }
    const ComparisonResult& quality = measurement->quality;
    // The spread of a single window is unknown.
    const auto known = [&dash](double value, const QString& text) {
        return std::isfinite(value) ? text : dash;
    };
    const auto with_error = [&](const PerplexityResult& result) {
        return !std::isfinite(result.perplexity) ? dash
               : std::isfinite(result.standard_error)
                   ? QStringLiteral("%1 ± %2").arg(perplexityText(result.perplexity),
                                                   perplexityText(result.standard_error))
                   : perplexityText(result.perplexity);
    };
    set(0, 0, with_error(quality.first));
    set(0, 1, with_error(quality.second));
    // As long as the spread is known, it is shown.
    const auto plus_minus = [&](double of, const QString& value, double error, const QString& error_text) {
        return !std::isfinite(of)     ? dash
               : std::isfinite(error) ? QStringLiteral("%1 ± %2").arg(value, error_text)
                                      : value;
    };
    set(1, 1,
        plus_minus(quality.nll_difference, QString::number(quality.nll_difference, 'g', 3),
                   quality.nll_difference_standard_error,
                   QString::number(quality.nll_difference_standard_error, 'g', 2)));
    set(2, 1,
        plus_minus(quality.kl_divergence, QString::number(quality.kl_divergence, 'g', 3),
                   quality.kl_standard_error, QString::number(quality.kl_standard_error, 'g', 2)));
    set(3, 1,
        plus_minus(quality.top1_agreement, percentText(quality.top1_agreement), quality.top1_standard_error,
                   percentText(quality.top1_standard_error)));
    for (int model = 0; model < 2; ++model) {
        const ModelFigures& figures = measurement->figures[static_cast<std::size_t>(model)];
        set(4, model, known(figures.ttft_ms, millisecondsText(figures.ttft_ms)));
        set(5, model, known(figures.tpot_ms, millisecondsText(figures.tpot_ms)));
        set(6, model, bytesText(static_cast<double>(figures.kv_cache_bytes)));
        set(7, model, bytesText(static_cast<double>(figures.peak_memory_bytes)));
    }
    setNote(tr("each model alone, median of %1, %L2 tokens of text")
                .arg(measurement->repetitions)
                .arg(quality.first.tokens));
}

}  // namespace eigenscope
