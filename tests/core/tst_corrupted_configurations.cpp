// SPDX-License-Identifier: Apache-2.0
// Damaged configurations beyond the tables of tst_model_config, tst_checkpoint and tst_tokenizer_files: every
// whole number of every family at the ends of its type and of other types, descriptions of converted
// checkpoints, indexes, deep JSON, truncation anywhere; each with the message that it must give.
#include "core/base/atomic_output.h"
#include "core/checkpoint/checkpoint.h"
#include "core/model/model_config.h"
#include "core/tokenizer/tokenizer.h"
#include "kernels/api/error.h"
#include "tests/support/error_text.h"
#include "tests/support/random_checkpoint.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

#include <fstream>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

// Without waiting for the disk, as what is tested is reading.
void writeAtOnce(const std::filesystem::path& file, const std::string& text) {
    std::ofstream(file, std::ios::binary) << text;
}

namespace fs = std::filesystem;

std::string configMessage(const Json& config) {
    return errorOf([&] { readModelConfig(config, "config.json"); });
}

const std::string kDeepJson = std::string(100000, '[') + std::string(100000, ']');

struct FamilyFields {
    const char* family;
    Json config;
    std::vector<const char*> fields;  // whole numbers above 0 that decide what is allocated
};

std::vector<FamilyFields> familyFields() {
    Json mistral = tinyLlamaConfig(), qwen2 = tinyLlamaConfig(), opt = tinyOptConfig();
    mistral["model_type"] = "mistral";
    qwen2["model_type"] = "qwen2";
    opt["word_embed_proj_dim"] = 16;
    const std::vector<const char*> llama{
        "num_hidden_layers", "hidden_size",       "num_attention_heads", "num_key_value_heads",
        "head_dim",          "intermediate_size", "vocab_size",          "max_position_embeddings"};
    return {{"llama", tinyLlamaConfig(), llama},
            {"mistral", mistral, llama},
            {"qwen2", qwen2, llama},
            {"opt",
             opt,
             {"num_hidden_layers", "hidden_size", "num_attention_heads", "ffn_dim", "vocab_size",
              "max_position_embeddings", "word_embed_proj_dim"}},
            {"mpt", tinyMptConfig(), {"n_layers", "d_model", "n_heads", "vocab_size", "max_seq_len"}}};
}

// A description of a converted Llama of 2 layers, 2 key/value heads and head dimension 8.
Json description() {
    return {{"version", 1},
            {"method", "eigen"},
            {"head_group", 2},
            {"key_ranks", {8, 16}},
            {"value_ranks", {4, 4}},
            {"key_bits", {8, 16}},
            {"value_bits", {4, 2}},
            {"kv_group", 32},
            {"kv_keys", "channel"},
            {"kv_recent", 0},
            {"calibration", {{"samples", 1}, {"seed", 0u}}}};
}

struct DescriptionRow {
    const char *pointer, *value, *message;  // after "config.json: eigen_attention"
};
constexpr DescriptionRow kDescriptionRows[] = {
    {"", "3", ": expected an object"},
    {"/version", "0", ".version: expected an integer from 1"},
    {"/version", "-9223372036854775808", ".version: expected an integer from 1"},
    {"/version", "\"1\"", ".version: expected an integer"},
    {"/head_group", "3", ".head_group: expected an integer from 1 to 2, found 3"},
    {"/head_group", "0", ".head_group: expected an integer from 1 to 2, found 0"},
    {"/key_ranks", "{}", ".key_ranks: expected an array"},
    {"/key_ranks", "[8, 16, 8]", ".key_ranks: has 3 entries, expected one for each of the 2 layers"},
    {"/key_ranks/1", "17", ".key_ranks[1]: expected an integer from 1 to 16, found 17"},
    {"/key_ranks/0", "0", ".key_ranks[0]: expected an integer from 1 to 16, found 0"},
    {"/value_ranks/0", "4.5", ".value_ranks[0]: expected an integer from 1 to 16, found 4.5"},
    {"/value_ranks/0", "1e300", ".value_ranks[0]: expected an integer"},
    {"/key_bits/0", "7", ".key_bits[0]: "},
    {"/value_bits", "[4]", ".value_bits: "},
    {"/kv_group", "4294967296", ".kv_group: expected an integer from 8 to 1024"},
    {"/kv_keys", "8", ".kv_keys: expected a string"},
    {"/kv_recent", "-1", ".kv_recent: expected an integer from 0"},
    {"/calibration", "[]", ".calibration: expected an object"},
    {"/calibration/samples", "-1", ".calibration.samples: expected an integer from 0"},
    {"/calibration/seed", "-1", ".calibration.seed: expected an integer that is not negative"},
    {"/calibration/seed", "18446744073709551616",
     ".calibration.seed: expected an integer that is not negative"},
    {"/share_key_basis", "\"no\"", ".share_key_basis: expected true or false"},
    {"/method", "1", ".method: expected a string"},
};

}  // namespace

