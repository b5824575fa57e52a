// SPDX-License-Identifier: Apache-2.0
// Opening checkpoint directories: single and sharded files, what each kind of incomplete directory says,
// fingerprints.
#include "core/base/atomic_output.h"
#include "core/base/fail.h"
#include "core/checkpoint/checkpoint.h"
#include "tests/support/error_text.h"

#include <QTemporaryDir>
#include <QTest>

using namespace eigenscope;
using namespace eigenscope::test;
namespace fs = std::filesystem;

namespace {

void writeWeights(const fs::path& file,
                  const std::vector<std::pair<std::string, std::vector<float>>>& tensors) {
    std::vector<TensorSpec> specs;
    for (const auto& [name, values] : tensors)
        specs.push_back({name, FileDType::F32, {static_cast<std::int64_t>(values.size())}});
    SafetensorsWriter writer(file, specs, {});
    for (const auto& [name, values] : tensors)
        writer.write(name, std::as_bytes(std::span(values)));
    writer.commit();
}

const fs::path kSharded = fs::path(EIGENSCOPE_SOURCE_DIR) / "tests" / "golden" / "checkpoint" / "sharded";

}  // namespace

#define VERIFY_REFUSED(path, part)                                                        \
    do {                                                                                  \
        const std::string said = errorOf([&] { Checkpoint::open(path); });                \
        QVERIFY2(said.find(part) != std::string::npos, ("said: '" + said + "'").c_str()); \
    } while (false)

class TestCheckpoint : public QObject {
    Q_OBJECT

private:
    QTemporaryDir m_temporary;
    int m_next = 0;

    fs::path folder() {
        const fs::path path =
            fs::path(m_temporary.path().toStdString()) / ("model-" + std::to_string(m_next++));
        fs::create_directory(path);
        return path;
    }
    fs::path folderWithConfig() {
        const fs::path path = folder();
        writeTextFile(path / "config.json", R"({"model_type": "opt"})");
        return path;
    }

private slots:
    void sharded() {
        const auto checkpoint = Checkpoint::open(kSharded);
        const Json expected = readJsonFile(kSharded / ".." / "expected.json").at("sharded");
        QCOMPARE(checkpoint->tensors().size(), expected.size());
        QCOMPARE(checkpoint->shards().size(), std::size_t{5});
        std::int64_t bytes = 0;
        for (const auto& [name, value] : expected.items()) {
            const TensorRecord& tensor = checkpoint->at(name);
            std::int64_t sum = 0;
            for (const std::byte byte : tensor.bytes)
                sum += std::to_integer<int>(byte);
            QCOMPARE(sum, value.at("sum").get<std::int64_t>());
            QCOMPARE(tensor.file.filename().string(), value.at("file").get<std::string>());
            QVERIFY(tensor.dtype == FileDType::BF16);
            bytes += static_cast<std::int64_t>(tensor.bytes.size());
        }
        // "total_parameters" and "total_size" of the index.
        QCOMPARE(checkpoint->parameterCount(), std::int64_t{5456});
        QCOMPARE(checkpoint->weightBytes(), std::int64_t{10912});
        QCOMPARE(bytes, std::int64_t{10912});
        QCOMPARE(checkpoint->config().at("hidden_size").get<int>(), 16);
        QCOMPARE(checkpoint->name(), std::string("sharded"));
        QVERIFY(!checkpoint->find("model.norm"));
        QVERIFY(errorOf([&] {
                    checkpoint->at("model.norm");
                }).ends_with("there is no tensor 'model.norm' in the weights"));
    }

    void anyFileOfTheDirectoryOpensIt() {
        for (const char* name :
             {"config.json", "model.safetensors.index.json", "model-00003-of-00005.safetensors"})
            QCOMPARE(Checkpoint::open(kSharded / name)->directory(), kSharded);
    }

