// SPDX-License-Identifier: Apache-2.0
// Reader and writer of safetensors: files of the format's own library, every kind of damage with its message,
// and random damage, which must never do worse than throw.
#include "core/base/atomic_output.h"
#include "core/base/fail.h"
#include "core/base/json.h"
#include "core/checkpoint/safetensors.h"
#include "tests/support/error_text.h"

#include <QTemporaryDir>
#include <QTest>

#include <cstring>
#include <fstream>
#include <numeric>
#include <random>

using namespace eigenscope;
using namespace eigenscope::test;
namespace fs = std::filesystem;

namespace {

// A file of this header and so many bytes of data.
std::string fileOf(const std::string& header, std::size_t data_bytes) {
    std::string file(8, '\0');
    for (int i = 0; i < 8; ++i)
        file[i] = static_cast<char>((header.size() >> (8 * i)) & 0xff);
    return file + header + std::string(data_bytes, '\x7f');
}

// Without waiting for the disk: for thousands of files.
void writeAtOnce(const fs::path& file, const std::string& contents) {
    fs::remove(file);
    std::ofstream(file, std::ios::binary) << contents;
}

std::span<const std::byte> bytesOf(const std::vector<float>& values) {
    return std::as_bytes(std::span(values));
}

const fs::path kGolden = fs::path(EIGENSCOPE_SOURCE_DIR) / "tests" / "golden" / "checkpoint";

}  // namespace

class TestSafetensors : public QObject {
    Q_OBJECT

private:
    QTemporaryDir m_temporary;
    fs::path file(const std::string& name) const { return fs::path(m_temporary.path().toStdString()) / name; }
    int leftovers() const {
        const fs::path dir = m_temporary.path().toStdString();
        return static_cast<int>(std::distance(fs::directory_iterator(dir), fs::directory_iterator()));
    }

private slots:
    void init() {
        for (const auto& entry : fs::directory_iterator(m_temporary.path().toStdString()))
            fs::remove_all(entry.path());
    }

    void readsWhatTheLibraryWrites() {
        const SafetensorsFile opened(kGolden / "dtypes.safetensors");
        const Json expected = readJsonFile(kGolden / "expected.json").at("dtypes");
        QCOMPARE(opened.tensors().size(), expected.size());
        for (const auto& [name, value] : expected.items()) {
            const TensorRecord& tensor = opened.at(name);
            QCOMPARE(std::string(nameOf(tensor.dtype)), value.at("dtype").get<std::string>());
            QVERIFY2(tensor.shape == value.at("shape").get<std::vector<std::int64_t>>(), name.c_str());
            std::int64_t sum = 0;
            for (const std::byte byte : tensor.bytes)
                sum += std::to_integer<int>(byte);
            QCOMPARE(sum, value.at("sum").get<std::int64_t>());
            QCOMPARE(tensor.bytes.size(), static_cast<std::size_t>(tensor.count()) * sizeOf(tensor.dtype));
        }
        QCOMPARE(opened.at("scalar").count(), std::int64_t{1});
        QCOMPARE(opened.at("empty").count(), std::int64_t{0});
        QCOMPARE(opened.metadata().at("format"), std::string("pt"));
        QCOMPARE(opened.metadata().at("note"), std::string("zwölf \"quoted\"\n"));
        QVERIFY(!opened.find("none"));
        QVERIFY(
            errorOf([&] { opened.at("none"); }).ends_with("dtypes.safetensors: there is no tensor 'none'"));
    }

    void dtypes() {
        QCOMPARE(engineDType(FileDType::BF16).value(), DType::BF16);
        QVERIFY(!engineDType(FileDType::F64) && !engineDType(FileDType::Bool));
        QCOMPARE(sizeOf(FileDType::I16), std::size_t{2});
    }

    void bytesOutliveTheFile() {
        std::optional<SafetensorsFile> opened(kGolden / "dtypes.safetensors");
        const TensorRecord record = opened->at("scalar");
        opened.reset();
        float value = 0;
        std::memcpy(&value, record.bytes.data(), sizeof value);
        QCOMPARE(value, 2.5f);
    }

