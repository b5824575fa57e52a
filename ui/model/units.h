// SPDX-License-Identifier: GPL-3.0-or-later
// Numbers as the window writes them: tabular, with units, in the user's locale. Pure functions.
#pragma once

#include <QString>

#include <cstdint>

namespace eigenscope {

QString bytesText(double bytes);            // "306 KiB", "1.53 GiB"
QString countText(std::int64_t count);      // "32,000"
QString shortCountText(double count);       // "6.74 B", "21.9k"
QString ratioText(double ratio);            // "0.598"
QString percentText(double fraction);       // "1.8 %"
QString millisecondsText(double ms);        // "11.2 ms", "1.35 s"
QString secondsText(double seconds);        // "31.2 µs", "11.2 ms", "1.35 s"
QString figureText(double value);           // three digits: "0.42", "83.1", "12,345"
QString perplexityText(double perplexity);  // "5.47"

}  // namespace eigenscope
