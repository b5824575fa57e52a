// SPDX-License-Identifier: Apache-2.0
// Loading by directory: which file is read, where special tokens come from, what damaged or unsupported files
// say.
#include "core/base/atomic_output.h"
#include "core/base/fail.h"
#include "core/base/json.h"
#include "core/tokenizer/tokenizer.h"
#include "tests/support/error_text.h"

#include <QTemporaryDir>
#include <QTest>

#include <sys/resource.h>

#include <fstream>
#include <functional>
#include <random>

using namespace eigenscope;
using namespace eigenscope::test;
namespace fs = std::filesystem;

namespace {

const fs::path kGolden = fs::path(EIGENSCOPE_SOURCE_DIR) / "tests" / "golden" / "tokenizer";

void writeAtOnce(const fs::path& file, const std::string& contents) {
    fs::remove(file);
    std::ofstream(file, std::ios::binary) << contents;
}

}  // namespace

#define VERIFY_REFUSED(directory, part)                                                   \
    do {                                                                                  \
        const std::string said = errorOf([&] { loadTokenizer(directory); });              \
        QVERIFY2(said.find(part) != std::string::npos, ("said: '" + said + "'").c_str()); \
        QVERIFY2(said.find('\n') == std::string::npos, "an error message is one line");   \
    } while (false)

class TestTokenizerFiles : public QObject {
    Q_OBJECT

private:
    QTemporaryDir m_temporary;
    int m_next = 0;

    fs::path copyOf(const char* name) {
        const fs::path path = fs::path(m_temporary.path().toStdString()) / ("t" + std::to_string(m_next++));
        fs::copy(kGolden / name, path);
        fs::remove(path / "expected.json");
        return path;
    }
    // The directory with a change to one of its JSON files.
    fs::path edited(const char* name, const char* file, const std::function<void(Json&)>& edit) {
        const fs::path path = copyOf(name);
        Json document = fs::exists(path / file) ? readJsonFile(path / file) : Json::object();
        edit(document);
        writeAtOnce(path / file, document.dump());
        return path;
    }

private slots:
    void nothingThere() {
        const fs::path path = copyOf("opt");
        fs::remove(path / "merges.txt");
        VERIFY_REFUSED(
            path,
            "no tokenizer found, looked for tokenizer.model, tokenizer.json, and vocab.json with merges.txt");
        VERIFY_REFUSED(path / "missing", "no tokenizer found");
    }

    void bothFormsOfASentencePieceModel() {
        const fs::path path = copyOf("sentencepiece_llama");
        writeAtOnce(path / "tokenizer.json",
                    R"({"model": {"type": "BPE", "byte_fallback": true}, "pre_tokenizer": null})");
        QCOMPARE(loadTokenizer(path)->description(), std::string("SentencePiece BPE, 780 pieces"));
        fs::remove(path / "tokenizer.model");
        VERIFY_REFUSED(path, "tokenizer.json: model.vocab: is missing");
        // A byte-level tokenizer.json wins: tokenizer.model may be something else there.
        const fs::path bytes = copyOf("llama3");
        writeAtOnce(bytes / "tokenizer.model", "not SentencePiece");
        QCOMPARE(loadTokenizer(bytes)->description(), std::string("byte-level BPE, 646 tokens"));
    }

    void beginAndEndTokensFollowTheConfiguration() {
        const auto first = [](const fs::path& path) { return loadTokenizer(path)->encode("x").front(); };
        const auto last = [](const fs::path& path) { return loadTokenizer(path)->encode("x").back(); };
        const char* config = "tokenizer_config.json";
        // LlamaTokenizer: bos yes, eos no, where nothing is said.
        const auto silent = edited("sentencepiece_llama", config, [](Json& json) {
            json.erase("add_bos_token"), json.erase("add_eos_token");
        });
        QCOMPARE(first(silent), TokenId{1});
        QVERIFY(last(silent) != 2);
        QVERIFY(first(edited("sentencepiece_llama", config,
                             [](Json& json) { json["add_bos_token"] = false; })) != 1);
        QCOMPARE(
            last(edited("sentencepiece_llama", config, [](Json& json) { json["add_eos_token"] = true; })),
            TokenId{2});
        // GPT2Tokenizer: neither.
        QVERIFY(first(edited("opt", config, [](Json& json) { json.erase("add_bos_token"); })) != 2);
        QCOMPARE(last(edited("opt", config, [](Json& json) { json["add_eos_token"] = true; })), TokenId{2});
        // tokenizer.json: its post-processor, whatever the configuration says; the configuration without one.
        QCOMPARE(first(edited("llama3", config, [](Json& json) { json["add_bos_token"] = false; })),
                 TokenId{641});
        QVERIFY(first(edited("llama3", "tokenizer.json",
                             [](Json& json) { json["post_processor"] = nullptr; })) != 641);
    }

