// SPDX-License-Identifier: GPL-3.0-or-later
// The Tab key goes through a part of the window as one reads it: as its layouts, splitters and scroll areas
// arrange it, whenever it was built. GUI thread.
#pragma once

class QWidget;

namespace eigenscope {

// Call it again after controls were added. Its cost is that of looking at every widget once or twice.
void tabInReadingOrder(QWidget* part);

}  // namespace eigenscope
