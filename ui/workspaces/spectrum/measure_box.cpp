// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/spectrum/measure_box.h"

#include "ui/model/workspace.h"
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

void MeasureBox::setAllocation(Allocation allocation) {
    m_allocation = allocation;
    const bool errors = allocation == Allocation::ErrorBudget;
    m_text->setText(errors ? tr("The layers' output errors have not been measured for these bases.")
                           : tr("What each layer's ranks cost has not been measured for these bases."));
    m_measure->setText(errors ? tr("Measure layer errors") : tr("Measure sensitivity"));
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
    emit started(m_workspace.measureTables(m_allocation, text));
}

}  // namespace eigenscope
