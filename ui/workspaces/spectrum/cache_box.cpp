// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/spectrum/cache_box.h"

#include "ui/model/workspace.h"
#include "ui/widgets/form_row.h"
#include "ui/widgets/kv_groups_box.h"

#include <QComboBox>
#include <QGridLayout>

#include <algorithm>
#include <array>

namespace eigenscope {

namespace {
constexpr std::array<int, 5> kBits = {kUnquantised, 8, 4, 3, 2};
}

CacheBox::CacheBox(Workspace& workspace, QWidget* parent)
    : QWidget(parent), m_workspace(workspace), m_groups(new KvGroupsBox(this)) {
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(6);
    auto* bits = new QWidget(this);
    QGridLayout* grid = formGrid(bits);
    m_key_bits = bitsRow(grid, tr("Key bits"));
    m_value_bits = bitsRow(grid, tr("Value bits"));
    m_key_bits->setObjectName(QStringLiteral("keyBits"));
    m_value_bits->setObjectName(QStringLiteral("valueBits"));
    column->addWidget(bits);
    column->addWidget(m_groups);
    connect(m_groups, &KvGroupsBox::edited, this, [this] { emit groupsEdited(m_groups->groups()); });
}

QComboBox* CacheBox::bitsRow(QGridLayout* grid, const QString& name) {
    QComboBox* combo = comboRow(
        grid, name,
        tr("Bits of an element in the converted model's cache. Fewer than 16: codes with a scale and a "
           "minimum for each group of elements, counted in the KV ratio."));
    for (const int bits : kBits) {
        combo->addItem(bits == kUnquantised ? tr("16, not quantised") : QString::number(bits), bits);
    }
    combo->setPlaceholderText(tr("differs by layer"));
    connect(combo, &QComboBox::activated, this, [this, combo] { changeBits(combo == m_key_bits); });
    return combo;
}

void CacheBox::changeBits(bool keys) {
    const KvBits& now = m_workspace.plan().plan().kv_bits;
    const int bits = (keys ? m_key_bits : m_value_bits)->currentData().toInt();
    const auto other = [](const std::vector<int>& of) { return of.empty() ? kUnquantised : of.front(); };
    m_workspace.plan().setKvBits(keys ? bits : other(now.keys), keys ? other(now.values) : bits);
}

void CacheBox::syncBits(QComboBox* combo, const std::vector<int>& bits) {
    const int value = bits.empty() ? kUnquantised : bits.front();
    const bool mixed = std::ranges::any_of(bits, [&](int b) { return b != value; });
    combo->setCurrentIndex(mixed ? -1 : combo->findData(value));
}

void CacheBox::sync(bool codes_wanted) {
    const KvBits& bits = m_workspace.plan().plan().kv_bits;
    syncBits(m_key_bits, bits.keys);
    syncBits(m_value_bits, bits.values);
    m_groups->setGroups({bits.group, bits.key_grouping, bits.recent});
    m_groups->setVisible(codes_wanted || bits.quantises());
}

}  // namespace eigenscope
