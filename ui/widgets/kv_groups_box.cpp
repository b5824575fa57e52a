// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/kv_groups_box.h"

#include "ui/widgets/form_row.h"

#include <QComboBox>
#include <QGridLayout>
#include <QSignalBlocker>
#include <QSpinBox>

namespace eigenscope {

namespace {
constexpr int kGroups[] = {16, 32, 64, 128};
}

QString kvGroupsText(const KvGroups& groups) {
    QString text = KvGroupsBox::tr("groups of %1").arg(groups.group);
    if (groups.keys == KvGrouping::Channel) {
        text += KvGroupsBox::tr(", keys by channel");
    }
    if (groups.recent > 0) {
        text += KvGroupsBox::tr(", %L1 recent exact").arg(groups.recent);
    }
    return text;
}

KvGroupsBox::KvGroupsBox(QWidget* parent) : QWidget(parent) {
    QGridLayout* grid = formGrid(this);
    m_group =
        comboRow(grid, tr("Group size"),
                 tr("Elements that share a scale and a minimum (4 bytes). Small groups are more exact and "
                    "take more bytes."));
    m_group->setObjectName(QStringLiteral("kvGroup"));
    for (const int group : kGroups) {
        m_group->addItem(QString::number(group), group);
    }
    m_keys = comboRow(grid, tr("Keys grouped"),
                      tr("By token: along a position's elements. By channel: one element over as many "
                         "positions, which suits keys with a few large channels; positions stay exact until "
                         "their group is complete. Values are always grouped by token."));
    m_keys->setObjectName(QStringLiteral("kvKeys"));
    m_keys->addItem(tr("by token"), static_cast<int>(KvGrouping::Token));
    m_keys->addItem(tr("by channel"), static_cast<int>(KvGrouping::Channel));
    m_recent = new QSpinBox(this);
    m_recent->setObjectName(QStringLiteral("kvRecent"));
    m_recent->setRange(0, kMostRecent);
    m_recent->setSingleStep(16);
    m_recent->setSpecialValueText(tr("none"));
    m_recent->setKeyboardTracking(false);
    addRow(grid, tr("Recent exact"), m_recent,
           tr("Newest positions that are read as they were, not from their codes: a window of fixed size, "
              "whatever the context."));
    setGroups({});
    connect(m_group, &QComboBox::activated, this, &KvGroupsBox::edited);
    connect(m_keys, &QComboBox::activated, this, &KvGroupsBox::edited);
    connect(m_recent, &QSpinBox::valueChanged, this, &KvGroupsBox::edited);
}

KvGroups KvGroupsBox::groups() const {
    return {m_group->currentData().toInt(), static_cast<KvGrouping>(m_keys->currentData().toInt()),
            m_recent->value()};
}

void KvGroupsBox::setGroups(const KvGroups& groups) {
    if (m_group->findData(groups.group) < 0) {  // a loaded plan may use any
        m_group->addItem(QString::number(groups.group), groups.group);
    }
    m_group->setCurrentIndex(m_group->findData(groups.group));
    m_keys->setCurrentIndex(m_keys->findData(static_cast<int>(groups.keys)));
    const QSignalBlocker silent(m_recent);
    m_recent->setValue(groups.recent);
}

}  // namespace eigenscope
