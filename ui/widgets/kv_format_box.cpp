// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/widgets/kv_format_box.h"

namespace eigenscope {

namespace {

QString nameText(std::string_view name) {
    return QString::fromUtf8(name.data(), static_cast<int>(name.size()));
}

}  // namespace

KvFormatBox::KvFormatBox(QWidget* parent) : QComboBox(parent) {
    setAccessibleName(tr("KV-cache format"));
    setToolTip(tr(
        "How keys and values are held in the cache.\n"
        "Automatic: the bits a converted model was planned with, else the checkpoint's type.\n"
        "8, 4, 3 and 2 bit: codes of that size, and a scale and a minimum for every 32 elements of a token, "
        "all counted."));
    addItem(tr("automatic"), QString());
    for (const std::string_view name : kKvFormatNames) {
        addItem(kvFormatText(*kvFormatFromName(name)), nameText(name));
    }
}

std::optional<KvFormat> KvFormatBox::format() const {
    return kvFormatFromName(currentData().toString().toStdString());
}

void KvFormatBox::setFormat(const std::optional<KvFormat>& format) {
    setCurrentIndex(std::max(0, format ? findData(nameText(nameOf(*format))) : 0));
}

QString kvFormatText(const KvFormat& format) {
    return format.planned     ? KvFormatBox::tr("as planned")
           : format.bits != 0 ? KvFormatBox::tr("%1 bit").arg(format.bits)
                              : nameText(nameOf(format));
}

}  // namespace eigenscope
