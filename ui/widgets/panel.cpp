// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/panel.h"

#include "ui/widgets/elided_label.h"
#include "ui/widgets/theme.h"

#include <QEvent>
#include <QHBoxLayout>
#include <QPushButton>
#include <QScrollArea>
#include <QScrollBar>

namespace eigenscope {

namespace {

QLabel* roleLabel(const QString& text, const char* role, QWidget* parent) {
    auto* label = new QLabel(text, parent);
    label->setProperty("role", role);
    return label;
}

// Scrolls down only: as wide as its content needs at least, with the scroll bar.
class DownScrollArea : public QScrollArea {
public:
    using QScrollArea::QScrollArea;
    QSize minimumSizeHint() const override {
        const int width = widget() ? widget()->minimumSizeHint().width() : 0;
        return {width + verticalScrollBar()->sizeHint().width(), 60};
    }

protected:
    bool eventFilter(QObject* watched, QEvent* event) override {
        if (watched == widget() && event->type() == QEvent::LayoutRequest) {
            updateGeometry();
        }
        return QScrollArea::eventFilter(watched, event);
    }
};

}  // namespace

Panel::Panel(const QString& title, QWidget* parent) : QFrame(parent) {
    setProperty("panel", true);
    auto* outer = new QVBoxLayout(this);
    outer->setContentsMargins(kMargin, kMargin - 2, kMargin, kMargin);
    outer->setSpacing(8);
    m_header = new QHBoxLayout;
    m_header->setSpacing(8);
    m_title = roleLabel(title, "title", this);
    m_note = new ElidedLabel({}, this);
    m_note->setProperty("role", "muted");
    m_header->addWidget(m_title);
    m_header->addWidget(m_note);
    m_header->addStretch(1);
    outer->addLayout(m_header);
    m_body = new QVBoxLayout;
    m_body->setSpacing(8);
    outer->addLayout(m_body, 1);
    setTitle(title);
    setNote({});
}

void Panel::setTitle(const QString& title) {
    m_title->setText(title);
    m_title->setVisible(!title.isEmpty());
}

void Panel::setNote(const QString& text) {
    m_note->setText(text);
    m_note->setVisible(!text.isEmpty());
}

QScrollArea* scrolledDown(QWidget* content) {
    auto* scroll = new DownScrollArea(content->parentWidget());
    scroll->setWidget(content);
    scroll->setWidgetResizable(true);
    scroll->setFrameShape(QFrame::NoFrame);
    scroll->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    scroll->setFocusPolicy(Qt::NoFocus);
    return scroll;
}

EmptyState::EmptyState(const QString& title, const QString& text, const QString& action, QWidget* parent)
    : QWidget(parent) {
    auto* layout = new QVBoxLayout(this);
    layout->setSpacing(10);
    layout->addStretch(2);
    m_title = roleLabel(title, "headline", this);
    m_title->setAlignment(Qt::AlignCenter);
    layout->addWidget(m_title);
    m_text = mutedLabel(text, this);
    m_text->setAlignment(Qt::AlignCenter);
    m_text->setWordWrap(true);
    layout->addWidget(m_text);
    if (!action.isEmpty()) {
        auto* button = new QPushButton(action, this);
        setPrimary(button);
        connect(button, &QPushButton::clicked, this, &EmptyState::activated);
        layout->addSpacing(6);
        layout->addWidget(button, 0, Qt::AlignHCenter);
    }
    layout->addStretch(3);
}

void EmptyState::setText(const QString& title, const QString& text) {
    m_title->setText(title);
    m_text->setText(text);
}

QLabel* mutedLabel(const QString& text, QWidget* parent) { return roleLabel(text, "muted", parent); }

QLabel* figureLabel(const QString& text, QWidget* parent) {
    auto* label = roleLabel(text, "figure", parent);
    label->setAlignment(Qt::AlignRight | Qt::AlignVCenter);
    label->setTextInteractionFlags(Qt::TextSelectableByMouse);
    return label;
}

void setPrimary(QWidget* button) { button->setProperty("primary", true); }

}  // namespace eigenscope
