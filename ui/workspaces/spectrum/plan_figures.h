// SPDX-License-Identifier: GPL-3.0-or-later
// What the plan costs and saves, live: KV ratio, bytes of a token, errors. GUI thread.
#pragma once

#include <QWidget>

class QLabel;

namespace eigenscope {

class FactList;
class RatioBar;
class Theme;
class Workspace;

class PlanFigures : public QWidget {
    Q_OBJECT
public:
    PlanFigures(Workspace& workspace, const Theme& theme, QWidget* parent = nullptr);
    // The KV ratio and its bar, for the owner to put where they are always seen.
    QWidget* headline() const { return m_headline; }

private:
    void sync();

    Workspace& m_workspace;
    QWidget* m_headline = nullptr;
    QLabel* m_ratio = nullptr;
    RatioBar* m_bar = nullptr;
    FactList* m_facts = nullptr;
};

}  // namespace eigenscope
