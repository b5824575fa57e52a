// SPDX-License-Identifier: GPL-3.0-or-later
// The workspaces as tabs down the left: icon and name, one current. Ctrl+1.. switch (shortcuts belong to the
// window).
#pragma once

#include <QIcon>
#include <QStringList>
#include <QWidget>

class QButtonGroup;
class QVBoxLayout;

namespace eigenscope {

class Theme;

class NavRail : public QWidget {
    Q_OBJECT
public:
    explicit NavRail(const Theme& theme, QWidget* parent = nullptr);
    void addPage(const QString& icon, const QString& name,
                 const QString& tooltip);  // icon: an SVG in resources/icons
    void setCurrent(int index);
    int current() const;

signals:
    void selected(int index);

private:
    void recolour();
    const Theme& m_theme;
    QButtonGroup* m_group;
    QVBoxLayout* m_layout;
    QStringList m_icons;
};

// An SVG of resources/icons drawn in one colour at a size in device-independent pixels.
QIcon themedIcon(const QString& name, const QColor& colour, const QColor& checked_colour, int size = 22);

}  // namespace eigenscope
