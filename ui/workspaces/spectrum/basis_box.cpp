// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/spectrum/basis_box.h"

#include "ui/model/workspace.h"
#include "ui/widgets/form_row.h"

#include <QCheckBox>
#include <QComboBox>
#include <QGridLayout>

#include <algorithm>

namespace eigenscope {

namespace {
QString text(std::string_view view) { return QString::fromUtf8(view.data(), static_cast<int>(view.size())); }
}  // namespace

BasisBox::BasisBox(Workspace& workspace, QWidget* parent) : QWidget(parent), m_workspace(workspace) {
    QGridLayout* grid = formGrid(this);
    m_method = comboRow(grid, tr("Method"), tr("How the directions of the low-rank space are chosen."));
    m_method->setObjectName(QStringLiteral("method"));
    for (const BasisMethod& method : basisMethods()) {
        m_method->addItem(text(method.title), text(method.name));
        m_method->setItemData(m_method->count() - 1,
                              QStringLiteral("%1\n%2").arg(text(method.objective), text(method.source)),
                              Qt::ToolTipRole);
    }
    m_group =
        comboRow(grid, tr("Latents"),
                 tr("What key/value heads cache: a latent each, or one that several heads share and are "
                    "rebuilt from. What heads have in common is then kept once, and rank goes to the heads "
                    "that need it; attention computes on the wider latent for each head."));
    m_group->setObjectName(QStringLiteral("headGroup"));
    auto* checks = new QHBoxLayout;
    checks->setSpacing(12);
    m_share = new QCheckBox(tr("Share key basis"), this);
    m_share->setObjectName(QStringLiteral("shareKeyBasis"));
    m_share->setToolTip(tr("One key basis for all heads of a layer, as the published code does for Llama."));
    m_center = new QCheckBox(tr("Centre"), this);
    m_center->setObjectName(QStringLiteral("center"));
    m_center->setToolTip(
        tr("Bases of what keys and values are without their mean, which is kept apart: most of "
           "the keys' energy can be one mean direction. The attention-aware method always "
           "does."));
    checks->addWidget(m_share);
    checks->addWidget(m_center);
    checks->addStretch(1);
    grid->addLayout(checks, grid->rowCount(), 0, 1, 2);

    connect(m_method, &QComboBox::activated, this, [this] {
        const int heads = usualHeadGroup(m_method->currentData().toString().toStdString(),
                                         m_share->isChecked(), *m_workspace.statistics());
        m_group->setCurrentIndex(std::max(0, m_group->findData(heads)));
        change();
    });
    connect(m_group, &QComboBox::activated, this, [this] {
        m_share->setChecked(m_share->isChecked() && m_group->currentData().toInt() == 1);
        change();
    });
    connect(m_share, &QCheckBox::clicked, this, [this](bool share) {
        if (share) {
            m_group->setCurrentIndex(m_group->findData(1));  // a shared basis is one of single heads
        }
        change();
    });
    connect(m_center, &QCheckBox::clicked, this, &BasisBox::change);
}

void BasisBox::change() {
    const QString method = m_method->currentData().toString();
    BasisOptions options;
    options.share_key_basis = m_share->isChecked();
    options.head_group = std::max(1, m_group->currentData().toInt());
    options.center = m_center->isChecked() && basisMethod(method.toStdString()).can_center;
    emit started(m_workspace.setBasis(method, options));
    // Submitting a job shows the plan as it still is; what was chosen stands meanwhile.
    m_method->setCurrentIndex(m_method->findData(method));
    m_share->setChecked(options.share_key_basis);
    m_center->setChecked(options.center);
    m_group->setCurrentIndex(std::max(0, m_group->findData(options.head_group)));
}

int BasisBox::mostHeads() const {
    const auto& statistics = m_workspace.statistics();
    return statistics ? statistics->head_group : 1;
}

void BasisBox::syncGroups() {
    const int most = mostHeads(), count = most > 1 ? 2 : 1;
    if (m_group->count() != count || m_group->itemData(count - 1).toInt() != most) {
        m_group->clear();
        m_group->addItem(tr("one a head"), 1);
        if (most > 1) {
            m_group->addItem(tr("one for %1 heads").arg(most), most);
        }
    }
    m_group->setCurrentIndex(std::max(0, m_group->findData(m_workspace.plan().plan().head_group)));
}

void BasisBox::sync(bool computing) {
    const RankPlan& plan = m_workspace.plan().plan();
    if (!computing) {
        m_method->setCurrentIndex(m_method->findData(QString::fromStdString(plan.method)));
        m_share->setChecked(plan.share_key_basis);
        m_center->setChecked(plan.center);
        syncGroups();
        m_method->setToolTip(m_method->currentData(Qt::ToolTipRole).toString());
    }
    const bool ready = !computing && m_workspace.statistics();
    m_method->setEnabled(ready);
    m_share->setEnabled(ready);
    m_group->setEnabled(ready && m_group->count() > 1);
    m_center->setEnabled(ready && m_method->currentIndex() >= 0 &&
                         basisMethod(m_method->currentData().toString().toStdString()).can_center);
}

}  // namespace eigenscope
