// SPDX-License-Identifier: Apache-2.0
// Chat templates against what transformers made of them, and what is said of those that are not understood.
#include "core/base/atomic_output.h"
#include "core/base/json.h"
#include "core/tokenizer/chat_template.h"
#include "core/tokenizer/tokenizer.h"
#include "kernels/api/error.h"

#include <QTemporaryDir>
#include <QTest>

using namespace eigenscope;

namespace {

const std::filesystem::path kGolden = std::filesystem::path(EIGENSCOPE_SOURCE_DIR) / "tests/golden";

std::vector<ChatMessage> messagesOf(const Json& json) {
    std::vector<ChatMessage> messages;
    for (const Json& message : json)
        messages.push_back({message["role"].get<std::string>(), message["content"].get<std::string>()});
    return messages;
}

}  // namespace

class TestChatTemplate : public QObject {
    Q_OBJECT

private:
    // A directory with the golden tokenizer's tokens and this template.
    static std::filesystem::path directoryWith(const QTemporaryDir& folder, const std::string& source) {
        const std::filesystem::path directory = folder.path().toStdString();
        std::filesystem::copy_file(kGolden / "models/llama-gqa/tokenizer_config.json",
                                   directory / "tokenizer_config.json",
                                   std::filesystem::copy_options::overwrite_existing);
        writeTextFile(directory / "chat_template.jinja", source);
        return directory;
    }
    static QString resultOf(const std::string& source) {
        const QTemporaryDir folder;
        try {
            const auto chat = ChatTemplate::load(directoryWith(folder, source));
            return QString::fromStdString(applyChat(*chat, "Hi", "")).prepend("= ");
        } catch (const Error& error) {
            return QString::fromStdString(error.what()).remove(folder.path() + "/");
        }
    }

private slots:
    void equalsTransformers() {
        const Json golden = readJsonFile(kGolden / "tokenizer/chat.json");
        const auto tokenizer = loadTokenizer(kGolden / "models/llama-gqa");
        QVERIFY(golden["cases"].size() >= 32);
        for (const Json& row : golden["cases"]) {
            const QTemporaryDir folder;
            const auto chat = ChatTemplate::load(directoryWith(folder, row["template"].get<std::string>()));
            const std::string text = chat->apply(messagesOf(row["messages"]));
            QCOMPARE(text, row["text"].get<std::string>());
            QCOMPARE(tokenizer->encode(text, false), row["ids"].get<std::vector<TokenId>>());
        }
    }

