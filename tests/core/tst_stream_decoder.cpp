// SPDX-License-Identifier: Apache-2.0
// Streaming: pieces are valid UTF-8 by themselves, and together they are what decoding everything gives.
#include "core/base/json.h"
#include "core/tokenizer/tokenizer.h"
#include "core/tokenizer/utf8.h"

#include <QTest>

#include <random>

using namespace eigenscope;
namespace fs = std::filesystem;

namespace {

const fs::path kGolden = fs::path(EIGENSCOPE_SOURCE_DIR) / "tests" / "golden" / "tokenizer";

struct Streamed {
    std::string text;
    bool pieces_valid = true;
};

Streamed stream(const std::shared_ptr<const Tokenizer>& tokenizer, std::span<const TokenId> ids,
                std::size_t context) {
    StreamDecoder decoder(tokenizer, ids.first(context));
    Streamed result;
    const auto take = [&](const std::string& piece) {
        result.pieces_valid = result.pieces_valid && validUtf8(piece) == piece;
        result.text += piece;
    };
    for (const TokenId id : ids.subspan(context))
        take(decoder.append(id));
    take(decoder.finish());
    take(decoder.finish());  // nothing comes twice
    return result;
}

}  // namespace

class TestStreamDecoder : public QObject {
    Q_OBJECT

private slots:
    void concatenationEqualsDecoding_data() {
        QTest::addColumn<QByteArray>("name");
        for (const auto& entry : fs::directory_iterator(kGolden)) {
            if (entry.is_directory())
                QTest::newRow(entry.path().filename().c_str()) << QByteArray(entry.path().filename().c_str());
        }
    }
    void concatenationEqualsDecoding() {
        QFETCH(QByteArray, name);
        const auto tokenizer = loadTokenizer(kGolden / name.toStdString());
        const auto check = [&](const std::vector<TokenId>& ids) {
            const Streamed streamed = stream(tokenizer, ids, 0);
            QVERIFY(streamed.pieces_valid);
            QCOMPARE(streamed.text, validUtf8(tokenizer->decode(ids)));
        };
        std::vector<TokenId> everything;
        for (const Json& text : readJsonFile(kGolden / "strings.json")) {
            const std::vector<TokenId> ids = tokenizer->encode(text.get<std::string>());
            check(ids);
            everything.insert(everything.end(), ids.begin(), ids.end());
        }
        check(everything);
        std::mt19937 random(11);
        for (int round = 0; round < 300; ++round) {
            std::vector<TokenId> ids(random() % 200);
            for (TokenId& id : ids)
                id = static_cast<TokenId>(
                    random() % (round % 2 ? tokenizer->size() : 270));  // every other: mostly bytes
            check(ids);
        }
    }

    // What follows a prompt: the prompt's own text is left out, and its end decides about spaces.
    void contextIsNotRepeated_data() { concatenationEqualsDecoding_data(); }
    void contextIsNotRepeated() {
        QFETCH(QByteArray, name);
        const auto tokenizer = loadTokenizer(kGolden / name.toStdString());
        const std::string text =
            "The quick brown fox, \xe6\x9d\xb1\xe4\xba\xac \xf0\x9f\x98\x80 and more of it: " +
            std::string(300, 'x') + " the end";
        const std::vector<TokenId> ids = tokenizer->encode(text);
        for (std::size_t context = 0; context <= ids.size(); ++context) {
            const std::string before = tokenizer->decode(std::span(ids).first(context));
            const std::string whole = tokenizer->decode(ids);
            const Streamed streamed = stream(tokenizer, ids, context);
            QVERIFY(streamed.pieces_valid);
            QCOMPARE(streamed.text, validUtf8(whole.substr(completeUtf8(before))));
        }
    }

    void charactersWaitForTheirLastByte() {
        const auto tokenizer = loadTokenizer(kGolden / "sentencepiece_llama");
        StreamDecoder decoder(tokenizer);
        const TokenId first = 4;  // <0x00>: the byte pieces follow <unk>, <s>, </s> and <user>
        QCOMPARE(tokenizer->piece(first), std::string("<0x00>"));
        QCOMPARE(decoder.append(first + 0xe2), std::string());
        QCOMPARE(decoder.append(first + 0x82), std::string());
        QCOMPARE(decoder.append(first + 0xac), std::string("\xe2\x82\xac"));
        QCOMPARE(decoder.append(first + 0xe2), std::string());
        QCOMPARE(decoder.append(first + 'A'), std::string("\xef\xbf\xbd"
                                                          "A"));
        QCOMPARE(decoder.append(first + 0xf0), std::string());
        QCOMPARE(decoder.finish(), std::string("\xef\xbf\xbd"));
    }
};

QTEST_GUILESS_MAIN(TestStreamDecoder)
#include "tst_stream_decoder.moc"
