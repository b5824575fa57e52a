// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/segmented_control.h"

#include <QButtonGroup>
#include <QHBoxLayout>
#include <QToolButton>

namespace eigenscope {

SegmentedControl::SegmentedControl(const QStringList& choices, QWidget* parent)
    : QWidget(parent), m_group(new QButtonGroup(this)) {
    auto* layout = new QHBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->setSpacing(0);
    for (int i = 0; i < choices.size(); ++i) {
        auto* button = new QToolButton(this);
        button->setText(choices[i]);
        button->setAccessibleName(choices[i]);
        button->setCheckable(true);
        button->setProperty("segment", true);
        const bool first = i == 0;
        const bool last = i == choices.size() - 1;
        button->setProperty("edge", first && last ? "both" : first ? "left" : last ? "right" : "none");
        m_group->addButton(button, i);
        layout->addWidget(button);
    }
    m_group->setExclusive(true);
    if (auto* first = m_group->button(0)) {
        first->setChecked(true);
    }
    connect(m_group, &QButtonGroup::idClicked, this, &SegmentedControl::selected);
    setSizePolicy(QSizePolicy::Maximum, QSizePolicy::Fixed);
}

int SegmentedControl::index() const { return m_group->checkedId(); }

void SegmentedControl::setIndex(int index) {
    if (auto* button = m_group->button(index)) {
        button->setChecked(true);
    }
}

}  // namespace eigenscope
