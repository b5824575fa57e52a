// SPDX-License-Identifier: Apache-2.0
// Damaged project files, each with the message that it must give: one field changed at a time, what is no
// project at all, deep JSON, truncation anywhere.
#include "core/base/json.h"
#include "tests/core/method_support.h"
#include "tests/core/project_support.h"
#include "tests/support/temporary_directory.h"

#include <QTest>

#include <fstream>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

struct Row {
    const char *pointer, *value, *message;  // value: JSON, or nothing to remove the field
};

constexpr Row kHeader[] = {
    {"/format", "", "format: expected \"eigenscope.project\": this is no project"},
    {"/format", "\"eigenscope.statistics\"", "format: expected \"eigenscope.project\": this is no project"},
    {"/format", "1", "format: expected \"eigenscope.project\": this is no project"},
    {"/version", "", "version: is missing"},
    {"/version", "2",
     "version: the project is of version 2, which a newer Eigenscope wrote; this one reads version 1"},
    {"/version", "0", "version: expected an integer from 1 to 9007199254740992, found 0"},
    {"/version", "1.5", "version: expected an integer from 1 to 9007199254740992, found 1.5"},
    {"/version", "18446744073709551616", "version: expected an integer from 1 to 9007199254740992"},
    {"/version", "\"1\"", "version: expected an integer from 1 to 9007199254740992"},
};

constexpr Row kPaths[] = {
    {"/model", "", "model: is missing"},
    {"/model", "null", "model: is missing"},
    {"/model", "\"\"", "model: is empty"},
    {"/model", "[]", "model: expected a string"},
    {"/model", "\"a\\u0000b\"", "model: has a zero character"},
    {"/comparison_model", "1", "comparison_model: expected a string"},
    {"/comparison_model", "\"\"", "comparison_model: is empty"},
    {"/statistics", "{}", "statistics: expected a string"},
    {"/statistics", "\"\\u0000\"", "statistics: has a zero character"},
    {"/converted", "false", "converted: expected a string"},
    {"/measurements/0/text", "\"\"", "measurements[0].text: is empty"},
    {"/measurements/0/text", "", "measurements[0].text: is missing"},
};

constexpr Row kPlan[] = {
    {"/plan", "[]", "plan: expected an object"},
    {"/plan/version", "2", "plan.version: expected an integer from 1 to 1, found 2"},
    {"/plan/method", "\"magic\"", "plan.method: "},
    {"/plan/criterion", "\"size\"", "plan.criterion: expected energy or singular-values"},
    {"/plan/allocation", "\"fair\"", "plan.allocation: expected threshold, error-budget or sensitivity"},
    {"/plan/key_ranks", "[]", "plan.key_ranks: is empty, expected one rank a layer"},
    {"/plan/key_ranks/1", "0", "plan.key_ranks[1]: expected an integer from 1 to 65536, found 0"},
    {"/plan/value_ranks", "[1]", "plan.value_ranks: expected 2 ranks, as many as key_ranks, found 1"},
    {"/plan/pinned/keys", "[true]", "plan.pinned.keys: expected 2 entries, one a layer, found 1"},
    {"/plan/thresholds/keys", "1.5", "plan.thresholds.keys: expected a number from 0 to 1"},
    {"/plan/kv_target", "0", "plan.kv_target: expected a number above 0, at most 1"},
    {"/plan/error_budget", "-1", "plan.error_budget: expected a number from 0"},
    {"/plan/allocation", "\"threshold\"", "plan.mixed_bits: belongs to allocation sensitivity"},
    {"/plan/kv_group", "12", "plan.kv_group: expected a multiple of 8, found 12"},
};

constexpr Row kSelection[] = {
    {"/selection", "3", "selection: expected an object"},
    {"/selection/layer", "", "selection.layer: is missing"},
    {"/selection/layer", "-1", "selection.layer: expected an integer from 0 to 65536, found -1"},
    {"/selection/layer", "1e300", "selection.layer: expected an integer from 0 to 65536"},
    {"/selection/head", "-1", "selection.head: expected an integer from 0 to 65536, found -1"},
    {"/selection/side", "", "selection.side: is missing"},
    {"/selection/side", "\"Keys\"", "selection.side: expected keys or values"},
};