    // The layout is huggingface_hub's: the snapshot's files are links.
    void repositoriesOfTheHubsCache() {
        const fs::path repository = folder() / "models--some-org--Tiny-Model-1b";
        const fs::path blobs = repository / "blobs", snapshots = repository / "snapshots";
        fs::create_directories(blobs);
        fs::create_directories(snapshots / "0a1b");
        VERIFY_REFUSED(repository, "0a1b: no config.json in this directory");
        writeTextFile(blobs / "c", R"({"model_type": "opt"})");
        writeWeights(blobs / "w", {{"w", {1.0f}}});
        fs::create_symlink("../../blobs/c", snapshots / "0a1b" / "config.json");
        fs::create_symlink("../../blobs/w", snapshots / "0a1b" / "model.safetensors");
        for (const fs::path& path : {repository, snapshots / "0a1b", snapshots / "0a1b" / "config.json"}) {
            const auto checkpoint = Checkpoint::open(path);
            QCOMPARE(checkpoint->directory(), snapshots / "0a1b");
            QCOMPARE(checkpoint->name(), std::string("Tiny-Model-1b"));
        }
        fs::create_directory(snapshots / "2c3d");
        VERIFY_REFUSED(repository, "snapshots: has 2 snapshots and refs/main names none of them: open one");
        fs::create_directory(repository / "refs");
        writeTextFile(repository / "refs" / "main", "0a1b");
        QCOMPARE(Checkpoint::open(repository)->directory(), snapshots / "0a1b");
        writeTextFile(repository / "refs" / "main", "../../elsewhere");
        VERIFY_REFUSED(repository, "refs/main names none of them");
        fs::remove_all(snapshots);
        fs::create_directory(snapshots);
        VERIFY_REFUSED(repository, "snapshots: has no snapshot: the download is not complete");
    }

    void otherProgramsFormatsAreNamed() {
        const fs::path gguf = folder(), meta = folder();
        writeTextFile(gguf / "model.Q4_K_M.gguf", "GGUF");
        VERIFY_REFUSED(gguf,
                       "no config.json in this directory, expected a Hugging Face checkpoint; GGUF files");
        writeTextFile(meta / "consolidated.00.pth", "x");
        VERIFY_REFUSED(meta, "*.pth files as Meta publishes them are not read");
    }

    void missingThings() {
        VERIFY_REFUSED(folder() / "none", "none: no such file or directory");
        const fs::path empty = folder();
        VERIFY_REFUSED(empty, "no config.json in this directory");
        const fs::path bare = folderWithConfig();
        VERIFY_REFUSED(bare,
                       "no weights found, looked for model.safetensors, model.safetensors.index.json, "
                       "*.safetensors, pytorch_model.bin, pytorch_model.bin.index.json and "
                       "pytorch_model*.bin");
        writeTextFile(bare / "pytorch_model-00001-of-00002.bin", "x");
        VERIFY_REFUSED(bare, "pytorch_model-00001-of-00002.bin: is no zip archive");
        writeTextFile(bare / "pytorch_model.bin.index.json", R"({"weight_map": {"w": "other.bin"}})");
        VERIFY_REFUSED(bare, "pytorch_model.bin.index.json: weight_map.w: the file 'other.bin' is missing");
        writeTextFile(bare / "pytorch_model.bin", "x");
        VERIFY_REFUSED(bare, "pytorch_model.bin: is no zip archive");
        // Safetensors are preferred.
        writeWeights(bare / "part.safetensors", {{"w", {1.0f}}});
        QCOMPARE(Checkpoint::open(bare)->shards().front().filename().string(),
                 std::string("part.safetensors"));
        writeTextFile(bare / "config.json", "[]");
        VERIFY_REFUSED(bare, "config.json: expected a JSON object");
        writeTextFile(bare / "config.json", "{");
        VERIFY_REFUSED(bare, "config.json: not valid JSON");
    }

    void filesWithoutAnIndex() {
        const fs::path dir = folderWithConfig();
        writeWeights(dir / "b.safetensors", {{"two", {1, 2}}});
        writeWeights(dir / "a.safetensors", {{"one", {3}}});
        QCOMPARE(Checkpoint::open(dir)->tensors().size(), std::size_t{2});
        writeWeights(dir / "c.safetensors", {{"one", {3}}});
        VERIFY_REFUSED(dir, "c.safetensors: one: is in more than one file of the checkpoint");
        writeWeights(dir / "model.safetensors", {{"three", {3, 4, 5}}});
        QCOMPARE(Checkpoint::open(dir)->tensors().size(), std::size_t{1});  // the usual name wins
    }

