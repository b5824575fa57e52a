// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/compare/prompt_library.h"

#include "ui/model/settings.h"

#include <QFile>
#include <QFileInfo>

namespace eigenscope {

namespace {

constexpr int kHistory = 12;
constexpr qint64 kReadBytes = 64 * 1024;  // enough for a menu's worth of openings
constexpr qsizetype kOpeningCharacters =
    260;  // a prompt long enough to hold facts that must be looked back at
const QString kHistoryKey = QStringLiteral("compare/prompts");

}  // namespace

QStringList textOpenings(const QString& file, int count) {
    QFile text(file);
    // A named pipe would hold up the window, and a device may have no end.
    if (!QFileInfo(file).isFile() || !text.open(QIODevice::ReadOnly)) {
        return {};
    }
    QStringList openings;
    const QStringList stories =
        QString::fromUtf8(text.read(kReadBytes)).split(QStringLiteral("\n\n"), Qt::SkipEmptyParts);
    for (const QString& story : stories) {
        // End with a whole sentence.
        const qsizetype end = story.lastIndexOf(QStringLiteral(". "), kOpeningCharacters);
        if (end > 0) {
            openings.append(story.left(end + 1).trimmed());
        }
        if (openings.size() == count) {
            break;
        }
    }
    return openings;
}

QStringList promptHistory(const Settings& settings) { return settings.value(kHistoryKey).toStringList(); }

void addToHistory(Settings& settings, const QString& prompt) {
    if (prompt.trimmed().isEmpty()) {
        return;
    }
    QStringList history = promptHistory(settings);
    history.removeAll(prompt);
    history.prepend(prompt);
    while (history.size() > kHistory) {
        history.removeLast();
    }
    settings.setValue(kHistoryKey, history);
}

}  // namespace eigenscope
