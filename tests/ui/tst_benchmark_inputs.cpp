// SPDX-License-Identifier: Apache-2.0
// Lists of numbers as users type them, contexts that suit a model, formats as settings keep them.
#include "ui/model/benchmark_inputs.h"

#include <QTest>

using namespace eigenscope;

using Numbers = std::vector<std::int64_t>;
Q_DECLARE_METATYPE(Numbers)

class TestBenchmarkInputs : public QObject {
    Q_OBJECT
private slots:
    void listsOfNumbers_data() {
        QTest::addColumn<QString>("text");
        QTest::addColumn<Numbers>("numbers");
        QTest::newRow("commas") << "512, 2048,8192" << Numbers{512, 2048, 8192};
        QTest::newRow("spaces and semicolons") << "  1 2;3\t4 " << Numbers{1, 2, 3, 4};
        QTest::newRow("k") << "2k, 128K" << Numbers{2048, 131072};
        QTest::newRow("each once, in their order") << "64 32 64 32" << Numbers{64, 32};
        QTest::newRow("the most") << "1000000" << Numbers{1000000};
        QTest::newRow("k up to the most") << "976k" << Numbers{999424};
    }
    void listsOfNumbers() {
        QFETCH(QString, text);
        QFETCH(Numbers, numbers);
        QString error;
        QCOMPARE(numberList(text, 1000000, &error), numbers);
        QVERIFY2(error.isEmpty(), qPrintable(error));
        QString again;
        QCOMPARE(numberList(listText(numbers), 1000000, &again), numbers);
    }

    void whatIsNoList_data() {
        QTest::addColumn<QString>("text");
        QTest::addColumn<QString>("named");
        QTest::newRow("nothing") << ""
                                 << "at least one";
        QTest::newRow("separators alone") << " , ;"
                                          << "at least one";
        QTest::newRow("zero") << "16, 0"
                              << "“0”";
        QTest::newRow("negative") << "-16"
                                  << "“-16”";
        QTest::newRow("a fraction") << "1.5"
                                    << "“1.5”";
        QTest::newRow("a thousands separator") << "2,048"
                                               << "“048”";
        QTest::newRow("a word") << "16 many"
                                << "“many”";
        QTest::newRow("k alone") << "k"
                                 << "“k”";
        QTest::newRow("beyond the most") << "1000001"
                                         << "“1000001”";
        QTest::newRow("k beyond the most") << "977k"
                                           << "“977k”";
        QTest::newRow("beyond 64 bits") << "18446744073709551617"
                                        << "“18446744073709551617”";
        QTest::newRow("k beyond 64 bits") << "18014398509481984k"
                                          << "“18014398509481984k”";
        QTest::newRow("too many") << "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17"
                                  << "found 17";
    }
    void whatIsNoList() {
        QFETCH(QString, text);
        QFETCH(QString, named);
        QString error;
        QVERIFY(numberList(text, 1000000, &error).empty());
        QVERIFY2(error.contains(named), qPrintable(error));
    }

    void contextsThatSuitAModel() {
        QCOMPARE(suggestedContexts(512), (Numbers{64, 128, 256, 512}));
        QCOMPARE(suggestedContexts(4096), (Numbers{512, 1024, 2048, 4096}));
        QCOMPARE(suggestedContexts(131072), (Numbers{1024, 2048, 4096, 8192}));
        QCOMPARE(suggestedContexts(200), (Numbers{100, 200}));
        QCOMPARE(suggestedContexts(8), (Numbers{8}));
    }

    void formatsAreKept() {
        QVERIFY(formatSetting({}).isEmpty());
        QVERIFY(!formatFromSetting({}));
        QVERIFY(!formatFromSetting("f7"));
        KvFormat grouped = KvFormat::quantised(3);
        grouped.group = 64;
        grouped.keys = KvGrouping::Channel;
        grouped.recent = 48;
        for (const KvFormat& format : {KvFormat(DType::F16), KvFormat::quantised(8), grouped}) {
            QVERIFY(formatFromSetting(formatSetting(format)) == format);
        }
        // Groups that no cache has: the bits alone.
        QVERIFY(formatFromSetting("q4/-3/token/0") == KvFormat::quantised(4));
        QVERIFY(formatFromSetting("q4") == KvFormat::quantised(4));
    }
};

QTEST_GUILESS_MAIN(TestBenchmarkInputs)
#include "tst_benchmark_inputs.moc"
