// SPDX-License-Identifier: Apache-2.0
// Windows drawn from documents and mixtures, against the scheme written out in Python (tests/golden/corpus).
#include "core/base/atomic_output.h"
#include "core/calibration/corpus_sample.h"
#include "tests/core/method_support.h"
#include "tests/support/id_tokenizer.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

#include <set>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

using Windows = std::vector<std::vector<TokenId>>;

std::filesystem::path golden(const char* name) {
    return std::filesystem::path(EIGENSCOPE_SOURCE_DIR) / "tests" / "golden" / "corpus" / name;
}

struct Expected {
    Json json = readJsonFile(golden("expected.json"));
    int samples = json["samples"], length = json["length"];
    std::uint64_t seed = json["seed"];
    IdTokenizer tokenizer{100, {json["eos"].get<TokenId>()}};

    CorpusSample sample(const CorpusSpec& spec) const {
        JobContext job;
        return sampleCorpus(job, tokenizer, spec, samples, length, seed);
    }
};

CorpusSpec specOf(const char* name, DocumentRule rule, const char* field = "") {
    CorpusSpec spec{golden(name)};
    spec.documents = rule;
    spec.reader.text_field = field;
    return spec;
}

}  // namespace

class TestCorpusSample : public QObject {
    Q_OBJECT
private slots:
    void windowsEqualTheReference();
    void autoPacksShortDocuments();
    void mixturesEqualTheReference();
    void sharesFollowTheWeights();
    void fewerSamplesAreTheFirstOfMore();
    void separateWindowsLieInOneDocument();
    void documentsCountTheSame();
    void stretchesOfALongTextAreDocuments();
    void fingerprintsTellCorporaApart();
    void brokenSummaries_data();
    void brokenSummaries();
    void errors();
    void cancels();
};

void TestCorpusSample::windowsEqualTheReference() {
    const Expected e;
    const auto check = [&](const CorpusSpec& spec, const Json& windows, const char* sampling) {
        const CorpusSample sample = e.sample(spec);
        QCOMPARE(sample.windows, windows.get<Windows>());
        QCOMPARE(sample.summary.files.front().sampling, std::string(sampling));
        QCOMPARE(sample.summary.files.front().windows, std::int64_t{e.samples});
    };
    check(specOf("long.jsonl.gz", DocumentRule::Separate), e.json["long"]["separate"], "separate");
    check(specOf("long.jsonl.gz", DocumentRule::Packed), e.json["long"]["packed"], "packed");
    // Three documents for twelve windows: each is used four times.
    check(specOf("few.json", DocumentRule::Separate, "content"), e.json["few"]["separate"], "separate");
    check(specOf("few.json", DocumentRule::Packed, "content"), e.json["few"]["packed"], "packed");
    check(specOf("short.jsonl", DocumentRule::Packed), e.json["short"]["packed"], "packed");
    for (const DocumentRule rule : {DocumentRule::Auto, DocumentRule::Packed}) {
        check(specOf("plain.txt", rule), e.json["plain"]["whole"], "whole");
        check(specOf("plain.txt.gz", rule), e.json["plain"]["whole"], "whole");
    }
}

void TestCorpusSample::autoPacksShortDocuments() {
    const Expected e;
    QCOMPARE(e.sample(specOf("long.jsonl.gz", DocumentRule::Auto)).windows,
             e.json["long"]["separate"].get<Windows>());
    QCOMPARE(e.sample(specOf("short.jsonl", DocumentRule::Auto)).windows,
             e.json["short"]["packed"].get<Windows>());
    QCOMPARE(e.sample(specOf("few.json", DocumentRule::Auto, "content")).windows,
             e.json["few"]["packed"].get<Windows>());
}

void TestCorpusSample::mixturesEqualTheReference() {
    const Expected e;
    CorpusSpec spec;
    spec.files = {{golden("long.jsonl.gz"), 3}, {golden("plain.txt"), 2}, {golden("short.jsonl"), 1}};
    const CorpusSample sample = e.sample(spec);
    QCOMPARE(sample.windows, e.json["mixed"]["windows"].get<Windows>());
    QCOMPARE(sample.summary.files.size(), std::size_t{3});
    QCOMPARE(sample.summary.files[0].sampling, std::string("separate"));
    QCOMPARE(sample.summary.files[1].sampling, std::string("whole"));
    QCOMPARE(sample.summary.files[2].sampling, std::string("packed"));
    for (std::size_t f = 0; f < 3; ++f)
        QCOMPARE(sample.summary.files[f].windows, e.json["mixed"]["given"][f].get<std::int64_t>());
    QCOMPARE(sample.summary.files[0].documents, std::int64_t{60});
    QCOMPARE(sample.summary.title(), std::string("long.jsonl.gz x 3 + plain.txt x 2 + short.jsonl x 1"));
}

