// SPDX-License-Identifier: GPL-3.0-or-later
// What the window remembers between runs. Injected, never global: tests pass one on a temporary file. GUI
// thread.
#pragma once

#include <QByteArray>
#include <QObject>
#include <QSettings>
#include <QString>
#include <QStringList>

#include <memory>

namespace eigenscope {

enum class ThemeChoice { System, Light, Dark };

class Settings : public QObject {
    Q_OBJECT
public:
    explicit Settings(std::unique_ptr<QSettings> store, QObject* parent = nullptr);

    ThemeChoice theme() const;
    void setTheme(ThemeChoice theme);

    QStringList recentModels() const;  // newest first, absolute paths
    void addRecentModel(const QString& path);
    void removeRecentModel(const QString& path);
    void clearRecentModels();

    QString folder(const QString& purpose) const;  // where a file dialog of that purpose was last
    void setFolder(const QString& purpose, const QString& folder);

    // Free-form values for layouts (geometry, splitters, last inputs), keyed by the widget that owns them.
    QVariant value(const QString& key, const QVariant& fallback = {}) const;
    void setValue(const QString& key, const QVariant& value);

signals:
    void themeChanged();
    void recentModelsChanged();

private:
    std::unique_ptr<QSettings> m_store;
};

}  // namespace eigenscope
