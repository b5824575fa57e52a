// SPDX-License-Identifier: Apache-2.0
// Texts in every form, against what Python's json and gzip find in them (tests/golden/corpus), and files that
// are broken in every way we could think of.
#include "core/base/atomic_output.h"
#include "core/calibration/corpus.h"
#include "core/calibration/document_reader.h"
#include "tests/core/method_support.h"
#include "tests/support/id_tokenizer.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

#include <random>

#include <zlib.h>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

std::filesystem::path golden(const char* name) {
    return std::filesystem::path(EIGENSCOPE_SOURCE_DIR) / "tests" / "golden" / "corpus" / name;
}

std::vector<std::string> textsOf(const std::filesystem::path& file, const ReaderOptions& options = {}) {
    JobContext job;
    DocumentReader reader(job, file, options);
    std::vector<std::string> texts;
    for (Document document; reader.next(document);)
        texts.push_back(document.text);
    return texts;
}

std::string gzip(const std::string& text) {
    z_stream stream{};
    deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
    std::string packed(deflateBound(&stream, static_cast<uLong>(text.size())) + 64, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(packed.data());
    stream.avail_out = static_cast<uInt>(packed.size());
    deflate(&stream, Z_FINISH);
    packed.resize(stream.total_out);
    deflateEnd(&stream);
    return packed;
}

}  // namespace

class TestDocumentReader : public QObject {
    Q_OBJECT
private slots:
    void formsAgreeWithPython();
    void contentDecidesWhereTheNameDoesNot();
    void fieldsAndRecords();
    void emptyDocumentsArePassedOver();
    void longPlainTextsComeInStretches();
    void fingerprintIsOfTheUnpackedBytes();
    void evaluationJoinsDocuments();
    void malformed_data();
    void malformed();
    void damagedAnywhere();
    void bombsAreRefused();
    void cancels();
};

void TestDocumentReader::formsAgreeWithPython() {
    const Json expected = readJsonFile(golden("expected.json"));
    QCOMPARE(textsOf(golden("long.jsonl.gz")), expected["long_documents"].get<std::vector<std::string>>());
    QCOMPARE(textsOf(golden("plain.txt")), textsOf(golden("plain.txt.gz")));
    QCOMPARE(textsOf(golden("plain.txt")).size(), std::size_t{1});
    ReaderOptions content;
    content.text_field = "content";
    QCOMPARE(textsOf(golden("few.json"), content).size(), std::size_t{12});
    const std::vector<std::string> alpaca = textsOf(golden("alpaca.json"));
    QCOMPARE(alpaca.size(), std::size_t{2});
    QCOMPARE(alpaca[0], std::string("### Instruction:\nSay it in Zoë's words.\n\n### Input:\nthe tree\n\n"
                                    "### Response:\nA \"tree\".\nOld."));
    QCOMPARE(alpaca[1], std::string("### Instruction:\nCount to two.\n\n### Response:\n1 2"));
}

void TestDocumentReader::contentDecidesWhereTheNameDoesNot() {
    const TemporaryDirectory directory;
    const std::string records = "{\"text\": \"one\"}\n{\"text\": \"two\"}\n";
    for (const char* name : {"a.jsonl", "a.ndjson", "a.JSON", "a.json.gz", "part-00012", "a.dat"}) {
        writeTextFile(directory / name, records);
        QCOMPARE(textsOf(directory / name), (std::vector<std::string>{"one", "two"}));
        writeTextFile(directory / name, gzip(records));
        QCOMPARE(textsOf(directory / name), (std::vector<std::string>{"one", "two"}));
    }
    // Named as text, or not like records at all: as it is.
    writeTextFile(directory / "a.txt", records);
    QCOMPARE(textsOf(directory / "a.txt"), std::vector<std::string>{records});
    for (const std::string text :
         {"{not records}\n", "[1] see below\n", "{\"title\": \"x\"}\n", "x = {\n", "{"}) {
        writeTextFile(directory / "notes", text);
        QCOMPARE(textsOf(directory / "notes"), std::vector<std::string>{text});
    }
}