    void endTokensComeFromTheFirstFileThatNamesThem() {
        const auto eos = [](const fs::path& path) { return loadTokenizer(path)->eos(); };
        using Ids = std::vector<TokenId>;
        QCOMPARE(eos(edited("opt", "generation_config.json",
                            [](Json& json) {
                                json["eos_token_id"] = {5, 6};
                            })),
                 (Ids{5, 6}));
        QCOMPARE(
            eos(edited("opt", "generation_config.json", [](Json& json) { json["eos_token_id"] = nullptr; })),
            (Ids{2}));
        const auto none =
            edited("splits", "tokenizer_config.json", [](Json& json) { json.erase("eos_token"); });
        QCOMPARE(eos(none), Ids{});
        writeAtOnce(none / "config.json", R"({"eos_token_id": 7})");
        QCOMPARE(eos(none), (Ids{7}));
    }

    void filesWithoutConfiguration() {
        const fs::path path = copyOf("sentencepiece_llama");
        fs::remove(path / "tokenizer_config.json");
        const auto tokenizer = loadTokenizer(path);
        QCOMPARE(tokenizer->bos().value(), TokenId{1});
        QCOMPARE(tokenizer->eos().front(), TokenId{2});
        QVERIFY(tokenizer->isSpecial(1));
        QVERIFY(tokenizer->encode("Hi</s>") != loadTokenizer(copyOf("opt"))->encode("Hi</s>"));
    }

    // One token with the largest id there may be: what is allocated follows the file's size, not its numbers.
    void theLargestIdCostsNothing() {
        const fs::path path = copyOf("opt");
        writeAtOnce(path / "vocab.json", R"({"a": 0, "b": 16777216})");
        writeAtOnce(path / "merges.txt", "");
        rusage before{}, after{};
        getrusage(RUSAGE_SELF, &before);
        const auto tokenizer = loadTokenizer(path);
        getrusage(RUSAGE_SELF, &after);
        QVERIFY(tokenizer->size() > 16777216);
        QCOMPARE(tokenizer->encode("ab", false), (std::vector<TokenId>{0, 16777216}));
        QCOMPARE(tokenizer->piece(16777216), std::string("b"));
        constexpr long kKilobytes = 128 * 1024;  // a list of so many tokens would take 640 MiB
        QVERIFY(after.ru_maxrss - before.ru_maxrss < kKilobytes);
    }

    void damage_data() {
        QTest::addColumn<QByteArray>("name");
        QTest::addColumn<QByteArray>("file");
        QTest::addColumn<QByteArray>("contents");
        QTest::addColumn<QByteArray>("message");
        const auto row = [](const char* test, const char* name, const char* file, const char* contents,
                            const char* message) {
            QTest::newRow(test) << QByteArray(name) << QByteArray(file) << QByteArray(contents)
                                << QByteArray(message);
        };
        row("model empty", "sentencepiece_llama", "tokenizer.model", "", "tokenizer.model: is empty");
        row("model text", "sentencepiece_llama", "tokenizer.model", "hello world",
            "tokenizer.model: is not a SentencePiece model");
        row("config no JSON", "opt", "tokenizer_config.json", "{", "tokenizer_config.json: not valid JSON");
        row("config array", "opt", "tokenizer_config.json", "[]",
            "tokenizer_config.json: expected a JSON object");
        row("switch no boolean", "opt", "tokenizer_config.json", R"({"add_bos_token": "yes"})",
            "tokenizer_config.json: add_bos_token: expected true or false");
        row("token without content", "opt", "tokenizer_config.json", R"({"bos_token": {"lstrip": true}})",
            "tokenizer_config.json: bos_token.content: is missing");
        row("added id", "opt", "tokenizer_config.json", R"({"added_tokens_decoder": {"1x": "a"}})",
            "added_tokens_decoder: '1x' is not a token id");
        row("eos text", "opt", "generation_config.json", R"({"eos_token_id": "2"})",
            "generation_config.json: eos_token_id: expected an integer");
        row("vocab array", "opt", "vocab.json", "[]", "vocab.json: expected a JSON object of tokens and ids");
        row("vocab id", "opt", "vocab.json", R"({"a": 4294967296})",
            "vocab.json: a: expected an integer from 0 to 16777216");
        row("merge without token", "opt", "merges.txt", "#version: 0.2\na zebra\n",
            "merges.txt: merge 0 ('a zebra'): 'zebra' is not in the vocabulary");
        row("merge of one", "opt", "merges.txt", "#version: 0.2\nab\n",
            "merges.txt: line 2: expected two tokens");
        row("merge of three", "opt", "merges.txt", "a b c", "merges.txt: line 1: expected two tokens");
        row("added tokens", "sentencepiece_legacy", "added_tokens.json", R"({"<x>": -4})",
            "added_tokens.json: <x>: expected an integer");
    }
    void damage() {
        QFETCH(QByteArray, name);
        QFETCH(QByteArray, file);
        QFETCH(QByteArray, contents);
        QFETCH(QByteArray, message);
        const fs::path path = copyOf(name.constData());
        writeAtOnce(path / file.toStdString(), contents.toStdString());
        VERIFY_REFUSED(path, message.toStdString());
    }