constexpr const char* kTime = "measurements[0].measured: expected a time in UTC such as 2026-11-28T18:03:11Z";
constexpr Row kMeasurements[] = {
    {"/measurements", "{}", "measurements: expected an array"},
    {"/measurements", "[1]", "measurements[0]: expected an object"},
    {"/measurements/0/measured", "\"2026-11-28\"", kTime},
    {"/measurements/0/measured", "\"2026-11-28 18:03:11Z\"", kTime},
    {"/measurements/0/measured", "\"2026-02-29T18:03:11Z\"", kTime},
    {"/measurements/0/measured", "\"2026-00-10T18:03:11Z\"", kTime},
    {"/measurements/0/measured", "\"2026-11-28T24:03:11Z\"", kTime},
    {"/measurements/0/measured", "\"2026-11-28T18:60:11Z\"", kTime},
    {"/measurements/0/measured", "\"2026-11-28T18:03:-1Z\"", kTime},
    {"/measurements/0/measured", "0", "measurements[0].measured: expected a string"},
    {"/measurements/0/windows", "0", "measurements[0].windows: expected an integer from 1"},
    {"/measurements/0/tokens", "9007199254740994", "measurements[0].tokens: expected an integer from 1"},
    {"/measurements/0/repetitions", "", "measurements[0].repetitions: is missing"},
    {"/measurements/0/new_tokens", "4294967297",
     "measurements[0].new_tokens: expected an integer from 1 to 2147483647"},
    {"/measurements/0/models", "", "measurements[0].models: is missing"},
    {"/measurements/0/models/1", "", "measurements[0].models: expected 2 models, found 1"},
    {"/measurements/0/models/1", "3", "measurements[0].models[1]: expected an object"},
    {"/measurements/0/models/0/name", "\"\"", "measurements[0].models[0].name: is empty"},
    {"/measurements/0/models/0/kv_format", "4", "measurements[0].models[0].kv_format: expected a string"},
    {"/measurements/0/models/0/kv_ratio", "0",
     "measurements[0].models[0].kv_ratio: expected a number above 0"},
    {"/measurements/0/models/1/kv_ratio", "", "measurements[0].models[1].kv_ratio: is missing"},
    {"/measurements/0/models/1/perplexity", "-1",
     "measurements[0].models[1].perplexity: expected a number from 0"},
    {"/measurements/0/models/1/perplexity", "\"NaN\"",
     "measurements[0].models[1].perplexity: expected a number"},
    {"/measurements/0/models/0/perplexity_standard_error", "-1e-9",
     "measurements[0].models[0].perplexity_standard_error: expected a number from 0"},
    {"/measurements/0/models/0/ttft_ms", "[]", "measurements[0].models[0].ttft_ms: expected a number"},
    {"/measurements/0/models/0/kv_cache_bytes", "-1",
     "measurements[0].models[0].kv_cache_bytes: expected an integer"},
    {"/measurements/0/models/0/peak_memory_bytes", "1.5",
     "measurements[0].models[0].peak_memory_bytes: expected an integer from 0"},
    {"/measurements/0/nats_lost", "{}", "measurements[0].nats_lost: expected a number"},
    {"/measurements/0/kl_divergence", "-0.1", "measurements[0].kl_divergence: expected a number from 0"},
    {"/measurements/0/top1_agreement", "1.01",
     "measurements[0].top1_agreement: expected a number from 0 to 1"},
};

}  // namespace

class TestCorruptedProjects : public QObject {
    Q_OBJECT

private:
    const TemporaryDirectory m_directory;
    const std::filesystem::path m_file = m_directory / "x.eigenscope";

