// SPDX-License-Identifier: GPL-3.0-or-later
// The table of figures of both models, each measured alone, and the form that starts the measurement.
#pragma once

#include "ui/widgets/panel.h"

#include <optional>
#include <vector>

class QGridLayout;
class QPushButton;
class QSpinBox;
class QToolButton;

namespace eigenscope {

class Settings;
class TextChoice;
struct KeptMeasurement;
struct Measurement;

class MeasurementPanel : public Panel {
    Q_OBJECT
public:
    explicit MeasurementPanel(Settings& settings, QWidget* parent = nullptr);
    void suggestText(const QString& file);  // when the user has chosen none
    void setReady(bool ready, bool running);
    void show(const std::optional<Measurement>& measurement, const QString& other_name);
    void showKept(const KeptMeasurement& kept);
    void setKept(const std::vector<KeptMeasurement>& kept);  // what the list of earlier ones offers
    QString textFile() const;
    int windows() const;
    QString figure(int row, int model) const;  // 0: original, 1: other

signals:
    void measureRequested();
    void keptRequested(std::size_t index);

private:
    QGridLayout* m_grid;
    TextChoice* m_text;
    QSpinBox* m_windows;
    QPushButton* m_measure;
    QLabel* m_other_name;
    QToolButton* m_kept;
};

}  // namespace eigenscope
