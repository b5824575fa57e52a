// SPDX-License-Identifier: GPL-3.0-or-later
// A number between 0 and 1 as name, spin box and slider that move together. GUI thread.
#pragma once

#include <QDoubleSpinBox>
#include <QWidget>

class QLabel;
class QSlider;

namespace eigenscope {

class Theme;

// Shows three decimals unless a fourth says something.
class FractionSpinBox : public QDoubleSpinBox {
    Q_OBJECT
public:
    using QDoubleSpinBox::QDoubleSpinBox;
    QString textFromValue(double value) const override;
};

class SliderRow : public QWidget {
    Q_OBJECT
public:
    // Thresholds are chosen between 0.8 and 1 more than below, error budgets below 0.1 more than above.
    enum class Scale { Linear, FineNearOne, FineNearZero };
    // role: "keys", "values" or "none"; colours name and slider.
    SliderRow(const Theme& theme, const QString& name, const QString& role, Scale scale,
              QWidget* parent = nullptr);

    double value() const;
    void setValue(double value);  // silent; ignored by the slider while it is held
    bool held() const;            // the slider is being dragged
    QSlider* slider() const { return m_slider; }
    QDoubleSpinBox* spinBox() const { return m_spin; }

signals:
    void edited(double value);  // by the user
    void dragStarted();
    void dragEnded();

private:
    int position(double value) const;
    double valueAt(int position) const;
    void recolour();

    const Theme& m_theme;
    QString m_role;
    Scale m_scale;
    QLabel* m_name;
    FractionSpinBox* m_spin;
    QSlider* m_slider;
};

}  // namespace eigenscope