    void unsupportedComponents_data() {
        QTest::addColumn<QByteArray>("pointer");
        QTest::addColumn<QByteArray>("value");
        QTest::addColumn<QByteArray>("message");
        const auto row = [](const char* name, const char* pointer, const char* value, const char* message) {
            QTest::newRow(name) << QByteArray(pointer) << QByteArray(value) << QByteArray(message);
        };
        row("model", "/model/type", "\"WordPiece\"",
            "tokenizer.json: model: 'WordPiece' is not supported, expected BPE");
        row("fallback", "/model/byte_fallback", "true", "model.byte_fallback: is not supported");
        row("prefix", "/model/continuing_subword_prefix", "\"##\"",
            "model.continuing_subword_prefix: is not supported");
        row("dropout", "/model/dropout", "0.1", "model.dropout: is not supported");
        row("unknown", "/model/unk_token", "\"<nope>\"",
            "model.unk_token: '<nope>' is not in the vocabulary");
        row("vocab", "/model/vocab", "[]", "model.vocab: expected an object");
        row("vocab id", "/model/vocab/a", "-1", "model.vocab.a: expected an integer from 0");
        row("merges", "/model/merges/3", "\"abc\"", "model.merges[3]: expected two tokens");
        row("merge token", "/model/merges/3", "[\"a\", \"zebra\"]",
            "model: merge 3 ('a zebra'): 'zebra' is not in the vocabulary");
        row("normalizer", "/normalizer",
            R"({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]})",
            "normalizer.normalizers[1]: 'Lowercase' is not supported, expected NFC");
        row("pre-tokenizer", "/pre_tokenizer/pretokenizers/0", R"({"type": "Metaspace"})",
            "pre_tokenizer.pretokenizers[0]: 'Metaspace' is not supported, expected Split, Digits or "
            "ByteLevel");
        row("no bytes", "/pre_tokenizer", R"({"type": "Whitespace"})",
            "pre_tokenizer: 'Whitespace' is not supported, expected ByteLevel");
        row("after bytes", "/pre_tokenizer/pretokenizers/2", R"({"type": "Digits"})",
            "pre_tokenizer.pretokenizers[2]: 'Digits' is not supported, expected nothing after ByteLevel");
        row("prefix space", "/pre_tokenizer/pretokenizers/1/add_prefix_space", "true",
            "add_prefix_space after another pre-tokenizer");
        row("expression", "/pre_tokenizer/pretokenizers/0/pattern/Regex", "\"(a\"",
            "pre_tokenizer.pretokenizers[0].pattern: regular expression '(a': missing closing parenthesis");
        row("behaviour", "/pre_tokenizer/pretokenizers/0/behavior", "\"Odd\"",
            "behavior: 'Odd' is not a split behaviour");
        row("post-processor", "/post_processor", R"({"type": "BertProcessing"})",
            "post_processor: 'BertProcessing' is not supported");
        row("template", "/post_processor/processors/1/special_tokens", "{}",
            "special_tokens.<|begin_of_text|>: is missing");
        row("template id", "/post_processor/processors/1/special_tokens/<|begin_of_text|>/ids/0", "646",
            "post_processor: adds token 646, which does not exist");
        row("decoder", "/decoder", R"({"type": "WordPiece"})",
            "decoder: 'WordPiece' is not supported, expected ByteLevel");
        row("no decoder", "/decoder", "null", "decoder: is missing");
        row("added token", "/added_tokens/0/id", "\"x\"", "added_tokens[0].id: expected an integer");
    }
    // Of tokens made of characters.
    void unsupportedPieces_data() {
        QTest::addColumn<QByteArray>("pointer");
        QTest::addColumn<QByteArray>("value");
        QTest::addColumn<QByteArray>("message");
        const auto row = [](const char* name, const char* pointer, const char* value, const char* message) {
            QTest::newRow(name) << QByteArray(pointer) << QByteArray(value) << QByteArray(message);
        };
        row("unigram", "/model", R"({"type": "Unigram", "vocab": []})",
            "tokenizer.json: model: 'Unigram' is not supported, expected BPE");
        row("replace by expression", "/normalizer/normalizers/1/pattern", R"({"Regex": "a"})",
            "normalizer.normalizers[1].pattern: a regular expression is not supported here");
        row("replace nothing", "/normalizer/normalizers/1/pattern/String", "\"\"",
            "normalizer.normalizers[1].pattern: is empty");
        row("precompiled", "/normalizer", R"({"type": "Precompiled", "precompiled_charsmap": ""})",
            "normalizer: 'Precompiled' is not supported, expected NFC");
        row("metaspace later", "/pre_tokenizer",
            R"({"type": "Sequence", "pretokenizers": [{"type": "Digits"}, {"type": "Metaspace"}]})",
            "pre_tokenizer.pretokenizers[1]: 'Metaspace' is not supported, expected Split or Digits");
        row("mark", "/pre_tokenizer", R"({"type": "Metaspace", "replacement": "__"})",
            "pre_tokenizer.replacement: expected one character");
        row("scheme", "/pre_tokenizer", R"({"type": "Metaspace", "prepend_scheme": "last"})",
            "pre_tokenizer.prepend_scheme: 'last' is not known, expected always, first or never");
        row("no decoder", "/decoder", "null", "decoder: is missing, expected Replace, Metaspace");
        row("byte-level decoder", "/decoder", R"({"type": "ByteLevel"})",
            "decoder: 'ByteLevel' is not supported, expected Replace, Metaspace");
        row("decoders out of order", "/decoder/decoders/0", R"({"type": "Fuse"})",
            "decoder.decoders[1]: 'ByteFallback' is not supported, expected");
        row("strip of each token", "/decoder", R"({"type": "Strip", "content": " ", "start": 1, "stop": 0})",
            "decoder: is supported after Fuse only");
        row("strip at the end", "/decoder/decoders/3/stop", "1", "is supported after Fuse only");
    }
    void unsupportedPieces() {
        QFETCH(QByteArray, pointer);
        QFETCH(QByteArray, value);
        QFETCH(QByteArray, message);
        const fs::path path = edited("metaspace_file", "tokenizer.json", [&](Json& json) {
            json[Json::json_pointer(pointer.toStdString())] = Json::parse(value.toStdString());
        });
        VERIFY_REFUSED(path, message.toStdString());
    }

