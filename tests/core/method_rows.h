// SPDX-License-Identifier: Apache-2.0
// Test rows over the golden models of tests/golden/method: each on every host backend.
#pragma once

#include "tests/core/method_support.h"
#include "tests/support/backends.h"

#include <QTest>

namespace eigenscope::test {

inline void addMethodRows() {
    QTest::addColumn<QString>("name");
    QTest::addColumn<QString>("backend");
    for (const auto& backend : hostBackends()) {
        for (const std::string& name : methodGoldenNames())
            QTest::addRow("%s on %s", name.c_str(), backend->info().backend.c_str())
                << QString::fromStdString(name) << QString::fromStdString(backend->info().backend);
    }
}

// Of the present row.
inline MethodGolden fetchMethodGolden() {
    QFETCH(QString, name);
    QFETCH(QString, backend);
    return openMethodGolden(name.toStdString(), hostBackend(backend.toStdString()));
}

}  // namespace eigenscope::test
