// SPDX-License-Identifier: GPL-3.0-or-later
// Prompts to choose from: how the paragraphs of a text begin, and what was used before.
#pragma once

#include <QString>
#include <QStringList>

namespace eigenscope {

class Settings;

// The first sentences of up to `count` stories (text blocks separated by blank lines) of a file; empty
// without a file.
QStringList textOpenings(const QString& file, int count = 8);
QStringList promptHistory(const Settings& settings);
void addToHistory(Settings& settings, const QString& prompt);

}  // namespace eigenscope
