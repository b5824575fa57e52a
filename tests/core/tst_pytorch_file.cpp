// SPDX-License-Identifier: Apache-2.0
// PyTorch weight files: those that torch.save wrote, against what torch reads from them; every kind of
// damage to archive, pickle and tensors with its message; random damage, which must never do worse than
// throw.
#include "core/base/fail.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/pytorch_file.h"
#include "core/checkpoint/safetensors.h"
#include "core/checkpoint/unpickler.h"
#include "core/checkpoint/zip_archive.h"
#include "tests/core/pytorch_support.h"
#include "tests/support/error_text.h"

#include <QTemporaryDir>
#include <QTest>

#include <algorithm>
#include <array>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>

using namespace eigenscope;
using namespace eigenscope::test;
namespace fs = std::filesystem;

namespace {

const fs::path kGolden = fs::path(EIGENSCOPE_SOURCE_DIR) / "tests" / "golden" / "checkpoint";
const fs::path kPytorch = kGolden / "pytorch";

std::string contentsOf(const fs::path& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
}

// Reads every byte, so that a span outside its memory is found; the sum keeps the reads.
std::uint64_t touch(const std::vector<TensorRecord>& records) {
    std::uint64_t sum = 0;
    for (const TensorRecord& record : records) {
        for (const std::byte byte : record.bytes)
            sum += std::to_integer<unsigned>(byte);
    }
    return sum;
}

const TensorRecord* named(const std::vector<TensorRecord>& records, std::string_view name) {
    for (const TensorRecord& record : records) {
        if (record.name == name)
            return &record;
    }
    return nullptr;
}

const std::string kSixFloats(24, '\x3f');

// A weight file of one tensor "w".
std::string oneTensor(const PickledTensor& tensor) {
    return pytorchFile(pickledDictionary({{"w", pickledTensor(tensor)}}), kSixFloats);
}

std::string onePickle(const std::string& pickle) { return pytorchFile(pickle, kSixFloats); }

struct Damage {
    const char* name;
    std::string file;
    const char* message;
};

std::vector<ZipPart> goodParts() {
    return {{"m/data.pkl", pickledDictionary({{"w", pickledTensor({})}})}, {"m/data/0", kSixFloats}};
}

// The good archive with one part changed.
std::string zipWith(std::size_t index, const std::function<void(ZipPart&)>& change) {
    std::vector<ZipPart> parts = goodParts();
    change(parts[index]);
    return zipOf(parts);
}

std::vector<Damage> archiveDamage() {
    const auto ended = [](const ZipEnd& end) { return zipOf(goodParts(), end); };
    std::string locator = ended({.zip64 = true});
    locator[locator.size() - 22 - 20 + 8] ^= 0x10;
    return {
        {"empty", "", "is empty, expected the zip archive"},
        {"no archive", "hello", "is no zip archive, expected the one that torch.save writes"},
        {"tar", std::string(257, 'x') + "ustar" + std::string(250, 'x'), "from before version 1.6"},
        {"no end", "PK\x03\x04 and nothing else, for long enough",
         "without its directory at the end: truncated?"},
        {"no entries", zipOf({}), "is a zip archive without data.pkl"},
        {"no pickle", zipOf({{"m/data/0", kSixFloats}}), "is a zip archive without data.pkl"},
        {"two pickles", zipOf({{"a/data.pkl", "x"}, {"b/data.pkl", "x"}}),
         "has two pickles: 'a/data.pkl' and 'b/data.pkl'"},
        {"duplicate entries", zipOf({{"m/data.pkl", "x"}, {"m/data/0", "x"}, {"m/data/0", "y"}}),
         "'m/data/0': is in the archive more than once"},
        {"too many entries", ended({.entries = 9}), "cannot hold 9 entries"},
        {"one entry too many", ended({.entries = 3, .directory_size = 150, .directory_offset = 0}),
         "entry 1 of 3 in its directory is not readable"},
        {"another disk", ended({.disk = 1}), "one part of a zip archive that is split"},
        {"directory outside", ended({.directory_offset = 4000000000u}), "does not fit before its end record"},
        {"directory too long", ended({.directory_size = 4000000000u}), "does not fit before its end record"},
        {"64-bit locator", locator, "its ZIP64 locator points to no end record"},
    };
}

std::vector<Damage> entryDamage() {
    const std::string huge(std::size_t{32} << 20, '\0');
    return {
        {"encrypted", zipWith(1, [](ZipPart& part) { part.flags = 1; }), "'m/data/0': is encrypted"},
        {"other method", zipWith(1, [](ZipPart& part) { part.method = 93; }), "compressed by method 93"},
        {"local header elsewhere", zipWith(1, [](ZipPart& part) { part.offset = 7; }),
         "has no matching local header and data"},
        {"local header outside", zipWith(1, [](ZipPart& part) { part.offset = 4000000000u; }),
         "has no matching local header and data"},
        {"other local name", zipWith(1, [](ZipPart& part) { part.local_name = "m/data/1"; }),
         "'m/data/0': has no matching local header and data"},
        {"data outside", zipWith(1, [](ZipPart& part) { part.packed = part.size = 4000000000u; }),
         "has no matching local header and data"},
        {"stored sizes differ", zipWith(1, [](ZipPart& part) { part.size = 25; }),
         "is stored in 24 bytes but declares 25"},
        {"overlap",
         zipWith(0,
                 [](ZipPart& part) {
                     part.packed = part.size = static_cast<std::uint32_t>(part.contents.size() + 50);
                 }),
         "overlaps"},
        {"pickle's checksum", zipWith(0, [](ZipPart& part) { part.checksum = 1; }),
         "'m/data.pkl': its contents do not match their checksum"},
        {"deflated checksum", zipWith(1, [](ZipPart& part) { part.deflate = true, part.checksum = 1; }),
         "'m/data/0': its contents do not match their checksum"},
        {"unpacks to more", zipWith(1, [](ZipPart& part) { part.deflate = true, part.size = 23; }),
         "its compressed data are damaged"},
        {"unpacks to less", zipWith(1, [](ZipPart& part) { part.deflate = true, part.size = 25; }),
         "its compressed data are damaged"},
        {"not deflated", zipWith(1, [](ZipPart& part) { part.method = 8; }),
         "its compressed data are damaged"},
        {"declared bomb", zipWith(1, [](ZipPart& part) { part.deflate = true, part.size = 4000000000u; }),
         "unpack to more than 64 times its size"},
        {"bomb", zipOf({{"m/data.pkl", "x"}, {.name = "m/data/0", .contents = huge, .deflate = true}}),
         "unpack to more than 64 times its size"},
        {"64-bit size missing", zipWith(1, [](ZipPart& part) { part.size = part.packed = 0xffffffffu; }),
         "entry 2 of 2 in its directory is not readable"},
        {"64-bit field too short",
         zipWith(1,
                 [](ZipPart& part) {
                     part.size = 0xffffffffu, part.extra = little(1, 2) + little(4, 2) + little(24, 4);
                 }),
         "entry 2 of 2 in its directory is not readable"},
        {"extra field too long",
         zipWith(1,
                 [](ZipPart& part) {
                     part.extra = little(7, 2) + little(400, 2);
                     part.size = 0xffffffffu;
                 }),
         "entry 2 of 2 in its directory is not readable"},
        {"no name of a line", zipWith(1, [](ZipPart& part) { part.name = "m/\n\x1b[31m", part.flags = 1; }),
         "'m/??[31m': is encrypted"},
    };
}

std::vector<Damage> pickleDamage() {
    const std::string system = pickledGlobal("os", "system");
    const std::string many_items = "(" + std::string(200000, ')') + "tq\x01";
    std::string copies;
    for (int i = 0; i < 200; ++i)
        copies += "h\x01Q";
    return {
        {"empty", "", "data.pkl: byte 0: reaches beyond the end of the pickle: truncated?"},
        {"no stop", "\x80\x02}", "byte 3: reaches beyond the end of the pickle: truncated?"},
        {"nothing", ".", "takes a value from an empty stack"},
        {"os.system", "\x80\x02" + system + "(" + pickledText("touch executed") + "tR.",
         "byte 2: asks for 'os.system', which is not a part of weights: refused, nothing was executed"},
        {"os.system among tensors",
         pickledDictionary(
             {{"w", pickledTensor({})}, {"x", system + "(" + pickledText("touch executed") + "tR"}}),
         "asks for 'os.system', which is not a part of weights"},
        {"eval", "\x80\x02" + pickledGlobal("__builtin__", "eval") + ")R.", "asks for '__builtin__.eval'"},
        {"other torch", "\x80\x02" + pickledGlobal("torch", "load") + ")R.", "asks for 'torch.load'"},
        {"unprintable", "\x80\x02" + pickledGlobal("o\x1bs", "sys\rtem") + ".", "asks for 'o?s.sys?tem'"},
        {"instance", "\x80\x02(ios\nsystem\n.",
         "byte 3: the pickle opcode 0x69 is not one that PyTorch writes"},
        {"new object", "\x80\x02})\x81.", "the pickle opcode 0x81 is not one that PyTorch writes"},
        {"extension", std::string("\x80\x02\x82\x01."), "the pickle opcode 0x82 is not one"},
        {"stack global", "\x80\x02\x93.", "the pickle opcode 0x93 is not one"},
        {"protocol 4", "\x80\x04}.", "pickle protocol 4, expected 2"},
        {"name without end", "\x80\x02" + std::string("c") + std::string(400, 'x'), "does not end"},
        {"text too long", std::string("\x80\x02X\xff\xff\xff\xff."), "reaches beyond the end of the pickle"},
        {"huge integer", "\x80\x02\x8a\x09" + std::string(9, '\x01') + ".", "an integer of 9 bytes"},
        {"unknown memo", "\x80\x02h\x07.", "recalls value 7, which was not remembered"},
        {"mark missing", "\x80\x02t.", "ends a structure that was not begun"},
        {"value below mark", std::string("\x80\x02N(\x85."), "takes a value from an empty stack"},
        {"append to none", "\x80\x02NNa.", "appends to what is no list"},
        {"items of a list", "\x80\x02](NNu.", "sets items of what is no dictionary"},
        {"key without value", "\x80\x02}(Nu.", "sets a key without a value"},
        {"call of a number", "\x80\x02N)R.", "calls what is no global"},
        {"attributes of a list", "\x80\x02]}b.", "sets attributes of what is no dictionary"},
        {"storage of a number", "\x80\x02K\x01Q.", "refers to a storage by what is no tuple"},
        {"dictionary of numbers",
         "\x80\x02" + pickledGlobal("collections", "OrderedDict") + "(]K\x01" + "atR.", "a list of pairs"},
        {"structure left open", "\x80\x02(}.", "ends with values left over"},
        {"values left over", "\x80\x02}}.", "ends with values left over"},
        {"deep", "\x80\x02" + std::string(300, '('), "structures are nested deeper than 256"},
        {"wide", "\x80\x02" + std::string((1u << 20) + 1, ')'), "values wait on the stack"},
        {"many",
         "\x80\x02]" +
             [] {
                 std::string text;
                 for (int i = 0; i < (1 << 22); ++i)
                     text += ")a";
                 return text;
             }(),
         "has more than 4194304 values"},
        {"copied again and again", "\x80\x02" + many_items + copies, "items"},
        {"contains itself", std::string("\x80\x02]q\x01h\x01") + "a.", "holds no dictionary of tensors"},
        {"dictionary contains itself", std::string("\x80\x02}q\x01") + pickledText("self") + "h\x01s.",
         "its dictionary holds no tensor"},
        {"a list", "\x80\x02].", "data.pkl: holds no dictionary of tensors"},
        {"no tensor", pickledDictionary({{"step", "K\x01"}}), "its dictionary holds no tensor"},
        {"nested", pickledDictionary({{"state_dict", "}(" + pickledText("w") + pickledTensor({}) + "u"}}),
         "'state_dict': holds tensors in a dictionary of its own"},
        {"twice", pickledDictionary({{"w", pickledTensor({})}, {"w", pickledTensor({})}}),
         "'w': is in the dictionary more than once"},
        {"name", pickledDictionary({{"w\xff", pickledTensor({})}}), "the tensor's name is not valid UTF-8"},
        {"storage class as tensor", pickledDictionary({{"w", pickledGlobal("torch", "FloatStorage") + ")R"}}),
         "'w': is 'torch.FloatStorage', expected a tensor"},
        {"tensor without arguments",
         pickledDictionary({{"w", pickledGlobal("torch._utils", "_rebuild_tensor_v2") + ")R"}}),
         "'w': its pickle has no storage where one is expected"},
        {"parameter of nothing",
         pickledDictionary({{"w", pickledGlobal("torch._utils", "_rebuild_parameter") + ")R"}}),
         "'w': its pickle has no tensor where one is expected"},
    };
}

std::vector<Damage> tensorDamage() {
    constexpr std::int64_t kHuge = std::int64_t{1} << 62;
    const auto tensor = [](std::int64_t count, std::int64_t offset, std::vector<std::int64_t> shape,
                           std::vector<std::int64_t> strides) {
        return PickledTensor{"FloatStorage", "0", count, offset, std::move(shape), std::move(strides)};
    };
    PickledTensor wide = tensor(6, 0, {2, 3}, {3, 1}), missing = wide, no_class = wide;
    wide.storage = "DoubleStorage";
    missing.key = "../../etc/passwd";
    no_class.storage = "Size";
    return {
        {"storage too large", oneTensor(tensor(7, 0, {2, 3}, {3, 1})),
         "'w': its storage declares 7 elements of F32, but 'm/data/0' has 24 bytes"},
        {"storage of a wider dtype", oneTensor(wide), "declares 6 elements of F64"},
        {"negative storage", oneTensor(tensor(-1, 0, {2, 3}, {3, 1})), "declares -1 elements"},
        {"huge storage", oneTensor(tensor(kHuge, 0, {2, 3}, {3, 1})),
         "declares 4611686018427387904 elements"},
        {"missing storage", oneTensor(missing),
         "its storage 'm/data/../../etc/passwd' is not in the archive"},
        {"no storage class", oneTensor(no_class), "'torch.Size' is no class of storages"},
        {"offset", oneTensor(tensor(6, 1, {2, 3}, {3, 1})), "reaches beyond its storage: offset 1"},
        {"negative offset", oneTensor(tensor(6, -1, {2, 3}, {3, 1})),
         "reaches beyond its storage: offset -1"},
        {"huge offset", oneTensor(tensor(6, INT64_MAX, {1}, {1})), "reaches beyond its storage"},
        {"strides", oneTensor(tensor(6, 0, {2, 3}, {4, 1})), "reaches beyond its storage"},
        {"huge stride", oneTensor(tensor(6, 0, {3}, {kHuge})), "reaches beyond its storage"},
        {"negative stride", oneTensor(tensor(6, 5, {2, 3}, {-3, 1})), "a negative number in its strides: -3"},
        {"negative extent", oneTensor(tensor(6, 0, {2, -3}, {3, 1})), "a negative number in its shape: -3"},
        {"huge shape", oneTensor(tensor(6, 0, {kHuge, kHuge}, {0, 0})), "its shape is larger than any file"},
        {"repeated", oneTensor(tensor(6, 0, {1 << 30, 3}, {0, 1})),
         "its strides repeat the storage to more than 64 times the file's size"},
        {"ranks", oneTensor(tensor(6, 0, {2, 3}, {1})), "has 2 extents but 1 strides"},
        {"dimensions", oneTensor(tensor(6, 0, std::vector<std::int64_t>(65, 1), {1})), "has 65 dimensions"},
    };
}

}  // namespace

