// SPDX-License-Identifier: GPL-3.0-or-later
// A KV-cache format with how its codes are grouped: the list of formats, and, once a number of bits is
// chosen, a button beside it whose pop-up has the groups. GUI thread.
#pragma once

#include "core/model/kv_format.h"

#include <QWidget>

#include <optional>

class QToolButton;

namespace eigenscope {

class KvFormatBox;
class KvGroupsBox;

class KvFormatChoice : public QWidget {
    Q_OBJECT
public:
    explicit KvFormatChoice(QWidget* parent = nullptr);
    std::optional<KvFormat> format() const;                 // empty: automatic
    void setFormat(const std::optional<KvFormat>& format);  // silent
    KvFormatBox* box() const { return m_box; }
    KvGroupsBox* groups() const { return m_groups; }

signals:
    void edited();  // by the user

private:
    void sync();

    KvFormatBox* m_box;
    KvGroupsBox* m_groups;
    QToolButton* m_button;
};

}  // namespace eigenscope
