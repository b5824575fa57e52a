// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/spectrum/context_box.h"

#include "core/benchmark/memory_estimate.h"
#include "core/compression/converted_config.h"
#include "ui/model/units.h"
#include "ui/model/workspace.h"
#include "ui/widgets/fact_list.h"
#include "ui/widgets/form_row.h"
#include "ui/widgets/panel.h"

#include <QDoubleSpinBox>
#include <QGridLayout>
#include <QHBoxLayout>
#include <QLineEdit>
#include <QPushButton>
#include <QSpinBox>
#include <QStyle>
#include <QTimer>

#include <algorithm>
#include <initializer_list>

namespace eigenscope {

namespace {

constexpr double kDefaultMemoryGiB = 24.0;
constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
constexpr int kMostTokens = 99'999'999;
constexpr int kMomentMs = 200;  // a job that ends sooner shows no progress
const QString kMemoryKey = QStringLiteral("spectrum/memoryGiB");
const QString kBatchKey = QStringLiteral("spectrum/batch");

// "64 × 512 tokens".
QString wantedText(const ContextWanted& wanted) {
    const QString tokens = ContextBox::tr("%1 tokens").arg(countText(wanted.context));
    return wanted.batch > 1 ? QStringLiteral("%1 × %2").arg(countText(wanted.batch)).arg(tokens) : tokens;
}

QString fitText(const ContextWanted& wanted, const ContextFit& fit, int positions) {
    QString text = ContextBox::tr("%1 fit: %2 of %3.")
                       .arg(wantedText(wanted), bytesText(static_cast<double>(fit.bytes)),
                            bytesText(static_cast<double>(wanted.memory_bytes)));
    if (wanted.context > positions) {
        text +=
            QLatin1Char(' ') + ContextBox::tr("But the model has %1 positions.").arg(countText(positions));
    }
    return text;
}

// What is needed, and what would fit.
QString shortfallText(const ContextWanted& wanted, const ContextFit& fit, std::int64_t weight_bytes) {
    QString text = ContextBox::tr("%1 need %2 at the smallest ranks, more than %3.")
                       .arg(wantedText(wanted), bytesText(static_cast<double>(fit.bytes)),
                            bytesText(static_cast<double>(wanted.memory_bytes)));
    QStringList others;
    if (fit.longest > 0) {
        others << ContextBox::tr("%1 tokens").arg(countText(fit.longest));
    }
    if (fit.bits > 0) {
        others << ContextBox::tr("%1 bits for keys and values").arg(fit.bits);
    }
    if (fit.unpinned) {
        others << ContextBox::tr("no pinned ranks and no layer with its own threshold");
    }
    if (!others.isEmpty()) {
        text += QLatin1Char(' ') + ContextBox::tr("Would fit: %1.").arg(others.join(ContextBox::tr(", or ")));
    } else if (weight_bytes >= wanted.memory_bytes) {
        text +=
            QLatin1Char(' ') +
            ContextBox::tr("The weights alone take %1.").arg(bytesText(static_cast<double>(weight_bytes)));
    }
    return text;
}

}  // namespace

ContextBox::ContextBox(Workspace& workspace, QWidget* parent)
    : QWidget(parent),
      m_workspace(workspace),
      m_run(workspace),
      m_memory(new QDoubleSpinBox(this)),
      m_batch(new QSpinBox(this)),
      m_context(new QSpinBox(this)),
      m_fit(new QPushButton(tr("Fit"), this)),
      m_facts(new FactList(this)),
      m_outcome(mutedLabel({}, this)) {
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(6);
    auto* inputs = new QWidget(this);
    QGridLayout* grid = formGrid(inputs);
    m_memory->setRange(0.01, 100000.0);
    m_memory->setDecimals(2);
    m_memory->setSuffix(tr(" GiB"));
    m_memory->setObjectName(QStringLiteral("contextMemory"));
    m_memory->setValue(m_workspace.settings().value(kMemoryKey, kDefaultMemoryGiB).toDouble());
    m_batch->setRange(1, 1 << 20);
    m_batch->setObjectName(QStringLiteral("contextBatch"));
    m_batch->setValue(m_workspace.settings().value(kBatchKey, 1).toInt());
    m_context->setRange(1, kMostTokens);
    m_context->setObjectName(QStringLiteral("contextTokens"));
    m_fit->setObjectName(QStringLiteral("fitContext"));
    for (QSpinBox* box : {m_batch, m_context}) {
        box->setGroupSeparatorShown(true);
    }
    // The panel is narrow: fields as wide as the other rows' controls, the button in what the last leaves.
    for (QAbstractSpinBox* box : std::initializer_list<QAbstractSpinBox*>{m_memory, m_batch, m_context}) {
        box->setMinimumWidth(60);
        box->setAlignment(Qt::AlignRight);
        box->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Fixed);
    }
    m_fit->setStyleSheet(QStringLiteral("padding-left: 10px; padding-right: 10px;"));
    addRow(grid, tr("Memory"), m_memory, tr("What weights, KV cache and scratch may take together."));
    addRow(grid, tr("Sequences"), m_batch, tr("Sequences at a time: the batch."));
    auto* context = new QWidget(inputs);
    auto* row = new QHBoxLayout(context);
    row->setContentsMargins(0, 0, 0, 0);
    row->setSpacing(6);
    row->addWidget(m_context, 1);
    row->addWidget(m_fit);
    addRow(grid, tr("Context"), context, {});
    m_context->setAccessibleName(tr("Context"));
    m_context->setToolTip(tr("Tokens of each sequence that shall fit into the memory."));
    m_fit->setToolTip(
        tr("Look for the largest ranks with which this context fits, shared out as the allocation says; the "
           "bits and pinned ranks stay (Return in the field)."));
    column->addWidget(inputs);
    column->addWidget(m_outcome);
    m_outcome->setWordWrap(true);
    m_outcome->setObjectName(QStringLiteral("contextOutcome"));
    m_outcome->hide();
    m_facts->setObjectName(QStringLiteral("contextFacts"));
    m_facts->addFact(QStringLiteral("longest"), tr("Longest context"),
                     tr("Tokens of each sequence, before and after conversion: what the memory holds beside "
                        "weights and scratch, but no more than the model has positions."));
    m_facts->addFact(QStringLiteral("memory"), tr("Memory would hold"),
                     tr("The same by memory alone, whatever positions the model has."));
    column->addWidget(m_facts);
    connect(m_memory, &QDoubleSpinBox::valueChanged, this, [this](double gib) {
        m_workspace.settings().setValue(kMemoryKey, gib);
        planChanged();
    });
    connect(m_batch, &QSpinBox::valueChanged, this, [this](int batch) {
        m_workspace.settings().setValue(kBatchKey, batch);
        planChanged();
    });
    connect(m_context, &QSpinBox::valueChanged, this, [this] { say({}, false); });
    connect(m_fit, &QPushButton::clicked, this, &ContextBox::fit);
    connect(m_context->findChild<QLineEdit*>(), &QLineEdit::returnPressed, this, &ContextBox::fit);
    connect(&m_run, &ContextFitRun::fitted, this, [this](const ContextWanted& asked, const ContextFit& fit) {
        const Model& model = *m_workspace.model()->model;
        say(fit.plan ? fitText(asked, fit, model.config.max_positions)
                     : shortfallText(asked, fit, model.weightBytes()),
            !fit.plan || asked.context > model.config.max_positions);
    });
    connect(&workspace.plan(), &PlanDocument::changed, this, &ContextBox::planChanged);
    connect(&workspace, &Workspace::modelChanged, this, &ContextBox::modelChanged);
    modelChanged();
}

