// SPDX-License-Identifier: GPL-3.0-or-later
// How the codes of a quantised KV cache are grouped, as three rows: elements of a group, keys by token or by
// channel, recent positions that stay exact. GUI thread.
#pragma once

#include "core/model/kv_format.h"

#include <QWidget>

class QComboBox;
class QSpinBox;

namespace eigenscope {

struct KvGroups {
    int group = 32;
    KvGrouping keys = KvGrouping::Token;
    int recent = 0;
    bool operator==(const KvGroups&) const = default;
};

// "groups of 32, keys by channel, 16 recent exact"; words beyond the first only where they are not the
// default.
QString kvGroupsText(const KvGroups& groups);

class KvGroupsBox : public QWidget {
    Q_OBJECT
public:
    explicit KvGroupsBox(QWidget* parent = nullptr);
    KvGroups groups() const;
    void setGroups(const KvGroups& groups);  // silent

signals:
    void edited();  // by the user

private:
    QComboBox *m_group, *m_keys;
    QSpinBox* m_recent;
};

}  // namespace eigenscope
