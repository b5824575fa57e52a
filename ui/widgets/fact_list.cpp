// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/fact_list.h"

#include "ui/widgets/panel.h"

#include <QGridLayout>

namespace eigenscope {

FactList::FactList(QWidget* parent) : QWidget(parent), m_grid(new QGridLayout(this)) {
    m_grid->setContentsMargins(0, 0, 0, 0);
    m_grid->setHorizontalSpacing(12);
    m_grid->setVerticalSpacing(6);
    m_grid->setColumnStretch(0, 1);
}

void FactList::addFact(const QString& key, const QString& name, const QString& tooltip) {
    const int row = m_grid->rowCount();
    auto* label = mutedLabel(name, this);
    auto* value = figureLabel(QStringLiteral("—"), this);
    label->setToolTip(tooltip);
    value->setToolTip(tooltip);
    value->setAccessibleName(name);
    m_grid->addWidget(label, row, 0);
    m_grid->addWidget(value, row, 1);
    m_values.insert(key, value);
}

void FactList::setFact(const QString& key, const QString& value) {
    if (auto* label = m_values.value(key)) {
        label->setText(value.isEmpty() ? QStringLiteral("—") : value);
    }
}

QString FactList::fact(const QString& key) const {
    const auto* label = m_values.value(key);
    return label ? label->text() : QString();
}

}  // namespace eigenscope
