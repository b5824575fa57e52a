// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/compare/text_choice.h"

#include "ui/model/settings.h"

#include <QFileDialog>
#include <QFileInfo>
#include <QHBoxLayout>
#include <QLineEdit>
#include <QToolButton>

namespace eigenscope {

TextChoice::TextChoice(Settings& settings, QWidget* parent) : QWidget(parent) {
    auto* row = new QHBoxLayout(this);
    row->setContentsMargins(0, 0, 0, 0);
    m_text = new QLineEdit(this);
    m_text->setPlaceholderText(tr("Text to measure on"));
    m_text->setAccessibleName(tr("Text file to measure on"));
    m_text->setObjectName(QStringLiteral("measureText"));
    auto* browse = new QToolButton(this);
    browse->setText(QStringLiteral("…"));
    browse->setProperty("outlined", true);
    browse->setAccessibleName(tr("Choose a text file"));
    browse->setToolTip(tr("Choose a text file"));
    row->addWidget(m_text, 1);
    row->addWidget(browse);
    connect(browse, &QToolButton::clicked, this, [this, &settings] {
        const QString purpose = QStringLiteral("text");
        const QString file = QFileDialog::getOpenFileName(
            this, tr("Text to measure on"), settings.folder(purpose), tr("Text (*.txt *.md);;All files (*)"));
        if (!file.isEmpty()) {
            settings.setFolder(purpose, QFileInfo(file).absolutePath());
            m_text->setText(file);
        }
    });
}

void TextChoice::suggest(const QString& file) {
    if (!file.isEmpty()) {
        m_text->setText(file);
        m_text->setCursorPosition(static_cast<int>(file.size()));
    }
}

QString TextChoice::file() const { return m_text->text().trimmed(); }

}  // namespace eigenscope
