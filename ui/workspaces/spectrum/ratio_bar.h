// SPDX-License-Identifier: GPL-3.0-or-later
// The KV cache as one bar: what keys keep, what values keep, and what is saved. GUI thread.
#pragma once

#include <QWidget>

namespace eigenscope {

class Theme;

class RatioBar : public QWidget {
    Q_OBJECT
public:
    explicit RatioBar(const Theme& theme, QWidget* parent = nullptr);
    void setRatios(double keys, double values);  // of keys and of values alone, each in [0, 1]
    QSize sizeHint() const override { return {200, 32}; }
    QSize minimumSizeHint() const override { return {120, 32}; }

protected:
    void paintEvent(QPaintEvent* event) override;

private:
    const Theme& m_theme;
    double m_keys = 1.0, m_values = 1.0;
};

}  // namespace eigenscope
