// SPDX-License-Identifier: GPL-3.0-or-later
// Two columns of facts: muted name, bold figure. Rows keep their place; a value set to empty shows a dash.
#pragma once

#include <QHash>
#include <QWidget>

class QGridLayout;
class QLabel;

namespace eigenscope {

class FactList : public QWidget {
    Q_OBJECT
public:
    explicit FactList(QWidget* parent = nullptr);
    void addFact(const QString& key, const QString& name,
                 const QString& tooltip = {});  // tooltip teaches the term
    void setFact(const QString& key, const QString& value);
    QString fact(const QString& key) const;

private:
    QGridLayout* m_grid;
    QHash<QString, QLabel*> m_values;
};

}  // namespace eigenscope
