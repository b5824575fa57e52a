// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/model/units.h"

#include <QLocale>

#include <array>
#include <cmath>

namespace eigenscope {

namespace {

// Three significant digits: what a reader compares at a glance.
QString threeDigits(double value) {
    const double size = std::abs(value);
    const int decimals = size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2;
    return QLocale().toString(value, 'f', decimals);
}

}  // namespace

QString bytesText(double bytes) {
    static constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
    std::size_t unit = 0;
    while (std::abs(bytes) >= 1000.0 && unit + 1 < kUnits.size()) {
        bytes /= 1024.0;
        ++unit;
    }
    const QString number = unit == 0 ? QLocale().toString(bytes, 'f', 0) : threeDigits(bytes);
    return QStringLiteral("%1 %2").arg(number, QLatin1String(kUnits[unit]));
}

QString countText(std::int64_t count) { return QLocale().toString(static_cast<qlonglong>(count)); }

QString shortCountText(double count) {
    if (std::abs(count) >= 999.5e6) {
        return threeDigits(count / 1e9) + QStringLiteral(" B");
    }
    if (std::abs(count) >= 999.5e3) {
        return threeDigits(count / 1e6) + QStringLiteral(" M");
    }
    if (std::abs(count) >= 9999.5) {
        return threeDigits(count / 1e3) + QStringLiteral("k");
    }
    return QLocale().toString(count, 'f', 0);
}

QString ratioText(double ratio) { return QLocale().toString(ratio, 'f', 3); }
QString percentText(double fraction) { return threeDigits(fraction * 100.0) + QStringLiteral(" %"); }

QString millisecondsText(double ms) {
    return ms >= 999.5 ? threeDigits(ms / 1000.0) + QStringLiteral(" s")
                       : threeDigits(ms) + QStringLiteral(" ms");
}

QString secondsText(double seconds) {
    return seconds < 999.5e-6 ? threeDigits(seconds * 1e6) + QStringLiteral(" µs")
                              : millisecondsText(seconds * 1e3);
}

QString figureText(double value) { return threeDigits(value); }

QString perplexityText(double perplexity) { return threeDigits(perplexity); }

}  // namespace eigenscope
