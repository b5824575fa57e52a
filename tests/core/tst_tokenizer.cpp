// SPDX-License-Identifier: Apache-2.0
// Ids and decoded text equal Hugging Face transformers' for every tokenizer in tests/golden/tokenizer (see
// make_tokenizers.py there), and the parts behave by themselves: UTF-8, byte pair encoding, added tokens.
#include "core/base/json.h"
#include "core/tokenizer/added_tokens.h"
#include "core/tokenizer/byte_pair_encoding.h"
#include "core/tokenizer/pre_tokenizer.h"
#include "core/tokenizer/tokenizer.h"
#include "core/tokenizer/utf8.h"
#include "kernels/api/cancelled.h"

#include <QTest>

#include <random>
#include <thread>

#if __has_include(<sentencepiece_processor.h>)
#include <sentencepiece_processor.h>
#endif

using namespace eigenscope;
namespace fs = std::filesystem;

namespace {

const fs::path kGolden = fs::path(EIGENSCOPE_SOURCE_DIR) / "tests" / "golden" / "tokenizer";
const char* const kTokenizers[] = {"sentencepiece_llama",
                                   "sentencepiece_legacy",
                                   "metaspace_llama",
                                   "metaspace_legacy",
                                   "metaspace_file",
                                   "metaspace_first",
                                   "metaspace_split",
                                   "opt",
                                   "neox",
                                   "llama3",
                                   "qwen2",
                                   "rules",
                                   "splits"};

std::string shown(const std::string& text, const std::vector<TokenId>& got,
                  const std::vector<TokenId>& expected) {
    return Json(text).dump() + ": got " + Json(got).dump() + ", expected " + Json(expected).dump();
}

void addTokenizerRows() {
    QTest::addColumn<QByteArray>("name");
    for (const char* name : kTokenizers)
        QTest::newRow(name) << QByteArray(name);
}

}  // namespace

class TestTokenizer : public QObject {
    Q_OBJECT

private slots:
    void equalsTransformers_data() { addTokenizerRows(); }
    void equalsTransformers() {
        QFETCH(QByteArray, name);
        const fs::path directory = kGolden / name.toStdString();
        const auto tokenizer = loadTokenizer(directory);
        const Json strings = readJsonFile(kGolden / "strings.json");
        const Json expected = readJsonFile(directory / "expected.json");
        QVERIFY(strings.size() > 200);
        QCOMPARE(strings.size(), expected.size());
        int broken_by_the_library = 0;
        for (std::size_t i = 0; i < strings.size(); ++i) {
            const std::string text = strings[i].get<std::string>();
            const auto ids = expected[i].at("ids").get<std::vector<TokenId>>();
            const auto plain = expected[i].value("plain_ids", ids);
            const std::string decoded = expected[i].value("decoded", text);
            const std::string decoded_all = expected[i].value("decoded_all", decoded);
            const std::vector<TokenId> got = tokenizer->encode(text);
            QVERIFY2(got == ids, shown(text, got, ids).c_str());
            const std::vector<TokenId> got_plain = tokenizer->encode(text, false);
            QVERIFY2(got_plain == plain, shown(text, got_plain, plain).c_str());
            for (const TokenId id : got)
                QVERIFY(id >= 0 && id < tokenizer->size());
            // The library takes the "é" of an added token for a byte and breaks it; here it stays whole.
            if (decoded.find("caf\xef\xbf\xbdtok") != std::string::npos) {
                ++broken_by_the_library;
                QVERIFY(tokenizer->decode(got).find("tok") != std::string::npos);
                continue;
            }
            QCOMPARE(tokenizer->decode(got, true), decoded);
            QCOMPARE(tokenizer->decode(got, false), decoded_all);
        }
        QVERIFY(broken_by_the_library <= (name == "rules" ? 2 : 0));
    }

