// SPDX-License-Identifier: GPL-3.0-or-later
// The bits of the converted model's cache, and how its codes are grouped, which shows once there are codes.
// GUI thread.
#pragma once

#include <QWidget>

#include <vector>

class QComboBox;
class QGridLayout;

namespace eigenscope {

class KvGroupsBox;
struct KvGroups;
class Workspace;

class CacheBox : public QWidget {
    Q_OBJECT
public:
    explicit CacheBox(Workspace& workspace, QWidget* parent = nullptr);
    // From the document; groups show too when codes are wanted that are not planned yet.
    void sync(bool codes_wanted);

signals:
    void groupsEdited(const eigenscope::KvGroups& groups);  // the owner changes the plan

private:
    QComboBox* bitsRow(QGridLayout* grid, const QString& name);
    static void syncBits(QComboBox* combo, const std::vector<int>& bits);
    void changeBits(bool keys);

    Workspace& m_workspace;
    KvGroupsBox* m_groups;
    QComboBox *m_key_bits, *m_value_bits;
};

}  // namespace eigenscope
