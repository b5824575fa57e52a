// SPDX-License-Identifier: GPL-3.0-or-later
// Colours, spacing and style sheet of the window, light and dark. One Theme object lives as long as the
// application and tells everyone when the palette changes; custom-painted widgets read colours() in
// paintEvent, plots restyle on changed(). GUI thread.
#pragma once

#include "ui/model/settings.h"

#include <QColor>
#include <QObject>

namespace eigenscope {

struct ThemeColours {
    QColor window, panel, line, text, muted;
    QColor key, key_wash;      // keys, the accent
    QColor value, value_wash;  // values, divergence, threshold
    QColor good, bad;
    QColor on_accent;  // text on key
    bool dark = false;
};

// Distances in device-independent pixels.
inline constexpr int kGap = 10;
inline constexpr int kMargin = 12;

class Theme : public QObject {
    Q_OBJECT
public:
    explicit Theme(Settings& settings,
                   QObject* parent = nullptr);  // applies palette, font and style sheet to qApp
    const ThemeColours& colours() const { return m_colours; }
    QColor side(bool keys) const { return keys ? m_colours.key : m_colours.value; }
    QColor sideWash(bool keys) const { return keys ? m_colours.key_wash : m_colours.value_wash; }
    static QColor viridis(double fraction);  // perceptually uniform, colour-blind safe; fraction in [0, 1]

signals:
    void changed();

private:
    void apply();
    Settings& m_settings;
    ThemeColours m_colours;
};

}  // namespace eigenscope
