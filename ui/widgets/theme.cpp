// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/theme.h"

#include <QApplication>
#include <QFontDatabase>
#include <QPalette>
#include <QStyleFactory>

#include <algorithm>
#include <array>
#include <cmath>

// The icons are in a static library: without this the linker leaves them out. Must stand outside any
// namespace.
static void loadIcons() { Q_INIT_RESOURCE(icons); }

namespace eigenscope {

namespace {

ThemeColours lightColours() {
    ThemeColours c;
    c.window = 0xf6f7f9;
    c.panel = 0xffffff;
    c.line = 0xdfe3ea;
    c.text = 0x1d2430;
    c.muted = 0x6b7585;
    c.key = 0x2f6bd8;
    c.key_wash = 0xdbe7fb;
    c.value = 0xd9822b;
    c.value_wash = 0xfae7d2;
    c.good = 0x1f9d6a;
    c.bad = 0xc8382f;
    c.on_accent = 0xffffff;
    return c;
}

ThemeColours darkColours() {
    ThemeColours c;
    c.window = 0x15181e;
    c.panel = 0x1d2129;
    c.line = 0x2d333e;
    c.text = 0xe6eaf0;
    c.muted = 0x8d97a6;
    c.key = 0x6ea0ff;
    c.key_wash = 0x24344f;
    c.value = 0xf2a65a;
    c.value_wash = 0x4a3721;
    c.good = 0x1f9d6a;
    c.bad = 0xff7b72;
    c.on_accent = 0x10131a;
    c.dark = true;
    return c;
}

QPalette paletteOf(const ThemeColours& c) {
    QPalette palette;
    palette.setColor(QPalette::Window, c.window);
    palette.setColor(QPalette::WindowText, c.text);
    palette.setColor(QPalette::Base, c.panel);
    palette.setColor(QPalette::AlternateBase, c.window);
    palette.setColor(QPalette::Text, c.text);
    palette.setColor(QPalette::Button, c.panel);
    palette.setColor(QPalette::ButtonText, c.text);
    palette.setColor(QPalette::Highlight, c.key);
    palette.setColor(QPalette::HighlightedText, c.on_accent);
    palette.setColor(QPalette::ToolTipBase, c.panel);
    palette.setColor(QPalette::ToolTipText, c.text);
    palette.setColor(QPalette::PlaceholderText, c.muted);
    palette.setColor(QPalette::Link, c.key);
    palette.setColor(QPalette::Mid, c.line);
    for (const auto role :
         {QPalette::WindowText, QPalette::Text, QPalette::ButtonText, QPalette::PlaceholderText}) {
        QColor faint = c.muted;
        faint.setAlpha(150);
        palette.setColor(QPalette::Disabled, role, faint);
    }
    return palette;
}

// @name is replaced by the colour of that name.
const char* const kStyleSheet = R"(
QToolTip { background: @panel; color: @text; border: 1px solid @line; padding: 5px 7px; }
QMainWindow, QDialog { background: @window; }
QFrame[panel="true"] { background: @panel; border: 1px solid @line; border-radius: 6px; }
QFrame#topBar, QWidget#jobBar, QWidget#navRail { background: @panel; }
QFrame#topBar { border: none; border-bottom: 1px solid @line; }
QWidget#jobBar { border-top: 1px solid @line; }
QWidget#navRail { border-right: 1px solid @line; }
QLabel[role="title"] { font-weight: 600; }
QLabel[role="muted"] { color: @muted; }
QLabel[role="warning"] { color: @bad; }
QLabel[role="figure"] { font-weight: 600; }
QLabel[role="hero"] { font-size: 30px; font-weight: 700; }
QLabel[role="headline"] { font-size: 20px; font-weight: 600; }
QLabel[role="chip"], QToolButton[role="chip"] { border: 1px solid @line; border-radius: 11px; padding: 3px 9px; background: transparent; }
QLabel[role="badge"] { background: @key_wash; color: @key; border-radius: 8px; padding: 1px 7px; }
QLabel[role="badge-value"] { background: @value_wash; color: @value; border-radius: 8px; padding: 1px 7px; }
QFrame#messageBar[error="true"] { background: @value_wash; border: 1px solid @value; border-radius: 6px; }
QFrame#messageBar[error="false"] { background: @key_wash; border: 1px solid @key; border-radius: 6px; }
QPushButton { background: @panel; border: 1px solid @line; border-radius: 5px; padding: 6px 14px; }
QPushButton:hover { border-color: @muted; }
QPushButton:pressed { background: @key_wash; }
QPushButton:focus { border: 1px solid @key; }
QPushButton:disabled { color: @faint; }
QPushButton[primary="true"] { background: @key; color: @on_accent; border-color: @key; font-weight: 600; }
QPushButton[primary="true"]:hover { background: @key_hover; }
QPushButton[primary="true"]:focus { border: 1px solid @text; }
QPushButton[primary="true"]:disabled { background: @key_wash; color: @muted; border-color: @key_wash; }
QToolButton { border: 1px solid transparent; border-radius: 5px; padding: 4px 7px; background: transparent; }
QToolButton:hover { background: @key_wash; }
QToolButton:focus { border-color: @key; }
QToolButton:disabled { color: @faint; }
QToolButton[segment="true"] { border: 1px solid @line; border-radius: 0; padding: 4px 11px; background: @panel; color: @muted; }
QToolButton[segment="true"]:checked { background: @key_wash; color: @key; font-weight: 600; }
QToolButton[segment="true"]:focus { border-color: @key; }
QToolButton[segment="true"][edge="left"] { border-top-left-radius: 5px; border-bottom-left-radius: 5px; }
QToolButton[segment="true"][edge="right"] { border-top-right-radius: 5px; border-bottom-right-radius: 5px; }
QToolButton[segment="true"][edge="both"] { border-radius: 5px; }
QToolButton[rail="true"] { border: none; border-left: 3px solid transparent; border-radius: 0; padding: 8px 0 7px 0; color: @muted; font-size: 12px; }
QToolButton[rail="true"]:hover { background: @window; }
QToolButton[rail="true"]:checked { background: @key_wash; border-left-color: @key; color: @key; font-weight: 600; }
QToolButton[rail="true"]:focus { background: @window; }
QToolButton[rail="true"]:checked:focus { background: @key_wash; }
QToolButton[link="true"] { color: @key; font-weight: 600; text-align: left; padding: 5px 8px; }
QToolButton[link="true"]:disabled { color: @faint; }
QToolButton[outlined="true"] { border: 1px solid @line; padding: 4px 11px; }
QToolButton[outlined="true"]:hover { border-color: @key; }
QLineEdit, QPlainTextEdit, QTextEdit, QTextBrowser, QSpinBox, QDoubleSpinBox, QComboBox {
    background: @panel; border: 1px solid @line; border-radius: 5px; padding: 4px 7px; selection-background-color: @key; selection-color: @on_accent; }
QLineEdit:focus, QPlainTextEdit:focus, QTextEdit:focus, QTextBrowser:focus, QSpinBox:focus, QDoubleSpinBox:focus, QComboBox:focus { border-color: @key; }
QTextBrowser[flat="true"], QPlainTextEdit[flat="true"], QTextEdit[flat="true"] { border: none; padding: 0; }
QComboBox::drop-down { border: none; width: 20px; }
QComboBox::down-arrow { image: url(:/icons/chevron.svg); width: 12px; height: 12px; }
QComboBox QAbstractItemView { background: @panel; border: 1px solid @line; selection-background-color: @key_wash; selection-color: @text; outline: 0; }
QSpinBox::up-button, QSpinBox::down-button, QDoubleSpinBox::up-button, QDoubleSpinBox::down-button { width: 0; border: none; }
QSlider::groove:horizontal { height: 4px; border-radius: 2px; background: @line; }
QSlider::sub-page:horizontal { height: 4px; border-radius: 2px; background: @key; }
QSlider::handle:horizontal { width: 12px; height: 12px; margin: -5px 0; border-radius: 7px; background: @panel; border: 2px solid @key; }
QSlider[side="values"]::sub-page:horizontal { background: @value; }
QSlider[side="values"]::handle:horizontal { border-color: @value; }
QSlider[side="none"]::sub-page:horizontal { background: @muted; }
QSlider[side="none"]::handle:horizontal { border-color: @muted; }
QSlider::handle:horizontal:focus { background: @key_wash; }
QProgressBar { background: @line; border: none; border-radius: 3px; max-height: 6px; min-height: 6px; text-align: center; }
QProgressBar::chunk { background: @key; border-radius: 3px; }
QTableView, QTreeView, QListView { background: @panel; border: none; gridline-color: @line; selection-background-color: @key_wash; selection-color: @text; alternate-background-color: @window; outline: 0; }
QTableView::item, QListView::item, QTreeView::item { padding: 3px 6px; }
QListView[outlined="true"] { border: 1px solid @line; border-radius: 5px; padding: 4px; }
QListView[outlined="true"]::item { padding: 5px 7px; border: none; border-radius: 4px; }
QListView[outlined="true"]::item:selected { background: @key_wash; color: @key; }
QTableView::item:focus { background: transparent; border: none; }
QTableView::item:selected:focus { background: @key_wash; color: @text; }
QHeaderView { background: @panel; }
QHeaderView::section { background: @panel; color: @muted; border: none; border-bottom: 1px solid @line; padding: 5px 6px; }
QMenu { background: @panel; border: 1px solid @line; padding: 4px; }
QMenu::item { padding: 5px 22px 5px 12px; border-radius: 4px; }
QMenu::item:selected { background: @key_wash; }
QMenu::item:disabled { color: @faint; }
QMenu::separator { height: 1px; background: @line; margin: 4px 6px; }
QMenuBar { background: @panel; }
QMenuBar::item { padding: 4px 9px; background: transparent; }
QMenuBar::item:selected { background: @key_wash; border-radius: 4px; }
QScrollBar:vertical { background: transparent; width: 10px; margin: 0; }
QScrollBar::handle:vertical { background: @line; border-radius: 4px; min-height: 28px; margin: 1px; }
QScrollBar:horizontal { background: transparent; height: 10px; margin: 0; }
QScrollBar::handle:horizontal { background: @line; border-radius: 4px; min-width: 28px; margin: 1px; }
QScrollBar::handle:hover { background: @muted; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }
QAbstractScrollArea::corner { background: transparent; border: none; }
QScrollArea, QScrollArea > QWidget > QWidget { background: transparent; border: none; }
QSplitter::handle { background: transparent; }
QCheckBox { spacing: 7px; }
QCheckBox::indicator { width: 14px; height: 14px; border: 1px solid @muted; border-radius: 3px; background: @panel; }
QCheckBox::indicator:checked { background: @key; border-color: @key; image: url(:/icons/check.svg); }
QCheckBox::indicator:focus { border-color: @key; }
)";

QString styleSheetOf(const ThemeColours& c) {
    QString sheet = QString::fromLatin1(kStyleSheet);
    const QColor faint =
        QColor::fromRgbF((c.muted.redF() + c.panel.redF()) / 2, (c.muted.greenF() + c.panel.greenF()) / 2,
                         (c.muted.blueF() + c.panel.blueF()) / 2);
    // Longer names first, so that "key" does not eat the start of "key_wash".
    const std::array<std::pair<const char*, QColor>, 15> names = {
        {{"@key_wash", c.key_wash},
         {"@key_hover", c.dark ? c.key.lighter(112) : c.key.darker(110)},
         {"@key", c.key},
         {"@value_wash", c.value_wash},
         {"@value", c.value},
         {"@on_accent", c.on_accent},
         {"@window", c.window},
         {"@panel", c.panel},
         {"@line", c.line},
         {"@text", c.text},
         {"@muted", c.muted},
         {"@faint", faint},
         {"@good", c.good},
         {"@bad", c.bad},
         {"@accent", c.key}}};
    for (const auto& [name, colour] : names) {
        sheet.replace(QLatin1String(name), colour.name());
    }
    return sheet;
}

bool systemIsDark() {
    // Qt 6.4 has no colour-scheme query; the platform's own palette tells.
    const QPalette platform = QApplication::palette();
    return platform.color(QPalette::Window).lightnessF() < platform.color(QPalette::WindowText).lightnessF();
}

}  // namespace

