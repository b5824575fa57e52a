// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/model/settings.h"

#include <QDir>
#include <QFileInfo>

namespace eigenscope {

namespace {

constexpr int kRecentModels = 12;
const QString kThemeKey = QStringLiteral("theme");
const QString kRecentKey = QStringLiteral("recentModels");

}  // namespace

Settings::Settings(std::unique_ptr<QSettings> store, QObject* parent)
    : QObject(parent), m_store(std::move(store)) {}

ThemeChoice Settings::theme() const {
    const QString name = m_store->value(kThemeKey).toString();
    return name == QLatin1String("dark")    ? ThemeChoice::Dark
           : name == QLatin1String("light") ? ThemeChoice::Light
                                            : ThemeChoice::System;
}

void Settings::setTheme(ThemeChoice theme) {
    if (theme == this->theme()) {
        return;
    }
    m_store->setValue(kThemeKey, theme == ThemeChoice::Dark    ? QStringLiteral("dark")
                                 : theme == ThemeChoice::Light ? QStringLiteral("light")
                                                               : QStringLiteral("system"));
    emit themeChanged();
}

QStringList Settings::recentModels() const { return m_store->value(kRecentKey).toStringList(); }

void Settings::addRecentModel(const QString& path) {
    const QString absolute = QDir::cleanPath(QFileInfo(path).absoluteFilePath());
    QStringList recent = recentModels();
    recent.removeAll(absolute);
    recent.prepend(absolute);
    while (recent.size() > kRecentModels) {
        recent.removeLast();
    }
    m_store->setValue(kRecentKey, recent);
    emit recentModelsChanged();
}

void Settings::removeRecentModel(const QString& path) {
    QStringList recent = recentModels();
    recent.removeAll(path);
    m_store->setValue(kRecentKey, recent);
    emit recentModelsChanged();
}

void Settings::clearRecentModels() {
    m_store->remove(kRecentKey);
    emit recentModelsChanged();
}

QString Settings::folder(const QString& purpose) const {
    return m_store->value(QStringLiteral("folders/") + purpose, QDir::homePath()).toString();
}

void Settings::setFolder(const QString& purpose, const QString& folder) {
    m_store->setValue(QStringLiteral("folders/") + purpose, folder);
}

QVariant Settings::value(const QString& key, const QVariant& fallback) const {
    return m_store->value(key, fallback);
}
void Settings::setValue(const QString& key, const QVariant& value) { m_store->setValue(key, value); }

}  // namespace eigenscope
