// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/window/top_bar.h"

#include "core/model/family.h"
#include "ui/model/units.h"
#include "ui/model/workspace.h"
#include "ui/widgets/elided_label.h"
#include "ui/widgets/nav_rail.h"
#include "ui/widgets/theme.h"

#include <QAction>
#include <QHBoxLayout>
#include <QLabel>
#include <QToolButton>

namespace eigenscope {

namespace {

constexpr int kCompactWidth = 1250;  // below this all four chips do not fit in full
constexpr int kTextWidth = 180;      // of a calibration text's name; mixtures have long ones

QLabel* chip(QWidget* parent) {
    auto* label = new QLabel(parent);
    label->setProperty("role", "chip");
    return label;
}

QString bold(const QString& text) { return QStringLiteral("<b>%1</b>").arg(text.toHtmlEscaped()); }

}  // namespace

TopBar::TopBar(Workspace& workspace, const Theme& theme, QAction* undo, QAction* redo, QWidget* parent)
    : QFrame(parent), m_workspace(workspace), m_theme(theme), m_undo(undo), m_redo(redo) {
    setObjectName(QStringLiteral("topBar"));
    auto* layout = new QHBoxLayout(this);
    layout->setContentsMargins(kMargin, 7, kMargin, 7);
    layout->setSpacing(kGap);
    m_name = new ElidedLabel({}, this, Qt::ElideMiddle);
    m_name->setProperty("role", "title");
    m_model = chip(this);
    m_calibration = chip(this);
    m_plan = chip(this);
    m_device = chip(this);
    for (QLabel* label : {m_name, m_model, m_calibration, m_plan}) {
        layout->addWidget(label);
    }
    layout->addStretch(1);
    for (QAction* action : {undo, redo}) {
        auto* button = new QToolButton(this);
        button->setDefaultAction(action);
        button->setToolButtonStyle(Qt::ToolButtonIconOnly);
        layout->addWidget(button);
    }
    layout->addWidget(m_device);
    setFixedHeight(44);
    connect(&workspace, &Workspace::modelChanged, this, &TopBar::refresh);
    connect(&workspace, &Workspace::statisticsChanged, this, &TopBar::refresh);
    connect(&workspace, &Workspace::conversionChanged, this, &TopBar::refresh);
    connect(&workspace.plan(), &PlanDocument::changed, this, &TopBar::refresh);
    connect(&theme, &Theme::changed, this, &TopBar::recolour);
    recolour();
    refresh();
}

void TopBar::recolour() {
    const ThemeColours& c = m_theme.colours();
    m_undo->setIcon(themedIcon(QStringLiteral("undo"), c.muted, c.muted, 16));
    m_redo->setIcon(themedIcon(QStringLiteral("redo"), c.muted, c.muted, 16));
}

void TopBar::resizeEvent(QResizeEvent* event) {
    QFrame::resizeEvent(event);
    if (const bool compact = width() < kCompactWidth; compact != m_compact) {
        m_compact = compact;
        refresh();
    }
}

void TopBar::refresh() {
    const auto& model = m_workspace.model();
    const bool open = model.has_value();
    m_name->setText(open ? QString::fromStdString(model->name) : tr("Eigenscope"));
    m_model->setVisible(open);
    m_calibration->setVisible(open);
    if (open) {
        const ModelConfig& config = model->model->config;
        const QString heads =
            config.query_heads == config.kv_heads
                ? tr("%1 heads").arg(config.query_heads)
                : tr("%1 query, %2 key/value heads").arg(config.query_heads).arg(config.kv_heads);
        const std::string_view family = familyOf(config).title;
        const QString name = bold(QString::fromUtf8(family.data(), static_cast<qsizetype>(family.size())));
        const QString layers = tr("%1 layers").arg(config.layers);
        const QString full = QStringLiteral("%1 · %2 · %3 · d %4 · %5")
                                 .arg(name, layers, heads)
                                 .arg(config.head_dim)
                                 .arg(QString::fromLatin1(nameOf(weightDType(*model->model)).data()));
        m_model->setText(m_compact ? QStringLiteral("%1 · %2").arg(name, layers) : full);
        m_model->setToolTip(m_compact ? full : QString());
        if (const auto& statistics = m_workspace.statistics()) {
            const QString text = QString::fromStdString(statistics->calibration.text);
            const auto calibrated = [&](const QString& on) {
                return tr("calibrated on %1")
                    .arg(bold(QStringLiteral("%1, %2 × %3")
                                  .arg(on)
                                  .arg(statistics->calibration.samples)
                                  .arg(statistics->calibration.sequence_length)));
            };
            const QString shown =
                m_compact ? tr("calibrated")
                          : calibrated(fontMetrics().elidedText(text, Qt::ElideMiddle, kTextWidth));
            m_calibration->setText(shown);
            m_calibration->setToolTip(shown == calibrated(text) ? QString() : calibrated(text));
        } else {
            m_calibration->setText(tr("not calibrated"));
        }
    }
    m_plan->setVisible(!m_workspace.plan().empty());
    if (!m_workspace.plan().empty()) {
        const bool unsaved = !m_workspace.conversion() || m_workspace.planChangedSinceConversion();
        m_plan->setText(tr("plan %1").arg(bold(QStringLiteral("%1× %2").arg(
                            ratioText(m_workspace.plan().kvRatio()),
                            QString::fromStdString(m_workspace.plan().plan().method)))) +
                        (unsaved ? QStringLiteral(" ●") : QString()));
        m_plan->setToolTip(unsaved ? tr("This plan has not been converted yet")
                                   : tr("The converted model follows this plan"));
    }
    const QString device = m_workspace.deviceText();
    const auto split = device.indexOf(QStringLiteral(" · "));
    m_device->setText(bold(device.left(split)) + (m_compact ? QString() : device.mid(split).toHtmlEscaped()));
    m_device->setToolTip(m_workspace.deviceFallback().isEmpty() ? tr("Everything runs on %1").arg(device)
                                                                : m_workspace.deviceFallback());
}

}  // namespace eigenscope
