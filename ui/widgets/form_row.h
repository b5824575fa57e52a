// SPDX-License-Identifier: GPL-3.0-or-later
// Rows of a form in two columns: muted name, control; the tooltip of both teaches the term. GUI thread.
#pragma once

#include <QString>

class QComboBox;
class QGridLayout;
class QWidget;

namespace eigenscope {

// A layout for such rows; names of all grids are as wide, so that controls of boxes one below the other line
// up.
QGridLayout* formGrid(QWidget* box);
// The row goes below those that the grid has.
void addRow(QGridLayout* grid, const QString& name, QWidget* control, const QString& tooltip);
QComboBox* comboRow(QGridLayout* grid, const QString& name, const QString& tooltip);

}  // namespace eigenscope