class TestPytorchFile : public QObject {
    Q_OBJECT

private:
    QTemporaryDir m_temporary;

    fs::path file(const std::string& contents) const {
        const fs::path path = fs::path(m_temporary.path().toStdString()) / "pytorch_model.bin";
        fs::remove(path);  // never truncate what may still be mapped
        std::ofstream(path, std::ios::binary) << contents;
        return path;
    }

    void compareWithTorch(const char* name) const {
        const std::vector<TensorRecord> found = readPytorchFile(kPytorch / name);
        const SafetensorsFile expected(kPytorch / "views.safetensors");
        QCOMPARE(found.size(), expected.tensors().size());
        for (const TensorRecord& tensor : expected.tensors()) {
            const TensorRecord* record = named(found, tensor.name);
            QVERIFY2(record, tensor.name.c_str());
            QVERIFY2(record->dtype == tensor.dtype, tensor.name.c_str());
            QVERIFY2(record->shape == tensor.shape, tensor.name.c_str());
            QVERIFY2(std::ranges::equal(record->bytes, tensor.bytes), tensor.name.c_str());
            QCOMPARE(record->file, kPytorch / name);
        }
    }

    void refused(const std::vector<Damage>& table, bool pickles = false) const {
        for (const Damage& row : table) {
            const std::string contents = pickles ? onePickle(row.file) : row.file;
            const std::string said = errorOf([&] { touch(readPytorchFile(file(contents))); });
            QVERIFY2(said.find(row.message) != std::string::npos,
                     (std::string(row.name) + ": said '" + said + "'").c_str());
            QVERIFY2(said.find("pytorch_model.bin: ") != std::string::npos, said.c_str());
            QVERIFY2(said.find('\n') == std::string::npos, said.c_str());
        }
    }

private slots:
    void equalsTorch() { compareWithTorch("views.bin"); }
    void equalsTorchWhenDeflated() { compareWithTorch("deflated.bin"); }
    void equalsTorchWhenUnaligned() { compareWithTorch("repacked.bin"); }

