// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/window/help_window.h"

#include "ui/widgets/theme.h"

#include <QAction>
#include <QFile>
#include <QFontDatabase>
#include <QFontInfo>
#include <QHBoxLayout>
#include <QKeyEvent>
#include <QLineEdit>
#include <QListWidget>
#include <QShortcut>
#include <QTextBlock>
#include <QTextBrowser>
#include <QTextDocument>
#include <QTextTable>

#include <algorithm>
#include <utility>
#include <vector>

// The pages are in a static library: without this the linker leaves them out. Must stand outside any
// namespace.
static void loadHelp() { Q_INIT_RESOURCE(help); }

namespace eigenscope {

namespace {

constexpr const char* kPages[] = {"start",     "checkpoints", "calibration", "ranks", "conversion",
                                  "benchmark", "files",       "keys",        "words"};
constexpr int kNameRole = Qt::UserRole, kTextRole = Qt::UserRole + 1;
constexpr double kHeadingScale[] = {1.55, 1.2, 1.05}, kCodeScale = 0.88;
constexpr int kLineHeight = 125;  // per cent

double pointSize(const QFont& font) { return QFontInfo(font).pointSizeF(); }

// Without the licence line, which Markdown would show.
QString readPage(const QString& name) {
    QFile file(QStringLiteral(":/help/%1.md").arg(name));
    file.open(QIODevice::ReadOnly);
    const QString text = QString::fromUtf8(file.readAll());
    return text.mid(text.indexOf(QLatin1Char('#')));
}

QString titleOf(const QString& text) { return text.section(QLatin1Char('\n'), 0, 0).mid(2); }

// A block of commands, not a sentence with some code in it.
bool isCode(const QTextBlock& block) {
    return block.blockFormat().hasProperty(QTextFormat::BlockCodeLanguage);
}

void setCodeFont(QTextCursor& cursor, const QFont& base) {
    QTextCharFormat format;
    format.setFontFamilies({QFontDatabase::systemFont(QFontDatabase::FixedFont).family()});
    format.setFontPointSize(kCodeScale * pointSize(base));
    cursor.mergeCharFormat(format);
}

void styleBlock(const QTextBlock& block, const ThemeColours& colours, const QFont& base) {
    QTextCursor cursor(block);
    QTextBlockFormat format = block.blockFormat();
    const int heading = format.headingLevel();
    if (heading > 0) {
        QTextCharFormat characters;
        characters.setFontPointSize(pointSize(base) * kHeadingScale[std::min(heading, 3) - 1]);
        characters.setFontWeight(QFont::DemiBold);
        format.setTopMargin(heading == 1 ? 0 : 1.6 * kMargin);
        format.setBottomMargin(0.6 * kGap);
        cursor.setBlockFormat(format);
        cursor.select(QTextCursor::BlockUnderCursor);
        cursor.mergeCharFormat(characters);
        return;
    }
    const bool in_table = cursor.currentTable() != nullptr;
    if (isCode(block) && !in_table) {
        format.setBackground(colours.window);
        format.setTopMargin(isCode(block.previous()) ? 0 : 0.5 * kGap);
        format.setBottomMargin(isCode(block.next()) ? 0 : kGap);
    } else if (!in_table) {
        format.setTopMargin(0);
        format.setBottomMargin(block.textList() != nullptr ? 0.4 * kGap : 0.8 * kGap);
        format.setLineHeight(kLineHeight, QTextBlockFormat::ProportionalHeight);
    }
    cursor.setBlockFormat(format);
    std::vector<std::pair<int, int>> code;  // changing formats ends iteration
    for (auto i = block.begin(); !i.atEnd(); ++i) {
        if (isCode(block) || i.fragment().charFormat().fontFixedPitch())
            code.emplace_back(i.fragment().position(), i.fragment().position() + i.fragment().length());
    }
    for (const auto& [begin, end] : code) {
        cursor.setPosition(begin);
        cursor.setPosition(end, QTextCursor::KeepAnchor);
        setCodeFont(cursor, base);
    }
}

void styleTables(QTextFrame* frame, const ThemeColours& colours) {
    for (QTextFrame* child : frame->childFrames()) {
        if (auto* table = qobject_cast<QTextTable*>(child)) {
            QTextTableFormat format = table->format();
            format.setBorderCollapse(true);
            format.setBorder(1);
            format.setBorderBrush(colours.line);
            format.setBorderStyle(QTextFrameFormat::BorderStyle_Solid);
            format.setCellPadding(5);
            format.setCellSpacing(0);
            format.setTopMargin(0.5 * kGap);
            format.setBottomMargin(kGap);
            format.setWidth(QTextLength(QTextLength::PercentageLength, 100));
            table->setFormat(format);
        }
        styleTables(child, colours);
    }
}

}  // namespace

HelpWindow::HelpWindow(Theme& theme, QWidget* parent) : QWidget(parent, Qt::Window), m_theme(theme) {
    loadHelp();
    setWindowTitle(tr("Help – Eigenscope"));
    setObjectName(QStringLiteral("help"));
    resize(1080, 760);
    auto* row = new QHBoxLayout(this);
    row->setContentsMargins(kGap, kGap, kGap, kGap);
    row->setSpacing(kGap);
    auto* column = new QVBoxLayout;
    column->setSpacing(kGap);
    m_find = new QLineEdit(this);
    m_find->setObjectName(QStringLiteral("helpFind"));
    m_find->setPlaceholderText(tr("Find in the help"));
    m_find->setClearButtonEnabled(true);
    column->addWidget(m_find);
    m_pages = new QListWidget(this);
    m_pages->setObjectName(QStringLiteral("helpPages"));
    m_pages->setAccessibleName(tr("Pages"));
    m_pages->setProperty("outlined", true);
    column->addWidget(m_pages, 1);
    row->addLayout(column);
    m_find->setFixedWidth(220);
    m_pages->setFixedWidth(220);
    m_text = new QTextBrowser(this);
    m_text->setObjectName(QStringLiteral("helpText"));
    m_text->setOpenLinks(false);
    m_text->document()->setDocumentMargin(1.5 * kMargin);
    row->addWidget(m_text, 1);

    for (const char* page : kPages) {
        const QString name = QString::fromLatin1(page), text = readPage(name);
        auto* item = new QListWidgetItem(titleOf(text), m_pages);
        item->setData(kNameRole, name);
        item->setData(kTextRole, text);
    }
    connect(m_pages, &QListWidget::currentRowChanged, this, &HelpWindow::render);
    connect(m_find, &QLineEdit::textChanged, this, &HelpWindow::search);
    connect(&theme, &Theme::changed, this, &HelpWindow::render);
    connect(new QShortcut(QKeySequence::Find, this), &QShortcut::activated, m_find,
            qOverload<>(&QWidget::setFocus));
    m_pages->setCurrentRow(0);
}

void HelpWindow::open(const QString& page) {
    m_find->clear();
    for (int row = 0; row < m_pages->count(); ++row) {
        if (m_pages->item(row)->data(kNameRole) == page)
            m_pages->setCurrentRow(row);
    }
    show();
    raise();
    activateWindow();
    m_pages->setFocus();
}

void HelpWindow::keyPressEvent(QKeyEvent* event) {
    if (event->key() == Qt::Key_Escape)
        close();
    else
        QWidget::keyPressEvent(event);
}

void HelpWindow::render() {
    const QListWidgetItem* item = m_pages->currentItem();
    if (!item)
        return;
    const ThemeColours& colours = m_theme.colours();
    QTextDocument* document = m_text->document();
    document->setMarkdown(item->data(kTextRole).toString(), QTextDocument::MarkdownDialectGitHub);
    for (QTextBlock block = document->begin(); block.isValid(); block = block.next())
        styleBlock(block, colours, m_text->font());
    styleTables(document->rootFrame(), colours);
    m_text->moveCursor(QTextCursor::Start);

    QList<QTextEdit::ExtraSelection> marks;
    const QString words = m_find->text().trimmed();
    for (QTextCursor found = document->find(words); !words.isEmpty() && !found.isNull();
         found = document->find(words, found)) {
        QTextEdit::ExtraSelection mark;
        mark.cursor = found;
        mark.format.setBackground(colours.value_wash);
        mark.format.setForeground(colours.text);
        marks.append(mark);
    }
    m_text->setExtraSelections(marks);
    if (!marks.isEmpty()) {
        QTextCursor first = marks.front().cursor;
        first.clearSelection();
        m_text->setTextCursor(first);
        m_text->ensureCursorVisible();
    }
}

void HelpWindow::search(const QString& words) {
    const QString wanted = words.trimmed();
    int first = -1;
    for (int row = 0; row < m_pages->count(); ++row) {
        QListWidgetItem* item = m_pages->item(row);
        const bool found =
            wanted.isEmpty() || item->data(kTextRole).toString().contains(wanted, Qt::CaseInsensitive);
        item->setHidden(!found);
        if (found && first < 0)
            first = row;
    }
    const QListWidgetItem* current = m_pages->currentItem();
    if (first >= 0 && (!current || current->isHidden()))
        m_pages->setCurrentRow(first);  // renders
    else
        render();
}

}  // namespace eigenscope