    std::string said(const std::string& text) const {
        std::ofstream(m_file, std::ios::binary) << text;
        return errorOf([&] { loadProject(m_file); });
    }
    void compare(const std::string& message, const std::string& expected) const {
        QVERIFY2(message.starts_with(m_file.string() + ": " + expected), ("said: " + message).c_str());
        QVERIFY(message.find('\n') == std::string::npos);
    }

private slots:
    void oneField_data() {
        QTest::addColumn<QString>("pointer");
        QTest::addColumn<QString>("value");
        QTest::addColumn<QString>("message");
        const auto add = [](const auto& rows) {
            for (const Row& row : rows)
                QTest::newRow((std::string(row.pointer) + "=" + row.value).c_str())
                    << QString(row.pointer) << QString(row.value) << QString(row.message);
        };
        add(kHeader);
        add(kPaths);
        add(kPlan);
        add(kSelection);
        add(kMeasurements);
    }
    void oneField() {
        QFETCH(QString, pointer);
        QFETCH(QString, value);
        QFETCH(QString, message);
        Json json = Json::parse(kFullProject);
        const Json::json_pointer where(pointer.toStdString());
        if (!value.isEmpty())
            json[where] = Json::parse(value.toStdString());
        else if (json[where.parent_pointer()].is_array())
            json[where.parent_pointer()].erase(std::stoul(where.back()));
        else
            json[where.parent_pointer()].erase(where.back());
        compare(said(json.dump()), message.toStdString());
    }

    void whatIsNoProject() {
        compare(said(""), "is empty, expected JSON");
        compare(said("[]"), "expected an object");
        compare(said("null"), "expected an object");
        compare(said("{}"), "format: expected \"eigenscope.project\": this is no project");
        compare(said(R"({"version": 1, "method": "eigen", "key_ranks": [8]})"),
                "format: expected \"eigenscope.project\": this is no project");
        compare(said("PK\x03\x04"), "not valid JSON at byte 1");
        compare(said(R"({"format": "eigenscope.project", "version": 1, "model": "a", "model": "b"})"),
                "JSON has the key 'model' twice in one object");
        compare(said(R"({"format": "eigenscope.project", "version": 1e999})"),
                "not valid JSON: a number is out of range");
        compare(said("{\"format\": \"eigenscope.project\", \"version\": 1, \"model\": \"caf\xe9\"}"),
                "not valid JSON at byte");
        compare(said(std::string(100000, '[') + std::string(100000, ']')),
                "JSON is nested more than 256 levels deep");
        std::string deep = R"({"format": "eigenscope.project", "version": 1, "model": "a", "plan": )";
        for (int i = 0; i < 100000; ++i)
            deep += R"({"plan": )";
        compare(said(deep), "JSON is nested more than 256 levels deep");
    }
    void whatIsTooLarge() {
        Json json = Json::parse(kFullProject);
        json["model"] = std::string(4097, 'm');
        compare(said(json.dump()), "model: is longer than 4096 bytes");
        json = Json::parse(kFullProject);
        json["measurements"][0]["models"][0]["name"] = std::string(4097, 'n');
        compare(said(json.dump()), "measurements[0].models[0].name: is longer than 4096 bytes");
        json = Json::parse(kFullProject);
        for (int i = 0; i < 256; ++i)
            json["measurements"].push_back(json["measurements"][0]);
        compare(said(json.dump()), "measurements: expected at most 256 measurements, found 257");
        compare(said(kFullProject + std::string(std::size_t{4} << 20, ' ')), "is larger than 4194304 bytes");
    }
    // Every prefix: no part of a file passes for the whole. What is left out at its end is the final newline.
    void truncated() {
        for (std::size_t size = 0; size + 1 < kFullProject.size(); ++size)
            compare(said(kFullProject.substr(0, size)), "");
        QCOMPARE(said(kFullProject), std::string());
    }
    void whatIsNoFile() {
        QVERIFY(errorOf([&] {
                    loadProject(m_directory.path());
                }).starts_with(m_directory.path().string() + ": is a directory, expected a regular file"));
        QVERIFY(errorOf([&] {
                    loadProject(m_directory / "none");
                }).starts_with((m_directory / "none").string() + ": cannot open: No such file"));
    }
};

QTEST_GUILESS_MAIN(TestCorruptedProjects)
#include "tst_corrupted_projects.moc"
