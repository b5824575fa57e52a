// SPDX-License-Identifier: GPL-3.0-or-later
// A figure of one layer's key and value spectra, for programs without a window. The caller has a QApplication
// (the offscreen platform is enough) and calls from its thread; nothing global is created or changed.
#pragma once

#include "core/spectrum/spectrum.h"

#include <string>

namespace eigenscope {

// Writes `file` as PNG, whole or not at all. On failure returns false and one line in *error (may be null).
bool renderSpectrumPng(const Spectrum& spectrum, int layer, const std::string& file, std::string* error);

}  // namespace eigenscope
