// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/spectrum/slider_row.h"

#include "ui/widgets/theme.h"
#include "ui/workspaces/spectrum/spectrum_view.h"

#include <QGridLayout>
#include <QLabel>
#include <QSignalBlocker>
#include <QSlider>

#include <algorithm>
#include <cmath>

namespace eigenscope {

namespace {
constexpr int kSteps = 2000;  // of the slider
}

QString FractionSpinBox::textFromValue(double value) const { return thresholdText(value); }

SliderRow::SliderRow(const Theme& theme, const QString& name, const QString& role, Scale scale,
                     QWidget* parent)
    : QWidget(parent),
      m_theme(theme),
      m_role(role),
      m_scale(scale),
      m_name(new QLabel(name, this)),
      m_spin(new FractionSpinBox(this)),
      m_slider(new QSlider(Qt::Horizontal, this)) {
    auto* grid = new QGridLayout(this);
    grid->setContentsMargins(0, 0, 0, 0);
    grid->setVerticalSpacing(2);
    grid->addWidget(m_name, 0, 0);
    grid->addWidget(m_spin, 0, 1);
    grid->addWidget(m_slider, 1, 0, 1, 2);
    grid->setColumnStretch(0, 1);
    m_spin->setDecimals(scale == Scale::Linear ? 3 : 4);
    m_spin->setRange(0.0, 1.0);
    m_spin->setSingleStep(0.001);
    m_spin->setKeyboardTracking(false);  // one edit when the number is complete
    m_spin->setAlignment(Qt::AlignRight);
    m_spin->setFixedWidth(76);
    m_spin->setAccessibleName(name);
    m_name->setBuddy(m_spin);
    m_slider->setRange(0, kSteps);
    m_slider->setPageStep(kSteps / 50);
    m_slider->setProperty("side", role);
    m_slider->setAccessibleName(name);
    connect(m_slider, &QSlider::sliderPressed, this, &SliderRow::dragStarted);
    connect(m_slider, &QSlider::sliderReleased, this, &SliderRow::dragEnded);
    connect(m_slider, &QSlider::valueChanged, this, [this](int position) { emit edited(valueAt(position)); });
    connect(m_spin, &QDoubleSpinBox::valueChanged, this, &SliderRow::edited);
    connect(&theme, &Theme::changed, this, &SliderRow::recolour);
    recolour();
}

void SliderRow::recolour() {
    QPalette palette = m_name->palette();
    palette.setColor(QPalette::WindowText, m_role == QLatin1String("none")
                                               ? m_theme.colours().text
                                               : m_theme.side(m_role == QLatin1String("keys")));
    m_name->setPalette(palette);
}

// Fine near one: the square of what is dropped, so that half of the slider lies above 0.75; fine near zero
// likewise.
int SliderRow::position(double value) const {
    const double share = m_scale == Scale::Linear         ? value
                         : m_scale == Scale::FineNearZero ? std::sqrt(std::max(0.0, value))
                                                          : 1.0 - std::sqrt(std::max(0.0, 1.0 - value));
    return static_cast<int>(std::lround(share * kSteps));
}

double SliderRow::valueAt(int position) const {
    const double share = static_cast<double>(position) / kSteps;
    const double value = m_scale == Scale::Linear         ? share
                         : m_scale == Scale::FineNearZero ? share * share
                                                          : 1.0 - (1.0 - share) * (1.0 - share);
    const double steps = m_scale == Scale::FineNearZero ? 10000.0 : 1000.0;
    return std::round(value * steps) / steps;
}

double SliderRow::value() const { return m_spin->value(); }

bool SliderRow::held() const { return m_slider->isSliderDown(); }

void SliderRow::setValue(double value) {
    const QSignalBlocker quiet_spin(m_spin);
    const QSignalBlocker quiet_slider(m_slider);
    m_spin->setValue(value);
    if (!held()) {
        m_slider->setValue(position(value));
    }
}

}  // namespace eigenscope