    void longTextsCanBeStopped_data() { addTokenizerRows(); }
    void longTextsCanBeStopped() {
        QFETCH(QByteArray, name);
        const auto tokenizer = loadTokenizer(kGolden / name.toStdString());
        std::string text;
        while (text.size() < (std::size_t{1} << 18))
            text += "One line of many, each like the others.\n";
        std::stop_source stop;
        const std::vector<TokenId> ids = tokenizer->encode(text, false, stop.get_token());
        QVERIFY(ids.size() > text.size() / 40);
        stop.request_stop();
        QVERIFY_EXCEPTION_THROWN(tokenizer->encode(text, false, stop.get_token()), Cancelled);
    }

#if __has_include(<sentencepiece_processor.h>)
    // SentencePiece is given long texts some lines at a time: the same ids as all at once.
    void longTextsAreTheirLines() {
        const fs::path directory = kGolden / "sentencepiece_llama";
        std::string text;
        for (const Json& string : readJsonFile(kGolden / "strings.json")) {
            // Without what spells an added token or begins a text otherwise: that is split off before.
            const std::string line = string.get<std::string>();
            if (line.find_first_of("<[") == std::string::npos && validUtf8(line) == line)
                text += "x" + line + "\n\n \n";
        }
        while (text.size() < 400000)
            text += text;
        sentencepiece::SentencePieceProcessor processor;
        QVERIFY(processor.Load((directory / "tokenizer.model").string()).ok());
        std::vector<int> expected;
        QVERIFY(processor.Encode(text, &expected).ok());
        QCOMPARE(loadTokenizer(directory)->encode(text, false), expected);
        QVERIFY(expected.size() > 100000);
    }
#endif

    // Any ids, so that characters are cut: bytes that form no character show as U+FFFD there.
    void decodesAnyIdsAsTransformers_data() { addTokenizerRows(); }
    void decodesAnyIdsAsTransformers() {
        QFETCH(QByteArray, name);
        const fs::path directory = kGolden / name.toStdString();
        if (!fs::exists(directory / "decoding.json")) {
            // Broken byte pieces have rules of their own there.
            QVERIFY(name.startsWith("sentencepiece") || name.startsWith("metaspace"));
            return;
        }
        const auto tokenizer = loadTokenizer(directory);
        for (const Json& entry : readJsonFile(directory / "decoding.json")) {
            const auto ids = entry.at("ids").get<std::vector<TokenId>>();
            QCOMPARE(validUtf8(tokenizer->decode(ids)), entry.at("decoded").get<std::string>());
        }
    }

    void specialTokens() {
        struct Row {
            const char* name;
            std::optional<TokenId> bos;
            std::vector<TokenId> eos;
            std::int32_t size;
        };
        // As the library says; llama3's end tokens are generation_config.json's.
        const Row rows[] = {{"sentencepiece_llama", 1, {2}, 780},
                            {"sentencepiece_legacy", 1, {2}, 782},
                            {"metaspace_llama", 1, {2}, 780},
                            {"metaspace_legacy", 1, {2}, 780},
                            {"metaspace_file", 1, {2}, 780},
                            {"opt", 2, {2}, 640},
                            {"neox", 0, {0}, 651},
                            {"llama3", 641, {642, 645}, 646},
                            {"qwen2", std::nullopt, {602}, 603},
                            {"rules", 558, {559}, 565},
                            {"splits", std::nullopt, {0}, 560}};
        for (const Row& row : rows) {
            const auto tokenizer = loadTokenizer(kGolden / row.name);
            QVERIFY2(tokenizer->bos() == row.bos, row.name);
            QVERIFY2(tokenizer->eos() == row.eos, row.name);
            QCOMPARE(tokenizer->size(), row.size);
            for (const TokenId id : row.eos)
                QVERIFY2(tokenizer->isSpecial(id), row.name);
            QVERIFY(!tokenizer->isSpecial(300) && !tokenizer->isSpecial(-1) &&
                    !tokenizer->isSpecial(1 << 20));
            QCOMPARE(tokenizer->piece(-1), std::string());
            QCOMPARE(tokenizer->decode(std::vector<TokenId>{-1, 1 << 20}), std::string());
        }
    }

    void descriptionsAndPieces() {
        const auto sentence_piece = loadTokenizer(kGolden / "sentencepiece_llama");
        QCOMPARE(sentence_piece->description(), std::string("SentencePiece BPE, 780 pieces"));
        QCOMPARE(sentence_piece->piece(2), std::string("</s>"));
        QCOMPARE(sentence_piece->piece(sentence_piece->encode("\n").back()), std::string("<0x0A>"));
        const auto metaspace = loadTokenizer(kGolden / "metaspace_llama");
        QCOMPARE(metaspace->description(), std::string("BPE, 780 tokens"));
        QCOMPARE(metaspace->piece(metaspace->encode("\n").back()), std::string("<0x0A>"));
        QCOMPARE(metaspace->piece(metaspace->encode("the").back()), std::string("\xe2\x96\x81the"));
        const auto bytes = loadTokenizer(kGolden / "opt");
        QCOMPARE(bytes->description(), std::string("byte-level BPE, 640 tokens"));
        QCOMPARE(bytes->piece(bytes->encode("\n").back()), std::string("<0x0A>"));
        QCOMPARE(bytes->piece(bytes->encode(" the").back()), std::string(" the"));
        QCOMPARE(bytes->piece(bytes->encode("\xf0\x9f\x98\x80").at(1)).substr(0, 3), std::string("<0x"));
    }

