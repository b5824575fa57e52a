// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/form_row.h"

#include "ui/widgets/panel.h"

#include <QComboBox>
#include <QGridLayout>

namespace eigenscope {

QGridLayout* formGrid(QWidget* box) {
    auto* grid = new QGridLayout(box);
    grid->setContentsMargins(0, 0, 0, 0);
    grid->setVerticalSpacing(6);
    grid->setColumnStretch(1, 1);
    grid->setColumnMinimumWidth(0, box->fontMetrics().horizontalAdvance(QStringLiteral("Rank multiple  ")));
    return grid;
}

void addRow(QGridLayout* grid, const QString& name, QWidget* control, const QString& tooltip) {
    const int row = grid->rowCount();
    auto* label = mutedLabel(name, grid->parentWidget());
    label->setToolTip(tooltip);
    label->setBuddy(control);
    control->setAccessibleName(name);
    control->setToolTip(tooltip);
    grid->addWidget(label, row, 0);
    grid->addWidget(control, row, 1);
}

QComboBox* comboRow(QGridLayout* grid, const QString& name, const QString& tooltip) {
    auto* combo = new QComboBox(grid->parentWidget());
    addRow(grid, name, combo, tooltip);
    return combo;
}

}  // namespace eigenscope