class TestCorruptedConfigurations : public QObject {
    Q_OBJECT

private:
    const TemporaryDirectory m_directory;

    fs::path write(const char* name, const std::string& text) const {
        writeAtOnce(m_directory / name, text);
        return m_directory / name;
    }

private slots:
    void wholeNumbers_data() {
        QTest::addColumn<int>("family");
        QTest::addColumn<QByteArray>("field");
        const auto families = familyFields();
        for (std::size_t i = 0; i < families.size(); ++i) {
            for (const char* field : families[i].fields)
                QTest::addRow("%s %s", families[i].family, field) << static_cast<int>(i) << QByteArray(field);
        }
    }
    void wholeNumbers() {
        QFETCH(int, family);
        QFETCH(QByteArray, field);
        const Json good = familyFields()[static_cast<std::size_t>(family)].config;
        QCOMPARE(configMessage(good), std::string(""));
        const std::string expected =
            "config.json: " + field.toStdString() + ": expected an integer from 1 to ";
        for (const char* value :
             {"0", "-1", "-9223372036854775808", "2147483648", "9223372036854775807", "18446744073709551615",
              "18446744073709551616", "1e300", "-0.5", "1.5", "\"8\"", "[8]", "{}", "true"}) {
            Json config = good;
            config[field.toStdString()] = Json::parse(value);
            const std::string said = configMessage(config);
            QVERIFY2(said.starts_with(expected), (std::string(value) + ": said " + said).c_str());
        }
    }

    void descriptions_data() {
        QTest::addColumn<int>("index");
        for (std::size_t i = 0; i < std::size(kDescriptionRows); ++i)
            QTest::newRow(
                (std::string(kDescriptionRows[i].pointer) + "=" + kDescriptionRows[i].value).c_str())
                << static_cast<int>(i);
    }
    void descriptions() {
        QFETCH(int, index);
        const DescriptionRow& row = kDescriptionRows[index];
        Json config = tinyLlamaConfig();
        config["eigen_attention"] = description();
        QCOMPARE(configMessage(config), std::string(""));
        config[Json::json_pointer(std::string("/eigen_attention") + row.pointer)] = Json::parse(row.value);
        const std::string said = configMessage(config);
        QVERIFY2(said.starts_with(std::string("config.json: eigen_attention") + row.message), said.c_str());
    }

