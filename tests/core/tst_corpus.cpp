// SPDX-License-Identifier: Apache-2.0
#include "core/base/atomic_output.h"
#include "core/calibration/corpus.h"
#include "tests/core/method_support.h"
#include "tests/support/backends.h"
#include "tests/support/id_tokenizer.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

#include <algorithm>
#include <set>

using namespace eigenscope;
using namespace eigenscope::test;

class TestCorpus : public QObject {
    Q_OBJECT
private slots:
    void idsAndWindowsEqualTheReference_data();
    void idsAndWindowsEqualTheReference();
    void windowsAreSpread();
    void seedDecides();
    void shortTextsAreNamedWithCounts();
    void argumentsAreChecked();
    void brokenFiles_data();
    void brokenFiles();
    void fingerprintIsOfTheBytes();
    void cancels();
};

void TestCorpus::idsAndWindowsEqualTheReference_data() {
    QTest::addColumn<QString>("name");
    for (const std::string& name : methodGoldenNames())
        QTest::newRow(name.c_str()) << QString::fromStdString(name);
}

// The draw is MT19937-64 with rejection, written out in make_method.py too: the same windows on every
// machine.
void TestCorpus::idsAndWindowsEqualTheReference() {
    QFETCH(QString, name);
    const MethodGolden golden = openMethodGolden(name.toStdString(), referenceBackend());
    JobContext job;
    const Corpus corpus = readCorpus(job, *golden.open.tokenizer, golden.text);
    QCOMPARE(corpus.ids, golden.ids("ids"));
    const auto windows = sampleWindows(corpus, golden.expected["samples"], golden.expected["sequence_length"],
                                       golden.expected["seed"]);
    std::vector<TokenId> joined;
    for (const auto& window : windows)
        joined.insert(joined.end(), window.begin(), window.end());
    QCOMPARE(joined, golden.ids("windows"));
}

void TestCorpus::windowsAreSpread() {
    Corpus corpus;
    for (TokenId id = 0; id < 40; ++id)
        corpus.ids.push_back(id);
    std::vector<int> starts(31);
    for (const auto& window : sampleWindows(corpus, 31000, 10, 3)) {
        QCOMPARE(window.size(), std::size_t{10});
        QVERIFY(std::is_sorted(window.begin(), window.end()) && window.back() == window.front() + 9);
        ++starts[static_cast<std::size_t>(window.front())];
    }
    // 1000 expected of each start, standard deviation 31: eight of them is out of reach of chance.
    for (int count : starts)
        QVERIFY(count > 750 && count < 1250);
}

void TestCorpus::seedDecides() {
    Corpus corpus;
    corpus.ids.resize(1000);
    for (std::size_t i = 0; i < corpus.ids.size(); ++i)
        corpus.ids[i] = static_cast<TokenId>(i);
    QCOMPARE(sampleWindows(corpus, 5, 20, 1), sampleWindows(corpus, 5, 20, 1));
    QVERIFY(sampleWindows(corpus, 5, 20, 1) != sampleWindows(corpus, 5, 20, 2));
    // Fewer samples are the first of more.
    const auto five = sampleWindows(corpus, 5, 20, 1), two = sampleWindows(corpus, 2, 20, 1);
    QVERIFY(std::equal(two.begin(), two.end(), five.begin()));
    // A text of exactly one window has one start.
    QCOMPARE(sampleWindows(corpus, 2, 1000, 9)[1], corpus.ids);
}

void TestCorpus::shortTextsAreNamedWithCounts() {
    Corpus corpus;
    corpus.file = "notes.txt";
    corpus.ids = {1, 2, 3};
    QCOMPARE(errorOf([&] { sampleWindows(corpus, 1, 4, 0); }),
             std::string("notes.txt: the text has 3 tokens, fewer than one window of 4"));
    corpus.ids.clear();
    QCOMPARE(errorOf([&] { sampleWindows(corpus, 1, 1, 0); }),
             std::string("notes.txt: the text has 0 tokens, fewer than one window of 1"));
}

void TestCorpus::argumentsAreChecked() {
    Corpus corpus;
    corpus.ids = {1, 2, 3};
    QCOMPARE(errorOf([&] { sampleWindows(corpus, 0, 2, 0); }), std::string("samples 0: expected 1 or more"));
    QCOMPARE(errorOf([&] { sampleWindows(corpus, 1, -2, 0); }),
             std::string("sequence length -2: expected 1 or more"));
}

void TestCorpus::brokenFiles_data() {
    QTest::addColumn<QByteArray>("bytes");
    QTest::addColumn<QString>("message");
    const auto row = [](const char* name, const QByteArray& bytes, int at) {
        QTest::newRow(name) << bytes << QStringLiteral("is not UTF-8 text (byte %1)").arg(at);
    };
    QTest::newRow("empty") << QByteArray() << "is empty, expected text";
    row("binary", QByteArray("1 2\0 3", 6), 3);
    row("latin-1", "caf\xe9 12", 3);
    row("cut short", "12 \xe2\x82", 3);
    row("continuation first", "\x80", 0);
    row("overlong", "1\xc0\xaf", 1);
    row("overlong in three", "\xe0\x80\xaf", 0);
    row("surrogate", "12\xed\xa0\x80", 2);
    row("above U+10FFFF", "\xf4\x90\x80\x80", 0);
    row("five bytes", "\xf8\x88\x80\x80\x80", 0);
}

void TestCorpus::brokenFiles() {
    QFETCH(QByteArray, bytes);
    QFETCH(QString, message);
    const TemporaryDirectory directory;
    const auto file = directory / "text.txt";
    writeTextFile(file, std::string_view(bytes.constData(), static_cast<std::size_t>(bytes.size())));
    JobContext job;
    const IdTokenizer tokenizer(100);
    QCOMPARE(QString::fromStdString(errorOf([&] { readCorpus(job, tokenizer, file); })),
             QString::fromStdString(file.string()) + ": " + message);
    QVERIFY(!errorOf([&] { readCorpus(job, tokenizer, directory / "none.txt"); }).empty());
    QVERIFY(!errorOf([&] { readCorpus(job, tokenizer, directory.path()); }).empty());
}

void TestCorpus::fingerprintIsOfTheBytes() {
    const TemporaryDirectory directory;
    JobContext job;
    const IdTokenizer tokenizer(100);
    writeTextFile(directory / "a", "1 2 3");
    writeTextFile(directory / "b", "1 2 3");
    writeTextFile(directory / "c", "1 2 3 ");
    const Corpus a = readCorpus(job, tokenizer, directory / "a"),
                 b = readCorpus(job, tokenizer, directory / "b"),
                 c = readCorpus(job, tokenizer, directory / "c");
    QCOMPARE(a.ids, (std::vector<TokenId>{1, 2, 3}));
    QCOMPARE(a.fingerprint, b.fingerprint);
    QVERIFY(a.fingerprint != c.fingerprint);
}

void TestCorpus::cancels() {
    const TemporaryDirectory directory;
    writeTextFile(directory / "a", "1 2 3");
    std::stop_source stop;
    stop.request_stop();
    JobContext job(stop.get_token());
    const IdTokenizer tokenizer(100);
    QVERIFY_EXCEPTION_THROWN(readCorpus(job, tokenizer, directory / "a"), Cancelled);
}

QTEST_GUILESS_MAIN(TestCorpus)
#include "tst_corpus.moc"
