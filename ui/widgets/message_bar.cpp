// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/message_bar.h"

#include "ui/widgets/theme.h"

#include <QHBoxLayout>
#include <QLabel>
#include <QStyle>
#include <QTimer>
#include <QToolButton>

namespace eigenscope {

namespace {
constexpr int kGoodNewsMs = 6000;
}

MessageBar::MessageBar(QWidget* parent)
    : QFrame(parent), m_text(new QLabel(this)), m_leave(new QTimer(this)) {
    setObjectName(QStringLiteral("messageBar"));
    auto* layout = new QHBoxLayout(this);
    layout->setContentsMargins(kMargin, 7, 6, 7);
    m_text->setWordWrap(true);
    m_text->setTextFormat(Qt::RichText);
    m_text->setTextInteractionFlags(Qt::TextSelectableByMouse | Qt::TextSelectableByKeyboard);
    layout->addWidget(m_text, 1);
    auto* close = new QToolButton(this);
    close->setText(QStringLiteral("✕"));
    close->setToolTip(tr("Close this message"));
    close->setAccessibleName(tr("Close this message"));
    connect(close, &QToolButton::clicked, this, &QWidget::hide);
    layout->addWidget(close, 0, Qt::AlignTop);
    m_leave->setSingleShot(true);
    connect(m_leave, &QTimer::timeout, this, &QWidget::hide);
    hide();
}

void MessageBar::showMessage(const QString& title, const QString& text, bool error) {
    m_text->setText(QStringLiteral("<b>%1</b> &nbsp;%2").arg(title.toHtmlEscaped(), text.toHtmlEscaped()));
    setProperty("error", error);
    style()->unpolish(this);
    style()->polish(this);
    show();
    if (error) {
        m_leave->stop();
    } else {
        m_leave->start(kGoodNewsMs);
    }
}

QString MessageBar::text() const { return m_text->text(); }

}  // namespace eigenscope