    void indexProblems_data() {
        QTest::addColumn<QByteArray>("index");
        QTest::addColumn<QByteArray>("message");
        const auto row = [](const char* name, const char* index, const char* message) {
            QTest::newRow(name) << QByteArray(index) << QByteArray(message);
        };
        row("no map", "{}", "model.safetensors.index.json: weight_map: is missing");
        row("no object", "[]", "model.safetensors.index.json: expected an object");
        row("map no object", R"({"weight_map": 1})",
            "weight_map: expected an object of tensor names and file names");
        row("empty map", R"({"weight_map": {}})", "weight_map: names no tensor");
        row("name no string", R"({"weight_map": {"one": 1}})", "weight_map.one: expected a string");
        row("missing file", R"({"weight_map": {"one": "b.safetensors"}})",
            "weight_map.one: the file 'b.safetensors' is missing from the directory");
        row("missing tensor", R"({"weight_map": {"two": "a.safetensors"}})",
            "weight_map.two: the file 'a.safetensors' has no such tensor");
        row("parent", R"({"weight_map": {"one": "../a.safetensors"}})",
            "'../a.safetensors' is not the plain name of a file");
        row("absolute", R"({"weight_map": {"one": "/etc/passwd"}})", "is not the plain name of a file");
        row("dots", R"({"weight_map": {"one": ".."}})", "is not the plain name of a file");
        row("empty name", R"({"weight_map": {"one": ""}})", "is not the plain name of a file");
        row("nul", R"({"weight_map": {"one": "a.safetensors\u0000x"}})", "is not the plain name of a file");
    }
    void indexProblems() {
        QFETCH(QByteArray, index);
        QFETCH(QByteArray, message);
        const fs::path dir = folderWithConfig();
        writeWeights(dir / "a.safetensors", {{"one", {1}}});
        writeTextFile(dir / "model.safetensors.index.json", index.toStdString());
        VERIFY_REFUSED(dir, message.toStdString());
    }

    void indexDecidesWhichTensorCounts() {
        const fs::path dir = folderWithConfig();
        writeWeights(dir / "a.safetensors", {{"one", {1}}, {"two", {2}}});
        writeWeights(dir / "b.safetensors", {{"two", {5, 6}}, {"three", {3}}});
        writeTextFile(dir / "model.safetensors.index.json",
                      R"({"weight_map": {"one": "a.safetensors", "two": "b.safetensors"}})");
        const auto checkpoint = Checkpoint::open(dir);
        QCOMPARE(checkpoint->tensors().size(), std::size_t{2});
        QCOMPARE(checkpoint->at("two").count(), std::int64_t{2});
    }

    void damagedShardIsNamed() {
        const fs::path dir = folderWithConfig();
        writeTextFile(dir / "model.safetensors", "short");
        VERIFY_REFUSED(dir, "model.safetensors: is too short for safetensors");
    }

    void fingerprintsTellApart() {
        std::vector<float> values(5000, 0.5f);
        const auto fingerprint = [&](const char* config, bool in_two_files,
                                     const std::vector<float>& weights) {
            const fs::path dir = folder();
            writeTextFile(dir / "config.json", config);
            if (in_two_files) {
                writeWeights(dir / "a.safetensors", {{"b", {1, 2}}});
                writeWeights(dir / "b.safetensors", {{"a", weights}});
            } else {
                writeWeights(dir / "model.safetensors", {{"a", weights}, {"b", {1, 2}}});
            }
            return Checkpoint::open(dir)->fingerprint();
        };
        const std::string first = fingerprint(R"({"x": 1, "y": 2})", false, values);
        QCOMPARE(first.size(), std::size_t{16});
        QCOMPARE(fingerprint(R"({"y": 2,   "x": 1})", true, values),
                 first);  // order and shards make no difference
        QVERIFY(fingerprint(R"({"x": 1, "y": 3})", false, values) != first);
        std::vector<float> other = values;
        other.back() = 0.25f;
        QVERIFY(fingerprint(R"({"x": 1, "y": 2})", false, other) != first);
        other = values;
        other.front() = 0.25f;
        QVERIFY(fingerprint(R"({"x": 1, "y": 2})", false, other) != first);
    }
};

QTEST_GUILESS_MAIN(TestCheckpoint)
#include "tst_checkpoint.moc"
