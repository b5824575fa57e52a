// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/nav_rail.h"

#include "ui/widgets/theme.h"

#include <QButtonGroup>
#include <QFile>
#include <QPainter>
#include <QSvgRenderer>
#include <QToolButton>
#include <QVBoxLayout>

namespace eigenscope {

namespace {

// The icons are drawn in black strokes; source-in painting gives them any colour.
QPixmap tinted(const QString& name, const QColor& colour, int size, qreal scale) {
    QSvgRenderer renderer(QStringLiteral(":/icons/%1.svg").arg(name));
    QPixmap pixmap(qRound(size * scale), qRound(size * scale));
    pixmap.setDevicePixelRatio(scale);
    pixmap.fill(Qt::transparent);
    QPainter painter(&pixmap);
    renderer.render(&painter, QRectF(0, 0, size, size));
    painter.setCompositionMode(QPainter::CompositionMode_SourceIn);
    painter.fillRect(QRectF(0, 0, size, size), colour);
    return pixmap;
}

}  // namespace

QIcon themedIcon(const QString& name, const QColor& colour, const QColor& checked_colour, int size) {
    QIcon icon;
    for (const qreal scale : {1.0, 2.0}) {
        icon.addPixmap(tinted(name, colour, size, scale), QIcon::Normal, QIcon::Off);
        icon.addPixmap(tinted(name, checked_colour, size, scale), QIcon::Normal, QIcon::On);
    }
    return icon;
}

NavRail::NavRail(const Theme& theme, QWidget* parent)
    : QWidget(parent), m_theme(theme), m_group(new QButtonGroup(this)), m_layout(new QVBoxLayout(this)) {
    setObjectName(QStringLiteral("navRail"));
    setAttribute(Qt::WA_StyledBackground);
    setFixedWidth(76);
    m_layout->setContentsMargins(0, 8, 0, 8);
    m_layout->setSpacing(2);
    m_layout->addStretch(1);
    m_group->setExclusive(true);
    connect(m_group, &QButtonGroup::idClicked, this, &NavRail::selected);
    connect(&theme, &Theme::changed, this, &NavRail::recolour);
}

void NavRail::addPage(const QString& icon, const QString& name, const QString& tooltip) {
    auto* button = new QToolButton(this);
    button->setText(name);
    button->setAccessibleName(name);
    button->setToolTip(tooltip);
    button->setCheckable(true);
    button->setProperty("rail", true);
    button->setToolButtonStyle(Qt::ToolButtonTextUnderIcon);
    button->setIconSize(QSize(22, 22));
    button->setFixedWidth(75);
    m_group->addButton(button, static_cast<int>(m_icons.size()));
    m_layout->insertWidget(static_cast<int>(m_icons.size()), button);
    m_icons.append(icon);
    recolour();
}

void NavRail::setCurrent(int index) {
    if (auto* button = m_group->button(index)) {
        button->setChecked(true);
    }
}

int NavRail::current() const { return m_group->checkedId(); }

void NavRail::recolour() {
    const ThemeColours& c = m_theme.colours();
    for (int i = 0; i < m_icons.size(); ++i) {
        m_group->button(i)->setIcon(themedIcon(m_icons[i], c.muted, c.key));
    }
}

}  // namespace eigenscope
