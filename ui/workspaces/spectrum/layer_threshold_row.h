// SPDX-License-Identifier: GPL-3.0-or-later
// The selected layer's own threshold for its keys or values, which stands whatever the allocation does with
// the others. Follows the selection. GUI thread.
#pragma once

#include <QWidget>

class QCheckBox;

namespace eigenscope {

class SliderRow;
class Theme;
class Workspace;

class LayerThresholdRow : public QWidget {
    Q_OBJECT
public:
    LayerThresholdRow(Workspace& workspace, const Theme& theme, QWidget* parent = nullptr);

private:
    void sync();

    Workspace& m_workspace;
    QCheckBox* m_own;
    SliderRow *m_keys, *m_values;
};

}  // namespace eigenscope
