// SPDX-License-Identifier: Apache-2.0
// What stands where a file should: a named pipe, which would keep a reader waiting for ever, a device, which
// may have no end, a socket or a directory. Every reader refuses it with the same message, at once: a reader
// that waits makes this test hang. In a fresh directory each, so that no reader sees more than one.
#include "core/base/atomic_output.h"
#include "core/base/regular_file.h"
#include "core/calibration/corpus.h"
#include "core/calibration/partial_calibration.h"
#include "core/calibration/statistics.h"
#include "core/checkpoint/checkpoint.h"
#include "core/model/open_checkpoint.h"
#include "core/spectrum/rank_plan.h"
#include "core/tokenizer/chat_template.h"
#include "core/tokenizer/tokenizer.h"
#include "tests/core/method_support.h"
#include "tests/support/id_tokenizer.h"
#include "tests/support/random_checkpoint.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

#include <cstring>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

using namespace eigenscope;
using namespace eigenscope::test;
namespace fs = std::filesystem;

namespace {

void makeSocket(const fs::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string name = path.string();
    QVERIFY(name.size() < sizeof address.sun_path);
    std::memcpy(address.sun_path, name.c_str(), name.size() + 1);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    QVERIFY(fd >= 0);
    QCOMPARE(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ::close(fd);
}

struct Kind {
    const char* name;
    void (*make)(const fs::path&);
};

const Kind kKinds[] = {
    {"named pipe", [](const fs::path& path) { QCOMPARE(mkfifo(path.c_str(), 0600), 0); }},
    {"directory", [](const fs::path& path) { fs::create_directory(path); }},
    {"socket", makeSocket},
    // A link, as making devices is not for everyone; links to files are followed.
    {"device", [](const fs::path& path) { fs::create_symlink("/dev/zero", path); }},
};

using Reader = std::function<void(const fs::path& directory)>;

struct Place {
    const char* file;
    Reader read;
};

void openModelIn(const fs::path& directory) { Checkpoint::open(directory, Checkpoint::Access::Headers); }

void writeIndex(const fs::path& directory, const char* index, const char* shard) {
    const Json json = {{"weight_map", {{"a", shard}}}};
    writeTextFile(directory / index, json.dump());
}

Reader corpusReader(const char* name) {
    return [name](const fs::path& directory) {
        JobContext job;
        readCorpus(job, IdTokenizer(100, {1}), directory / name);
    };
}

const std::map<std::string, Place>& places() {
    const Reader tokenizer = [](const fs::path& directory) { loadTokenizer(directory); };
    const auto demo = [](const char* from, std::vector<const char*> names, const Reader& next) {
        return [from, names = std::move(names), next](const fs::path& directory) {
            for (const char* name : names)
                fs::copy_file(fs::path(EIGENSCOPE_SOURCE_DIR) / "resources" / "demo" / from / name,
                              directory / name);
            next(directory);
        };
    };
    const auto configured = [](const Reader& next) {
        return [next](const fs::path& directory) {
            writeTextFile(directory / "config.json", tinyLlamaConfig().dump());
            next(directory);
        };
    };
    static const std::map<std::string, Place> all{
        {"configuration", {"config.json", openModelIn}},
        {"configuration of random weights",
         {"config.json", [](const fs::path& d) { openCheckpoint(d, LoadFormat::Dummy); }}},
        {"safetensors", {"model.safetensors", configured(openModelIn)}},
        {"safetensors of another name", {"other.safetensors", configured(openModelIn)}},
        {"safetensors index", {"model.safetensors.index.json", configured(openModelIn)}},
        {"safetensors shard", {"s.safetensors", configured([](const fs::path& d) {
                                   writeIndex(d, "model.safetensors.index.json", "s.safetensors");
                                   openModelIn(d);
                               })}},
        {"PyTorch file", {"pytorch_model.bin", configured(openModelIn)}},
        {"PyTorch file of another name", {"pytorch_model-1.bin", configured(openModelIn)}},
        {"PyTorch index", {"pytorch_model.bin.index.json", configured(openModelIn)}},
        {"PyTorch shard", {"s.bin", configured([](const fs::path& d) {
                               writeIndex(d, "pytorch_model.bin.index.json", "s.bin");
                               openModelIn(d);
                           })}},
        {"tokenizer.json", {"tokenizer.json", tokenizer}},
        {"tokenizer.model", {"tokenizer.model", tokenizer}},
        {"tokenizer.model beside tokenizer.json",
         {"tokenizer.model", demo("mpt-stories", {"tokenizer.json"}, tokenizer)}},
        {"vocabulary", {"vocab.json", demo("opt-stories", {"merges.txt"}, tokenizer)}},
        {"merges", {"merges.txt", demo("opt-stories", {"vocab.json"}, tokenizer)}},
        {"tokenizer settings", {"tokenizer_config.json", demo("mpt-stories", {"tokenizer.json"}, tokenizer)}},
        {"special tokens", {"special_tokens_map.json", demo("mpt-stories", {"tokenizer.json"}, tokenizer)}},
        {"added tokens", {"added_tokens.json", demo("mpt-stories", {"tokenizer.json"}, tokenizer)}},
        {"generation settings",
         {"generation_config.json", demo("mpt-stories", {"tokenizer.json"}, tokenizer)}},
        {"chat template", {"chat_template.jinja", [](const fs::path& d) { ChatTemplate::load(d); }}},
        {"chat template in JSON", {"chat_template.json", [](const fs::path& d) { ChatTemplate::load(d); }}},
        {"text", {"a.txt", corpusReader("a.txt")}},
        {"text of records", {"a.jsonl", corpusReader("a.jsonl")}},
        {"packed text", {"a.jsonl.gz", corpusReader("a.jsonl.gz")}},
        {"text in JSON", {"a.json", corpusReader("a.json")}},
        {"statistics",
         {"a.stats.safetensors", [](const fs::path& d) { loadStatistics(d / "a.stats.safetensors"); }}},
        {"unfinished calibration",
         {"a.partial", [](const fs::path& d) { loadPartialCalibration(d / "a.partial"); }}},
        {"plan", {"plan.json", [](const fs::path& d) { loadPlan(d / "plan.json"); }}},
        {"text file", {"a", [](const fs::path& d) { readTextFile(d / "a"); }}},
        {"optional file", {"a", [](const fs::path& d) { hasRegularFile(d / "a"); }}},
    };
    return all;
}

}  // namespace

class TestIrregularFiles : public QObject {
    Q_OBJECT
private slots:
    void refused_data() {
        QTest::addColumn<QString>("place");
        QTest::addColumn<int>("kind");
        for (const auto& [name, place] : places()) {
            for (int kind = 0; kind < static_cast<int>(std::size(kKinds)); ++kind)
                QTest::addRow("%s as %s", kKinds[kind].name, name.c_str())
                    << QString::fromStdString(name) << kind;
        }
    }

    void refused() {
        QFETCH(QString, place);
        QFETCH(int, kind);
        const TemporaryDirectory directory;
        const Place& at = places().at(place.toStdString());
        kKinds[kind].make(directory / at.file);
        const std::string message = errorOf([&] { at.read(directory.path()); });
        const std::string expected =
            (directory / at.file).string() + ": is a " + kKinds[kind].name + ", expected a regular file";
        QCOMPARE(message, expected);
    }

    void filesThroughLinks() {
        const TemporaryDirectory directory;
        writeTextFile(directory / "a", "text");
        fs::create_symlink("a", directory / "link");
        fs::create_symlink("nothing", directory / "dangling");
        QCOMPARE(readTextFile(directory / "link"), std::string("text"));
        QVERIFY(hasRegularFile(directory / "link"));
        // As a download that is not complete leaves it.
        QVERIFY(!hasRegularFile(directory / "dangling") && !hasRegularFile(directory / "nothing"));
        QVERIFY(
            errorOf([&] { readTextFile(directory / "dangling"); }).ends_with("No such file or directory"));
    }
};

QTEST_GUILESS_MAIN(TestIrregularFiles)
#include "tst_irregular_files.moc"