void TestDocumentReader::fieldsAndRecords() {
    const TemporaryDirectory directory;
    const auto file = directory / "a.json";
    writeTextFile(file,
                  "\xEF\xBB\xBF [\"plain\", {\"text\": \"a\\nb \\u00e9\", \"x\": {\"text\": 3}} , "
                  "{\"instruction\": \"i\", \"output\": \"o\", \"text\": \"t\"}]\n");
    QCOMPARE(textsOf(file), (std::vector<std::string>{"plain", "a\nb é", "t"}));
    writeTextFile(file, "{\"text\": \"a\"} {\"text\": \"b\"}\n\n\r\n{\n \"text\": \"c\"\n}");
    QCOMPARE(textsOf(file), (std::vector<std::string>{"a", "b", "c"}));
    JobContext job;
    DocumentReader reader(job, file);
    Document document;
    for (int i = 0; i < 3; ++i)
        QVERIFY(reader.next(document));
    QCOMPARE(document.record, std::int64_t{3});
    QCOMPARE(document.line, std::int64_t{4});
    QVERIFY(!reader.next(document) && !reader.next(document));
    QCOMPARE(reader.documents(), std::int64_t{3});
}

void TestDocumentReader::emptyDocumentsArePassedOver() {
    const TemporaryDirectory directory;
    const auto file = directory / "a.jsonl";
    writeTextFile(file,
                  "{\"text\": \"\"}\n{\"text\": \" \\n\\t\"}\n{\"text\": null}\n{\"text\": \"x\"}\n"
                  "{\"instruction\": \"\", \"output\": \"\"}\n");
    JobContext job;
    DocumentReader reader(job, file);
    Document document;
    QVERIFY(reader.next(document));
    QCOMPARE(document.text, std::string("x"));
    QVERIFY(!reader.next(document));
    QCOMPARE(reader.empty(), std::int64_t{4});
}

void TestDocumentReader::longPlainTextsComeInStretches() {
    const TemporaryDirectory directory;
    std::string text;
    for (int i = 0; i < 20000; ++i)
        text += "line " + std::to_string(i) + (i % 7 ? " é\n" : "€ ");
    ReaderOptions options;
    options.whole_bytes = 100000;
    options.stretch_bytes = 5000;
    for (const std::string& bytes : {text, gzip(text)}) {
        writeTextFile(directory / "a.txt", bytes);
        const std::vector<std::string> parts = textsOf(directory / "a.txt", options);
        QVERIFY(parts.size() > 40);
        std::string joined;
        for (const std::string& part : parts) {
            QVERIFY(part.size() <= options.stretch_bytes);
            QVERIFY(part.ends_with('\n') || &part == &parts.back());
            joined += part;
        }
        QCOMPARE(joined, text);
    }
    // Without line ends stretches end between characters.
    std::string euros;
    for (int i = 0; i < 50000; ++i)
        euros += "€";
    writeTextFile(directory / "a.txt", euros);
    QCOMPARE(textsOf(directory / "a.txt", options).front().size(), std::size_t{4998});
    writeTextFile(directory / "a.txt", euros + "\xff" + euros);
    QVERIFY(errorOf([&] { textsOf(directory / "a.txt", options); }).ends_with("(byte 150000)"));
}

void TestDocumentReader::fingerprintIsOfTheUnpackedBytes() {
    JobContext job;
    const IdTokenizer tokenizer(100);
    const Corpus plain = readCorpus(job, tokenizer, golden("plain.txt")),
                 packed = readCorpus(job, tokenizer, golden("plain.txt.gz"));
    QCOMPARE(plain.fingerprint, packed.fingerprint);
    QCOMPARE(plain.ids, packed.ids);
}

