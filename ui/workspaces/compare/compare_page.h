// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "ui/widgets/page.h"

namespace eigenscope {

class Theme;
class Workspace;

class ComparePage : public Page {
    Q_OBJECT
public:
    ComparePage(Workspace& workspace, const Theme& theme, QWidget* parent = nullptr);
};

}  // namespace eigenscope