    void places() {
        const QTemporaryDir folder;
        const std::filesystem::path directory = folder.path().toStdString();
        const auto textOf = [&] { return applyChat(*ChatTemplate::load(directory), "Hi", "Sys"); };
        writeTextFile(directory / "chat_template.json", R"({"chat_template": "json"})");
        QCOMPARE(textOf(), "json");
        writeTextFile(
            directory / "tokenizer_config.json",
            R"({"bos_token": {"content": "<b>"}, "chat_template": [{"name": "tool_use", "template": "x"},
                {"name": "default", "template": "{{ bos_token }}{{ messages[1].content }}{{ eos_token }}"}]})");
        QCOMPARE(textOf(), "<b>Hi");
        writeTextFile(directory / "chat_template.jinja", "{{ messages[0].content }}\n");
        QCOMPARE(textOf(), "Sys");
    }

    void saysWhatIsNotUnderstood_data() {
        QTest::addColumn<QString>("source");
        QTest::addColumn<QString>("expected");
        const auto row = [](const char* source, const char* expected) {
            QTest::newRow(source) << QString(source) << QString(expected);
        };
        const auto refused = [&](const char* source, const char* what) {
            row(source, (std::string("chat_template.jinja: chat_template: ") + what).c_str());
        };
        row("{{ messages[0].content }}", "= Hi");
        refused("a\n{% macro x() %}", "'macro' is not understood (line 2 of it)");
        refused("{{ fetch('x') }}", "the function 'fetch' is not understood (line 1 of it)");
        refused("{{ messages | map('x') }}", "the filter 'map' is not understood");
        refused("{{ 1 is prime }}", "the test 'is prime' is not understood");
        refused("{{ 'a'.encode() }}", "the method 'encode' is not understood");
        refused("{% if true %}", "'endif' is missing (line 1 of it)");
        refused("{% for x in messages %}a", "'endfor' is missing (line 1 of it)");
        refused("{{ 'a }}", "a tag does not end");
        refused("{{ 1", "a tag does not end");
        refused("{{ a b }}", "expected the end of the tag before 'b' (line 1 of it)");
        refused("{{ (1 }}", "expected ')' before the end of the tag (line 1 of it)");
        refused("{{ 1 + 'a' }}", "'+' of values that it is not defined for");
        refused("{{ 1 // 0 }}", "division by zero");
        refused("{{ nothing.x }}", "a member of something that is undefined");
        refused("{{ $ }}", "a tag holds '$'");
        refused("{{ '\\x41' }}", "the escape \\x in a text is not understood");
        row("{{ {'a': {'b': 1}}.a.b }}{{ '\\u2581' }}", "= 1\u2581");
        refused("{% set a.b = 1 %}", "'a.b' is set, but 'a' is no namespace");
        refused("{{ messages }}", "a list or an object cannot be printed");
        refused("{{ range(99999999) }}", "a range needs whole numbers, not too far apart");
        row("{{ raise_exception('No.') }}",
            "chat_template.jinja: the chat template refuses these messages: No.");
    }
    void saysWhatIsNotUnderstood() {
        QFETCH(QString, source);
        QFETCH(QString, expected);
        QCOMPARE(resultOf(source.toStdString()), expected);
    }

    void nothingEndless() {
        const std::string loops = "{% for a in range(90000) %}{% for b in range(90000) %}";
        const std::string ends = "{% endfor %}{% endfor %}";
        QVERIFY(resultOf(loops + ends).contains("runs too long"));
        QVERIFY(resultOf(loops + "{{ 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' }}" + ends)
                    .contains("makes too much text"));
        QVERIFY(resultOf("{% set n = namespace(x='ab') %}{% for a in range(99) %}{% set n.x = n.x + n.x %}{% "
                         "endfor %}")
                    .contains("makes too much text"));
        QVERIFY(resultOf("{{ " + std::string(5000, '(') + "1" + std::string(5000, ')') + " }}")
                    .contains("is too long"));
        QVERIFY(resultOf("{{ " + std::string(900, '(') + "1" + std::string(900, ')') + " }}")
                    .contains("is nested too deeply"));
        std::string sum = "{{ 1", branches;
        for (int i = 0; i < 900; ++i)
            sum += "+1";
        QCOMPARE(resultOf(sum + " }}"), QString("= 901"));
        for (int i = 0; i < 5000; ++i)
            branches += "{% if true %}";
        QVERIFY(resultOf(branches).contains("is nested too deeply"));
    }

    // Values are copied and compared by recursion: they may neither nest without end nor double without end,
    // nor may copying large ones go on for hours.
    void valuesStaySmall() {
        const auto grown = [](const std::string& start, const std::string& step, int times) {
            return resultOf("{% set n = namespace(x=" + start + ") %}{% for a in range(" +
                            std::to_string(times) + ") %}{% set n.x = " + step + " %}{% endfor %}");
        };
        QVERIFY(grown("0", "[n.x]", 200000).contains("makes too large a list or object"));
        QVERIFY(grown("0", "{'a': n.x}", 200000).contains("makes too large a list or object"));
        QVERIFY(grown("[1]", "[n.x, n.x]", 60).contains("makes too large a list or object"));
        QVERIFY(grown("['aaaaaaaaaa']", "n.x + n.x", 60).contains("makes too"));
        QCOMPARE(grown("0", "[n.x]", 40), QString("= "));
        QVERIFY(resultOf("{{ range(100000) | join('" + std::string(5000, 'x') + "') }}")
                    .contains("makes too much text"));
        QVERIFY(
            resultOf(
                "{% set n = namespace(x='ab') %}{% for a in range(20) %}{% set n.x = n.x + n.x %}{% endfor %}"
                "{% for a in range(90000) %}{% set y = n.x %}{% endfor %}")
                .contains("runs too long"));
    }

    void numbersAtTheEndsOfTheirType() {
        const QString far = "a range needs whole numbers, not too far apart", large = "a number is too large";
        QVERIFY(resultOf("{{ range(-2, 9223372036854775807) | length }}").contains(far));
        QVERIFY(resultOf("{{ range(9223372036854775807) | length }}").contains(far));
        QCOMPARE(resultOf("{{ range(9223372036854775807, -2) | length }}"), QString("= 0"));
        QVERIFY(resultOf("{{ range(-9223372036854775807, 2) | length }}").contains(large));
        QVERIFY(resultOf("{{ 9223372036854775807 + 1 }}").contains(large));
        QVERIFY(resultOf("{{ 9223372036854775808 }}").contains("expected a whole number"));
        QCOMPARE(resultOf("{{ 'ab'[-2147483648] }}{{ 'ab'[:-2147483648] }}{{ 'ab'[9223372036854775807] }}"),
                 QString("= "));
    }

    // A template's file need not be UTF-8.
    void bytesThatAreNoText() {
        QCOMPARE(resultOf("{{ 'a\xff' | tojson }}"), QString("= \"a\uFFFD\""));
        QCOMPARE(resultOf("{{ {'\xc3': 1} | tojson }}"), QString("= {\"\uFFFD\": 1}"));
    }

    void noTemplate() {
        const QTemporaryDir folder;
        try {
            ChatTemplate::load(folder.path().toStdString());
            QFAIL("found a template");
        } catch (const Error& error) {
            QVERIFY(QString(error.what()).startsWith(folder.path() + ": there is no chat template"));
        }
    }
};

QTEST_GUILESS_MAIN(TestChatTemplate)
#include "tst_chat_template.moc"
