// SPDX-License-Identifier: GPL-3.0-or-later
// How the bases are made: method, latents that heads share, key basis, centring. A change computes a new
// spectrum; until it is there, what was chosen stays shown. GUI thread.
#pragma once

#include <QWidget>

class QCheckBox;
class QComboBox;

namespace eigenscope {

class Job;
class Workspace;

class BasisBox : public QWidget {
    Q_OBJECT
public:
    explicit BasisBox(Workspace& workspace, QWidget* parent = nullptr);
    // From the document; while bases are computed, what was chosen stands.
    void sync(bool computing);

signals:
    void started(eigenscope::Job* job);  // null when it could not start

private:
    void change();
    void syncGroups();
    int mostHeads() const;  // that the statistics have joint moments of

    Workspace& m_workspace;
    QComboBox *m_method, *m_group;
    QCheckBox *m_share, *m_center;
};

}  // namespace eigenscope
