// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/spectrum/corpus_editor.h"

#include "ui/model/units.h"
#include "ui/widgets/panel.h"
#include "ui/widgets/tab_order.h"

#include <QComboBox>
#include <QDoubleSpinBox>
#include <QFileInfo>
#include <QHBoxLayout>
#include <QLineEdit>
#include <QPushButton>
#include <QToolButton>
#include <QVBoxLayout>

#include <algorithm>

namespace eigenscope {

namespace {

constexpr int kSpacing = 6;

// The height of a line, said outright: rows that come later are laid out before they have their style.
int lineHeight(const QWidget& widget) { return widget.fontMetrics().height() + 13; }

}  // namespace

CorpusEditor::CorpusEditor(QWidget* parent) : QWidget(parent) {
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(kSpacing);
    m_list = new QVBoxLayout;
    m_list->setSpacing(kSpacing);
    column->addLayout(m_list);
    buildOptions();
    addRow({});
}

void CorpusEditor::buildOptions() {
    auto* buttons = new QHBoxLayout;
    buttons->setSpacing(8);
    m_browse = new QPushButton(tr("Browse…"), this);
    m_browse->setAccessibleName(tr("Browse for calibration texts"));
    m_browse->setToolTip(tr("Choose one file or several. Files can be dropped here, too."));
    m_add = new QPushButton(tr("Add a text"), this);
    m_add->setObjectName(QStringLiteral("addText"));
    m_add->setToolTip(tr("Mix several texts: each gives its share of the windows."));
    m_field = new QLineEdit(this);
    m_field->setObjectName(QStringLiteral("textField"));
    m_field->setAccessibleName(tr("Text field"));
    m_field->setPlaceholderText(tr("text"));
    m_field->setFixedWidth(90);
    m_field->setToolTip(
        tr("Field of JSON records that holds the text. Left empty: “text”, or instruction, "
           "input and output."));
    m_documents = new QComboBox(this);
    m_documents->setObjectName(QStringLiteral("documents"));
    m_documents->setAccessibleName(tr("Documents"));
    m_documents->setToolTip(
        tr("Whether a window of JSON records lies within one document, or documents are packed one behind "
           "the other with the end-of-sequence token between. Automatic: apart when enough documents are "
           "long enough. A plain text is one document."));
    m_documents->addItem(tr("automatic"), static_cast<int>(DocumentRule::Auto));
    m_documents->addItem(tr("apart"), static_cast<int>(DocumentRule::Separate));
    m_documents->addItem(tr("packed"), static_cast<int>(DocumentRule::Packed));
    const auto label = [this](const QString& text, QWidget* buddy) {
        auto* made = mutedLabel(text, this);
        made->setBuddy(buddy);
        made->setToolTip(buddy->toolTip());
        return made;
    };
    buttons->addWidget(m_browse);
    buttons->addWidget(m_add);
    buttons->addStretch(1);
    auto* records = new QHBoxLayout;
    records->setSpacing(8);
    records->addWidget(label(tr("Field"), m_field));
    records->addWidget(m_field);
    records->addSpacing(8);
    records->addWidget(label(tr("Documents"), m_documents));
    records->addWidget(m_documents);
    records->addStretch(1);
    auto* column = static_cast<QVBoxLayout*>(layout());
    column->addLayout(buttons);
    column->addLayout(records);
    connect(m_browse, &QPushButton::clicked, this, &CorpusEditor::browseRequested);
    connect(m_add, &QPushButton::clicked, this, [this] {
        addRow({});
        m_rows.back().file->setFocus();
    });
    connect(m_field, &QLineEdit::textChanged, this, &CorpusEditor::changed);
    connect(m_documents, &QComboBox::currentIndexChanged, this, &CorpusEditor::changed);
}

void CorpusEditor::addRow(const QString& file) {
    if (m_rows.size() >= static_cast<std::size_t>(kMostFiles)) {
        return;
    }
    Row row{};
    row.box = new QWidget(this);
    auto* line = new QHBoxLayout(row.box);
    line->setContentsMargins(0, 0, 0, 0);
    line->setSpacing(6);
    row.file = new QLineEdit(file, row.box);
    row.file->setObjectName(m_rows.empty() ? QStringLiteral("calibrationText")
                                           : QStringLiteral("calibrationText%1").arg(m_rows.size() + 1));
    row.file->setAccessibleName(tr("Calibration text"));
    row.file->setPlaceholderText(tr("A text file like what the model will read"));
    row.file->setToolTip(
        tr("Plain UTF-8 text, or JSON records (.jsonl, .json), packed with gzip or not. The "
           "closer to what the model will read, the better the bases."));
    row.file->setAcceptDrops(false);  // dropped files go to the form, not into the line as an address
    row.weight = new QDoubleSpinBox(row.box);
    row.weight->setObjectName(QStringLiteral("textWeight"));
    row.weight->setRange(0.01, 1000);
    row.weight->setValue(1);
    row.weight->setFixedWidth(84);
    row.weight->setAccessibleName(tr("Weight"));
    row.weight->setToolTip(tr("This text's share of the windows, relative to the other weights"));
    row.remove = new QToolButton(row.box);
    row.remove->setText(QStringLiteral("×"));
    row.remove->setAccessibleName(tr("Remove this text"));
    row.remove->setToolTip(row.remove->accessibleName());
    line->addWidget(row.file, 1);
    line->addWidget(row.weight);
    line->addWidget(row.remove);
    row.box->setMinimumHeight(lineHeight(*this));
    m_list->addWidget(row.box);
    connect(row.file, &QLineEdit::textChanged, this, &CorpusEditor::changed);
    connect(row.file, &QLineEdit::returnPressed, this, &CorpusEditor::submitted);
    connect(row.weight, &QDoubleSpinBox::valueChanged, this, &CorpusEditor::changed);
    connect(row.remove, &QToolButton::clicked, this, [this, box = row.box] { removeRow(box); });
    m_rows.push_back(row);
    rowsChanged();
    row.box->show();  // at once, so that it can take the focus
}

void CorpusEditor::removeRow(QWidget* box) {
    std::erase_if(m_rows, [box](const Row& row) { return row.box == box; });
    box->hide();
    box->deleteLater();
    if (m_rows.empty()) {
        addRow({});
    }
    rowsChanged();
}

void CorpusEditor::rowsChanged() {
    const bool several = m_rows.size() > 1;
    for (const Row& row : m_rows) {
        row.weight->setVisible(several);
        row.remove->setVisible(several);
    }
    tabInReadingOrder(this);
    const int lines = static_cast<int>(m_rows.size()) + 2;  // and the buttons and options below
    setMinimumHeight(lines * (lineHeight(*this) + kSpacing) - kSpacing);
    m_add->setEnabled(m_rows.size() < static_cast<std::size_t>(kMostFiles));
    emit changed();
}

void CorpusEditor::setFiles(const QStringList& files) {
    while (m_rows.size() > 1) {
        removeRow(m_rows.back().box);
    }
    m_rows.front().file->setText({});
    m_rows.front().weight->setValue(1);
    addFiles(files);
}

void CorpusEditor::addFiles(const QStringList& files) {
    for (const QString& file : files) {
        const auto empty = std::find_if(m_rows.begin(), m_rows.end(),
                                        [](const Row& row) { return row.file->text().trimmed().isEmpty(); });
        if (empty != m_rows.end()) {
            empty->file->setText(file);
        } else {
            addRow(file);
        }
    }
}

QStringList CorpusEditor::files() const {
    QStringList files;
    for (const Row& row : m_rows) {
        const QString file = row.file->text().trimmed();
        if (!file.isEmpty()) {
            files += file;
        }
    }
    return files;
}

QString CorpusEditor::problem() const {
    const QStringList chosen = files();
    if (chosen.isEmpty()) {
        return tr("Choose a text file to calibrate on.");
    }
    for (const QString& file : chosen) {
        const QFileInfo info(file);
        const QString name = chosen.size() > 1 ? info.fileName() + QStringLiteral(": ") : QString();
        if (!info.exists()) {
            return name + tr("There is no such file.");
        }
        if (!info.isFile() || !info.isReadable()) {
            return name + tr("This is not a readable file.");
        }
    }
    return {};
}

QString CorpusEditor::fact() const {
    double bytes = 0;
    const QStringList chosen = files();
    for (const QString& file : chosen) {
        bytes += static_cast<double>(QFileInfo(file).size());
    }
    return chosen.size() > 1 ? tr("%1 in %2 files").arg(bytesText(bytes)).arg(chosen.size())
                             : tr("%1 of text").arg(bytesText(bytes));
}

CorpusSpec CorpusEditor::spec() const {
    CorpusSpec spec;
    for (const Row& row : m_rows) {
        const QString file = row.file->text().trimmed();
        if (!file.isEmpty()) {
            spec.files.push_back({file.toStdString(), row.weight->value()});
        }
    }
    spec.reader.text_field = m_field->text().trimmed().toStdString();
    spec.documents = static_cast<DocumentRule>(m_documents->currentData().toInt());
    return spec;
}

}  // namespace eigenscope
