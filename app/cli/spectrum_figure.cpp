// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/spectrum_figure.h"

#include "kernels/api/error.h"
#include "ui/export/spectrum_png.h"

#include <QApplication>

namespace eigenscope {

void writeSpectrumPng(const Spectrum& spectrum, int layer, const std::string& file) {
    char program[] = "eigenscope-cli", option[] = "-platform", platform[] = "offscreen";
    char* arguments[] = {program, option, platform, nullptr};
    int count = 3;
    const QApplication application(count, arguments);
    std::string error;
    if (!renderSpectrumPng(spectrum, layer, file, &error))
        throw Error(ErrorCode::Io, error);
}

}  // namespace eigenscope