void TestCorpusSample::sharesFollowTheWeights() {
    const auto turns = apportion({2, 1}, 9);
    QCOMPARE(std::count(turns.begin(), turns.end(), std::size_t{0}), 6);
    QCOMPARE(turns[0], std::size_t{0});
    const auto even = apportion({0.1, 0.1, 0.1}, 7);
    QCOMPARE(even, (std::vector<std::size_t>{0, 1, 2, 0, 1, 2, 0}));
    const auto rare = apportion({1e6, 1}, 1000);
    QCOMPARE(std::count(rare.begin(), rare.end(), std::size_t{1}), 0);
}

void TestCorpusSample::fewerSamplesAreTheFirstOfMore() {
    Expected e;
    CorpusSpec spec;
    spec.files = {{golden("long.jsonl.gz"), 1}, {golden("plain.txt"), 2}};
    spec.documents = DocumentRule::Separate;
    const Windows many = e.sample(spec).windows;
    e.samples = 5;
    const Windows few = e.sample(spec).windows;
    QVERIFY(std::equal(few.begin(), few.end(), many.begin()));
    e.seed = 3;
    QVERIFY(e.sample(spec).windows != few);
}

void TestCorpusSample::separateWindowsLieInOneDocument() {
    const TemporaryDirectory directory;
    std::string lines;
    for (int document = 0; document < 30; ++document) {
        std::string text;
        for (int i = 0; i < 5 + document; ++i)
            text += std::to_string(document * 100 + i) + " ";
        lines += "{\"text\": \"" + text + "\"}\n";
    }
    writeTextFile(directory / "a.jsonl", lines);
    JobContext job;
    const IdTokenizer tokenizer(5000);
    CorpusSpec spec{directory / "a.jsonl"};
    const CorpusSample sample = sampleCorpus(job, tokenizer, spec, 20, 10, 1);
    std::set<int> documents;
    for (const auto& window : sample.windows) {
        QCOMPARE(window.front() / 100, window.back() / 100);
        documents.insert(window.front() / 100);
    }
    QCOMPARE(documents.size(), std::size_t{20});  // each from its own
    QVERIFY(*documents.begin() >= 5);             // shorter ones have no window
}

// A long document is drawn no more often than a short one.
void TestCorpusSample::documentsCountTheSame() {
    const TemporaryDirectory directory;
    std::string lines;
    for (int document = 0; document < 10; ++document) {
        std::string text;
        for (int i = 0; i < (document == 0 ? 1000 : 10); ++i)
            text += std::to_string(document) + " ";
        lines += "{\"text\": \"" + text + "\"}\n";
    }
    writeTextFile(directory / "a.jsonl", lines);
    JobContext job;
    const IdTokenizer tokenizer(100);
    int of_the_long_one = 0;
    for (std::uint64_t seed = 0; seed < 2000; ++seed)
        of_the_long_one +=
            sampleCorpus(job, tokenizer, directory / "a.jsonl", 1, 10, seed).windows[0][0] == 0;
    // 200 expected, standard deviation 13: eight of them is out of reach of chance.
    QVERIFY2(of_the_long_one > 95 && of_the_long_one < 305, std::to_string(of_the_long_one).c_str());
}

void TestCorpusSample::stretchesOfALongTextAreDocuments() {
    const TemporaryDirectory directory;
    std::string text;
    for (int i = 0; i < 5000; ++i)
        text += std::to_string(i) + "\n";
    writeTextFile(directory / "a.txt", text);
    JobContext job;
    const IdTokenizer tokenizer(5000);
    CorpusSpec spec{directory / "a.txt"};
    spec.reader.whole_bytes = 1000;
    spec.reader.stretch_bytes = 500;
    const CorpusSample sample = sampleCorpus(job, tokenizer, spec, 30, 20, 1);
    QCOMPARE(sample.summary.files[0].sampling, std::string("separate"));
    for (const auto& window : sample.windows)
        QCOMPARE(window.back(), window.front() + 19);
}

void TestCorpusSample::fingerprintsTellCorporaApart() {
    const Expected e;
    std::set<std::string> seen;
    const auto add = [&](CorpusSpec spec) { seen.insert(e.sample(spec).summary.fingerprint()); };
    add(specOf("long.jsonl.gz", DocumentRule::Separate));
    add(specOf("long.jsonl.gz", DocumentRule::Packed));
    add(specOf("short.jsonl", DocumentRule::Packed));
    add(specOf("plain.txt", DocumentRule::Auto));
    CorpusSpec mixed;
    mixed.files = {{golden("long.jsonl.gz"), 1}, {golden("plain.txt"), 1}};
    add(mixed);
    mixed.files[1].weight = 2;
    add(mixed);
    QCOMPARE(seen.size(), std::size_t{6});
    // Only shares matter; and the same bytes, packed or not, are the same text.
    mixed.files[0].weight = 4;
    mixed.files[1].weight = 8;
    add(mixed);
    add(specOf("plain.txt.gz", DocumentRule::Auto));
    QCOMPARE(seen.size(), std::size_t{6});
    const CorpusSummary summary = e.sample(mixed).summary;
    CorpusSummary other = summary;
    other.text_field = "body";
    QVERIFY(other.fingerprint() != summary.fingerprint());
    const Json json = toJson(summary);
    QCOMPARE(readCorpusSummary(JsonView(json, "x")), summary);
}

