// SPDX-License-Identifier: Apache-2.0
// What quantising the cache costs the demo models, on text they were not trained on.
#include "core/evaluation/compare.h"
#include "core/evaluation/perplexity.h"
#include "tests/core/method_support.h"
#include "tests/support/backends.h"

#include <QTest>

#include <cmath>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

const std::filesystem::path kDemo = EIGENSCOPE_SOURCE_DIR "/resources/demo";

PerplexityOptions fewWindows(const KvFormat& format) {
    PerplexityOptions options;
    options.windows = 16;
    options.run.kv_format = format;
    return options;
}

}  // namespace

class TestKvQuality : public QObject {
    Q_OBJECT
private slots:
    void eightBitsAreNearlyLossless_data() {
        QTest::addColumn<QString>("model");
        for (const char* name : {"llama-stories", "opt-stories", "mpt-stories"}) {
            QTest::newRow(name) << name;
        }
    }
    void eightBitsAreNearlyLossless() {
        QFETCH(QString, model);
        const auto cpu = hostBackend("cpu");
        if (!cpu) {
            QSKIP("no CPU backend");
        }
        JobContext job;
        const OpenModel open = openModel(job, cpu, kDemo / model.toStdString());
        const auto text = kDemo / "text" / "heldout.txt";
        const double dense = perplexity(job, open, text, fewWindows(DType::F32)).perplexity;
        double previous = 0.0;
        for (const int bits : {8, 4, 3, 2}) {
            const double found =
                perplexity(job, open, text, fewWindows(KvFormat::quantised(bits))).perplexity;
            const double lost = std::log(found / dense);
            if (bits == 8) {
                QVERIFY2(std::abs(lost) < 0.001, qPrintable(QString::number(lost)));
            } else {
                QVERIFY2(lost > previous, qPrintable(QString::number(lost)));  // each bit less costs more
                previous = lost;
            }
        }
    }
};

QTEST_GUILESS_MAIN(TestKvQuality)
#include "tst_kv_quality.moc"