    void contiguousViewsStayInTheFile() {
        const std::vector<TensorRecord> found = readPytorchFile(kPytorch / "views.bin");
        const TensorRecord &base = *named(found, "base"), &offset = *named(found, "offset"),
                           &strided = *named(found, "strided");
        QCOMPARE(offset.bytes.data(), base.bytes.data() + 2 * 4 * 5 * 4);
        QVERIFY(offset.owner == base.owner);
        QVERIFY(strided.owner != base.owner);
        QCOMPARE(named(found, "bfloat.tied")->bytes.data(), named(found, "bfloat.shared")->bytes.data());
        // Inflated once for all who share a storage.
        const std::vector<TensorRecord> inflated = readPytorchFile(kPytorch / "deflated.bin");
        QVERIFY(named(inflated, "offset")->owner == named(inflated, "base")->owner);
    }

    void bytesOutliveTheReader() {
        const fs::path path = file(contentsOf(kPytorch / "views.bin"));
        const std::vector<TensorRecord> found = readPytorchFile(path);
        fs::remove(path);
        QVERIFY(touch(found) > 0);
    }

    void sharded() {
        const auto expected = Checkpoint::open(kGolden / "sharded");
        const auto found = Checkpoint::open(kPytorch / "sharded");
        QCOMPARE(found->shards().size(), std::size_t{2});
        QCOMPARE(found->tensors().size(), expected->tensors().size());
        for (const TensorRecord* tensor : expected->tensors()) {
            const TensorRecord& record = found->at(tensor->name);
            QVERIFY(record.dtype == tensor->dtype);
            QVERIFY(record.shape == tensor->shape);
            QVERIFY(std::ranges::equal(record.bytes, tensor->bytes));
        }
        QCOMPARE(found->parameterCount(), expected->parameterCount());
        QCOMPARE(found->fingerprint(), expected->fingerprint());  // the same weights, whatever the format
    }