ContextWanted ContextBox::wanted() const {
    return {m_context->value(), static_cast<std::int64_t>(m_memory->value() * kGiB), m_batch->value()};
}

void ContextBox::fit() {
    if (!m_fittable) {
        return;
    }
    const QPointer<Job> job = m_run.start(wanted());
    if (!job) {
        return;
    }
    say({}, false);
    QTimer::singleShot(kMomentMs, this, [this, job] {
        if (job && job->active()) {
            emit started(job);
        }
    });
}

void ContextBox::setFittable(bool fittable) {
    m_fittable = fittable;
    sync();
}

// As a warning where it is a problem; nothing is shown for no text.
void ContextBox::say(const QString& text, bool problem) {
    m_outcome->setText(text);
    m_outcome->setVisible(!text.isEmpty());
    m_outcome->setProperty("role", problem ? "warning" : "muted");
    m_outcome->style()->unpolish(m_outcome);
    m_outcome->style()->polish(m_outcome);
    if (!text.isEmpty()) {
        emit said(m_outcome);
    }
}

void ContextBox::modelChanged() {
    if (const auto& model = m_workspace.model()) {
        m_context->setValue(std::max(1, model->model->config.max_positions));
    }
    planChanged();
}

void ContextBox::planChanged() {
    say({}, false);  // was of another plan or memory
    sync();
}

void ContextBox::sync() {
    const PlanDocument& document = m_workspace.plan();
    const auto& model = m_workspace.model();
    const bool usable =
        model && document.plan().key_ranks.size() == static_cast<std::size_t>(model->model->config.layers);
    m_fit->setEnabled(usable && m_fittable);
    if (!usable) {
        m_facts->setFact(QStringLiteral("longest"), {});
        m_facts->setFact(QStringLiteral("memory"), {});
        return;
    }
    const ModelConfig& config = model->model->config;
    const ContextWanted memory = wanted();
    const DType exact = resolveKvFormat(m_workspace.runOptions(), *model).dtype;
    const auto longest = [&](const ModelConfig& of, const KvFormat& format) {
        return longestContext(of, model->model->weightBytes(), memory.memory_bytes, memory.batch, format);
    };
    const std::int64_t before = longest(config, exact),
                       after = longest(convertedConfig(config, document.plan()),
                                       convertedFormat(document.plan(), exact));
    const auto tokens = [](std::int64_t count) {
        return count > 0 ? shortCountText(static_cast<double>(count)) : tr("none");
    };
    const auto positions = static_cast<std::int64_t>(config.max_positions);
    m_facts->setFact(QStringLiteral("longest"), tr("%1 → %2").arg(tokens(std::min(before, positions)),
                                                                  tokens(std::min(after, positions))));
    m_facts->setFact(QStringLiteral("memory"), tr("%1 → %2").arg(tokens(before), tokens(after)));
}

}  // namespace eigenscope
