// SPDX-License-Identifier: GPL-3.0-or-later
// A spectrum as a picture, drawn with the window's own plots on no screen at all. Only in programs built with
// the window. Main thread.
#pragma once

#include "core/spectrum/spectrum.h"

#include <string>

namespace eigenscope {

void writeSpectrumPng(const Spectrum& spectrum, int layer, const std::string& file);  // throws Error

}  // namespace eigenscope
