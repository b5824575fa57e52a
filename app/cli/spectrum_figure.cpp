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
    // Qt's remarks about the desktop (there is none) are nothing to the user.
    const QtMessageHandler before =
        qInstallMessageHandler([](QtMsgType, const QMessageLogContext&, const QString&) {});
    const QApplication application(count, arguments);
    std::string error;
    const bool drawn = renderSpectrumPng(spectrum, layer, file, &error);
    qInstallMessageHandler(before);
    if (!drawn)
        throw Error(ErrorCode::Io, error);
}

}  // namespace eigenscope