    // The format does not align; 3 bytes before an F32 tensor put it where no float may be read.
    void unalignedTensorsAreHandedOutAsTheyLie() {
        std::string header =
            R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"F32","shape":[1],"data_offsets":[3,7]}})";
        writeTextFile(file("x"), fileOf(header, 7));
        const SafetensorsFile opened(file("x"));
        QCOMPARE(opened.at("b").bytes.size(), std::size_t{4});
        QCOMPARE(std::to_integer<int>(opened.at("b").bytes[3]), 0x7f);
    }

    void damage_data() {
        QTest::addColumn<QByteArray>("contents");
        QTest::addColumn<QByteArray>("message");
        const auto row = [](const char* name, const std::string& contents, const char* message) {
            QTest::newRow(name) << QByteArray::fromStdString(contents) << QByteArray(message);
        };
        const auto header = [&](const char* name, const std::string& json, std::size_t bytes,
                                const char* message) { row(name, fileOf(json, bytes), message); };
        const auto one = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
            return R"({"t":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets +
                   "}}";
        };
        row("empty", "", "is too short for safetensors: 0 bytes");
        row("short", "1234567", "is too short for safetensors: 7 bytes");
        row("length beyond file", std::string("\x40\0\0\0\0\0\0\0{}", 10),
            "header length of 64 bytes reaches beyond the end of the file (10 bytes)");
        row("length over limit", std::string("\0\xe1\xf5\x05\0\0\0\1{}", 10),
            "exceeds the format's limit of 100000000");
        row("length all ones", std::string(8, '\xff') + "{}",
            "header length of 18446744073709551615 bytes exceeds");
        header("no JSON", "hello", 0, "x: header: not valid JSON at byte 1");
        header("empty header", "", 4, "x: header: is empty");
        header("cut JSON", R"({"t":{"dtype":"F32")", 0, "x: header: not valid JSON");
        header("not an object", "[1]", 0, "x: header: expected a JSON object");
        header("deep", std::string(300, '['), 0, "x: header: JSON is nested more than 256 levels deep");
        header(
            "duplicate name",
            R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"t":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
            2, "x: header: JSON has the key 't' twice");
        header("entry is no object", R"({"t":3})", 0, "x: t: expected an object");
        header("dtype missing", R"({"t":{"shape":[1],"data_offsets":[0,1]}})", 1, "x: t.dtype: is missing");
        header("dtype unknown", one("\"F8_E4M3\"", "[1]", "[0,1]"), 1,
               "x: t.dtype: 'F8_E4M3' is not a dtype that can be read, expected one of F64, F32, F16, BF16");
        header("dtype number", one("7", "[1]", "[0,1]"), 1, "x: t.dtype: expected a string");
        header("shape missing", R"({"t":{"dtype":"U8","data_offsets":[0,1]}})", 1, "x: t.shape: is missing");
        header("shape no array", one("\"U8\"", "1", "[0,1]"), 1, "x: t.shape: expected an array");
        header("shape negative", one("\"F32\"", "[2,-3]", "[0,24]"), 24,
               "x: t.shape[1]: expected an integer from 0");
        header("shape fraction", one("\"F32\"", "[1.5]", "[0,6]"), 6,
               "x: t.shape[0]: expected an integer from 0");
        header("shape too large", one("\"F32\"", "[18446744073709551615]", "[0,4]"), 4,
               "x: t.shape[0]: expected an integer");
        // 2^32 * 2^32 elements wrap to 0, and 2^62 * 4 bytes wrap to 0: both must be seen.
        header("shape overflows elements", one("\"U8\"", "[4294967296,4294967296]", "[0,0]"), 0,
               "x: t.shape: is larger than any file");
        header("shape overflows bytes", one("\"F32\"", "[4611686018427387904]", "[0,0]"), 0,
               "x: t.shape: is larger than any file");
        header("offsets missing", R"({"t":{"dtype":"U8","shape":[1]}})", 1, "x: t.data_offsets: is missing");
        header("offsets one", one("\"U8\"", "[1]", "[0]"), 1, "x: t.data_offsets: expected [begin, end]");
        header("offsets text", one("\"U8\"", "[1]", "[\"0\",1]"), 1,
               "x: t.data_offsets[0]: expected an integer");
        header("offsets negative", one("\"U8\"", "[1]", "[-1,0]"), 1,
               "x: t.data_offsets[0]: expected an integer from 0");
        header("offsets reversed", one("\"U8\"", "[1]", "[1,0]"), 1,
               "x: t.data_offsets: begin 1 is greater than end 0");
        header("offsets beyond data", one("\"F32\"", "[2]", "[0,8]"), 7,
               "x: t.data_offsets: end 8 is beyond the file's 7 bytes of data: truncated?");
        header("offsets do not fit the shape", one("\"F32\"", "[2]", "[0,7]"), 7,
               "x: t.data_offsets: span 7 bytes, but dtype and shape need 8");
        header(
            "overlap",
            R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
            6, "x: b: data overlaps tensor 'a'");
        header(
            "gap between",
            R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[5,7]}})",
            7, "x: b: a gap of 3 bytes that belong to no tensor is before it");
        header("gap at the start", one("\"U8\"", "[2]", "[1,3]"), 3, "x: t: a gap of 1 bytes");
        header("rest at the end", one("\"U8\"", "[2]", "[0,2]"), 5,
               "x: 3 bytes that belong to no tensor are at the end");
        header("data without tensors", "{}", 5, "x: 5 bytes that belong to no tensor");
        header("metadata no object", R"({"__metadata__":[]})", 0, "x: __metadata__: expected an object");
        header("metadata number", R"({"__metadata__":{"a":1}})", 0, "x: __metadata__.a: expected a string");
    }
    void damage() {
        QFETCH(QByteArray, contents);
        QFETCH(QByteArray, message);
        writeTextFile(file("x"), contents.toStdString());
        const std::string said = errorOf([&] { SafetensorsFile{file("x")}; });
        QVERIFY2(said.find(message.toStdString()) != std::string::npos, ("said: '" + said + "'").c_str());
        QVERIFY(said.find('\n') == std::string::npos);
    }

    void filesThatCannotBeOpened() {
        QVERIFY(errorOf([&] {
                    SafetensorsFile{file("none")};
                }).ends_with("cannot open: No such file or directory"));
        QVERIFY(errorOf([&] {
                    SafetensorsFile{m_temporary.path().toStdString()};
                }).ends_with("is a directory, expected a regular file"));
    }

    void emptyTensorsAnywhere() {
        const std::string header =
            R"({"z":{"dtype":"F32","shape":[0,9],"data_offsets":[4,4]},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
            R"("e":{"dtype":"F32","shape":[4611686018427387904,4,0],"data_offsets":[0,0]}})";
        writeTextFile(file("x"), fileOf(header, 4));
        const SafetensorsFile opened(file("x"));
        QCOMPARE(opened.tensors().size(), std::size_t{3});
        QCOMPARE(opened.at("e").count(), std::int64_t{0});
    }

    void everyTruncationIsSeen() {
        const std::string whole = readTextFile(kGolden / "dtypes.safetensors");
        for (std::size_t size = 0; size < whole.size(); ++size) {
            writeAtOnce(file("x"), whole.substr(0, size));
            QVERIFY2(!errorOf([&] { SafetensorsFile{file("x")}; }).empty(), std::to_string(size).c_str());
        }
    }

    // Nothing but Error may come out, and what opens lies within the file.
    void randomDamageNeverDoesWorseThanThrow() {
        const std::string whole = readTextFile(kGolden / "dtypes.safetensors");
        std::mt19937 random(5);
        int opened_count = 0;
        for (int round = 0; round < 3000; ++round) {
            std::string damaged = whole;
            for (unsigned i = 0; i < 1 + random() % 3; ++i)
                damaged[random() % 1200] = static_cast<char>(random() % 4 ? '0' + random() % 10 : random());
            writeAtOnce(file("x"), damaged);
            try {
                const SafetensorsFile opened(file("x"));
                ++opened_count;
                for (const TensorRecord& tensor : opened.tensors())
                    QVERIFY(std::accumulate(tensor.bytes.begin(), tensor.bytes.end(), 0u,
                                            [](unsigned sum, std::byte b) {
                                                return sum + std::to_integer<unsigned>(b);
                                            }) <= tensor.bytes.size() * 255);
            } catch (const Error&) {
            }
        }
        QVERIFY(opened_count < 3000);
    }

    void writtenFilesAreRead() {
        const std::vector<float> a{1, 2, 3, 4, 5, 6}, b{7};
        SafetensorsWriter writer(file("out"),
                                 {{"first", FileDType::F32, {2, 3}},
                                  {"nothing", FileDType::BF16, {0, 7}},
                                  {"größe \"q\"", FileDType::F32, {}}},
                                 {{"kind", "test"}, {"text", "línea\n"}});
        writer.write("first", bytesOf(a));
        writer.write("nothing", {});
        writer.write("größe \"q\"", bytesOf(b));
        QVERIFY(!fs::exists(file("out")));
        writer.commit();
        const SafetensorsFile opened(file("out"));
        QCOMPARE(opened.tensors().size(), std::size_t{3});
        QCOMPARE(opened.tensors().front().name, std::string("first"));
        const TensorRecord& first = opened.at("first");
        QVERIFY(first.shape == (std::vector<std::int64_t>{2, 3}));
        QVERIFY(std::memcmp(first.bytes.data(), a.data(), 24) == 0);
        QCOMPARE(reinterpret_cast<std::uintptr_t>(first.bytes.data()) % 64, std::uintptr_t{0});
        QCOMPARE(opened.at("größe \"q\"").count(), std::int64_t{1});
        QCOMPARE(opened.metadata().at("text"), std::string("línea\n"));
    }

    void writerMistakes() {
        const std::vector<float> two{1, 2};
        const auto specs = [] {
            return std::vector<TensorSpec>{{"a", FileDType::F32, {2}}, {"b", FileDType::F32, {2}}};
        };
        {
            SafetensorsWriter writer(file("out"), specs(), {});
            QVERIFY(errorOf([&] {
                        writer.write("b", bytesOf(two));
                    }).ends_with("b: written out of order, expected 'a'"));
            QVERIFY(errorOf([&] { writer.write("a", bytesOf(two).first(7)); }).find("has 7 bytes") !=
                    std::string::npos);
            writer.write("a", bytesOf(two));
            QVERIFY(errorOf([&] { writer.commit(); }).ends_with("b: was announced but not written"));
        }
        QCOMPARE(leftovers(), 0);
        const auto fails = [&](std::vector<TensorSpec> list, const char* part) {
            return errorOf([&] { SafetensorsWriter(file("out"), std::move(list), {}); }).find(part) !=
                   std::string::npos;
        };
        QVERIFY(fails({{"a", FileDType::F32, {2}}, {"a", FileDType::F32, {2}}}, "the name is taken"));
        QVERIFY(fails({{"__metadata__", FileDType::F32, {2}}}, "the name is taken"));
        QVERIFY(fails({{"a", FileDType::F32, {-2}}}, "cannot be written"));
        QVERIFY(fails({{"a", FileDType::F32, {std::int64_t{1} << 62}}}, "cannot be written"));
        QVERIFY(fails({{"\xff", FileDType::F32, {1}}}, "not valid UTF-8"));
        QCOMPARE(leftovers(), 0);
        QVERIFY(errorOf([&] { SafetensorsWriter(file("no/out"), {}, {}); }).find("cannot write") !=
                std::string::npos);
    }
};

QTEST_GUILESS_MAIN(TestSafetensors)
#include "tst_safetensors.moc"
