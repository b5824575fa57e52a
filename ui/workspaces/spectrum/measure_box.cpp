// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/spectrum/measure_box.h"

#include "ui/model/workspace.h"
#include "ui/widgets/kv_groups_box.h"
#include "ui/widgets/panel.h"

#include <QFileDialog>
#include <QFileInfo>
#include <QPushButton>

namespace eigenscope {

namespace {
const QString kTextFolder = QStringLiteral("calibrationText");
}

MeasureBox::MeasureBox(Workspace& workspace, QWidget* parent)
    : QWidget(parent),
      m_workspace(workspace),
      m_text(mutedLabel({}, this)),
      m_measure(new QPushButton(this)) {
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(6);
    m_text->setWordWrap(true);
    m_measure->setObjectName(QStringLiteral("measureTables"));
    m_measure->setToolTip(tr("Kept with the statistics, so that afterwards moving the target is instant"));
    column->addWidget(m_text);
    column->addWidget(m_measure);
    connect(m_measure, &QPushButton::clicked, this, &MeasureBox::measure);
}

void MeasureBox::setWanted(Allocation allocation, bool mixed_bits) {
    m_allocation = allocation;
    m_mixed_bits = mixed_bits;
    const bool errors = allocation == Allocation::ErrorBudget;
    const std::optional<QuantisedGrid> grid = m_workspace.plan().measuredBits();
    m_text->setText(errors        ? tr("The layers' output errors have not been measured for these bases.")
                    : !mixed_bits ? tr("What each layer's ranks cost has not been measured for these bases.")
                    : grid
                        ? tr("What fewer bits cost was measured with %1 only.")
                              .arg(kvGroupsText({grid->group, grid->keys, grid->recent}))
                        : tr("What each layer's ranks and bits cost has not been measured for these bases."));
    m_measure->setText(errors       ? tr("Measure layer errors")
                       : mixed_bits ? tr("Measure ranks and bits")
                                    : tr("Measure sensitivity"));
    m_measure->setEnabled(m_workspace.statistics() != nullptr);
}

void MeasureBox::measure() {
    QString text;
    if (m_allocation == Allocation::Sensitivity) {  // layer errors have their windows in the statistics
        text = m_workspace.suggestedCalibrationText();
        if (text.isEmpty()) {
            Settings& settings = m_workspace.settings();
            text = QFileDialog::getOpenFileName(this, tr("Text to measure on"), settings.folder(kTextFolder));
            if (text.isEmpty()) {
                return;
            }
            settings.setFolder(kTextFolder, QFileInfo(text).absolutePath());
        }
    }
    emit started(m_workspace.measureTables(m_allocation, text, m_mixed_bits));
}

}  // namespace eigenscope
