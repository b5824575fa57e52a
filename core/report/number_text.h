// SPDX-License-Identifier: Apache-2.0
// Numbers as reports and the terminal write them: units spelled out, no locale. Pure functions.
#pragma once

#include <cstdint>
#include <string>

namespace eigenscope::text {

std::string bytes(double bytes);                    // "306 KiB", "1.53 GiB"
std::string count(std::int64_t count);              // "32,000"
std::string shortCount(double count);               // "6.74 B", "1.02 M", "512"
std::string percent(double fraction);               // "1.8 %"
std::string milliseconds(double ms);                // "11.2 ms", "1.35 s"
std::string seconds(double seconds);                // "0:07", "1:02:30"
std::string fixed(double value, int digits);        // "5.47"; "-" for what is not a number
std::string significant(double value, int digits);  // "0.0123"; "-" for what is not a number

}  // namespace eigenscope::text