void TestDocumentReader::evaluationJoinsDocuments() {
    const TemporaryDirectory directory;
    writeTextFile(directory / "a.jsonl", "{\"t\": \"1 2\"}\n{\"t\": \" \"}\n{\"t\": \"3\"}\n");
    JobContext job;
    const IdTokenizer tokenizer(100);
    QCOMPARE(readCorpus(job, tokenizer, directory / "a.jsonl", true, "t").ids,
             (std::vector<TokenId>{1, 2, 3}));
    writeTextFile(directory / "a.jsonl", "{\"text\": \" \"}\n");
    QVERIFY(errorOf([&] {
                readCorpus(job, tokenizer, directory / "a.jsonl");
            }).ends_with("has no document with text"));
}

void TestDocumentReader::malformed_data() {
    QTest::addColumn<QByteArray>("bytes");
    QTest::addColumn<QString>("message");
    const auto row = [](const char* name, const QByteArray& bytes, const char* message) {
        QTest::newRow(name) << bytes << QString(message);
    };
    row("empty", "", "is empty, expected JSON records");
    row("blank", " \n\t", "is empty, expected JSON records");
    row("not JSON", "hello", "does not start with '{' or '['");
    row("number", "3\n", "does not start with '{' or '['");
    row("binary", QByteArray("\0\1\2", 3), "does not start with '{' or '['");
    row("second is no record", "{\"text\":\"a\"}\n7\n", "record 2 (line 2): expected an object or a string");
    row("comma between lines", "{\"text\":\"a\"},\n{\"text\":\"b\"}",
        "record 2 (line 1): expected an object");
    row("cut in a string", "{\"text\":\"a\"}\n{\"text\":\"b", "record 2 (line 2): the file ends within it");
    row("cut in an object", "{\"text\":\"a\"", "record 1 (line 1): the file ends within it");
    row("cut in an escape", "{\"text\":\"a\\", "record 1 (line 1): the file ends within it");
    row("line end in a string", "{\"text\":\"a\nb\"}", "record 1 (line 1): the line ends within a string");
    row("brackets that do not fit", "{\"text\":\"a\"]", "record 1 (line 1): not valid JSON");
    row("unquoted", "{text: \"a\"}", "record 1 (line 1): not valid JSON");
    row("latin-1", "{\"text\":\"caf\xe9\"}", "record 1 (line 1): not valid JSON in UTF-8");
    row("lone surrogate", "{\"text\":\"\\ud800\"}", "record 1 (line 1): not valid JSON");
    row("huge number", "{\"text\":\"a\",\"x\":1e999}", "record 1 (line 1): not valid JSON");
    row("no field", "{\"text\":\"a\"}\n\n{\"body\":\"a\",\"url\":2}\n",
        "record 2 (line 3): has no field 'text', it has: body, url");
    row("no fields", "{}", "record 1 (line 1): has no field 'text', it has: no fields");
    row("field of numbers", "[{\"text\":[1,2]}]",
        "record 1 (line 1): field 'text': expected a string, found array");
    row("input is no string", "[{\"instruction\":\"a\",\"input\":3,\"output\":\"b\"}]",
        "record 1 (line 1): field 'input': expected a string, found number");
    row("array of arrays", "[[\"a\"]]", "record 1 (line 1): has no text: expected a string, an object");
    row("array cut", "[{\"text\":\"a\"}", "the array ends here without its ']'");
    row("array begun", "[", "record 1 (line 1): the file ends within it");
    row("array without comma", "[{\"text\":\"a\"} {\"text\":\"b\"}]", "expected ',' or ']' behind it");
    row("array with two commas", "[{\"text\":\"a\"},,]", "record 2 (line 1): expected an object or a string");
    row("behind the array", "[{\"text\":\"a\"}]\n[]", "expected nothing behind the array's ']'");
    row("deep", "{\"text\":" + QByteArray(100000, '['),
        "record 1 (line 1): is nested more than 256 levels deep");
    row("deep and closed", "{\"text\":\"a\",\"x\":" + QByteArray(300, '[') + QByteArray(300, ']') + "}",
        "is nested more than 256 levels deep");
    row("unending", "{\"text\":\"" + QByteArray((1 << 26) + 10, 'a'), "record 1 (line 1): is larger than");
    const QByteArray packed = QByteArray::fromStdString(gzip("{\"text\":\"one two three\"}\n"));
    row("gzip cut", packed.chopped(9), "ends within its gzip data");
    row("gzip header only", packed.left(10), "ends within its gzip data");
    row("gzip and more", packed + "more", "has something else behind its gzip data");
    QByteArray damaged = packed;
    damaged[damaged.size() - 6] = static_cast<char>(damaged[damaged.size() - 6] ^ 1);  // its check sum
    row("gzip check sum", damaged, "its gzip data are damaged");
}