    void invalidUtf8BecomesReplacementCharacters_data() { addTokenizerRows(); }
    void invalidUtf8BecomesReplacementCharacters() {
        QFETCH(QByteArray, name);
        const auto tokenizer = loadTokenizer(kGolden / name.toStdString());
        QVERIFY(tokenizer->encode("a\xff b\xe2\x82") == tokenizer->encode("a\xef\xbf\xbd b\xef\xbf\xbd"));
        QVERIFY(tokenizer->encode("\xed\xa0\x80") ==
                tokenizer->encode("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"));
        std::mt19937 random(3);
        for (int round = 0; round < 300; ++round) {
            std::string text(random() % 40, '\0');
            for (char& c : text)
                c = static_cast<char>(random());
            QVERIFY(tokenizer->encode(text) == tokenizer->encode(validUtf8(text)));
        }
    }

    // A word of a hundred thousand letters takes as long as a text of them when merging is not quadratic; the
    // test's time limit is what fails otherwise.
    void longTextsAndWords() {
        for (const std::string name : kTokenizers) {
            if (name == "splits" || name == "metaspace_split")  // remove control characters, unknown ones
                continue;
            const auto tokenizer = loadTokenizer(kGolden / name);
            std::string text;
            for (int i = 0; i < 20000; ++i)
                text += "thequick";
            for (int i = 0; i < 100000; ++i)
                text += ' ';
            text += std::string(100000, '=') + std::string(100000, '\n') + "end";
            const std::vector<TokenId> ids = tokenizer->encode(text, false);
            QCOMPARE(validUtf8(tokenizer->decode(ids)).size() / 1000, text.size() / 1000);
        }
    }

    void manyThreadsShareOne() {
        for (const char* name : {"sentencepiece_llama", "llama3"}) {
            const auto tokenizer = loadTokenizer(kGolden / name);
            const Json strings = readJsonFile(kGolden / "strings.json");
            std::vector<std::vector<std::vector<TokenId>>> results(4);
            std::vector<std::thread> threads;
            for (auto& result : results)
                threads.emplace_back([&result, &tokenizer, &strings] {
                    for (const Json& text : strings)
                        result.push_back(tokenizer->encode(text.get<std::string>()));
                });
            for (std::thread& thread : threads)
                thread.join();
            for (const auto& result : results)
                QVERIFY(result == results.front());
        }
    }

    void utf8() {
        // Unicode standard, table 3-8 and its neighbours.
        const auto replaced = [](std::string_view text) { return QString::fromStdString(validUtf8(text)); };
        const QString x(QChar(0xfffd));
        QCOMPARE(replaced("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41"), x + x + x + x + x + x + x + x + "A");
        QCOMPARE(replaced("\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41"), x + x + x + x + x + x + x + x + "A");
        QCOMPARE(replaced("\xf4\x91\x92\x93\xff\x41\x80\xbf\x42"), x + x + x + x + x + "A" + x + x + "B");
        QCOMPARE(replaced("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41"), x + x + x + x + "A");
        QCOMPARE(completeUtf8("a\xe2\x82"), std::size_t{1});
        QCOMPARE(completeUtf8("a\xe2\x82\xac"), std::size_t{4});
        QCOMPARE(completeUtf8("a\xf0\x9f\x98"), std::size_t{1});
        QCOMPARE(completeUtf8("a\xff"), std::size_t{2});  // never a character: no use in waiting
        QCOMPARE(completeUtf8("a\x80\x80\x80\x80"), std::size_t{5});
        QCOMPARE(completeUtf8("\xe0\x80"), std::size_t{2});  // overlong
        for (char32_t code : {U'a', U'\u00e9', U'\u20ac', U'\U0001f600', U'\U0010ffff'}) {
            std::string text;
            appendUtf8(text, code);
            const Utf8Character character = readUtf8(text);
            QVERIFY(character.valid && character.code == code && character.bytes == text.size());
        }
    }