Theme::Theme(Settings& settings, QObject* parent) : QObject(parent), m_settings(settings) {
    loadIcons();
    QFont font = QApplication::font();
    if (QFontDatabase::families().contains(QStringLiteral("Inter"))) {
        font.setFamily(QStringLiteral("Inter"));
    }
    font.setPixelSize(13);
    QApplication::setFont(font);
    const bool system_dark = systemIsDark();
    QApplication::setStyle(QStyleFactory::create(QStringLiteral("Fusion")));
    setProperty("systemDark", system_dark);
    connect(&settings, &Settings::themeChanged, this, &Theme::apply);
    apply();
}

void Theme::apply() {
    const ThemeChoice choice = m_settings.theme();
    const bool dark =
        choice == ThemeChoice::Dark || (choice == ThemeChoice::System && property("systemDark").toBool());
    m_colours = dark ? darkColours() : lightColours();
    QApplication::setPalette(paletteOf(m_colours));
    qApp->setStyleSheet(styleSheetOf(m_colours));
    emit changed();
}

QColor Theme::viridis(double fraction) {
    // Nine samples of matplotlib's viridis map (CC0), linearly interpolated: visually the same as all 256.
    static constexpr std::array<std::array<int, 3>, 9> kStops = {{{68, 1, 84},
                                                                  {71, 44, 122},
                                                                  {59, 81, 139},
                                                                  {44, 113, 142},
                                                                  {33, 144, 141},
                                                                  {39, 173, 129},
                                                                  {92, 200, 99},
                                                                  {170, 220, 50},
                                                                  {253, 231, 37}}};
    const double place = std::clamp(std::isfinite(fraction) ? fraction : 0.0, 0.0, 1.0) * (kStops.size() - 1);
    const auto low = std::min(static_cast<std::size_t>(place), kStops.size() - 2);
    const double share = place - static_cast<double>(low);
    const auto mix = [&](std::size_t channel) {
        return static_cast<int>(
            std::lround(kStops[low][channel] * (1 - share) + kStops[low + 1][channel] * share));
    };
    return QColor(mix(0), mix(1), mix(2));
}

}  // namespace eigenscope
