// SPDX-License-Identifier: GPL-3.0-or-later
// Which texts to calibrate on: one file, or several with a weight each; the field of JSON records and what
// becomes of document boundaries. GUI thread.
#pragma once

#include "core/calibration/corpus_sample.h"

#include <QString>
#include <QStringList>
#include <QWidget>

#include <vector>

class QComboBox;
class QDoubleSpinBox;
class QLineEdit;
class QPushButton;
class QToolButton;
class QVBoxLayout;

namespace eigenscope {

class CorpusEditor : public QWidget {
    Q_OBJECT
public:
    static constexpr int kMostFiles = 12;

    explicit CorpusEditor(QWidget* parent = nullptr);
    void setFiles(const QStringList& files);  // in place of what is there
    void addFiles(const QStringList& files);  // into an empty row first
    QStringList files() const;                // those that are filled in
    QString problem() const;                  // what is wrong, for people; empty: nothing
    QString fact() const;                     // "294 KiB of text in 2 files"
    CorpusSpec spec() const;

signals:
    void changed();
    void submitted();  // Return in a line
    void browseRequested();

private:
    struct Row {
        QWidget* box;
        QLineEdit* file;
        QDoubleSpinBox* weight;
        QToolButton* remove;
    };
    void addRow(const QString& file);
    void removeRow(QWidget* box);
    void rowsChanged();
    void buildOptions();

    std::vector<Row> m_rows;
    QVBoxLayout* m_list = nullptr;
    QPushButton *m_add = nullptr, *m_browse = nullptr;
    QLineEdit* m_field = nullptr;
    QComboBox* m_documents = nullptr;
};

}  // namespace eigenscope
