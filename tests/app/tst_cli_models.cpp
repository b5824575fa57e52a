// SPDX-License-Identifier: Apache-2.0
// Models in the terminal that are not there, and ones to talk to: presets, random weights, chat templates.
#include "tests/app/cli_run.h"

#include <QDir>
#include <QFile>
#include <QJsonArray>
#include <QTemporaryDir>
#include <QTest>

using namespace eigenscope::test;

class TestCliModels : public QObject {
    Q_OBJECT

private:
    QTemporaryDir m_folder;
    QString at(const QString& name) const { return m_folder.filePath(name); }

private slots:
    void presets() {
        RUN_JSON(json, "presets");
        QCOMPARE(json["presets"].toArray().size(), 8);
        for (const QJsonValue& preset : json["presets"].toArray()) {
            CHECK_KEYS(preset.toObject(),
                       "model:string title:string parameters:int weight_bytes:int max_positions:int "
                       "kv_bytes_per_token:int");
        }
        // 2 x 32 layers x 32 heads x 128 x 2 bytes; published as 6.74 billion parameters.
        RUN_JSON(llama, "inspect", "preset:llama-2-7b");
        QCOMPARE(llama["kv_bytes_per_token"].toInteger(), 524288);
        QCOMPARE(llama["parameters"].toInteger(), 6738415616);
        QVERIFY(llama["dummy_weights"].toBool() && llama["tokenizer"].isNull());
        RUN_JSON(large, "estimate", "preset:llama-3-70b", "--context", "8192");
        QCOMPARE(large["weight_bytes"].toInteger(), qint64{2} * 70553706496);
        QCOMPARE(large["kv_bytes"].toInteger(), qint64{8192} * 327680);
    }

    void dummyWeights() {
        const QString folder = at("config-only");
        QVERIFY(QDir().mkpath(folder));
        for (const char* name : {"config.json", "tokenizer.json", "tokenizer_config.json"})
            QVERIFY(QFile::copy(smallModel("llama") + "/" + name, folder + "/" + name));
        RUN_JSON(dummy, "inspect", folder, "--load-format", "dummy");
        RUN_JSON(real, "inspect", smallModel("llama"));
        for (const char* key : {"parameters", "weight_bytes", "kv_bytes_per_token", "dtype", "tokenizer"})
            QCOMPARE(dummy[QLatin1String(key)], real[QLatin1String(key)]);
        const QStringList arguments = {"generate",     folder, "--prompt",      "Once upon",
                                       "--max-tokens", "6",    "--load-format", "dummy"};
        RUN_JSON(first, arguments);
        RUN_JSON(second, arguments);
        QCOMPARE(first["ids"], second["ids"]);  // the same weights every time
        QCOMPARE(first["new_tokens"].toInt(), 6);
    }

    void chat() {
        const QString folder = at("chat");
        QVERIFY(QDir().mkpath(folder));
        for (const QString& name : QDir(smallModel("llama")).entryList(QDir::Files))
            QVERIFY(QFile::copy(smallModel("llama") + "/" + name, folder + "/" + name));
        QFile file(folder + "/chat_template.jinja");
        QVERIFY(file.open(QIODevice::WriteOnly));
        file.write("{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant]");
        file.close();
        const QString expected = "[system] Be kind.\n[user] Hello\n[assistant]";
        RUN_JSON(asked, "tokenize", folder, "--text", "Hello", "--chat", "--system", "Be kind.");
        QCOMPARE(asked["text"].toString(), expected);
        RUN_JSON(plain, "tokenize", folder, "--text", expected, "--no-special-tokens");
        QCOMPARE(asked["ids"], plain["ids"]);
        RUN_JSON(answer, "generate", folder, "--prompt", "Hello", "--chat", "--system", "Be kind.",
                 "--max-tokens", "3");
        QCOMPARE(answer["prompt_tokens"].toInt(), plain["ids"].toArray().size());
    }
};

QTEST_GUILESS_MAIN(TestCliModels)
#include "tst_cli_models.moc"
