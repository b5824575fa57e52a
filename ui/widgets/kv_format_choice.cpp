// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/kv_format_choice.h"

#include "ui/widgets/kv_format_box.h"
#include "ui/widgets/kv_groups_box.h"

#include <QHBoxLayout>
#include <QMenu>
#include <QToolButton>
#include <QWidgetAction>

namespace eigenscope {

KvFormatChoice::KvFormatChoice(QWidget* parent)
    : QWidget(parent), m_box(new KvFormatBox(this)), m_button(new QToolButton(this)) {
    auto* row = new QHBoxLayout(this);
    row->setContentsMargins(0, 0, 0, 0);
    row->setSpacing(4);
    row->addWidget(m_box);
    row->addWidget(m_button);
    auto* menu = new QMenu(this);
    auto* frame = new QWidget(menu);
    auto* inside = new QVBoxLayout(frame);
    inside->setContentsMargins(12, 10, 12, 10);
    m_groups = new KvGroupsBox(frame);
    m_groups->setMinimumWidth(230);
    inside->addWidget(m_groups);
    auto* action = new QWidgetAction(menu);
    action->setDefaultWidget(frame);
    menu->addAction(action);
    m_button->setMenu(menu);
    m_button->setPopupMode(QToolButton::InstantPopup);
    m_button->setProperty("outlined", true);
    m_button->setStyleSheet(QStringLiteral("QToolButton::menu-indicator { image: none; }"));
    m_button->setText(QStringLiteral("…"));
    m_button->setAccessibleName(tr("Groups of the quantised cache"));
    m_button->setObjectName(QStringLiteral("kvGroups"));
    connect(m_box, &QComboBox::activated, this, [this] {
        sync();
        emit edited();
    });
    connect(m_groups, &KvGroupsBox::edited, this, [this] {
        sync();
        emit edited();
    });
    sync();
}

std::optional<KvFormat> KvFormatChoice::format() const {
    std::optional<KvFormat> format = m_box->format();
    if (format && format->bits != 0) {
        const KvGroups groups = m_groups->groups();
        format->group = groups.group;
        format->keys = groups.keys;
        format->recent = groups.recent;
    }
    return format;
}

void KvFormatChoice::setFormat(const std::optional<KvFormat>& format) {
    m_box->setFormat(format);
    if (format && format->bits != 0) {
        m_groups->setGroups({format->group, format->keys, format->recent});
    }
    sync();
}

void KvFormatChoice::sync() {
    const std::optional<KvFormat> format = m_box->format();
    const bool codes = format && format->bits != 0;
    m_button->setVisible(codes);
    m_button->setToolTip(tr("How codes are grouped: %1").arg(kvGroupsText(m_groups->groups())));
}

}  // namespace eigenscope