    void unsupportedComponents() {
        QFETCH(QByteArray, pointer);
        QFETCH(QByteArray, value);
        QFETCH(QByteArray, message);
        const fs::path path = edited("llama3", "tokenizer.json", [&](Json& json) {
            json[Json::json_pointer(pointer.toStdString())] = Json::parse(value.toStdString());
        });
        VERIFY_REFUSED(path, message.toStdString());
    }

    // Nothing but Error may come out of a damaged file, and what loads must encode and decode without harm.
    void randomDamageNeverDoesWorseThanThrow_data() {
        QTest::addColumn<QByteArray>("name");
        QTest::addColumn<QByteArray>("file");
        QTest::newRow("model") << QByteArray("sentencepiece_llama") << QByteArray("tokenizer.model");
        QTest::newRow("json") << QByteArray("rules") << QByteArray("tokenizer.json");
        QTest::newRow("characters") << QByteArray("metaspace_file") << QByteArray("tokenizer.json");
        QTest::newRow("merges") << QByteArray("opt") << QByteArray("merges.txt");
        QTest::newRow("config") << QByteArray("sentencepiece_llama") << QByteArray("tokenizer_config.json");
    }
    void randomDamageNeverDoesWorseThanThrow() {
        QFETCH(QByteArray, name);
        QFETCH(QByteArray, file);
        const fs::path path = copyOf(name.constData());
        const std::string whole = readTextFile(path / file.toStdString());
        std::mt19937 random(17);
        int loaded = 0;
        for (int round = 0; round < 200; ++round) {
            std::string damaged = whole;
            for (unsigned i = 0; i < 1 + random() % 4; ++i)
                damaged[random() % damaged.size()] = static_cast<char>(random());
            if (round % 10 == 0)
                damaged.resize(random() % damaged.size());
            writeAtOnce(path / file.toStdString(), damaged);
            try {
                const auto tokenizer = loadTokenizer(path);
                ++loaded;
                for (const TokenId id : tokenizer->encode("Hello w\xc3\xb6rld 123 </s> \xe6\x97\xa5")) {
                    QVERIFY(id >= 0 && id < tokenizer->size());
                    tokenizer->piece(id);
                }
            } catch (const Error&) {
            }
        }
        QVERIFY(loaded < 200);
    }
};

QTEST_GUILESS_MAIN(TestTokenizerFiles)
#include "tst_tokenizer_files.moc"