void TestDocumentReader::malformed() {
    QFETCH(QByteArray, bytes);
    QFETCH(QString, message);
    const TemporaryDirectory directory;
    const auto file = directory / "a.jsonl";
    writeTextFile(file, std::string_view(bytes.constData(), static_cast<std::size_t>(bytes.size())));
    const std::string error = errorOf([&] { textsOf(file); });
    QVERIFY2(error.starts_with(file.string() + ": "), error.c_str());
    QVERIFY2(error.find(message.toStdString()) != std::string::npos, error.c_str());
    QVERIFY2(error.size() < file.string().size() + 200 && error.find('\n') == std::string::npos,
             error.c_str());
}

// Bytes changed, dropped and doubled at random, the same every time: an error or documents, never a crash.
void TestDocumentReader::damagedAnywhere() {
    const TemporaryDirectory directory;
    std::mt19937 random(1);
    int errors = 0;
    for (const char* name : {"alpaca.json", "short.jsonl", "long.jsonl.gz", "few.json"}) {
        const std::string whole = readTextFile(golden(name));
        for (int i = 0; i < 120; ++i) {
            std::string bytes = whole;
            for (int change = 0; change < 3; ++change) {
                const std::size_t at = random() % bytes.size();
                switch (random() % 4) {
                    case 0:
                        bytes[at] = static_cast<char>(random() % 256);
                        break;
                    case 1:
                        bytes.erase(at, 1 + random() % 20);
                        break;
                    case 2:
                        bytes.insert(at, bytes.substr(at, 1 + random() % 20));
                        break;
                    default:
                        bytes[at] = "{}[]\",:\\\n"[random() % 9];
                        break;
                }
            }
            const auto file = directory / name;
            writeTextFile(file, bytes);
            const std::string error = errorOf([&] { textsOf(file); });
            errors += !error.empty();
            QVERIFY2(error.empty() || error.starts_with(file.string() + ": "), error.c_str());
        }
    }
    QVERIFY(errors > 240);
}

void TestDocumentReader::bombsAreRefused() {
    const TemporaryDirectory directory;
    const std::string spaces = gzip(std::string(std::size_t{1} << 26, ' '));
    std::string bomb;
    for (int i = 0; i < 40; ++i)  // 2.5 GiB
        bomb += spaces;
    writeTextFile(directory / "a.jsonl.gz", bomb);
    QVERIFY(errorOf([&] {
                ByteSource source(directory / "a.jsonl.gz");
                std::vector<char> block(std::size_t{1} << 20);
                while (source.read(block.data(), block.size()) == block.size()) {
                }
            }).find("unpacks to more than 250 times") != std::string::npos);
}

void TestDocumentReader::cancels() {
    std::stop_source stop;
    JobContext job(stop.get_token());
    DocumentReader reader(job, golden("long.jsonl.gz"));
    Document document;
    QVERIFY(reader.next(document));
    stop.request_stop();
    QVERIFY_EXCEPTION_THROWN(reader.next(document), Cancelled);
}

QTEST_GUILESS_MAIN(TestDocumentReader)
#include "tst_document_reader.moc"