    void archivesInOtherForms() {
        const std::uint64_t sum = 24 * 0x3f;
        QCOMPARE(touch(readPytorchFile(file(zipOf(goodParts())))), sum);
        ZipEnd end;
        end.zip64 = true;
        QCOMPARE(touch(readPytorchFile(file(zipOf(goodParts(), end)))), sum);
        end.comment = std::string(65535, 'c');
        QCOMPARE(touch(readPytorchFile(file(zipOf(goodParts(), end)))), sum);
        std::vector<ZipPart> bare = goodParts();
        bare[0].name = "data.pkl", bare[1].name = "data/0";
        QCOMPARE(touch(readPytorchFile(file(zipOf(bare)))), sum);
        // Python 2's way to pickle an OrderedDict.
        const std::string old = "\x80\x02" + pickledGlobal("collections", "OrderedDict") + "(](]" +
                                pickledText("w") + "a" + pickledTensor({}) + "a" + "etR.";
        QCOMPARE(touch(readPytorchFile(file(onePickle(old)))), sum);
    }

    void otherFormats() {
        const std::string legacy = errorOf([&] { readPytorchFile(kPytorch / "legacy.bin"); });
        QVERIFY2(
            legacy.ends_with("legacy.bin: is in PyTorch's format from before version 1.6, which is not read: "
                             "convert it to safetensors, or load and save it again with a newer PyTorch"),
            legacy.c_str());
        const std::string big = errorOf([&] { readPytorchFile(kPytorch / "byteorder.bin"); });
        QVERIFY2(big.ends_with("byteorder: is 'big', expected 'little'"), big.c_str());
        const fs::path pointer = file("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n");
        const std::string lfs = errorOf([&] { readWeightFile(pointer); });
        QVERIFY2(lfs.ends_with(
                     "is a Git LFS pointer, the weights themselves were not downloaded: run git lfs pull"),
                 lfs.c_str());
    }