    void mergesByRankThenPosition() {
        BytePairEncoding::Model model;
        TokenId next = 0;
        for (const char* text : {"a", "b", "c", "ab", "bc", "abc", "aa"})
            model.vocabulary[text] = next++;
        model.merges = {{"b", "c"}, {"a", "a"}, {"a", "b"}, {"a", "bc"}};
        QVERIFY(!BytePairEncoding::check(model));
        const auto encode = [](const BytePairEncoding& bpe, std::string_view word) {
            std::vector<TokenId> ids;
            bpe.encodeWord(word, ids);
            return ids;
        };
        {
            const BytePairEncoding bpe(model);
            QVERIFY((encode(bpe, "abc") == std::vector<TokenId>{5}));      // bc first, then a+bc
            QVERIFY((encode(bpe, "aaab") == std::vector<TokenId>{6, 3}));  // the leftmost aa
            QVERIFY((encode(bpe, "aaa") == std::vector<TokenId>{6, 0}));
            QVERIFY(
                (encode(bpe, "axb") == std::vector<TokenId>{3}));  // no token for x: dropped before merging
            QVERIFY(encode(bpe, "").empty());
        }
        model.unknown = 2;
        QVERIFY((encode(BytePairEncoding(model), "axxb") == std::vector<TokenId>{0, 2, 2, 1}));
        model.fuse_unknown = true;
        QVERIFY((encode(BytePairEncoding(model), "axxb") == std::vector<TokenId>{0, 2, 1}));
        model.merges.emplace_back("c", "c");
        QCOMPARE(BytePairEncoding::check(model).value(),
                 std::string("merge 4 ('c c'): 'cc' is not in the vocabulary"));
    }

    void byteAlphabet() {
        std::string bytes;
        for (int i = 0; i < 256; ++i)
            bytes += static_cast<char>(i);
        QCOMPARE(bytesOfByteLevelText(byteLevelText(bytes)), bytes);
        QCOMPARE(byteLevelText(" \n"), std::string("\xc4\xa0\xc4\x8a"));  // "ĠĊ"
        QCOMPARE(bytesOfByteLevelText("\xe6\x97\xa5"),
                 std::string("\xe6\x97\xa5"));  // not of the alphabet: as it is
    }

    void addedTokenRules() {
        AddedTokens tokens;
        const auto add = [&](const char* content, TokenId id, bool lstrip, bool rstrip, bool single_word) {
            AddedToken token;
            token.content = content;
            token.lstrip = lstrip;
            token.rstrip = rstrip;
            token.single_word = single_word;
            tokens.add(token, id, content);
        };
        add("<a>", 1, false, false, false);
        add("<a><b>", 2, false, false, false);
        add("<l>", 3, true, false, false);
        add("<r>", 4, false, true, false);
        add("word", 5, false, false, true);
        const auto split = [&](std::string_view text) {
            std::string result;
            for (const AddedTokens::Segment& segment : tokens.split(text, false))
                result +=
                    (segment.id ? std::to_string(*segment.id) : "'" + std::string(segment.text) + "'") + " ";
            return result;
        };
        QCOMPARE(split("x<a>y"), std::string("'x' 1 'y' "));
        QCOMPARE(split("<a><b><a>"), std::string("2 1 "));  // the longest at a place
        QCOMPARE(split("x \n<l> y"), std::string("'x' 3 ' y' "));
        QCOMPARE(split("x <r>\t\xe3\x80\x80y"), std::string("'x ' 4 'y' "));
        QCOMPARE(split("<r>  <l>"), std::string("4 3 "));  // taken by the first
        QCOMPARE(split("word words sword word's _word"), std::string("5 ' words sword ' 5 ''s _word' "));
        QCOMPARE(split(""), std::string());
        QVERIFY(tokens.split("x", true).size() == 1);
    }

    void unsupportedExpressions() {
        for (const char* expression : {"[a[bc]]", "\\h", "[^\\S]", "[a&&b]", "(", "\\u00"})
            QVERIFY_EXCEPTION_THROWN(WordPattern{expression}, std::exception);
        // \s is the property White_Space: with U+0085, without U+180E and U+200B.
        const WordPattern spaces("\\s+");
        QCOMPARE(spaces.matches("a \xc2\x85\xe2\x80\xa8z").size(), std::size_t{1});
        QCOMPARE(spaces.matches("\xe1\xa0\x8e\xe2\x80\x8b\x1c").size(), std::size_t{0});
        QCOMPARE(WordPattern("x*").matches("axxb").size(), std::size_t{1});  // no empty matches
    }
};

QTEST_GUILESS_MAIN(TestTokenizer)
#include "tst_tokenizer.moc"