    // What is not even JSON, of every file that is.
    void filesThatAreNoJson_data() {
        QTest::addColumn<QByteArray>("name");
        for (const char* name : {"config.json", "model.safetensors.index.json", "tokenizer.json",
                                 "vocab.json", "tokenizer_config.json", "generation_config.json"})
            QTest::newRow(name) << QByteArray(name);
    }
    void filesThatAreNoJson() {
        QFETCH(QByteArray, name);
        for (const auto& entry : fs::directory_iterator(m_directory.path()))
            fs::remove(entry.path());
        write("config.json", R"({"model_type": "llama"})");
        if (name != "model.safetensors.index.json" && name != "config.json")
            write("tokenizer.json", R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})");
        if (name == "vocab.json") {
            fs::remove(m_directory / "tokenizer.json");
            write("merges.txt", "");
        }
        const auto said = [&](const std::string& text) {
            write(name.constData(), text);
            return errorOf([&] {
                if (name == "config.json" || name == "model.safetensors.index.json")
                    Checkpoint::open(m_directory.path());
                else
                    loadTokenizer(m_directory.path());
            });
        };
        const std::string begin = (m_directory / name.toStdString()).string() + ": ";
        QCOMPARE(said(""), begin + "is empty, expected JSON");
        QVERIFY(said("{\"a\": 1").starts_with(begin + "not valid JSON at byte 8 (line 1, column "));
        QVERIFY(said("{\"a\": NaN}").starts_with(begin + "not valid JSON at byte "));
        QVERIFY(said("{\"a\": \"\xff\"}").starts_with(begin + "not valid JSON at byte "));
        QCOMPARE(said("{\"a\": 1e999}"), begin + "not valid JSON: a number is out of range");
        QCOMPARE(said(kDeepJson), begin + "JSON is nested more than 256 levels deep");
        QVERIFY2(said("[1]").starts_with(begin), said("[1]").c_str());
        QVERIFY2(said("7").starts_with(begin), said("7").c_str());
    }

    void everyTruncatedConfiguration() {
        for (const FamilyFields& family : familyFields()) {
            const std::string whole = family.config.dump();
            for (std::size_t size = 0; size < whole.size(); ++size) {
                const fs::path file = write("config.json", whole.substr(0, size));
                const std::string said = errorOf([&] { Checkpoint::readConfig(m_directory.path()); });
                QVERIFY2(said.starts_with(file.string() + ": "), said.c_str());
            }
        }
    }

    // An index that names a tensor twice, a shard twice, a shard that is cut short, and every prefix of one.
    void indexes() {
        const TemporaryDirectory directory;
        const auto index = directory / "model.safetensors.index.json";
        writeAtOnce(directory / "config.json", "{}");
        for (const char* name : {"a.safetensors", "b.safetensors"}) {
            SafetensorsWriter writer(directory / name,
                                     {{"t", FileDType::F32, {4}}, {"u", FileDType::F32, {4}}}, {});
            const std::vector<std::byte> bytes(16);
            writer.write("t", bytes);
            writer.write("u", bytes);
            writer.commit();
        }
        const auto said = [&](const std::string& text) {
            writeAtOnce(index, text);
            return errorOf([&] { Checkpoint::open(directory.path()); });
        };
        const std::string good = R"({"weight_map": {"t": "a.safetensors", "u": "b.safetensors"}})";
        QCOMPARE(said(good), std::string(""));
        for (std::size_t size = 0; size < good.size(); ++size)
            QVERIFY2(said(good.substr(0, size)).starts_with(index.string() + ": "),
                     std::to_string(size).c_str());
        QCOMPARE(said(R"({"weight_map": {"t": "a.safetensors", "v": "a.safetensors"}})"),
                 index.string() + ": weight_map.v: the file 'a.safetensors' has no such tensor");
        QCOMPARE(said(R"({"weight_map": {"t": ["a.safetensors"]}})"),
                 index.string() + ": weight_map.t: expected a string");
        QCOMPARE(said(R"({"weight_map": {"t": "c.safetensors"}})"),
                 index.string() + ": weight_map.t: the file 'c.safetensors' is missing from the directory");
        const std::string shard = readTextFile(directory / "b.safetensors");
        writeAtOnce(directory / "b.safetensors", shard.substr(0, shard.size() - 1));
        QVERIFY2(said(good).starts_with((directory / "b.safetensors").string() +
                                        ": u.data_offsets: end 32 is beyond"),
                 said(good).c_str());
    }
};

QTEST_GUILESS_MAIN(TestCorruptedConfigurations)
#include "tst_corrupted_configurations.moc"