    void damagedArchives() { refused(archiveDamage()); }
    void damagedEntries() { refused(entryDamage()); }
    void damagedPickles() {
        refused(pickleDamage(), true);
        QVERIFY(!fs::exists("executed"));
    }
    void damagedTensors() { refused(tensorDamage()); }

    void everyTruncationIsRefused() {
        for (const char* name : {"views.bin", "deflated.bin"}) {
            const std::string whole = contentsOf(kPytorch / name);
            for (std::size_t size = 0; size < whole.size(); ++size)
                QVERIFY2(!errorOf([&] { readPytorchFile(file(whole.substr(0, size))); }).empty(),
                         std::to_string(size).c_str());
        }
    }

    void everyTruncatedPickleIsRefused() {
        const std::string whole = pickledDictionary({{"w", pickledTensor({})}, {"v", pickledTensor({})}});
        QVERIFY(errorOf([&] { readPytorchFile(file(onePickle(whole))); }).empty());
        for (std::size_t size = 0; size < whole.size(); ++size)
            QVERIFY2(!errorOf([&] { readPytorchFile(file(onePickle(whole.substr(0, size)))); }).empty(),
                     std::to_string(size).c_str());
    }

    // Whatever is read must be readable; everything else must say so.
    void randomDamage() {
        std::mt19937 random(5);
        const auto damaged = [&](std::string text) {
            for (unsigned changes = 1 + random() % 4; changes-- > 0;)
                text[random() % text.size()] =
                    static_cast<char>(random() % 2 ? random() : 0xff * (random() % 2));
            return text;
        };
        int read = 0, refused = 0;
        const auto attempt = [&](const std::string& contents) {
            const std::string said = errorOf([&] { touch(readPytorchFile(file(contents))); });
            ++(said.empty() ? read : refused);
        };
        const std::string views = contentsOf(kPytorch / "views.bin"),
                          packed = contentsOf(kPytorch / "deflated.bin");
        const std::size_t directory = views.rfind("PK\x01\x02");
        const std::string pickle = pickledDictionary({{"w", pickledTensor({})}, {"x", pickledTensor({})}});
        for (int i = 0; i < 1500; ++i) {
            attempt(damaged(views));
            attempt(damaged(packed));
            attempt(views.substr(0, directory) + damaged(views.substr(directory)));
            attempt(onePickle(damaged(pickle)));  // with the right checksum
        }
        QVERIFY(read > 100);
        QVERIFY(refused > 1000);
    }
};

QTEST_GUILESS_MAIN(TestPytorchFile)
#include "tst_pytorch_file.moc"
