// SPDX-License-Identifier: GPL-3.0-or-later
// A combo box of KV-cache formats: automatic, dtypes, and bits. GUI thread.
#pragma once

#include "core/model/kv_format.h"

#include <QComboBox>

#include <optional>

namespace eigenscope {

class KvFormatBox : public QComboBox {
    Q_OBJECT
public:
    explicit KvFormatBox(QWidget* parent = nullptr);
    std::optional<KvFormat> format() const;  // empty: automatic
    void setFormat(const std::optional<KvFormat>& format);
};

// The same words everywhere: "f16", "4 bit", "as planned".
QString kvFormatText(const KvFormat& format);

}  // namespace eigenscope