void TestCorpusSample::brokenSummaries_data() {
    QTest::addColumn<QString>("json");
    QTest::addColumn<QString>("message");
    const QString file = R"({"name":"a","fingerprint":"0","format":"text","sampling":"whole",)";
    QTest::newRow("no object") << "3"
                               << "corpus: expected an object";
    QTest::newRow("no files") << "{}"
                              << "corpus.files: is missing";
    QTest::newRow("files are no list") << R"({"files":{}})"
                                       << "corpus.files: expected an array";
    QTest::newRow("file is no object") << R"({"files":[1]})"
                                       << "corpus.files[0]: expected an object";
    QTest::newRow("no weight") << "{\"files\":[" + file + "\"documents\":1,\"windows\":1}]}"
                               << "corpus.files[0].weight: is missing";
    QTest::newRow("weight of nothing")
        << "{\"files\":[" + file + "\"weight\":0,\"documents\":1,\"windows\":1}]}"
        << "corpus.files[0].weight: expected a number above 0";
    QTest::newRow("negative count") << "{\"files\":[" + file +
                                           "\"weight\":1,\"documents\":-1,\"windows\":1}]}"
                                    << "corpus.files[0].documents: expected an integer";
}

void TestCorpusSample::brokenSummaries() {
    QFETCH(QString, json);
    QFETCH(QString, message);
    const Json parsed = Json::parse(json.toStdString());
    const std::string found = errorOf([&] { readCorpusSummary(JsonView(parsed, "x.stats", "corpus")); });
    QVERIFY2(found.starts_with("x.stats: " + message.toStdString()), found.c_str());
}

void TestCorpusSample::errors() {
    const Expected e;
    const auto message = [&](const CorpusSpec& spec, int samples = 1, int length = 16) {
        JobContext job;
        return errorOf([&] { sampleCorpus(job, e.tokenizer, spec, samples, length, 0); });
    };
    const std::string where = golden("short.jsonl").string() + ": ";
    QCOMPARE(message(specOf("short.jsonl", DocumentRule::Separate)),
             where +
                 "none of its 40 documents has the 16 tokens of a window; take shorter windows or pack the "
                 "documents");
    QVERIFY(message(specOf("short.jsonl", DocumentRule::Auto), 1, 5000)
                .starts_with(where + "its documents have "));
    QVERIFY(message(specOf("plain.txt", DocumentRule::Auto), 1, 5000)
                .ends_with("the text has 300 tokens, fewer than one window of 5000"));
    QVERIFY(message(specOf("long.jsonl.gz", DocumentRule::Auto, "body")).find("has no field 'body'") !=
            std::string::npos);
    CorpusSpec none;
    QCOMPARE(message(none), std::string("calibration: expected at least one text file"));
    for (const double weight : {0.0, -1.0, 1e9, std::numeric_limits<double>::quiet_NaN()}) {
        CorpusSpec spec{golden("plain.txt")};
        spec.files[0].weight = weight;
        QVERIFY(message(spec).ends_with("its weight: expected 0.000001 to 1000000"));
    }
    QCOMPARE(message(specOf("plain.txt", DocumentRule::Auto), 0),
             std::string("samples 0: expected 1 or more"));
    const TemporaryDirectory directory;
    writeTextFile(directory / "a.jsonl", "{\"text\":\"\"}\n");
    QVERIFY(
        message(CorpusSpec{directory / "a.jsonl"}).ends_with("has no document with text, only 1 empty ones"));
    writeTextFile(directory / "a.jsonl", "[]");
    QVERIFY(
        message(CorpusSpec{directory / "a.jsonl"}).ends_with("has no document with text, only 0 empty ones"));
}

void TestCorpusSample::cancels() {
    const Expected e;
    std::stop_source stop;
    stop.request_stop();
    JobContext job(stop.get_token());
    QVERIFY_EXCEPTION_THROWN(sampleCorpus(job, e.tokenizer, golden("long.jsonl.gz"), 2, 16, 0), Cancelled);
}

QTEST_GUILESS_MAIN(TestCorpusSample)
#include "tst_corpus_sample.moc"
